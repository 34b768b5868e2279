"""What a trace of a worker's system calls says was opened while broken files were read."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from fuzz_outcome import Finding
from fuzz_watch import BEGIN, END

_CALL = re.compile(r"^\d+ +(open|openat|socket|connect)\((.*)")
_NAME = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ALLOWED = re.compile(r"/proc/self/fd|/usr/lib.*/gconv/[^/]+")
"""What the watch itself looks at; and the C library's character sets, for names in MPEG-TS."""


def tracer(log: Path) -> list[str]:
    """The beginning of a command line that traces what follows to the end of a file.

    Raises:
        FileNotFoundError: There is no strace on this machine.
    """
    if shutil.which("strace") is None:
        raise FileNotFoundError("--strace needs the program strace")
    return ["strace", "-A", "-f", "-e", "trace=openat,open,socket,connect", "-o", str(log)]


def opened(log: Path) -> tuple[int, dict[int, list[Finding]]]:
    """How many files were read, and what was opened beside them, by their numbers."""
    seen = 0
    found: dict[int, list[Finding]] = {}
    current: str | None = None
    for line in log.read_text(errors="replace").splitlines():
        call = _CALL.match(line)
        if call is None:
            continue
        name = _name(call[2])
        if name.startswith(f"{BEGIN}-"):
            current = name.removeprefix(f"{BEGIN}-")
            seen += 1
        elif name.startswith(f"{END}-"):
            current = None
        elif current is not None and Path(name).name != current and not _ALLOWED.fullmatch(name):
            finding = Finding(f"traced: {call[1]} {name or call[2]}", line)
            found.setdefault(int(Path(current).stem), []).append(finding)
    return seen, found


def _name(arguments: str) -> str:
    found = _NAME.search(arguments)
    return found[1] if found else ""
