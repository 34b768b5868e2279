"""The house's rules, read from the source: who may import whom, and by which name."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

FLOORS = {
    "errors": 0,
    "console": 0,
    "types": 1,
    "whole": 1,
    "settle": 1,
    "config": 2,
    "timing": 2,
    "provenance": 2,
    "link": 2,
    "stages": 2,
    "turns": 2,
    "event_file": 2,
    "events": 2,
    "records": 3,
    "models": 3,
    "video": 3,
    "engines": 4,
    "faces": 5,
    "deblur": 5,
    "work": 5,
    "outcome": 5,
    "restore": 6,
    "best": 7,
    "stream": 7,
    "pipeline": 8,
    "trainers": 9,
    "scan": 8,
    "pieces": 9,
    "report": 9,
    "plan": 9,
    "compare": 9,
    "live": 9,
    "hosts": 9,
    "archive": 10,
    "cli": 11,
    "__main__": 12,
}
"""A room imports only from lower floors; `weights` is data."""

EXCEPTIONS = {("cli", "models"): {"models.registry", "models.bundle"}}
"""Rooms that may use only some modules of another: these load no torch."""


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of the package by dotted name below `vidfacedeblur`, and its file."""
    for top, prefix in (("vidfacedeblur", ""), ("engines", "engines"), ("trainers", "trainers")):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = [prefix, *path.relative_to(ROOT / top).with_suffix("").parts]
            name = ".".join(part for part in parts if part and part != "__init__")
            yield name, path


def imports(tree: ast.AST) -> Iterator[str]:
    """Full names that a module imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


MODULES = list(modules())


@pytest.mark.parametrize(("name", "path"), MODULES, ids=[name or "package" for name, _ in MODULES])
def test_imports_go_down_only(name: str, path: Path) -> None:
    room = name.split(".")[0]
    if room in ("", "weights"):
        return
    known = {n for n, _ in MODULES}
    for imported in imports(ast.parse(path.read_text())):
        inner = imported.removeprefix("vidfacedeblur.")
        if inner == imported or inner not in known:
            continue
        other = inner.split(".")[0]
        if other in (room, "weights"):
            continue
        allowed = EXCEPTIONS.get((room, other))
        assert FLOORS[other] < FLOORS[room], f"{name} (floor {FLOORS[room]}) imports {inner}"
        assert allowed is None or inner in allowed | {other}, f"{name} imports {inner}"


def test_files_of_a_room_import_each_other_without_a_cycle() -> None:
    known = {name for name, _ in MODULES}
    within: dict[str, set[str]] = {}
    for name, path in MODULES:
        found = {
            each.removeprefix("vidfacedeblur.") for each in imports(ast.parse(path.read_text()))
        }
        rooms = {other for other in found & known if other.split(".")[0] == name.split(".")[0]}
        within[name] = rooms - {name, ""}
    assert sum(map(len, within.values())) > 100
    TopologicalSorter(within).prepare()  # raises a CycleError that names them


def test_every_room_has_a_floor() -> None:
    rooms = {name.split(".")[0] for name, _ in MODULES} - {"", "weights"}
    assert rooms == set(FLOORS)


def test_engines_and_trainers_are_never_imported_by_their_short_names() -> None:
    files = [path for _, path in MODULES] + sorted((ROOT / "tests").rglob("*.py"))
    files += sorted((ROOT / "examples").rglob("*.py"))
    for path in files:
        for imported in imports(ast.parse(path.read_text())):
            assert imported.split(".")[0] not in ("engines", "trainers"), path


def test_listed_packages_are_the_folders_present() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    present = {
        "vidfacedeblur" if name == "" else "vidfacedeblur." + name
        for name, path in MODULES
        if path.name == "__init__.py"
    }
    assert set(listed) == present


def test_no_user_file_is_opened_by_opencv() -> None:
    banned = ("VideoCapture", "VideoWriter", "imread", "imwrite", "imdecodemulti", "imreadmulti")
    for _, path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                assert node.attr not in banned, f"{path} uses cv2.{node.attr}"


def test_nothing_imports_what_a_cpu_build_of_torch_breaks() -> None:
    for name, path in MODULES:
        for imported in imports(ast.parse(path.read_text())):
            top = imported.split(".")[0]
            assert top not in ("torchvision", "facenet_pytorch", "timm"), name


def test_tools_find_what_they_share_with_the_tests() -> None:
    tools = [*(ROOT / "tests/tools").glob("*.py"), *(ROOT / "tests/benchmarks").glob("*.py")]
    texts = [path.read_text() for path in tools]
    sharing = [text for text in texts if "from tests_support" in text or "from live." in text]
    assert len(sharing) > 1
    assert all("sys.path.insert" in text for text in sharing)
