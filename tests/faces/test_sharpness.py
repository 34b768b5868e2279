"""Sharpness: falls with blur, whatever the face's size, contrast and the blur's direction."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from pictures import head

from vidfacedeblur.faces import need, sharpness
from vidfacedeblur.faces.crop import resized
from vidfacedeblur.types import Box, FloatImage
from vidfacedeblur.video.canvas import ArrayCanvas

SHARP: FloatImage = head(180).astype(np.float32) / np.float32(255)


def of(picture: FloatImage, box: Box | None = None) -> float:
    """Sharpness of a face that fills a picture but for the margins."""
    side = len(picture)
    canvas = ArrayCanvas(np.rint(picture * 255).clip(0, 255).astype(np.uint8))
    return sharpness(canvas, box or Box(side / 7, side / 7, side * 6 / 7, side * 6 / 7))


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
    values = [of(moved(length, direction)) for length in (1, 5, 9, 15, 21, 27)]
    assert values == sorted(values, reverse=True)
    assert values[0] - values[-1] > 0.15


def test_it_falls_as_the_face_goes_out_of_focus() -> None:
    values = [of(np.asarray(cv2.GaussianBlur(SHARP, (0, 0), s))) for s in (0.5, 1, 2, 3, 6)]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.45 * values[0]


def test_it_is_about_the_same_at_every_size() -> None:
    values = [of(np.clip(resized(SHARP, side), 0, 1)) for side in (64, 80, 96, 128, 180, 256)]
    assert max(values) - min(values) < 0.12
    assert max(values[1:]) - min(values[1:]) < 0.05
    assert min(values) > of(moved(15, "across"))


@pytest.mark.parametrize(("gain", "lift"), [(0.3, 0.0), (0.5, 0.5)])
def test_contrast_and_brightness_do_not_count(gain: float, lift: float) -> None:
    changed = SHARP * np.float32(gain) + np.float32(lift)
    assert of(changed) == pytest.approx(of(SHARP), abs=5e-3)


@pytest.mark.parametrize("side", [1, 2, 3, 8, 32, 64, 1000])
def test_a_flat_crop_of_any_size_is_not_sharp(side: int) -> None:
    assert of(np.full((side, side, 3), 0.5, np.float32)) == 0


@pytest.mark.parametrize(("side", "level"), [(60, 5), (110, 8), (180, 12)])
def test_noise_does_not_make_a_blurred_face_sharp(side: int, level: int) -> None:
    small = resized(cv2.GaussianBlur(SHARP, (0, 0), 6), side)
    noise = np.random.default_rng(0).normal(0, level / 255, small.shape).astype(np.float32)
    assert need(of(np.clip(small, 0, 1))) == 1
    assert need(of(np.clip(small + noise, 0, 1))) > 0.5
    assert need(of(np.clip(resized(SHARP, side) + noise, 0, 1))) == 0


def test_it_stays_within_its_range() -> None:
    noisy = np.random.default_rng(0).random((90, 90, 3), dtype=np.float32)
    assert 0 <= of(noisy) <= 1


@pytest.mark.parametrize(("x", "y"), [(250, 10), (20, 150)])
@pytest.mark.parametrize(("wide", "high"), [(128, 128), (90, 128), (128, 100)])
def test_only_the_face_s_own_place_counts(x: int, y: int, wide: int, high: int) -> None:
    picture = np.full((340, 440, 3), 0.5, np.float32)
    picture[y : y + 180, x : x + 180] = SHARP
    middle, down = x + 90, y + 90
    box = Box(middle - wide / 2, down - high / 2, middle + wide / 2, down + high / 2)
    assert of(picture, box) == pytest.approx(of(SHARP, Box(26, 26, 154, 154)), abs=1e-6)


def test_what_lies_outside_the_picture_does_not_count() -> None:
    cut_by_the_edge = of(SHARP, Box(60, 26, 240, 154))
    assert cut_by_the_edge == pytest.approx(of(SHARP), abs=0.12)
    for x, y in ((-300, -300), (-300, 40), (40, 300), (300, 40), (40, -300)):
        assert of(SHARP, Box(x, y, x + 100, y + 100)) == 0


def test_the_blurred_need_all_of_the_correction_and_the_sharp_none() -> None:
    values = [need(i / 100) for i in range(101)]
    assert values == sorted(values, reverse=True)
    assert (values[0], values[38], values[-1], values[47]) == (1, 1, 0, 0)
    assert 0.3 < need(0.4275) < 0.7
    assert max(np.diff(values[::-1])) < 0.25
