"""Files that are slow to make, kept in the user's cache folder under a hash of what they came from.

The folder is private to the user (mode 0700) because TensorRT plans are programs: a folder or file
that belongs to somebody else is never read. Beside each file lies a sidecar in JSON that says what
it was made from and the sha256 of its content; a file that is not as its sidecar says is made anew.
Files appear whole or not at all; a lock keeps two processes from making the same one.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidfacedeblur.errors import EngineError

_log = logging.getLogger(__name__)
_LIMIT_BYTES = 4 << 30
_SUFFIXES = (".blob", ".engine")


@dataclass(frozen=True)
class Entry:
    """A file in the cache."""

    path: Path
    bytes: int
    used: float
    """When it was last used, in seconds since 1970."""
    parts: dict[str, Any]
    """What its sidecar says; empty if that is unreadable."""


def cache_folder() -> Path:
    """Our own folder below ``VIDFACEDEBLUR_CACHE``, ``XDG_CACHE_HOME`` or ``~/.cache``.

    Raises:
        EngineError: It is below the home folder, and this user has none.
    """
    base = os.environ.get("VIDFACEDEBLUR_CACHE") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        return Path(base).expanduser() / "vidfacedeblur"
    except RuntimeError as error:  # as in a container, for a user that it does not know
        raise EngineError("there is no home folder to cache in; set VIDFACEDEBLUR_CACHE") from error


def cached(
    name: str,
    suffix: str,
    parts: Mapping[str, Any],
    make: Callable[[Path], None],
    *,
    on_make: Callable[[], None] = lambda: None,
) -> Path:
    """Return the cached file made from `parts`; make it first if there is none.

    Args:
        name: Start of the file's name, for people who look into the folder.
        suffix: Its extension, with the dot: ``.blob`` or ``.engine``.
        parts: Everything that the content depends on; plain values.
        make: Writes the file to the path it is given.
        on_make: Called before the file is made, not when it is found.

    Raises:
        EngineError: The folder cannot be used.
    """
    folder = _own_folder()
    text = json.dumps(dict(parts), sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:20]
    target = folder / f"{name}-{key}{suffix}"
    if not os.access(folder, os.W_OK) and _problem(target) is None:
        return target  # made ahead, as for a container whose disk cannot be written to
    with _folder_errors(folder):
        with _locked(folder / f"{name}-{key}.lock"):
            if _trusted(target):
                os.utime(target)  # the oldest used goes first
                return target
            on_make()
            _make(target, parts, make)
        _evict(keep=target)
    return target


def forget(path: Path) -> None:
    """Remove a cached file that proved unreadable, so that it is made again.

    Raises:
        EngineError: The folder cannot be written to.
    """
    with _folder_errors(path.parent):
        path.unlink(missing_ok=True)
        path.with_suffix(".json").unlink(missing_ok=True)


def entries() -> list[Entry]:
    """Every file in the cache, the one used last first."""
    folder = cache_folder()
    files = [p for p in folder.iterdir() if p.suffix in _SUFFIXES] if folder.is_dir() else []
    found = []
    for path in files:
        with contextlib.suppress(FileNotFoundError):  # another process deleted it just now
            status = path.lstat()
            found.append(Entry(path, status.st_size, status.st_mtime, _sidecar(path)))
    return sorted(found, key=lambda entry: entry.used, reverse=True)


def clean() -> tuple[int, int]:
    """Delete all that the cache holds; return how many files and bytes that were.

    Files that another process is making at this moment are left to it.
    """
    found = entries()
    folder = cache_folder()
    for timings in folder.glob("timings-*") if folder.is_dir() else ():
        timings.unlink(missing_ok=True)
    # With what a killed process left: halves of files, sidecars of nothing.
    ours = (*_SUFFIXES, ".json", ".part", ".lock")
    files = [p for p in folder.iterdir() if p.suffix in ours] if folder.is_dir() else []
    for name in sorted({path.name.partition(".")[0] for path in files}):
        with (folder / f"{name}.lock").open("w") as lock, contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for path in folder.glob(f"{name}.*"):
                path.unlink(missing_ok=True)
    gone = [entry for entry in found if not entry.path.exists()]
    return len(gone), sum(entry.bytes for entry in gone)


def _make(target: Path, parts: Mapping[str, Any], make: Callable[[Path], None]) -> None:
    """Make a file, then its sidecar, each whole or not at all."""
    begin = time.perf_counter()
    part = target.with_name(target.name + ".part")
    said = target.with_name(target.stem + ".json.part")
    try:
        make(part)
        part.chmod(0o600)
        sidecar = {
            **parts,
            "sha256": _digest(part),
            "seconds_to_make": round(time.perf_counter() - begin, 2),
        }
        said.write_text(json.dumps(sidecar, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        said.chmod(0o600)
        # The sidecar second: without one, or with another's, the file is not trusted.
        part.replace(target)
        said.replace(target.with_suffix(".json"))
    finally:
        part.unlink(missing_ok=True)
        said.unlink(missing_ok=True)


def _own_folder() -> Path:
    folder = cache_folder()
    with _folder_errors(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        if {status.st_uid, folder.lstat().st_uid} != {os.geteuid()}:  # of a link, both its ends
            raise EngineError(
                f"the cache folder {folder} belongs to another user; set VIDFACEDEBLUR_CACHE"
            )
        if status.st_mode & 0o022:
            raise EngineError(
                f"the cache folder {folder} can be written by others; chmod 700 it, or set"
                " VIDFACEDEBLUR_CACHE"
            )
    return folder


@contextlib.contextmanager
def _folder_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EngineError(
            f"cannot use the cache folder {folder} ({error.strerror}); set VIDFACEDEBLUR_CACHE"
        ) from error


def _trusted(path: Path) -> bool:
    """Whether a file is there, this user's own, and what its sidecar says it is."""
    if not path.is_symlink() and not path.exists():
        return False
    problem = _problem(path)
    if problem is None:
        return True
    _log.warning("ignoring %s: %s; making it again", path, problem)
    forget(path)
    return False


def _problem(path: Path) -> str | None:
    for file in (path, path.with_suffix(".json")):
        if not file.is_symlink() and not file.exists():
            return "it has no sidecar"
        status = file.lstat()
        own = status.st_uid == os.geteuid() and not status.st_mode & 0o022
        if not own or file.is_symlink() or not file.is_file():
            return "it is not this user's own file"
    if _sidecar(path).get("sha256") != _digest(path):
        return "it is damaged"
    return None


def _sidecar(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock file; waits for whoever holds it."""
    while True:
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not path.exists() or not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                continue  # `clean` took the file away while this waited
            yield  # closing the file releases the lock
            return


def _evict(*, keep: Path) -> None:
    """Delete the files used longest ago until the folder is within its limit."""
    found = entries()
    total = sum(entry.bytes for entry in found)
    for entry in reversed(found):
        if total <= _LIMIT_BYTES:
            return
        if entry.path != keep:
            total -= entry.bytes
            forget(entry.path)
