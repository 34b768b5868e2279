"""Which files of a plan are to be done, by what the journal knows of each."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vidfacedeblur.archive.journal import GIVEN_UP, Row
from vidfacedeblur.errors import OutputExistsError
from vidfacedeblur.plan import Job
from vidfacedeblur.provenance import file_sha256

Why = Literal[
    "new",
    "interrupted",
    "input changed",
    "options changed",
    "output gone",
    "incomplete",
    "retried",
    "replaced",
]
Not = Literal["done", "failed before", "output exists"]


@dataclass(frozen=True)
class Choice:
    """What is to happen with a file."""

    job: Job
    target: bytes
    """The output's path below the output folder."""
    row: Row | None
    why: Why | None
    """Why it is done; None if it is not."""
    why_not: Not | None = None
    overwrite: bool = False
    """Whether what lies at the output's place may be replaced."""


@dataclass(frozen=True)
class Rules:
    """By what it is decided."""

    options: str
    """A hash of the options that show in the outputs."""
    made: frozenset[str]
    """What is wanted beside the outputs."""
    overwrite: bool = False
    skip_existing: bool = False
    retry_failed: bool = False


def choose(
    jobs: Sequence[Job], output: Path, known: dict[bytes, Row], rules: Rules
) -> list[Choice]:
    """Decide for each file whether it is done, and say why.

    Args:
        jobs: The plan's.
        output: The folder of the outputs.
        known: What the journal says, by target.
        rules: By what to decide.

    Raises:
        OutputExistsError: There are files at the places of outputs that are not known to be ours.
    """
    choices = [_choice(job, key_of(job, output), known, rules) for job in jobs]
    foreign = [choice.job for choice in choices if choice.why is None and choice.why_not is None]
    if foreign:
        first = foreign[0].target
        what = (
            f"{first} exists"
            if len(foreign) == 1
            else f"{len(foreign)} of {len(jobs)} outputs exist, {first} among them"
        )
        raise OutputExistsError(
            f"{what}, and no run is known that made it of this input; use --overwrite to replace,"
            " or --skip-existing"
        )
    return choices


def identity(path: Path) -> tuple[int, int] | None:
    """Size in bytes and time in nanoseconds of a file; None if it is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def key_of(job: Job, output: Path) -> bytes:
    """What a file is called in the journal: its output's path below the output folder."""
    return os.fsencode(job.target.relative_to(output))


def _choice(job: Job, target: bytes, known: dict[bytes, Row], rules: Rules) -> Choice:
    row = known.get(target)
    ours = _is_ours(job, row)
    if not ours and os.path.lexists(job.target):
        if rules.overwrite:
            return Choice(job, target, row, "replaced", overwrite=True)
        return Choice(job, target, row, None, "output exists" if rules.skip_existing else None)
    if row is None:
        return Choice(job, target, row, "new")
    why = _why(job, row, rules)
    if why and rules.skip_existing and os.path.lexists(job.target):
        return Choice(job, target, row, None, "output exists")
    if why is None:
        why_not: Not = "failed before" if row.state in GIVEN_UP else "done"
        return Choice(job, target, row, None, why_not)
    return Choice(job, target, row, why, overwrite=True)


def _is_ours(job: Job, row: Row | None) -> bool:
    """Whether what lies at an output's place, if anything, was made by an earlier run."""
    if row is None or not row.attempts:
        return False
    if row.state in ("planned", "running"):
        return _is_input(job, row)  # it may have been finished, and nobody was left to write so
    if not _is_output(job.target, row):
        return False
    return _is_input(job, row) or not row.source_path.exists()


def _is_output(path: Path, row: Row) -> bool:
    """Whether a file is what a run left there; where its time differs, by its content."""
    found = identity(path)
    if found == (row.out_size, row.out_mtime):
        return True
    known = row.figures.get("output_sha256")
    same_size = found is not None and found[0] == row.out_size
    return same_size and known is not None and _hash(path) == known


def _is_input(job: Job, row: Row) -> bool:
    return os.fsencode(job.source.absolute()) == row.source or is_same_input(job, row)


def _why(job: Job, row: Row, rules: Rules) -> Why | None:
    if row.state in ("planned", "running"):
        return "interrupted" if row.attempts else "new"
    if not is_same_input(job, row):
        return "input changed"
    if row.options != rules.options:
        return "options changed"
    if row.state in GIVEN_UP:
        return "retried" if rules.retry_failed else None
    if not job.target.exists():
        return "output gone"
    return None if rules.made <= set(row.made.split()) else "incomplete"


def is_same_input(job: Job, row: Row) -> bool:
    """Whether an input is the one that a row tells of; where its time differs, by its content."""
    found = identity(job.source)
    if found is None or row.size is None:
        return found is None and row.size is None
    if found == (row.size, row.mtime):
        return True
    return found[0] == row.size and row.sha256 is not None and _hash(job.source) == row.sha256


def _hash(path: Path) -> str | None:
    try:
        return file_sha256(path)
    except OSError:
        return None


def rank(choices: Iterable[Choice], seconds: Mapping[Path, float]) -> list[Choice]:
    """The files that are done, in order.

    Those at which runs ended without a word more than once come last: it may be their fault. The
    longest come first, so that no worker is left with one when all others are through.
    """

    def key(choice: Choice) -> tuple[int, float]:
        interruptions = choice.row.interruptions if choice.row else 0
        return max(0, interruptions - 1), -seconds.get(choice.job.source, 0.0)

    return sorted((choice for choice in choices if choice.why is not None), key=key)


__all__ = ["Choice", "Rules", "choose", "identity", "is_same_input", "key_of", "rank"]
