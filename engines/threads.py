"""How many CPU threads a network gets."""

from __future__ import annotations

import os
from pathlib import Path

_MOST = 16
"""Networks on face crops are small: beyond this, threads wait for each other."""
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def default_threads() -> int:
    """Threads for one network: a core each, of those that this process may use, up to 16."""
    return min(usable_cores(), _MOST)


def usable_cores() -> int:
    """Cores that this process may use, after its affinity and its container's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(cores or 1, _quota(_QUOTA)))


def _quota(path: Path) -> int:
    """Whole cores' worth of time that the control group grants; a large number if unlimited."""
    try:
        granted, period = path.read_text(encoding="ascii").split()
        return max(1, int(granted) // int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return 1_000_000
