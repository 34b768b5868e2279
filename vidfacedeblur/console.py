"""Standard error, on which the commands speak to people; nobody need be there to read it."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from typing import TextIO

# Control characters, and what turns the direction of the text around it: a file's name with one of
# them could forge a line, or pass for another.
_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_JOINER = "\u200d"
"""Holds emoji and some scripts together; it is no mischief."""
_CLEAR = "\r\x1b[K"


def counted(number: int, one: str, more: str | None = None) -> str:
    """``1 frame``, ``2,000 frames``."""
    return f"{number:,} {one if number == 1 else more or one + 's'}"


def visible(text: str) -> str:
    """Text of which every character is seen: what has no shape is written as its code."""
    return _INVISIBLE.sub(lambda match: _visible(match[0]), text)


def _visible(char: str) -> str:
    return char if char == _JOINER else char.encode("unicode_escape").decode()


def say(text: str, *, over: bool = False) -> None:
    """Write to standard error, at once; control characters are shown, but for the end of the line.

    An error there ends what is said, and nothing else: a reader that left, a terminal that is gone
    or a full disk neither stop a run nor change its exit code.

    Args:
        text: A line, with its end; or without one, on a terminal, what the next writes over.
        over: Write over what has no end yet; cut at the terminal's width.
    """
    if sys.stderr is None:  # it was closed before Python began
        return
    try:
        sys.stderr.write(_CLEAR + _fitting(visible(text)) if over else _line(text))
        sys.stderr.flush()
    except OSError:
        give_up(sys.stderr)


def _line(text: str) -> str:
    return visible(text.removesuffix("\n")) + ("\n" if text.endswith("\n") else "")


def _fitting(text: str) -> str:
    """What a terminal shows in one row: of more rows, only the last would be written over."""
    try:
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
    except OSError:  # no terminal
        return text
    return text[: columns - 1] if columns else text  # of some the width is not known


def on_terminal() -> bool:
    """Whether a terminal shows what is said."""
    return sys.stderr is not None and sys.stderr.isatty()


def give_up(stream: TextIO) -> None:
    """Let a standard stream lead nowhere: Python would try once more to write at its end."""
    with suppress(OSError, ValueError):
        number = stream.fileno()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, number)
        os.close(null)
