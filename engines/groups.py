"""What a container or a service may use, as Linux's control groups say it, of version 1 or 2."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_ROOT = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


def granted_cores() -> float | None:
    """Cores' worth of time that this process's groups grant; None: all of it."""
    return min(_said("cpu", _quota), default=None)


def memory_left() -> int | None:
    """Bytes that the limits of this process's groups leave; None: they have none."""
    return min(_said("memory", _left), default=None)


def _said(controller: str, read: Callable[[Path], T]) -> Iterator[T]:
    """What can be read of each group that this process is in; the outer ones hold as well."""
    for folder in _folders(controller):
        with suppress(OSError, ValueError, KeyError, ZeroDivisionError):
            yield read(folder)


def _folders(controller: str) -> Iterator[Path]:
    """Of the groups; within a container, the outermost that can be seen is its own."""
    with suppress(OSError, ValueError):
        for line in _OWN.read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            root = _ROOT / controller if controllers else _ROOT
            inner = root / path.lstrip("/")
            yield from (inner, *(p for p in inner.parents if p.is_relative_to(root)))


def _quota(group: Path) -> float:
    if (group / "cpu.max").exists():
        granted, period = _text(group / "cpu.max").split()
    else:
        granted, period = _text(group / "cpu.cfs_quota_us"), _text(group / "cpu.cfs_period_us")
        if int(granted) < 0:
            raise ValueError("no limit")
    return int(granted) / int(period)  # "max" is no number


def _left(group: Path) -> int:
    new = (group / "memory.max").exists()
    limit = int(_text(group / ("memory.max" if new else "memory.limit_in_bytes")))
    used = int(_text(group / ("memory.current" if new else "memory.usage_in_bytes")))
    told = dict(line.split() for line in _text(group / "memory.stat").splitlines())
    of_all = "" if new else "total_"  # with the groups within
    # Files that were read or written count as used, up to the limit, until somebody wants the room.
    return limit - used + sum(int(told[f"{of_all}{kind}_file"]) for kind in ("active", "inactive"))


def _text(path: Path) -> str:
    return path.read_text(encoding="ascii").strip()
