"""What became of one broken file, as worker and parent tell each other."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

CRASH = "crash"
"""The verdict about a file at which the worker's process died by a signal."""


@dataclass(frozen=True)
class Finding:
    """Something that must not happen."""

    title: str
    """The same for all files at which the same thing happens."""
    detail: str = ""
    """A traceback, or names of files."""


@dataclass(frozen=True)
class Outcome:
    """What became of file `number`."""

    number: int
    verdict: str
    """``whole``, ``damaged``, ``refused: ERROR``, ``crash``, or ``finding``."""
    kind: str = ""
    what: str = ""
    """What was done to which clip; empty where the worker could not say any more."""
    options: str = ""
    frames: int = 0
    seconds: float = 0.0
    megabytes: int = 0
    """The most memory that was in use."""
    message: str = ""
    """Of the error that refused the file."""
    findings: tuple[Finding, ...] = ()

    def to_line(self) -> str:
        """One line of JSON."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_line(cls, line: str) -> Outcome:
        """The reverse of `to_line`."""
        fields = json.loads(line)
        fields["findings"] = tuple(Finding(**finding) for finding in fields["findings"])
        return cls(**fields)
