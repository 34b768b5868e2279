"""Whether the disk has room for what is coming."""

from __future__ import annotations

import shutil
from pathlib import Path

RESERVE = 256 << 20
"""Bytes that are left free: a full disk harms others, too."""


def free_bytes(folder: Path) -> int:
    """Bytes that can still be written into a folder, or where it will be made."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def readable(size: float) -> str:
    """A number of bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit in ("B", "KiB") else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
