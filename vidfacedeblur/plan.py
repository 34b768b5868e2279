"""From what the user named to a list of jobs: which file is read, and where its result goes.

Everything that can be refused before the first frame is refused here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidfacedeblur.errors import DamagedInputError, InputError, OptionError, OutputExistsError
from vidfacedeblur.video import PICTURE_SUFFIXES, STANDARD, VIDEO_SUFFIXES, output_suffix

_MARK = "_deblurred"
"""Added to an input's name for its output."""


@dataclass(frozen=True)
class Job:
    """One input and its output."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Plan:
    """What a run will do."""

    jobs: tuple[Job, ...]
    skipped: tuple[Job, ...] = ()
    """Left out because their outputs exist."""
    many: bool = False
    """Whether the user named a folder or several inputs."""


def make_plan(
    inputs: Sequence[Path],
    output: Path,
    *,
    suffix_of: Callable[[Path], str] = output_suffix,
    to_folder: bool = False,
    overwrite: bool = False,
    skip_existing: bool = False,
) -> Plan:
    """Decide what is read and where it goes.

    Args:
        inputs: Files, and folders that are searched for videos and pictures at every depth.
        output: A file for one input file; otherwise a folder, which may not exist yet.
        suffix_of: The suffix to write an input with; opens it, and raises `InputError`.
        to_folder: Take `output` for a folder even for one input.
        overwrite: Existing outputs are replaced.
        skip_existing: Inputs whose outputs exist are left out.

    Raises:
        InputError: An input is missing, or a folder holds no video or picture.
        OptionError: Two inputs would be written to one output, or the options contradict.
        OutputExistsError: An output exists, or is one of the inputs.
    """
    if overwrite and skip_existing:
        raise OptionError("--overwrite and --skip-existing contradict each other; give one")
    if STANDARD in (*inputs, output):
        return _piped(inputs, output, overwrite=overwrite, skip_existing=skip_existing)
    many = len(inputs) > 1 or any(path.is_dir() for path in inputs)
    if many and output.exists() and not output.is_dir():
        raise OptionError(f"several inputs need a folder as --output, but {output} is a file")
    to_folder = to_folder or many or output.is_dir()
    if not many and not inputs[0].exists():
        raise InputError(f"no such file: {inputs[0]}")
    # An input named twice is run once.
    jobs = (
        list(dict.fromkeys(_jobs(inputs, output, suffix_of)))
        if to_folder
        else [Job(inputs[0], output)]
    )
    return _against_existing(jobs, many=many, overwrite=overwrite, skip_existing=skip_existing)


def _piped(inputs: Sequence[Path], output: Path, *, overwrite: bool, skip_existing: bool) -> Plan:
    if len(inputs) > 1 or inputs[0].is_dir():
        raise OptionError("standard input or output takes one input and one output")
    job = Job(inputs[0], output)
    if output == STANDARD:
        return Plan((job,))
    if output.is_dir():
        raise OptionError(f"what comes from standard input needs a file as --output, not {output}")
    return _against_existing([job], many=False, overwrite=overwrite, skip_existing=skip_existing)


def _against_existing(jobs: list[Job], *, many: bool, overwrite: bool, skip_existing: bool) -> Plan:
    """Refuse, or leave out, the jobs whose outputs are there."""
    _refuse_collisions(jobs)
    there = {job: job.target.exists() for job in jobs}
    existing = [job for job in jobs if there[job]]
    if skip_existing:
        return Plan(tuple(job for job in jobs if not there[job]), tuple(existing), many)
    if existing and not overwrite:
        first = existing[0].target
        what = (
            f"{first} exists"
            if len(existing) == 1
            else (f"{len(existing)} of {len(jobs)} outputs exist, {first} among them")
        )
        raise OutputExistsError(f"{what}; use --overwrite to replace, or --skip-existing")
    return Plan(tuple(jobs), (), many)


def _jobs(inputs: Iterable[Path], folder: Path, suffix_of: Callable[[Path], str]) -> Iterable[Job]:
    for path in inputs:
        if not path.is_dir():
            # A missing one fails as its own job, and does not stop the others.
            yield Job(path, folder / _result_name(path, suffix_of))
            continue
        found = _media_below(path, without=folder)
        if not found:
            raise InputError(f"no video or picture in the folder {path}")
        for source in found:
            yield Job(
                source, folder / source.relative_to(path).parent / _result_name(source, suffix_of)
            )


def _media_below(folder: Path, *, without: Path) -> list[Path]:
    """Videos and pictures below a folder, sorted; hidden ones and earlier outputs left out."""
    suffixes = VIDEO_SUFFIXES | PICTURE_SUFFIXES
    resolved = without.resolve()
    inside = resolved != folder.resolve() and resolved.is_relative_to(folder.resolve())
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in suffixes
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and not (inside and path.resolve().is_relative_to(resolved))
    )
    stems = {path.with_suffix("") for path in found}
    return [path for path in found if not _is_result(path, stems)]


def _is_result(path: Path, stems: set[Path]) -> bool:
    """Whether a file is an earlier output beside its input."""
    stem = path.stem.removesuffix(_MARK)
    return stem != path.stem and path.with_name(stem) in stems


def _result_name(source: Path, suffix_of: Callable[[Path], str]) -> str:
    try:
        suffix = suffix_of(source)
    except (InputError, DamagedInputError):
        suffix = source.suffix  # its own job will say what is wrong with it
    return f"{source.stem}{_MARK}{suffix}"


def _refuse_collisions(jobs: Sequence[Job]) -> None:
    sources = {job.source.resolve() for job in jobs}
    taken: dict[Path, Path] = {}
    for job in jobs:
        target = job.target.resolve()
        if target in sources:
            raise OutputExistsError(f"{job.target} is an input; choose another --output")
        other = taken.setdefault(target, job.source)
        if other != job.source:
            raise OptionError(
                f"{other} and {job.source} would both be written to {job.target}; rename one, or"
                " run them into different folders"
            )
