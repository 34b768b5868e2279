"""Folders are looked through completely, and what cannot be is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vidfacedeblur.config import ScanOptions
from vidfacedeblur.errors import InputError, OptionError
from vidfacedeblur.plan import make_plan
from vidfacedeblur.scan import media_below, said_of_others


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def found(root: Path, **options: object) -> list[str]:
    result = media_below(root, ScanOptions(**options))  # type: ignore[arg-type]
    return [str(path.relative_to(root)) for path in result.files]


def test_media_at_every_depth_sorted(tmp_path: Path) -> None:
    touch(tmp_path, "b.MP4", "a/z.mkv", "a/y/x.png", "a/notes.txt", ".hidden.mp4", ".git/c.mp4")
    assert found(tmp_path) == ["a/y/x.png", "a/z.mkv", "b.MP4"]
    assert found(tmp_path, hidden=True) == [
        *(".git/c.mp4", ".hidden.mp4"),
        *("a/y/x.png", "a/z.mkv", "b.MP4"),
    ]


def test_patterns(tmp_path: Path) -> None:
    touch(tmp_path, "2023/cam1/a.mp4", "2024/cam1/b.mp4", "2024/cam2/c.mp4", "2024/d.dat")
    assert found(tmp_path, match=("*.dat",)) == ["2024/d.dat"]
    assert found(tmp_path, match=("2024/*.mp4",)) == ["2024/cam1/b.mp4", "2024/cam2/c.mp4"]
    assert found(tmp_path, ignore=("cam1",)) == ["2024/cam2/c.mp4"]
    assert found(tmp_path, match=("*.mp4",), ignore=("2024/cam*",)) == ["2023/cam1/a.mp4"]


def test_links(tmp_path: Path) -> None:
    touch(tmp_path, "real/a.mp4", "in/b.mp4")
    (tmp_path / "in" / "file.mp4").symlink_to(tmp_path / "real" / "a.mp4")
    (tmp_path / "in" / "folder").symlink_to(tmp_path / "real")
    (tmp_path / "in" / "circle").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "nothing.mp4").symlink_to(tmp_path / "gone.mp4")
    assert found(tmp_path / "in") == ["b.mp4", "file.mp4"]
    assert found(tmp_path / "in", follow_links=True) == ["b.mp4", "file.mp4", "folder/a.mp4"]
    problems = media_below(tmp_path / "in", ScanOptions()).problems
    assert problems == [(tmp_path / "in" / "nothing.mp4", "a link to nothing")]


def test_what_is_no_file_is_said(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    result = media_below(tmp_path, ScanOptions())
    assert result.files == []
    assert result.problems == [(tmp_path / "pipe.mp4", "not a regular file")]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look into every folder")
def test_a_folder_that_cannot_be_looked_into(tmp_path: Path) -> None:
    touch(tmp_path, "closed/a.mp4", "b.mp4")
    (tmp_path / "closed").chmod(0)
    try:
        result = media_below(tmp_path, ScanOptions())
    finally:
        (tmp_path / "closed").chmod(0o700)
    assert [path.name for path in result.files] == ["b.mp4"]
    ((path, why),) = result.problems
    assert path.name == "closed"
    assert why == "cannot be looked into: Permission denied"


def test_an_error_of_the_system_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "closed/a.mp4", "b.mp4")
    whole = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return whole(path)

    monkeypatch.setattr(os, "scandir", scandir)
    result = media_below(tmp_path, ScanOptions())
    assert [path.name for path in result.files] == ["b.mp4"]
    assert result.problems == [(tmp_path / "closed", "cannot be looked into: Permission denied")]


def suffix_of(path: Path) -> str:
    return ".mkv" if path.suffix == ".avi" else path.suffix


def test_names_that_would_be_the_same_keep_their_suffixes(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.avi", "in/a.mkv", "in/b.avi")
    out = tmp_path / "out"
    plan = make_plan([tmp_path / "in"], out, suffix_of=suffix_of)
    names = [str(job.target.relative_to(out)) for job in plan.jobs]
    assert names == ["a.avi_deblurred.mkv", "a.mkv_deblurred.mkv", "b_deblurred.mkv"]


def test_two_folders_may_not_have_one_output(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.mp4", "other/a.mp4")
    with pytest.raises(OptionError, match="would both be written"):
        make_plan([tmp_path / "in", tmp_path / "other"], tmp_path / "out", suffix_of=suffix_of)


def test_outputs_among_the_inputs_are_no_inputs(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.mp4", "in/out/a_deblurred.mp4", "in/b.mp4", "in/b_deblurred.mp4")
    plan = make_plan([tmp_path / "in"], tmp_path / "in" / "out", suffix_of=suffix_of)
    assert [job.source.name for job in plan.jobs] == ["a.mp4", "b.mp4"]


def others(root: Path, **options: object) -> list[str]:
    result = media_below(root, ScanOptions(**options), without=root / "out")  # type: ignore[arg-type]
    return sorted(str(path.relative_to(root)) for path in result.others)


def test_files_that_are_not_looked_for_are_told_of(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.RMVB", "deep/c.rmvb", "d", ".e.rmvb", "tmp/f.rm", "out/archive.csv")
    (tmp_path / "folder.rmvb").mkdir()
    assert others(tmp_path) == ["b.RMVB", "d", "deep/c.rmvb", "tmp/f.rm"]
    assert others(tmp_path, hidden=True, ignore=("tmp", "d")) == [
        ".e.rmvb",
        "b.RMVB",
        "deep/c.rmvb",
    ]
    assert others(tmp_path, match=("*.mp4",)) == []


def test_what_is_said_of_files_that_are_not_looked_for() -> None:
    said = said_of_others([Path(name) for name in ("a.rmvb", "b.RMVB", "c")])
    assert said == "3 other files left out (.rmvb 2, no suffix 1); --match tries them"
    said = said_of_others([Path(f"{n}{n}.{n}") for n in "aabbccdefg"])
    assert said == "10 other files left out (.a 2, .b 2, .c 2, .d 1, ...); --match tries them"
    said = said_of_others([Path("a.rmvb")])
    assert said == "1 other file left out (.rmvb 1); --match tries it"


def test_a_folder_of_other_files(tmp_path: Path) -> None:
    touch(tmp_path, "a.rmvb")
    with pytest.raises(
        InputError, match=r"no video or picture .*; 1 other file left out \(.rmvb 1"
    ):
        make_plan([tmp_path], tmp_path / "out", suffix_of=suffix_of)


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no video or picture in the folder"):
        make_plan([tmp_path], tmp_path / "out", suffix_of=suffix_of)
