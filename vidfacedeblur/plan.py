"""From what the user named to a list of jobs: which file is read, and where its result goes.

Everything that can be refused before the first frame is refused here.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidfacedeblur.config import ScanOptions
from vidfacedeblur.errors import DamagedInputError, InputError, OptionError, OutputExistsError
from vidfacedeblur.scan import media_below, said_of_others
from vidfacedeblur.video import output_suffix
from vidfacedeblur.whole import STANDARD

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
    """Left out because their outputs exist; of several inputs, `archive` decides that."""
    many: bool = False
    """Whether the user named a folder or several inputs."""
    problems: tuple[tuple[Path, str], ...] = ()
    """What lies in a folder and cannot be looked into, with why."""
    others: tuple[Path, ...] = ()
    """What lies in a folder under suffixes that are not looked for."""


def make_plan(
    inputs: Sequence[Path],
    output: Path,
    *,
    suffix_of: Callable[[Path], str] = output_suffix,
    upcoming: Callable[[Sequence[Path]], None] = lambda files: None,
    scan: ScanOptions | None = None,
    as_many: bool = False,
    to_folder: bool = False,
    overwrite: bool = False,
    skip_existing: bool = False,
) -> Plan:
    """Decide what is read and where it goes.

    Args:
        inputs: Files, and folders that are searched for videos and pictures at every depth.
        output: A file for one input file; otherwise a folder, which may not exist yet.
        suffix_of: The suffix to write an input with; opens it, and raises `InputError`.
        upcoming: Told the files of a folder before they are asked for one by one.
        scan: Which files of a folder are taken.
        as_many: Plan one input like several.
        to_folder: Take `output` for a folder even for one input.
        overwrite: An existing output of one input is replaced.
        skip_existing: One input whose output exists is left out.

    Raises:
        InputError: An input is missing, or a folder holds no video or picture.
        OptionError: Two inputs would be written to one output, or the options contradict.
        OutputExistsError: An output exists, or is one of the inputs.
    """
    if overwrite and skip_existing:
        raise OptionError("--overwrite and --skip-existing contradict each other; give one")
    if STANDARD in (*inputs, output):
        return _piped(inputs, output, overwrite=overwrite, skip_existing=skip_existing)
    many = as_many or is_many(inputs)
    if many and _there(output) and not output.is_dir():
        raise OptionError(f"several inputs need a folder as --output, but {output} is a file")
    if many:
        return _archive(inputs, output, suffix_of, upcoming, scan or ScanOptions())
    if not _there(inputs[0]):
        raise InputError(f"no such file: {inputs[0]}")
    named = to_folder or _is_folder(output)
    target = output / _result_name(inputs[0], suffix_of) if named else output
    return _against_existing(
        Job(inputs[0], target), overwrite=overwrite, skip_existing=skip_existing
    )


def is_many(inputs: Sequence[Path]) -> bool:
    """Whether inputs are several: more than one, or a folder."""
    return len(inputs) > 1 or any(_is_folder(path) for path in inputs)


def _there(path: Path) -> bool:
    """Whether something is there; `Path.exists` raises an error where a name is too long for it."""
    try:
        return path.exists()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return False


def _is_folder(path: Path) -> bool:
    return _there(path) and path.is_dir()


def _archive(
    inputs: Sequence[Path],
    output: Path,
    suffix_of: Callable[[Path], str],
    upcoming: Callable[[Sequence[Path]], None],
    scan: ScanOptions,
) -> Plan:
    problems: list[tuple[Path, str]] = []
    others: list[Path] = []
    jobs: list[Job] = []
    for path in inputs:
        if not _is_folder(path):
            # A missing one fails as its own job, and does not stop the others.
            jobs.append(Job(path, output / _result_name(path, suffix_of)))
            continue
        found = media_below(path, scan, without=output)
        problems += found.problems
        others += found.others
        files = _without_results(found.files)
        if not (files or found.problems):
            rest = f"; {said_of_others(found.others)}" if found.others else ""
            raise InputError(f"no video or picture in the folder {path}{rest}")
        upcoming(files)
        jobs += _told_apart(
            [
                Job(file, output / file.relative_to(path).parent / _result_name(file, suffix_of))
                for file in files
            ]
        )
    jobs = list(dict.fromkeys(jobs))  # an input named twice is run once
    _refuse_collisions(jobs)
    return Plan(
        tuple(jobs),
        many=True,
        problems=tuple(problems),
        others=tuple(dict.fromkeys(others)),
    )


def _piped(inputs: Sequence[Path], output: Path, *, overwrite: bool, skip_existing: bool) -> Plan:
    if len(inputs) > 1 or _is_folder(inputs[0]):
        raise OptionError("standard input or output takes one input and one output")
    job = Job(inputs[0], output)
    if output == STANDARD:
        return Plan((job,))
    if _is_folder(output):
        raise OptionError(f"what comes from standard input needs a file as --output, not {output}")
    return _against_existing(job, overwrite=overwrite, skip_existing=skip_existing)


def _against_existing(job: Job, *, overwrite: bool, skip_existing: bool) -> Plan:
    """Refuse, or leave out, the only job if its output is there."""
    _refuse_collisions([job])
    if skip_existing and _there(job.target):
        return Plan((), (job,))
    if _there(job.target) and not overwrite:
        raise OutputExistsError(
            f"{job.target} exists; use --overwrite to replace, or --skip-existing"
        )
    return Plan((job,))


def _told_apart(jobs: Sequence[Job]) -> list[Job]:
    """Files of a folder that differ by their suffixes only keep them, where outputs would not."""
    often = Counter(job.target for job in jobs)
    return [
        Job(job.source, job.target.with_name(f"{job.source.name}{_MARK}{job.target.suffix}"))
        if often[job.target] > 1
        else job
        for job in jobs
    ]


def _without_results(found: Sequence[Path]) -> list[Path]:
    """Leave out earlier outputs beside their inputs."""
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
