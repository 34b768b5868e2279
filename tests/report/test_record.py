"""`RunRecord`: true sums, in as much memory after days as after minutes."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from report_support import face, record, result

from vidfacedeblur.report import RunRecord
from vidfacedeblur.report.record import BINS, KEPT
from vidfacedeblur.timing import Tally


def test_sums_are_those_of_the_frames() -> None:
    made, tally = RunRecord(), Tally()
    for i in range(2500):
        faces = [face(1, 0.5), *([face(2, 0.0)] if i >= 1000 else [])]
        made.add(result(i, faces))
        tally.add(result(i, faces))
    assert (made.frames, made.faces, made.deblurred) == (2500, 4000, 2500)
    assert made.bins <= BINS
    assert made.size == 8
    (one, two), others = made.lanes()
    assert others is None
    assert (one.frames, one.changed, two.frames, two.changed) == (2500, 2500, 1500, 0)
    assert (two.first, two.last, two.start, two.end) == (1000, 2499, 40.0, 99.96)
    assert one.overall() == pytest.approx((0.5, 0.4, 0.5))
    assert two.overall() == pytest.approx((0.0, 0.4, 0.4))
    assert made.duration == pytest.approx(100)
    assert made.starts[1] == pytest.approx(8 / 25)
    spent = made.spent()
    assert spent.shape == (made.bins, 5)
    assert spent[:, 0] == pytest.approx(1.0)  # in the last stretch too, which is shorter
    for name, stats in tally.stages().items():
        mine = made.stages()[name]
        assert mine.median == pytest.approx(stats.median, rel=0.02)
        assert mine.p95 == pytest.approx(stats.p95, rel=0.02)
        assert mine.mean == pytest.approx(stats.mean, rel=0.02)


def test_tracks_without_number_and_too_many_share_a_lane() -> None:
    made = RunRecord()
    for i in range(6 * KEPT * 4):
        made.add(result(i, [face(1 + i // 4), face(None)]))
    lanes, others = made.lanes()
    assert len(lanes) == KEPT
    assert others is not None
    assert made.tracks == 6 * KEPT
    assert sum(lane.frames for lane in (*lanes, others)) == made.faces
    assert others.tracks == made.tracks - KEPT
    assert len(made._lanes) <= 4 * KEPT


def test_a_crowd_of_more_than_fit_is_bounded_too() -> None:
    made = RunRecord()
    for i in range(30):
        made.add(result(i, [face(n) for n in range(5 * KEPT)]))
    assert len(made._lanes) <= 4 * KEPT
    lanes, others = made.lanes()
    assert others is not None
    assert sum(lane.frames for lane in (*lanes, others)) == made.faces


def test_memory_does_not_grow() -> None:
    made = record(frames=600, tracks=40)
    size = sum(sys.getsizeof(lane.cells) for lane in made._lanes.values())
    assert size / len(made._lanes) * 4 * KEPT < 12e6
    assert np.isfinite(made.spent()).all()


def test_nothing_and_one_frame() -> None:
    made = RunRecord()
    assert made.stages() == {}
    assert made.lanes() == ([], None)
    assert made.duration is None
    made.add(result(0, [face(1)], timed=False))
    assert made.bins == 1
    assert made.duration is None
