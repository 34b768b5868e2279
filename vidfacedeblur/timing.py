"""The stage clock: how long each frame spent in each stage, and what that sums up to."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from vidfacedeblur.types import STAGES, FrameTiming, StageStats


class StageClock:
    """Collects one frame's milliseconds by stage; made with the frame and travelling with it."""

    def __init__(self) -> None:
        self._milliseconds = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Add the time that the body takes to `stage`."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, 1e3 * (time.perf_counter() - begin))

    def add(self, stage: str, milliseconds: float) -> None:
        """Add `milliseconds` to one of `STAGES`."""
        self._milliseconds[stage] += milliseconds

    def timing(self) -> FrameTiming:
        """What was collected so far."""
        return FrameTiming(**self._milliseconds)


def share(clocks: Sequence[StageClock], stage: str, milliseconds: float) -> None:
    """Split the time of work done for several frames at once evenly between their clocks."""
    for clock in clocks:
        clock.add(stage, milliseconds / len(clocks))


def summarize(timings: Iterable[FrameTiming]) -> dict[str, StageStats]:
    """Median, 95th percentile and mean of every stage, and of "total", in milliseconds a frame."""
    rows = [[*(getattr(t, stage) for stage in STAGES), t.total] for t in timings]
    if not rows:
        return {}
    table = np.array(rows)  # (frames, stages + 1)
    return {
        name: StageStats(
            median=float(np.median(column)),
            p95=float(np.percentile(column, 95)),
            mean=float(column.mean()),
        )
        for name, column in zip((*STAGES, "total"), table.T, strict=True)
    }
