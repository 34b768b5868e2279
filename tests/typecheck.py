"""Runs mypy --strict on an installed copy, where `engines/` and `trainers/` have their real names.

In the checkout mypy cannot see that they are `vidfacedeblur.engines` and `vidfacedeblur.trainers`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = (
    *("pyproject.toml", "README.md", "LICENSE", "THIRD-PARTY.md"),
    *("vidfacedeblur", "engines", "trainers"),
)
"""What a build of the package reads."""


def copy_sources(folder: Path) -> None:
    """Copy what a build reads, so that building leaves nothing in the checkout."""
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(ROOT / name, folder)


def check(sources: Path) -> subprocess.CompletedProcess[str]:
    """Install a copy of the sources into a throw-away folder and type-check it there."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        command += ["--no-build-isolation", "--target", folder, str(sources)]
        subprocess.run(command, check=True)
        return subprocess.run(
            [
                *(sys.executable, "-m", "mypy", "--config-file", str(sources / "pyproject.toml")),
                *("--cache-dir", str(ROOT / ".mypy_cache"), "-p", "vidfacedeblur"),
            ],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )


def main() -> int:
    """Check the checkout; print what mypy says."""
    with tempfile.TemporaryDirectory() as folder:
        copy_sources(Path(folder))
        result = check(Path(folder))
    sys.stdout.write(result.stdout)
    sys.stderr.write(result.stderr)
    return result.returncode


if __name__ == "__main__":
    sys.exit(main())
