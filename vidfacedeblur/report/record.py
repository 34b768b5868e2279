"""`RunRecord`: what a page says of a run's frames, in as much memory after days as after minutes.

Time is cut into at most `BINS` stretches of as many frames each; when they are full, two by two
become one. Of the faces, `KEPT` tracks have a lane of their own; shorter ones share one.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from vidfacedeblur.events import GONE
from vidfacedeblur.types import STAGES, Face, FrameResult, StageStats

BINS = 512
KEPT = 100
"""Tracks that have a lane of their own on the page."""

_FIELDS = 6
_SEEN, _CHANGED, _WEIGHT, _MEASURED, _BEFORE, _AFTER = range(_FIELDS)
"""What is summed of a face over a stretch: frames, those it was changed on, weights, frames whose
sharpness is known, sharpness before, and after (as before where it was not changed)."""

TOLD = 10
"""Damaged frames that are named."""
_COLUMNS = (*STAGES, "total")
_LEAST, _STEP, _STEPS = 1e-3, math.log(1.02), 1200
"""Milliseconds are counted in steps of 2 %, from a microsecond to hours."""

Floats = NDArray[np.float64]


@dataclass
class Lane:
    """One face over time, or the sum of several."""

    first: int
    """The frame that showed it first."""
    last: int
    start: float | None
    """Seconds of the first frame; None where frames have no time."""
    end: float | None
    cells: array[float]
    """`_FIELDS` sums for each of `BINS` stretches."""
    number: int | None = None
    """The track's; None for a lane of several."""
    tracks: int = 1

    @property
    def table(self) -> Floats:
        """(BINS, _FIELDS), the cells themselves."""
        return np.frombuffer(self.cells, dtype=np.float64).reshape(BINS, _FIELDS)

    @property
    def seen(self) -> Floats:
        """(BINS,) frames that showed it."""
        return self.table[:, _SEEN]

    @property
    def frames(self) -> int:
        """Frames that showed it."""
        return int(self.seen.sum())

    @property
    def changed(self) -> int:
        """Frames on which it was changed."""
        return int(self.table[:, _CHANGED].sum())

    def weights(self) -> Floats:
        """(BINS,) mean weight of the correction, 0 to 1; 0 where the face is not."""
        return _mean(self.table[:, _WEIGHT], self.seen, 0.0)

    def sharpness(self) -> tuple[Floats, Floats]:
        """(BINS,) mean sharpness before and after, 0 to 1; NaN where unknown."""
        table = self.table
        known = table[:, _MEASURED]
        return _mean(table[:, _BEFORE], known), _mean(table[:, _AFTER], known)

    def overall(self) -> tuple[float, float, float]:
        """Mean weight, sharpness before and sharpness after over the whole run; NaN if unknown."""
        total = self.table.sum(axis=0)
        known = total[_MEASURED] or math.nan
        return total[_WEIGHT] / (total[_SEEN] or 1.0), total[_BEFORE] / known, total[_AFTER] / known

    def add(self, face: Face, at: int) -> None:
        """Take in a sighting in the stretch `at`."""
        cells, base = self.cells, at * _FIELDS
        cells[base] += 1
        before = face.sharpness
        after = face.sharpness_after
        if after is not None:
            cells[base + _CHANGED] += 1
            cells[base + _WEIGHT] += face.weight
        if before is not None:
            cells[base + _MEASURED] += 1
            cells[base + _BEFORE] += before
            cells[base + _AFTER] += before if after is None else after

    def join(self, other: Lane) -> None:
        """Take over what another lane holds."""
        table = self.table
        table += other.table
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)
        starts = [time for time in (self.start, other.start) if time is not None]
        ends = [time for time in (self.end, other.end) if time is not None]
        self.start, self.end = min(starts, default=None), max(ends, default=None)
        self.tracks += other.tracks


class RunRecord:
    """Collects what a page says of the frames of a run; at most about 12 MB, however long it is."""

    def __init__(self) -> None:
        self.frames = 0
        self.faces = 0
        """Found, summed over frames."""
        self.deblurred = 0
        """Of them, those that were changed."""
        self.changed = 0
        """Frames on which any was."""
        self.corrupt: list[tuple[int, float | None]] = []
        """Numbers and times of the first frames in which damage was concealed."""
        self.tracks = 0
        self.size = 1
        """Frames of a stretch."""
        self._lanes: dict[int, Lane] = {}
        self._others: Lane | None = None
        """Tracks that were too short for a lane, and faces without a track."""
        self._spent = array("d", bytes(8 * BINS * len(STAGES)))
        self._counts = [array("q", bytes(8 * _STEPS)) for _ in _COLUMNS]
        self._starts: list[float | None] = []
        self._first: float | None = None
        self._last: tuple[int | None, Fraction] = (None, Fraction(1))

    def add(self, result: FrameResult) -> None:
        """Take in the next frame."""
        at = self.frames // self.size
        if at == BINS:
            self._halve()
            at //= 2
        if at == len(self._starts):
            self._starts.append(result.time)
            if not self.frames:
                self._first = result.time
        self._add_timing(result, at)
        for face in result.faces:
            self.deblurred += face.deblurred
            self._lane(face, result).add(face, at)
        if result.corrupt and len(self.corrupt) < TOLD:
            self.corrupt.append((result.index, result.time))
        self.faces += len(result.faces)
        self.changed += any(face.deblurred for face in result.faces)
        self._last = result.pts, result.time_base
        self.frames += 1

    @property
    def bins(self) -> int:
        """Stretches in use."""
        return len(self._starts)

    @property
    def starts(self) -> Sequence[float | None]:
        """When each stretch begins, in seconds; None where frames have no time."""
        return self._starts

    @property
    def duration(self) -> float | None:
        """Seconds of the video that were seen, as far as its frames have times."""
        pts, base = self._last
        if pts is None or self._first is None or self.frames < 2:
            return None
        # The last frame is taken to last as long as the others.
        return (float(pts * base) - self._first) * self.frames / (self.frames - 1)

    def lanes(self) -> tuple[list[Lane], Lane | None]:
        """The longest tracks, in the order in which they came; and the others together."""
        longest = sorted(self._lanes.values(), key=lambda lane: -lane.frames)
        kept = sorted(longest[:KEPT], key=lambda lane: (lane.first, lane.number))
        others = [*([self._others] if self._others else []), *longest[KEPT:]]
        if not others:
            return kept, None
        together = _lane(others[0].first, others[0].start)
        together.tracks, together.end = 0, others[0].end
        for lane in others:
            together.join(lane)
        return kept, together

    def spent(self) -> Floats:
        """(bins, stages) mean milliseconds of a frame."""
        table = np.frombuffer(self._spent, dtype=np.float64).reshape(BINS, len(STAGES))
        frames = np.full(self.bins, self.size)
        if self.bins:
            frames[-1] = self.frames - self.size * (self.bins - 1)
        means: Floats = table[: self.bins] / frames[:, None]
        return means

    def stages(self) -> dict[str, StageStats]:
        """As `RunSummary.stages`, to within 1 %."""
        if not self.frames:
            return {}
        counts = zip(_COLUMNS, self._counts, strict=True)
        return {name: _stats(np.frombuffer(count, np.int64)) for name, count in counts}

    def _add_timing(self, result: FrameResult, at: int) -> None:
        base, total, spent = at * len(STAGES), 0.0, self._spent
        for i, stage in enumerate(STAGES):
            value = getattr(result.timing, stage)
            spent[base + i] += value
            total += value
            self._counts[i][_step(value)] += 1
        self._counts[-1][_step(total)] += 1

    def _lane(self, face: Face, result: FrameResult) -> Lane:
        """The lane of a face, seen now."""
        index = self.frames
        if face.track is None:
            lane = self._others = self._others or _none(index, result.time)
        else:
            known = self._lanes.get(face.track)
            if known is None:
                known = self._new(face.track, index, result.time)
            lane = known
        lane.last, lane.end = index, result.time
        return lane

    def _new(self, number: int, index: int, time: float | None) -> Lane:
        self.tracks += 1
        if len(self._lanes) >= 4 * KEPT:
            self._give_up_short_ones(index)
        lane = self._lanes[number] = _lane(index, time)
        lane.number = number
        return lane

    def _give_up_short_ones(self, now: int) -> None:
        """Keep the longest tracks, and those that are in the picture unless they are too many."""
        longest = sorted(
            self._lanes.items(),
            key=lambda item: (item[1].frames, item[1].last),
            reverse=True,
        )
        gone = [n for n, lane in longest[2 * KEPT :] if now - lane.last > GONE]
        for number in gone or [n for n, _ in longest[3 * KEPT :]]:
            lane = self._lanes.pop(number)
            self._others = self._others or _none(lane.first, lane.start)
            self._others.join(lane)

    def _halve(self) -> None:
        """Make one stretch of two."""
        self.size *= 2
        self._starts = self._starts[::2]
        _pair(self._spent, len(STAGES))
        for lane in (*self._lanes.values(), *([self._others] if self._others else [])):
            _pair(lane.cells, _FIELDS)


def _lane(first: int, start: float | None) -> Lane:
    return Lane(first, first, start, start, array("d", bytes(8 * BINS * _FIELDS)))


def _none(first: int, start: float | None) -> Lane:
    """A lane that holds no track yet."""
    lane = _lane(first, start)
    lane.tracks = 0
    return lane


def _pair(cells: array[float], fields: int) -> None:
    """Add up the cells of stretches two by two, in place; the second half becomes empty."""
    table = np.frombuffer(cells, dtype=np.float64).reshape(BINS, fields)
    pairs = table.reshape(BINS // 2, 2, fields).sum(axis=1)
    table[: BINS // 2], table[BINS // 2 :] = pairs, 0


def _mean(total: Floats, count: Floats, empty: float = math.nan) -> Floats:
    return np.where(count > 0, total / np.maximum(count, 1), empty)


def _step(milliseconds: float) -> int:
    """Which counter a time is counted by; the first is for what is shorter than a microsecond."""
    if milliseconds <= _LEAST:
        return 0
    return min(_STEPS - 1, 1 + int(math.log(milliseconds / _LEAST) / _STEP))


def _stats(counts: NDArray[np.int64]) -> StageStats:
    steps = np.arange(_STEPS)
    values = np.where(steps > 0, _LEAST * np.exp((steps - 0.5) * _STEP), 0.0)
    below = np.cumsum(counts)

    def quantile(share: float) -> float:
        return float(values[np.searchsorted(below, share * below[-1])])

    mean = float((counts * values).sum() / below[-1])
    return StageStats(median=quantile(0.5), p95=quantile(0.95), mean=mean)
