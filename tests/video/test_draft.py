"""A draft is locked while it is written, and what a dead process left is cleared."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vidfacedeblur.errors import OutputError
from vidfacedeblur.video.draft import Draft, StandardOutput, clear_leftovers

DESCRIPTORS = Path("/proc/self/fd")
HOLD = """
import sys, time
from pathlib import Path
from vidfacedeblur.video.draft import Draft
draft = Draft(Path(sys.argv[1]), source=Path("none"), overwrite=False)
draft.path.write_bytes(b"half")
print("ready", flush=True)
time.sleep(60)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def open_draft(target: Path, *, overwrite: bool = False) -> Draft:
    return Draft(target, source=Path("none"), overwrite=overwrite)


def test_a_killed_process_leaves_a_part_that_the_next_run_clears(tmp_path: Path) -> None:
    target = tmp_path / "o.mp4"
    other = tmp_path / ".o.mp4.backup.part"
    other.write_text("not ours")
    command = [sys.executable, "-c", HOLD, str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        held = next(p for p in tmp_path.iterdir() if p != other)
        clear_leftovers(target)
        assert held.exists()  # its process lives
        mine = open_draft(target)
        assert len(names(tmp_path)) == 3
        mine.discard()
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert held.read_bytes() == b"half"
    clear_leftovers(tmp_path / "another.mp4")
    assert held.exists()  # of another target
    draft = open_draft(target)
    assert not held.exists()
    draft.path.write_bytes(b"whole")
    draft.publish()
    draft.discard()
    assert target.read_bytes() == b"whole"
    assert names(tmp_path) == [".o.mp4.backup.part", "o.mp4"]


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    before = len(list(DESCRIPTORS.iterdir()))
    for number in range(5):
        draft = open_draft(tmp_path / f"{number}.mp4")
        draft.publish() if number % 2 else draft.discard()
    assert len(list(DESCRIPTORS.iterdir())) == before
    assert names(tmp_path) == ["1.mp4", "3.mp4"]


def test_a_copy_takes_the_place_of_what_was_written(tmp_path: Path) -> None:
    source = tmp_path / "in.mp4"
    source.write_bytes(b"abc")
    draft = open_draft(tmp_path / "o.mp4")
    draft.path.write_bytes(b"something longer")
    draft.take_copy(source)
    assert draft.publish().read_bytes() == b"abc"
    with pytest.raises(OutputError, match="cannot be copied"):
        draft.take_copy(tmp_path / "gone.mp4")


def test_nothing_is_written_to_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    with pytest.raises(OutputError, match="terminal"):
        StandardOutput()


@pytest.mark.parametrize("below", ["out.mp4", "deep/out.mp4"])
def test_a_file_where_a_folder_should_be_is_named(tmp_path: Path, below: str) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OutputError, match="taken is a file and no folder"):
        open_draft(tmp_path / "taken" / below)
    assert (tmp_path / "taken").read_text() == "a file"
