"""Where faces are cut: sizes, whole pixels, picture edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from fakes import FakeCanvas, noise

from vidfacedeblur.config import CROP_SIZES
from vidfacedeblur.errors import OptionError
from vidfacedeblur.faces import choose_size, crop_square, cut
from vidfacedeblur.faces.crop import SIZES
from vidfacedeblur.types import Box, Face


def test_square_is_centred_with_margins_of_the_longer_side() -> None:
    assert crop_square(Box(10, 20, 50, 120), margin=0.2) == Box(-40, 0, 100, 140)
    assert crop_square(Box(0, 0, 10, 4), margin=0) == Box(0, -3, 10, 7)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_box_must_be_finite(bad: float) -> None:
    with pytest.raises(OptionError, match="finite"):
        crop_square(Box(0, 0, bad, 10))


@pytest.mark.parametrize(
    ("side", "size"), [(1, 64), (64, 64), (64.1, 96), (200, 224), (250, 256), (9999, 256)]
)
def test_size_is_the_smallest_that_holds_the_face(side: float, size: int) -> None:
    assert choose_size(side, crop_size=None) == size


def test_size_can_be_set_and_bounded() -> None:
    assert choose_size(300, crop_size=None, largest=512) == 320
    assert choose_size(300, crop_size=None, largest=192) == 192
    assert choose_size(300, crop_size=128) == 128
    assert set(SIZES) <= set(CROP_SIZES)


@pytest.mark.parametrize("box", [Box(100, 80, 140, 131), Box(99.7, 80.2, 139.1, 130.9)])
def test_a_face_that_fits_is_not_resampled(box: Box) -> None:
    canvas = FakeCanvas(noise(240, 320))
    crop = cut(canvas, Face(box))
    region = crop.region
    assert crop.image.shape == (96, 96, 3)
    assert (region.width, region.height) == (96, 96)
    assert (crop.image == canvas.image[region.y0 : region.y1, region.x0 : region.x1]).all()
    assert abs((region.x0 + region.x1) - (box.x0 + box.x1)) <= 1.01
    assert abs((region.y0 + region.y1) - (box.y0 + box.y1)) <= 1.01


def test_a_large_face_is_shrunk_for_the_network() -> None:
    ramp = np.broadcast_to(np.linspace(0, 1, 900, dtype=np.float32)[None, :, None], (800, 900, 3))
    crop = cut(FakeCanvas(ramp), Face(Box(200, 150, 600, 550)))
    assert crop.region == (120, 70, 680, 630)
    assert crop.image.shape == (256, 256, 3)
    assert crop.image.mean() == pytest.approx(ramp[70:630, 120:680].mean(), abs=1e-4)


@pytest.mark.parametrize(("crop_size", "side"), [(256, 140), (64, 140), (160, 140)])
def test_a_given_size_is_kept_whatever_the_face(crop_size: int, side: int) -> None:
    crop = cut(FakeCanvas(noise(300, 300)), Face(Box(100, 100, 200, 200)), crop_size=crop_size)
    assert crop.image.shape == (crop_size, crop_size, 3)
    assert crop.image.dtype == np.float32
    assert crop.region.width == crop.region.height == side
    assert 0 <= crop.image.min() <= crop.image.max() <= 1


def test_a_face_that_is_enlarged_shows_the_same() -> None:
    y, x = np.mgrid[:300, :300].astype(np.float32) / 300
    canvas = FakeCanvas(np.stack([x, y, 1 - x], axis=-1))
    crop = cut(canvas, Face(Box(100, 100, 200, 200)), crop_size=280)
    pairs = crop.image.reshape(140, 2, 140, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(pairs, canvas.image[80:220, 80:220], atol=1e-3)


def test_what_is_too_fine_for_the_network_becomes_its_mean() -> None:
    stripes = np.zeros((400, 400, 3), np.float32)
    stripes[:, 1::4] = 1
    crop = cut(FakeCanvas(stripes), Face(Box(100, 100, 283, 283)), crop_size=64)
    assert crop.region.width == 256
    np.testing.assert_allclose(crop.image, 0.25, atol=1e-6)


def test_beyond_the_edge_the_picture_is_reflected() -> None:
    canvas = FakeCanvas(noise(200, 200))
    crop = cut(canvas, Face(Box(-10, 170, 30, 210)))
    x, y = -crop.region.x0, crop.region.y1 - 200
    assert x > 0
    assert y > 0
    inside = crop.image[:-y, x:]
    assert (inside == canvas.image[crop.region.y0 :, : crop.region.x1]).all()
    assert (crop.image[:-y, x - 1] == inside[:, 1]).all()
    assert (crop.image[-y, x:] == inside[-2]).all()


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (1, 500), (400, 1), (8, 8)], ids=str)
def test_pictures_smaller_than_the_crop(shape: tuple[int, int]) -> None:
    picture = noise(*shape)
    crop = cut(FakeCanvas(picture), Face(Box(0, 0, 20, 20)))
    assert crop.image.shape == (64, 64, 3)
    assert np.isfinite(crop.image).all()
    assert crop.image.min() >= picture.min()
    assert crop.image.max() <= picture.max()


def test_with_too_little_to_reflect_the_edge_is_repeated() -> None:
    picture = noise(3, 200)
    crop = cut(FakeCanvas(picture), Face(Box(80, 0, 120, 3)))
    below = crop.image[3 - crop.region.y0 :]
    assert len(below) > 20
    assert (below == picture[2, crop.region.x0 : crop.region.x1]).all()


@pytest.mark.parametrize(
    "box",
    [
        Box(-900, -900, -880, -880),
        Box(5000, 10, 5030, 40),
        Box(10, 5000, 40, 5030),
        Box(-1e7, -1e7, 1e7, 1e7),
        Box(50, 50, 50, 50),
        Box(49.9, 49.9, 50.0, 50.2),
    ],
    ids=["far left", "far right", "far below", "enormous", "a point", "a speck"],
)
def test_any_box_gives_a_crop(box: Box) -> None:
    crop = cut(FakeCanvas(noise(100, 100)), Face(box))
    assert crop.image.shape[0] in (64, 256)
    assert crop.region.width <= 300
    assert np.isfinite(crop.image).all()
