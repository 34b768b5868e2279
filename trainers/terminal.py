"""What the sub-commands show on a terminal while they work; all of it goes to standard error."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

from vidfacedeblur import console

T = TypeVar("T")


def say(line: str) -> None:
    """Tell the user something."""
    console.say(line + "\n")


def progress(items: Iterable[T], total: int | None = None) -> Iterable[T]:
    """The items, with a bar on a terminal while they are used; with a share if `total` is known."""
    shown: Iterable[T] = tqdm(items, total=total, disable=None, leave=False)
    return shown
