"""The stage clock: how long each frame spent in each stage, and what that sums up to."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from vidfacedeblur.types import STAGES, FrameResult, FrameTiming, StageStats

_COLUMNS = (*STAGES, "total")


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


class Tally:
    """Counts a run's frames and faces, and keeps their times in 24 bytes a frame."""

    def __init__(self) -> None:
        self.frames = 0
        self.faces = 0
        """Summed over frames."""
        self.deblurred = 0
        """Of them, those that were changed."""
        self._rows = array("f")

    def add(self, result: FrameResult) -> None:
        """Take in a finished frame."""
        self.frames += 1
        self.faces += len(result.faces)
        self.deblurred += sum(face.deblurred for face in result.faces)
        self._rows.extend(getattr(result.timing, stage) for stage in _COLUMNS)

    def stages(self) -> dict[str, StageStats]:
        """Median, 95th percentile and mean of every stage, and of "total", in ms a frame."""
        if not self.frames:
            return {}
        table = np.array(self._rows).reshape(self.frames, len(_COLUMNS))
        return {
            name: StageStats(
                median=float(np.median(column)),
                p95=float(np.percentile(column, 95)),
                mean=float(column.mean(dtype=np.float64)),
            )
            for name, column in zip(_COLUMNS, table.T, strict=True)
        }
