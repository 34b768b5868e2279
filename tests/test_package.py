"""What importing the package costs and offers, and that version and changelog agree."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import vidfacedeblur

ROOT = Path(__file__).resolve().parent.parent


def run(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_importing_loads_no_torch() -> None:
    code = "import sys, vidfacedeblur; print('torch' in sys.modules, 'openvino' in sys.modules)"
    assert run(code) == "False False"


@pytest.mark.parametrize("module", ["cli", "cli.live", "engines.__main__", "trainers.__main__"])
def test_help_loads_no_torch(module: str) -> None:
    code = (
        "import sys, contextlib, io\n"
        f"from vidfacedeblur.{module} import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "    main(['--help'])\n"
        "print('torch' in sys.modules)"
    )
    assert run(code) == "False"


def test_every_public_name_is_importable() -> None:
    for name in vidfacedeblur.__all__:
        assert getattr(vidfacedeblur, name) is not None
    assert sorted(vidfacedeblur.__all__) == vidfacedeblur.__all__


def test_the_changelog_speaks_of_this_version() -> None:
    assert f"## {vidfacedeblur.__version__}" in (ROOT / "CHANGELOG.md").read_text()
