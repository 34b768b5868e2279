"""Tracks: one number for one face, through motion, crossings, gaps and crowds."""

from __future__ import annotations

import time

import numpy as np
import pytest

from vidfacedeblur.faces import Tracker
from vidfacedeblur.types import Box, Face


def face(x: float, y: float, side: float = 50) -> Face:
    return Face(Box(x, y, x + side, y + 1.2 * side), score=0.99)


def test_a_moving_face_keeps_its_number_and_its_box() -> None:
    tracker = Tracker()
    for i in range(40):
        given = face(10 + 18 * i, 30 + 3 * i, 50 + i / 2)
        (found,) = tracker.update(i, [given])
        assert found.track == 1
        assert (found.box, found.score) == (given.box, given.score)


def test_faces_keep_their_numbers_in_any_order() -> None:
    tracker = Tracker()
    faces = [face(0, 0), face(200, 0), face(400, 0)]
    assert [f.track for f in tracker.update(0, faces)] == [1, 2, 3]
    assert [f.track for f in tracker.update(1, faces[::-1])] == [3, 2, 1]


def test_faces_that_pass_each_other_keep_their_numbers() -> None:
    tracker = Tracker()
    for i in range(31):
        found = tracker.update(i, [face(10 + 20 * i, 100), face(610 - 20 * i, 110)])
    assert [f.track for f in found] == [1, 2]


@pytest.mark.parametrize(("gap", "number"), [(1, 1), (10, 1), (11, 2)])
def test_a_short_gap_is_bridged_and_a_long_one_is_not(gap: int, number: int) -> None:
    tracker = Tracker()
    for i in range(3):
        tracker.update(i, [face(100 + 4 * i, 100)])
    for i in range(3, 3 + gap):
        assert tracker.update(i, []) == []
    (back,) = tracker.update(3 + gap, [face(108 + 4 * (gap + 1), 100)])
    assert back.track == number


def test_a_face_is_expected_where_its_motion_takes_it() -> None:
    for across, down in ((18, 6), (-5, 8), (3, -2)):
        tracker = Tracker()
        for i in (*range(20), 22, 25):  # missed on some frames
            tracker.update(i, [face(500 + across * i, 100 + down * i)])
        ((number, box),) = tracker.expected(28, within=3)
        assert number == 1
        assert box == pytest.approx(face(500 + across * 28, 100 + down * 28).box, abs=1)
        assert tracker.expected(29, within=3) == []


def test_a_face_that_starts_to_run_is_expected_ahead_at_once() -> None:
    tracker = Tracker()
    for i in range(13):
        tracker.update(i, [face(100 + 20 * max(0, i - 10), 100)])
    ((_, box),) = tracker.expected(13)
    assert box == pytest.approx(face(160, 100).box, abs=1)


def test_where_a_face_is_expected_trembles_less_than_what_is_found() -> None:
    rng = np.random.default_rng(0)
    tracker = Tracker()
    found, expected = [], []
    for i in range(200):
        found.append(face(*(100 + rng.normal(0, 2, 2)), 50 + rng.normal(0, 2)))
        tracker.update(i, found[-1:])
        expected.append(tracker.expected(i + 1)[0][1])
    widths = [
        np.array([box.width for box in boxes]) for boxes in ([f.box for f in found], expected)
    ]
    assert widths[1].std() < 0.7 * widths[0].std()
    assert abs(widths[1].mean() - 50) < 0.5


def test_frames_that_were_never_given_count_as_a_gap() -> None:
    tracker = Tracker()
    tracker.update(0, [face(0, 0)])
    assert tracker.update(500, [face(0, 0)])[0].track == 2


def test_after_a_cut_numbers_are_new() -> None:
    tracker = Tracker()
    tracker.update(0, [face(0, 0)])
    tracker.reset()
    assert tracker.update(1, [face(0, 0)])[0].track == 2


@pytest.mark.parametrize("other", [face(300, 0), face(0, 0, 200), face(20, 20, 10)])
def test_another_place_or_size_is_another_face(other: Face) -> None:
    tracker = Tracker()
    tracker.update(0, [face(0, 0)])
    assert tracker.update(1, [other])[0].track == 2


def test_a_box_without_area_is_no_error() -> None:
    tracker = Tracker()
    point = Face(Box(5, 5, 5, 5))
    tracker.update(0, [point])
    assert len(tracker.update(1, [point, face(0, 0)])) == 2


def test_a_crowd_keeps_its_numbers_in_bounded_time() -> None:
    rng = np.random.default_rng(0)
    corners = np.array([(x * 90, y * 110) for x in range(15) for y in range(10)], float)
    tracker = Tracker()
    begin = time.perf_counter()
    for i in range(20):
        corners += rng.normal(0, 3, corners.shape)
        order = rng.permutation(len(corners))
        found = tracker.update(i, [face(*corners[k]) for k in order])
        numbers = np.empty(len(corners), int)
        numbers[order] = [f.track or 0 for f in found]
        if i == 0:
            first = numbers
        assert (numbers == first).all()
    assert time.perf_counter() - begin < 5  # 150 faces; 20 ms a frame measured on a busy machine
