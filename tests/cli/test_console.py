"""What is said on standard error is what it seems to be, whatever a file is called."""

from __future__ import annotations

import fcntl
import io
import logging
import os
import pty
import struct
import termios
from pathlib import Path

import pytest

from vidfacedeblur.cli import main
from vidfacedeblur.cli.display import Display
from vidfacedeblur.console import say, visible

FORGED = "a\x1b[31m\nvidfacedeblur: all is well\r\x9b2J\u202e.mp4"
SHOWN = "a\\x1b[31m\\nvidfacedeblur: all is well\\r\\x9b2J\\u202e.mp4"


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_control_characters_are_shown_and_the_end_of_a_line_is_kept(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say(f"{FORGED}\n")
    say("at work", over=True)
    say("", over=True)
    assert capsys.readouterr().err == f"{SHOWN}\n\r\x1b[Kat work\r\x1b[K"


@pytest.mark.parametrize(("columns", "kept"), [(20, 19), (200, 86), (0, 86)])
def test_a_line_that_is_written_over_stays_one_row(
    columns: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        say("x" * 86, over=True)
        say("y" * 86 + "\n")  # what stays may be longer
        monkeypatch.undo()
        said = b""
        while not said.endswith(b"\n"):  # a read may come between the two writes
            said += os.read(ours, 1000)
    os.close(ours)
    assert said == b"\r\x1b[K" + b"x" * kept + b"y" * 86 + b"\r\n"


def test_what_can_be_seen_stays_as_it_is() -> None:
    for text in (
        "é ü 日本\u3000語",
        "\U0001f468\u200d\U0001f469",
        "\\x1b",
        "\udcff",
        "\u0645\u0631",
    ):
        assert visible(text) == text


def test_a_name_forges_no_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / FORGED), "-o", str(tmp_path / "o.mp4"), "--no-progress"]) == 3
    said = capsys.readouterr().err
    assert SHOWN in said
    assert said.count("vidfacedeblur: ") == said.count("\n") + 1  # one of them in the name


def test_nor_does_an_option_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--no\x1b[2J\nsuch"])
    assert "unrecognized arguments: --no\\x1b[2J\\nsuch\n" in capsys.readouterr().err


def test_neither_in_the_bar_nor_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(logging, "root", logging.RootLogger(logging.WARNING))
    monkeypatch.setattr(logging.Logger, "root", logging.root)
    assert main(["-o", "o.mp4"]) == 2  # sets up the log
    with Display(quiet=False, progress=True).progress_of(FORGED) as bar:
        bar.start(10)
    logging.root.handle(logging.makeLogRecord({"msg": FORGED, "levelno": logging.WARNING}))
    assert terminal.getvalue().count(SHOWN) == 2
    assert "\x1b[31m" not in terminal.getvalue()
