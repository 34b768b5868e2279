"""How many CPU threads a network gets."""

from __future__ import annotations

import math
import os

from vidfacedeblur.engines.groups import granted_cores

_MOST = 16
"""Networks on face crops are small: beyond this, threads wait for each other."""


def default_threads() -> int:
    """Threads for one network: a core each, of those that this process may use, up to 16."""
    return min(usable_cores(), _MOST)


def usable_cores() -> int:
    """Cores that this process may use, after its affinity and its container's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, int(min(cores or 1, granted_cores() or math.inf)))
