"""Every error that this package raises on purpose, as one tree.

VidFaceDeblurError
├── OptionError              an option's value is wrong or contradicts another
│   └── UnknownModelError
├── OutputExistsError        the output is there already, or is the input
├── WeightsError             a weights file is missing, altered or of another model
├── EngineError              a network cannot be run as asked
│   └── EngineUnavailableError   the engine or device is not usable on this machine
├── InputError               the input is missing, unreadable or refused
│   └── NoVideoError         the input has no video (or no picture) in it
├── DamagedInputError        the input can be read in part only
├── PieceError               a video cannot be done in pieces, or a piece is not what it was to be
├── OutputError              the output cannot be written
└── LossError                something would be lost and ``strict`` forbids it

The message is one line that a user can act on: what is wrong, with what, and what would work.
`OSError` and `MemoryError` pass through where nothing better can be said.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self


class VidFaceDeblurError(Exception):
    """Root of the tree."""


class OptionError(VidFaceDeblurError):
    """An option's value is wrong, or contradicts another option."""


class UnknownModelError(OptionError):
    """No model is registered under the given name.

    Attributes:
        name: The name that was asked for.
        available: Every registered name, sorted.
    """

    def __init__(self, name: str, available: Iterable[str]) -> None:
        self.name = name
        self.available = sorted(available)
        super().__init__(f"unknown model {name!r}; available: {', '.join(self.available)}")

    def __reduce__(self) -> tuple[type[Self], tuple[str, list[str]]]:
        return type(self), (self.name, self.available)  # it is not made of its message


class OutputExistsError(VidFaceDeblurError):
    """The output exists and may not be overwritten, or is the input itself."""


class WeightsError(VidFaceDeblurError):
    """A weights file is missing, unreadable, altered, or belongs to another model."""


class EngineError(VidFaceDeblurError):
    """A network cannot be run as asked."""


class EngineUnavailableError(EngineError):
    """The engine or the device that was asked for cannot be used on this machine."""


class InputError(VidFaceDeblurError):
    """The input is missing, cannot be read, or is refused for safety."""


class NoVideoError(InputError):
    """The input was read, but has no video in it."""


class DamagedInputError(VidFaceDeblurError):
    """The input can be read only in part.

    Attributes:
        frames: Frames that could be read before the damage.
    """

    def __init__(self, message: str, *, frames: int = 0) -> None:
        self.frames = frames
        super().__init__(message)


class PieceError(VidFaceDeblurError):
    """A video cannot be done in pieces, or a piece is not what it was to be; run it whole."""


class OutputError(VidFaceDeblurError):
    """The output cannot be written."""


class LossError(VidFaceDeblurError):
    """The output could not hold something of the input, and ``strict`` was asked for."""


OK, FAILED, USAGE, UNREADABLE, DAMAGED, UNWRITABLE = 0, 1, 2, 3, 4, 5
"""Exit codes of the commands."""

_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (OptionError, USAGE),
    (OutputExistsError, USAGE),
    (WeightsError, USAGE),
    (EngineError, USAGE),
    (InputError, UNREADABLE),
    (DamagedInputError, DAMAGED),
    (OutputError, UNWRITABLE),
    (LossError, UNWRITABLE),
)


def exit_code(error: BaseException) -> int:
    """The exit code that stands for an error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)


def first_line(error: BaseException) -> str:
    """What an error says first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
