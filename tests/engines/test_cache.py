"""The cache: found again, made anew when its parts change, never trusted from elsewhere."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from vidfacedeblur.engines import cache
from vidfacedeblur.errors import EngineError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIDFACEDEBLUR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vidfacedeblur"


def test_a_folder_that_others_can_write_to_is_refused_and_left_as_it_is(folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    with pytest.raises(EngineError, match="written by others"):
        make()
    assert folder.stat().st_mode & 0o777 == 0o777


def make(content: bytes = b"plan") -> tuple[Path, list[int]]:
    made: list[int] = []

    def write(path: Path) -> None:
        made.append(1)
        path.write_bytes(content)

    return cache.cached("net", ".blob", {"a": 1}, write), made


def test_a_file_is_made_once(folder: Path) -> None:
    path, made = make()
    again, made_again = make()
    assert path == again
    assert (made, made_again) == ([1], [])
    assert folder.stat().st_mode & 0o777 == 0o700
    assert json.loads(path.with_suffix(".json").read_text())["a"] == 1


def test_other_parts_give_another_file() -> None:
    first, _ = make()
    other = cache.cached("net", ".blob", {"a": 2}, lambda p: p.write_bytes(b"x") and None)
    assert other != first


def test_a_failed_build_leaves_nothing(folder: Path) -> None:
    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        cache.cached("net", ".blob", {"a": 1}, fail)
    assert [f.name for f in folder.iterdir() if f.suffix != ".lock"] == []


@pytest.mark.parametrize("how", ["writable by others", "a link"])
def test_a_file_that_others_could_have_written_is_made_anew(how: str, tmp_path: Path) -> None:
    path, _ = make()
    if how == "a link":
        evil = tmp_path / "evil"
        evil.write_bytes(b"evil")
        path.unlink()
        path.symlink_to(evil)
    else:
        path.write_bytes(b"evil")
        path.chmod(0o666)
    again, made = make()
    assert made == [1]
    assert again.read_bytes() == b"plan"
    assert not again.is_symlink()


def test_two_users_of_one_file_wait_for_each_other() -> None:
    made: list[int] = []

    def slow(path: Path) -> None:
        made.append(1)
        time.sleep(0.3)
        path.write_bytes(b"x")

    def use() -> None:
        cache.cached("slow", ".blob", {}, slow)

    users = [threading.Thread(target=use) for _ in range(3)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert made == [1]


def test_the_oldest_go_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_LIMIT_BYTES", 25)
    paths = []
    for i in range(3):
        path = cache.cached("n", ".blob", {"i": i}, lambda p: p.write_bytes(b"0" * 10) and None)
        os.utime(path, (i, i))
        paths.append(path)
    assert [p.exists() for p in paths] == [False, True, True]
    assert not paths[0].with_suffix(".json").exists()


def test_a_folder_that_cannot_be_made_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VIDFACEDEBLUR_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(EngineError, match="VIDFACEDEBLUR_CACHE"):
        make()


@pytest.mark.parametrize("how", ["truncated", "a byte flipped", "no sidecar", "sidecar unreadable"])
def test_what_is_not_as_its_sidecar_says_is_made_anew(how: str) -> None:
    path, _ = make()
    if how == "truncated":
        path.write_bytes(b"pl")
    elif how == "a byte flipped":
        path.write_bytes(b"plam")
    elif how == "no sidecar":
        path.with_suffix(".json").unlink()
    else:
        path.with_suffix(".json").write_text("{")
    again, made = make()
    assert made == [1]
    assert again.read_bytes() == b"plan"
    assert make()[1] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("which", [".blob", ".json"])
def test_a_file_of_another_user_is_made_anew(which: str) -> None:
    path, _ = make()
    os.chown(path.with_suffix(which), 12345, 12345)
    again, made = make()
    assert made == [1]
    assert again.stat().st_uid == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
def test_a_folder_of_another_user_is_refused(folder: Path) -> None:
    make()
    os.chown(folder, 12345, 12345)
    with pytest.raises(EngineError, match="belongs to another user"):
        make()


def _use(log: str) -> None:
    def write(path: Path) -> None:
        with Path(log).open("a") as file:
            file.write("made\n")
        time.sleep(0.3)
        path.write_bytes(b"plan")

    assert cache.cached("shared", ".engine", {}, write).read_bytes() == b"plan"


def test_two_processes_make_a_file_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    spawn = multiprocessing.get_context("fork")
    users = [spawn.Process(target=_use, args=(str(log),)) for _ in range(3)]
    for user in users:
        user.start()
    for user in users:
        user.join(20)
    assert [user.exitcode for user in users] == [0, 0, 0]
    assert log.read_text() == "made\n"


def test_everything_is_listed_and_can_be_cleaned_away(folder: Path) -> None:
    assert cache.entries() == []
    assert cache.clean() == (0, 0)
    path, _ = make()
    os.utime(path, (1, 1))
    other = cache.cached("plan", ".engine", {"b": 2}, lambda p: p.write_bytes(b"12") and None)
    (folder / "net-of-a-killed-process.blob.part").write_bytes(b"half")
    (folder / "net-of-a-killed-process.lock").write_bytes(b"")
    (folder / "net-of-a-process-killed-while-it-cleaned.json").write_bytes(b"{}")
    found = cache.entries()
    assert [entry.path for entry in found] == [other, path]
    assert [entry.bytes for entry in found] == [2, 4]
    assert found[1].parts["a"] == 1
    assert cache.clean() == (2, 6)
    assert list(folder.iterdir()) == []


def test_what_was_made_ahead_serves_where_nothing_can_be_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = make()
    before = sorted(entry.name for entry in folder.iterdir())
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setattr(cache, "_locked", None)  # a lock is a file, too
    found, made = make()
    assert (found, made) == (path, [])
    assert sorted(entry.name for entry in folder.iterdir()) == before


def test_a_full_disk_names_the_folder_and_what_would_help(folder: Path) -> None:
    def write(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(EngineError, match=r"cache folder .* \(No space left.*VIDFACEDEBLUR_CACHE"):
        cache.cached("net", ".blob", {"a": 1}, write)


def test_what_is_being_made_is_not_cleaned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    cleaned: list[tuple[int, int]] = []
    right = Path.replace

    def replace(part: Path, target: Path) -> Path:
        there = right(part, target)
        cleaned.append(cache.clean())  # as another process might, between file and sidecar
        return there

    monkeypatch.setattr(Path, "replace", replace)
    path, _ = make()
    assert cleaned == [(0, 0), (0, 0)]
    assert path.read_bytes() == b"plan"
    assert make()[1] == []


def test_the_folder_may_be_a_link_to_another_of_the_same_user(folder: Path, tmp_path: Path) -> None:
    (real := tmp_path / "real").mkdir(mode=0o700)
    folder.parent.mkdir()
    folder.symlink_to(real)
    assert make()[1] == [1]
    assert make()[1] == []
    real.chmod(0o777)
    with pytest.raises(EngineError, match="written by others"):
        make()


def test_without_a_home_it_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VIDFACEDEBLUR_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME")
    monkeypatch.setitem(sys.modules, "pwd", None)  # who asks for it finds no such user
    with pytest.raises(EngineError, match="set VIDFACEDEBLUR_CACHE"):
        make()


def test_what_cannot_be_forgotten_names_the_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(EngineError, match=f"{folder}.*Read-only.*VIDFACEDEBLUR_CACHE"):
        cache.forget(folder / "a.engine")
