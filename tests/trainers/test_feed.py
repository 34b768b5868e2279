"""Batches made ahead, with a stand-in for the GPU: in order, and errors at their step."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor

from vidfacedeblur.trainers.feed import Feed
from vidfacedeblur.trainers.recipe import Phase


class Maker:
    """Makes batches that say which they are; one of them may fail."""

    device = "cuda"
    lanes = 3

    def __init__(self, fails: int = -1) -> None:
        self.fails = fails
        self.made: list[int] = []

    def batch(self, number: int, count: int, crop: int) -> tuple[Tensor, Tensor]:
        self.made.append(number)
        if number == self.fails:
            raise MemoryError("no room")
        return torch.full((count, crop), number), torch.full((count, crop), -number)


class Stream:
    def synchronize(self) -> None: ...


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream())
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream())
    monkeypatch.setattr(Tensor, "record_stream", lambda tensor, stream: None)
    yield
    assert not [t for t in threading.enumerate() if t.name.startswith("vidfacedeblur-pairs")]


def phase_of(step: int) -> Phase:
    return Phase(1.0, 32, 1) if step < 5 else Phase(1.0, 64, 2)


def feed(maker: Any) -> Feed:
    return Feed(maker, phase_of)


def test_batches_come_in_order_and_of_their_phase() -> None:
    maker = Maker()
    with closing(feed(maker)) as batches:
        for step in range(12):
            blurred, sharp = batches.batch(step)
            assert blurred.shape == (phase_of(step).batch, phase_of(step).crop)
            assert (blurred == step).all()
            assert (sharp == -step).all()
    assert sorted(maker.made)[:12] == list(range(12))
    assert len(maker.made) == len(set(maker.made)) <= 12 + 6


def test_an_error_comes_at_its_step() -> None:
    with closing(feed(Maker(fails=3))) as batches:
        for step in range(3):
            batches.batch(step)
        with pytest.raises(MemoryError, match="no room"):
            batches.batch(3)


def test_nothing_is_made_after_the_end() -> None:
    maker = Maker()
    batches = feed(maker)
    batches.batch(0)
    batches.close()
    made = len(maker.made)
    batches.close()
    assert len(maker.made) == made <= 6
