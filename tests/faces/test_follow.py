"""Faces confirmed where they are expected: what the last network is shown, and what it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pictures import astronaut

from vidfacedeblur.faces import MtcnnDetector
from vidfacedeblur.faces.follow import confirm
from vidfacedeblur.types import Box, Canvas, Face, Frame
from vidfacedeblur.video import open_canvas


class Judge:
    """Takes every square for a face, and keeps what it was shown."""

    def __init__(self) -> None:
        self.squares: list[list[float]] = []
        self.crops: list[NDArray[np.float32]] = []

    def judge(
        self, squares: NDArray[np.float32], crops: NDArray[np.float32], min_score: float
    ) -> list[Face | None]:
        assert min_score == 0.7
        assert crops.dtype == np.float32
        self.squares += squares.tolist()
        self.crops += list(crops)
        return [Face(Box(*square), 0.9) for square in squares.tolist()]


def places() -> Canvas:
    """A picture of 100 x 80 whose red is each pixel's row, and whose green is its column."""
    image = np.zeros((80, 100, 3), np.uint8)
    image[..., 0], image[..., 1] = np.arange(80)[:, None], np.arange(100)
    return open_canvas(Frame(0, image))


def look(boxes: list[Box]) -> tuple[Judge, list[Face | None]]:
    judge: Any = Judge()
    return judge, confirm(judge, places(), boxes, min_score=0.7)


def test_the_network_is_shown_the_square_around_each_box() -> None:
    judge, faces = look([Box(24, 10, 64, 58), Box(10, 20, 58, 60)])
    assert judge.squares == [[20, 10, 68, 58], [10, 16, 58, 64]]
    assert [face.box for face in faces if face] == [Box(*square) for square in judge.squares]
    for crop, (x0, y0, _, _) in zip(judge.crops, judge.squares, strict=True):
        red, green, blue = crop * 128 + 127.5
        assert crop.shape == (3, 48, 48)
        np.testing.assert_allclose(red - y0, np.arange(48)[:, None].repeat(48, 1), atol=1e-3)
        np.testing.assert_allclose(green - x0, np.arange(48)[None].repeat(48, 0), atol=1e-3)
        np.testing.assert_allclose(blue, 0, atol=1e-3)


def test_the_network_is_shown_the_nearest_whole_pixels() -> None:
    judge, _ = look([Box(24, 10, 64, 57.6)])  # a square of 47.6 pixels
    red, green, _ = judge.crops[0] * 128 + 127.5
    np.testing.assert_allclose(red[:, 0], np.arange(10, 58), atol=1e-3)
    np.testing.assert_allclose(green[0], np.arange(20, 68), atol=1e-3)


def test_what_the_edge_leaves_is_stretched() -> None:
    judge, _ = look([Box(-20, 50, 28, 98)])
    red, green, _ = judge.crops[0] * 128 + 127.5
    assert (red.min(), red.max()) == pytest.approx((50, 79), abs=1)
    assert (green.min(), green.max()) == pytest.approx((0, 27), abs=1)


@pytest.mark.parametrize(
    ("expected", "seen"),
    [
        (Box(40, 30, 52, 38), True),
        (Box(40, 30, 48, 42), True),
        (Box(40, 30, 51, 41), False),  # too small
        (Box(-20, 20, 20, 60), True),  # its middle is on the first column
        (Box(-21, 20, 20, 60), False),
        (Box(20, -20, 60, 20), True),
        (Box(20, -21, 60, 20), False),
        (Box(79, 20, 119, 60), True),
        (Box(80, 20, 120, 60), False),  # its middle is beyond the last column
        (Box(20, 59, 60, 99), True),
        (Box(20, 60, 60, 100), False),
    ],
)
def test_only_what_is_large_enough_and_in_the_picture_is_looked_at(
    expected: Box, seen: bool
) -> None:
    judge, faces = look([expected])
    assert len(judge.crops) == len([face for face in faces if face]) == seen
    other = Box(30, 30, 60, 60)
    judge, faces = look([expected, other])
    assert [face is not None for face in faces] == [seen, True]
    assert faces[1] is not None
    assert faces[1].box == other


def test_a_face_is_found_where_it_is_about_expected(detector: MtcnnDetector) -> None:
    canvas = open_canvas(Frame(0, astronaut()))
    (face,) = detector.detect(astronaut(), min_face=60, min_score=0.9)
    x0, y0, x1, y1 = face.box
    expected = [Box(330, 300, 420, 400)]
    expected += [
        Box(x0 + dx, y0 + dy, x1 + dx, y1 + dy)
        for dx, dy in ((0, 0), (12, 0), (-12, 0), (0, 12), (0, -12))
    ]
    nothing, *found = confirm(detector, canvas, expected, min_score=0.9)
    assert nothing is None
    for there in found:
        assert there is not None
        np.testing.assert_allclose(there.box, face.box, atol=0.08 * face.box.width)
    assert confirm(detector, canvas, expected, min_score=1.1) == [None] * 6
