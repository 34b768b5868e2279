"""Files are looked at before they are worked on, by processes that may not come to an end."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from vidfacedeblur.archive import probe


class Stuck:
    """In place of a `Child`: never answers, until it is killed."""

    def __init__(self, module: str, first: object) -> None:
        self.link = self
        self._killed = threading.Event()

    def send(self, message: object) -> None:
        pass

    def poll(self, seconds: float) -> bool:
        return self._killed.wait(seconds)

    def receive(self) -> None:
        raise EOFError

    def kill(self) -> None:
        self._killed.set()

    def close(self) -> None:
        assert self._killed.is_set()


def test_ctrl_c_waits_for_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "Child", Stuck)
    monkeypatch.setattr(probe, "_SAID_SECONDS", 0.1)
    monkeypatch.setattr(probe, "_LONGEST_SECONDS", 3.0)
    counts: list[int] = []

    def said(count: int) -> None:
        counts.append(count)
        raise KeyboardInterrupt

    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        probe.look_at([Path(f"{number}.mp4") for number in range(3)], said=said)
    assert time.monotonic() - begin < 2
    assert counts == [1]
