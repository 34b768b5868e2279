"""Files that are slow to make, kept in the user's cache folder under a hash of what they came from.

The folder is private to the user (mode 0700) because TensorRT plans are programs: a folder or file
that belongs to somebody else is never read. Files appear whole or not at all; a lock keeps two
processes from making the same one.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vidfacedeblur.errors import EngineError

_log = logging.getLogger(__name__)
_LIMIT_BYTES = 4 << 30


def cache_folder() -> Path:
    """Our own folder below ``VIDFACEDEBLUR_CACHE``, ``XDG_CACHE_HOME`` or ``~/.cache``."""
    base = os.environ.get("VIDFACEDEBLUR_CACHE") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "vidfacedeblur"


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
        suffix: Its extension, with the dot.
        parts: Everything that the content depends on; plain values.
        make: Writes the file to the path it is given.
        on_make: Called before the file is made, not when it is found.

    Raises:
        EngineError: The folder cannot be used.
    """
    folder = _private_folder()
    text = json.dumps(dict(parts), sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:20]
    target = folder / f"{name}-{key}{suffix}"
    with _locked(folder / f"{name}-{key}.lock"):
        if _trusted(target):
            os.utime(target)  # the oldest used goes first
            return target
        on_make()
        begin = time.perf_counter()
        part = target.with_name(target.name + ".part")
        try:
            make(part)
            part.chmod(0o600)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        seconds = round(time.perf_counter() - begin, 2)
        sidecar = json.dumps({**parts, "seconds_to_make": seconds}, indent=2, sort_keys=True)
        target.with_suffix(".json").write_text(sidecar + "\n", encoding="utf-8")
    _evict(folder, keep=target)
    return target


def forget(path: Path) -> None:
    """Remove a cached file that proved unreadable, so that it is made again."""
    path.unlink(missing_ok=True)
    path.with_suffix(".json").unlink(missing_ok=True)


def _private_folder() -> Path:
    folder = cache_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        if status.st_uid != os.geteuid():
            raise EngineError(
                f"the cache folder {folder} belongs to another user; set VIDFACEDEBLUR_CACHE"
            )
        if status.st_mode & 0o022:
            raise EngineError(
                f"the cache folder {folder} can be written by others; chmod 700 it, or set"
                " VIDFACEDEBLUR_CACHE"
            )
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise EngineError(
            f"cannot use the cache folder {folder} ({error.strerror}); set VIDFACEDEBLUR_CACHE"
        ) from error


def _trusted(path: Path) -> bool:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    if status.st_uid == os.geteuid() and not status.st_mode & 0o022 and path.is_file():
        return not path.is_symlink()
    _log.warning("ignoring %s: it is not this user's own file; making it again", path)
    forget(path)
    return False


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield  # closing the file releases the lock


def _evict(folder: Path, *, keep: Path) -> None:
    """Delete the files used longest ago until the folder is within its limit."""
    files = [f for f in folder.iterdir() if f.suffix in (".onnx", ".plan") and f != keep]
    files.sort(key=lambda f: f.stat().st_mtime)
    total = keep.stat().st_size + sum(f.stat().st_size for f in files)
    for file in files:
        if total <= _LIMIT_BYTES:
            return
        total -= file.stat().st_size
        forget(file)
