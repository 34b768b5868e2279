"""Faces that lie are upright for the network, and what it changes comes back where it belongs."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from pictures import head

from vidfacedeblur.faces import changed_as, roll, turned
from vidfacedeblur.types import Box, Face, FloatImage

SHARP: FloatImage = head(160).astype(np.float32) / np.float32(255)
EYES = np.array([(52.0, 60.0), (108.0, 60.0), (80.0, 90.0), (60.0, 112.0), (100.0, 112.0)])


def lying(clockwise: float) -> tuple[FloatImage, Face]:
    """The head turned clockwise, and its landmarks with it."""
    angle = np.radians(clockwise)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (EYES - 80) @ matrix.T + 80
    face = Face(Box(30, 20, 130, 140), landmarks=tuple(map(tuple, points.tolist())))
    return turned(SHARP, -clockwise), face


@pytest.mark.parametrize("angle", [0, 35, -50, 90, 180, -90])
def test_a_face_is_turned_upright(angle: float) -> None:
    image, face = lying(angle)
    assert roll(face) % 360 == pytest.approx(angle % 360)
    upright = turned(image, roll(face))
    difference = np.abs(upright - SHARP)[40:120, 40:120]
    assert difference.mean() < (0.02 if angle % 90 else 1e-6)
    assert np.abs(image - SHARP)[40:120, 40:120].mean() > 0.05 or angle == 0


@pytest.mark.parametrize(("angle", "taken"), [(8, 0), (-9, 0), (25, 25), (81, 90), (99, 90)])
def test_small_angles_are_left_and_quarter_turns_are_whole(angle: float, taken: float) -> None:
    assert roll(lying(angle)[1]) == pytest.approx(taken)


def test_without_landmarks_nothing_is_turned() -> None:
    assert roll(Face(Box(0, 0, 9, 9))) == 0
    assert turned(SHARP, 0) is SHARP


def test_the_network_sees_no_black_corners() -> None:
    assert turned(np.ones_like(SHARP), 35).min() > 0.99


@pytest.mark.parametrize("angle", [0.0, 90.0, -90.0, 180.0])
def test_quarter_turns_bring_everything_back(angle: float) -> None:
    before = turned(SHARP, angle)
    assert np.array_equal(changed_as(SHARP, before, before, angle), SHARP)
    negative = changed_as(SHARP, before, 1 - before, angle)
    assert np.allclose(negative, 1 - SHARP)


def test_other_turns_bring_the_change_back_and_keep_the_rest() -> None:
    before = turned(SHARP, 35)
    assert np.array_equal(changed_as(SHARP, before, before, 35), SHARP)
    spot = np.zeros_like(SHARP)
    cv2.circle(spot, (80, 40), 6, (0.2, 0.2, 0.2), -1)
    change = changed_as(np.full_like(SHARP, 0.5), np.full_like(SHARP, 0.5), 0.5 + spot, 35) - 0.5
    rows, columns = np.nonzero(change[..., 0] > 0.1)
    # From above the middle, back by 35 degrees clockwise.
    away = 39.5 * np.array([np.sin(np.radians(35)), -np.cos(np.radians(35))])
    assert np.allclose((columns.mean() - 79.5, rows.mean() - 79.5), away, atol=1)
