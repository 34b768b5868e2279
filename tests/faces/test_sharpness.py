"""Sharpness: falls with blur, whatever the face's size, contrast and the blur's direction."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from pictures import head

from vidfacedeblur.faces import sharpness
from vidfacedeblur.faces.crop import resized
from vidfacedeblur.types import FloatImage

SHARP: FloatImage = head(180).astype(np.float32) / np.float32(255)


def moved(length: int, direction: str) -> FloatImage:
    """The face under motion blur."""
    line = np.eye(length) if direction == "diagonal" else np.zeros((length, length))
    if direction == "across":
        line[length // 2] = 1
    elif direction == "down":
        line[:, length // 2] = 1
    return np.asarray(cv2.filter2D(SHARP, -1, line / line.sum()), np.float32)


@pytest.mark.parametrize("direction", ["across", "down", "diagonal"])
def test_it_falls_as_motion_blur_grows(direction: str) -> None:
    values = [sharpness(moved(length, direction)) for length in (1, 5, 9, 15, 21, 27)]
    assert values == sorted(values, reverse=True)
    assert values[0] - values[-1] > 0.15


def test_it_falls_as_the_face_goes_out_of_focus() -> None:
    values = [sharpness(np.asarray(cv2.GaussianBlur(SHARP, (0, 0), s))) for s in (0.5, 1, 2, 3, 6)]
    assert values == sorted(values, reverse=True)
    assert values[0] - values[-1] > 0.3


def test_it_is_about_the_same_at_every_size() -> None:
    values = [sharpness(np.clip(resized(SHARP, side), 0, 1)) for side in (64, 96, 128, 180, 256)]
    assert max(values) - min(values) < 0.12
    assert min(values) > sharpness(moved(15, "across"))


@pytest.mark.parametrize(("gain", "lift"), [(0.3, 0.0), (0.5, 0.5)])
def test_contrast_and_brightness_do_not_count(gain: float, lift: float) -> None:
    changed = SHARP * np.float32(gain) + np.float32(lift)
    assert sharpness(changed) == pytest.approx(sharpness(SHARP), abs=1e-3)


@pytest.mark.parametrize("side", [1, 2, 3, 8, 32, 64, 1000])
def test_a_flat_crop_of_any_size_is_not_sharp(side: int) -> None:
    assert sharpness(np.full((side, side, 3), 0.5, np.float32)) == 0


def test_it_stays_within_its_range() -> None:
    noisy = np.random.default_rng(0).random((90, 90, 3), dtype=np.float32)
    assert 0 <= sharpness(noisy) <= 1
