"""Looking through folders for videos and pictures: every one is found, and what is not is said."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from vidfacedeblur.config import ScanOptions
from vidfacedeblur.video import PICTURE_SUFFIXES, VIDEO_SUFFIXES

_MEDIA = VIDEO_SUFFIXES | PICTURE_SUFFIXES
_NAMED = 4
"""Suffixes that are named of what is not looked for."""


@dataclass
class Found:
    """What lies below a folder."""

    files: list[Path] = field(default_factory=list)
    """Sorted."""
    problems: list[tuple[Path, str]] = field(default_factory=list)
    """Folders that cannot be looked into, and names behind which there is no file; with why."""
    others: list[Path] = field(default_factory=list)
    """What lies there under other suffixes than those that are looked for; it was not looked at."""


def media_below(folder: Path, options: ScanOptions, *, without: Path | None = None) -> Found:
    """Find the videos and pictures of a folder, at every depth.

    A link to a file is taken like the file. A folder that is reached a second time through links is
    left out, so that no circle of links is walked for ever.

    Args:
        folder: Where to look.
        options: What is wanted.
        without: A folder below it that is left out.
    """
    found = Found()
    for path in _walk(folder, options, found, without):
        name = path.relative_to(folder)
        if not _wanted(name, options):
            if not (options.match or _left_out(name, options)):
                found.others.append(path)  # that nobody asked to leave out
            continue
        if path.is_file():
            found.files.append(path)
        else:
            found.problems.append((path, _what_it_is(path)))
    found.files.sort()
    found.problems.sort()
    return found


def said_of_others(others: Sequence[Path]) -> str:
    """One line on files that are not looked for: how many, and the most frequent suffixes."""
    often = Counter(path.suffix.lower() or "no suffix" for path in others)
    named = [f"{suffix} {count}" for suffix, count in often.most_common(_NAMED)]
    more = ["..."] if len(often) > _NAMED else []
    files, them = ("file", "it") if len(others) == 1 else ("files", "them")
    kinds = ", ".join(named + more)
    return f"{len(others)} other {files} left out ({kinds}); --match tries {them}"


def _walk(folder: Path, options: ScanOptions, found: Found, without: Path | None) -> Iterator[Path]:
    """Everything below a folder that is no folder."""
    seen = {_identity(folder)}
    left_out = None if without is None else without.resolve()

    def refused(error: OSError) -> None:
        found.problems.append((Path(error.filename), f"cannot be looked into: {error.strerror}"))

    def enters(path: Path) -> bool:
        if _left_out(path.relative_to(folder), options) or path.resolve() == left_out:
            return False
        identity = _identity(path)
        if identity is None or identity in seen:
            return identity is None  # what cannot be entered is said by `refused`
        seen.add(identity)
        return True

    for place, folders, files in os.walk(folder, onerror=refused, followlinks=options.follow_links):
        folders[:] = sorted(name for name in folders if enters(Path(place, name)))
        yield from (Path(place, name) for name in files)


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _wanted(name: Path, options: ScanOptions) -> bool:
    if _left_out(name, options):
        return False
    if options.match:
        return any(_fits(name, pattern) for pattern in options.match)
    return name.suffix.lower() in _MEDIA


def _left_out(name: Path, options: ScanOptions) -> bool:
    hidden = name.name.startswith(".") and not options.hidden
    return hidden or any(_fits(name, pattern) for pattern in options.ignore)


def _fits(name: Path, pattern: str) -> bool:
    """A pattern with a slash is for the path below the folder, any other for the name alone."""
    text = name.as_posix() if "/" in pattern else name.name
    return fnmatchcase(text, pattern)


def _what_it_is(path: Path) -> str:
    return "a link to nothing" if path.is_symlink() and not path.exists() else "not a regular file"
