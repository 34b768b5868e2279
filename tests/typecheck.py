"""Runs mypy --strict on an installed copy, where `engines/` and `trainers/` have their real names.

In the checkout mypy cannot see that they are `vidfacedeblur.engines` and `vidfacedeblur.trainers`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {"vidfacedeblur": "vidfacedeblur", "engines": "vidfacedeblur/engines"}
PACKAGES["trainers"] = "vidfacedeblur/trainers"


def check(root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Type-check a throw-away copy of the packages below `root`."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        subprocess.run([*command, "--target", folder, str(root)], check=True)
        return subprocess.run(
            [
                *(sys.executable, "-m", "mypy", "--config-file", str(root / "pyproject.toml")),
                *("--cache-dir", str(ROOT / ".mypy_cache"), "-p", "vidfacedeblur"),
            ],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )


if __name__ == "__main__":
    result = check()
    sys.stdout.write(result.stdout)
    sys.stderr.write(result.stderr)
    sys.exit(result.returncode)
