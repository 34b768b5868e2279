"""Standard error, on which the commands speak to people; nobody need be there to read it."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO


def say(text: str) -> None:
    """Write to standard error, at once.

    An error there ends what is said, and nothing else: a reader that left, a terminal that is gone
    or a full disk neither stop a run nor change its exit code.
    """
    if sys.stderr is None:  # it was closed before Python began
        return
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        give_up(sys.stderr)


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
