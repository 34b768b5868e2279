"""The commands ``vidfacedeblur`` (``python -m vidfacedeblur`` is it, too) and ``-live``."""

from __future__ import annotations

import signal
import sys
from importlib import import_module


def main() -> int:
    """Run ``vidfacedeblur`` with the process's arguments; return its exit code."""
    return _run("vidfacedeblur", "vidfacedeblur.cli")


def live() -> int:
    """Run ``vidfacedeblur-live`` with the process's arguments; return its exit code."""
    return _run("vidfacedeblur-live", "vidfacedeblur.cli.live")


def _run(name: str, module: str) -> int:
    """Load a command and run it; Ctrl-C ends it in one line even while it is being loaded."""
    try:
        return int(import_module(module).main())
    except KeyboardInterrupt:
        sys.stderr.write(f"{name}: stopped\n")
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
