"""The wheel, installed in an environment of its own: one top-level name, all data, and it works."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from tests_support import write_portrait_clip
from typecheck import copy_sources

CHECK = """
import sys
from pathlib import Path
import vidfacedeblur
from vidfacedeblur.models.bundle import bundled
from vidfacedeblur.models.registry import MODELS
from vidfacedeblur.models.weights import load_model
from vidfacedeblur.trainers.fixed_sets import SETS
from vidfacedeblur.trainers.recipe_files import load_recipe, shipped_for
assert Path(vidfacedeblur.__file__).is_relative_to(sys.prefix), vidfacedeblur.__file__
assert (Path(vidfacedeblur.__file__).parent / "py.typed").is_file()
print(sum(load_model(name).sha256 != "" for name in MODELS if bundled(name)))
print(sum(load_recipe(name, r).steps > 0 for name in MODELS for r in shipped_for(name)))
print(len(SETS["synthetic-faces"].rows()))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    copy_sources(folder)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    subprocess.run([*command, "--no-build-isolation", "-w", "dist", "."], cwd=folder, check=True)
    (built,) = (folder / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel in it, which borrows the dependencies of this one.

    The checkout's own editable install is not borrowed: a path file is not read twice.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    subprocess.run([*command, "--no-deps", str(wheel)], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def test_the_only_top_level_name_is_ours(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name.split("/")[0] for name in archive.namelist()}
        inner = set(archive.namelist())
    assert {name for name in names if not name.endswith(".dist-info")} == {"vidfacedeblur"}
    assert "vidfacedeblur/weights/LICENSE" in inner
    assert "vidfacedeblur/events.schema.json" in inner
    assert "vidfacedeblur/engines/select.py" in inner
    assert "vidfacedeblur/trainers/sets/synthetic_faces_v2.csv" in inner


def test_the_metadata_names_both_licences(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = archive.read(name).decode()
    assert "License-Expression: Apache-2.0 AND LicenseRef-research-weights" in metadata


def test_weights_and_recipes_are_in_it(environment: Path, tmp_path: Path) -> None:
    command = [str(environment / "bin" / "python"), "-c", CHECK]
    output = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    weights, recipes, faces = map(int, output.stdout.split())
    assert weights >= 3
    assert recipes == 8
    assert faces == 1473


def test_it_runs_a_clip(environment: Path, tmp_path: Path) -> None:
    write_portrait_clip(tmp_path / "in.mp4", frames=3)
    command = [str(environment / "bin" / "vidfacedeblur"), "in.mp4", "-o", "out.mp4"]
    command += ["--model", "deblurganv2", "--quiet"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert (tmp_path / "out.mp4").stat().st_size > 1000
    script = environment / "bin" / "vidfacedeblur-train"
    subprocess.run([str(script), "--help"], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
