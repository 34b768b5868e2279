"""Interlaced pictures: told by their lines, and each field restored by itself."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from fakes import FakeCanvas
from numpy.typing import NDArray
from tests_support import portrait

from vidfacedeblur import Box, Face
from vidfacedeblur.faces import cut, cut_all, paste_all
from vidfacedeblur.faces.fields import field_of, into_field, is_combed
from vidfacedeblur.types import FloatImage, Frame
from vidfacedeblur.video import open_canvas

FACE = Face(Box(70, 50, 190, 200))
STILL = portrait().astype(np.float32) / 255


def interlaced(moved: int) -> FloatImage:
    """The portrait, which moved so many pixels from the first field to the second."""
    image = STILL.copy()
    image[1::2] = portrait(moved)[1::2].astype(np.float32) / 255
    return image


def noisy(image: FloatImage, level: float) -> FloatImage:
    grain = np.random.default_rng(0).normal(0, level / 255, image.shape)
    return np.asarray(np.clip(image + grain, 0, 1), np.float32)


def test_what_moved_between_the_fields_is_combed() -> None:
    face = (slice(50, 200), slice(70, 190))
    for moved in (3, 6, 12):
        assert is_combed(interlaced(moved)[face], interlaced=True)
    for moved in (6, 12):  # many a recording does not say that it has fields
        assert is_combed(interlaced(moved)[face], interlaced=False)


@pytest.mark.parametrize("says", [True, False])
@pytest.mark.parametrize("level", [0, 5, 12])
def test_what_stands_still_is_not_combed(says: bool, level: int) -> None:
    assert not is_combed(noisy(STILL, level)[50:200, 70:190], interlaced=says)


@pytest.mark.parametrize("says", [True, False])
def test_what_only_looks_like_a_comb_is_none(says: bool) -> None:
    dithered = STILL + 0.2 * np.sign(np.indices(STILL.shape[:2]).sum(axis=0) % 2 - 0.5)[..., None]
    blurred = cv2.blur(STILL, (13, 1))
    flat = np.full((64, 64, 3), 0.5, np.float32)
    rows = np.random.default_rng(0).normal(0, 0.1, (65, 1, 1))
    blinds = flat + (rows[1:] + rows[:-1]) / 2  # fine lines, but of more than one row each
    for image in (dithered, noisy(blurred, 8), noisy(flat, 30), blinds, flat, flat[:2, :2]):
        assert not is_combed(np.asarray(image, np.float32), interlaced=says)


@pytest.mark.parametrize(("side", "size"), [(128, 128), (127, 128), (300, 256), (60, 64)])
def test_a_field_goes_out_and_comes_back_in_its_place(side: int, size: int) -> None:
    y, x = np.mgrid[:side, :side].astype(np.float32) / side
    image = np.stack([0.2 + 0.6 * y, 0.2 + 0.6 * x, 0.8 - 0.6 * y], axis=-1)
    for field in (0, 1):
        out = field_of(image, field, size)
        assert out.shape == (size, size, 3)
        for axis in (0, 1):  # no steps where one line has become two
            assert np.abs(np.diff(out[8:-8, 8:-8], 2, axis=axis)).max() < 0.6 / size
        back = into_field(out, field, side)
        inner = slice(4 + field, side - 4, 2)
        np.testing.assert_allclose(back[inner, 4:-4], image[inner, 4:-4], atol=0.004)
        assert not back[1 - field :: 2].any()


def test_what_is_too_fine_in_a_field_becomes_its_mean() -> None:
    stripes = np.zeros((512, 512, 3), np.float32)
    stripes[:, 1::4] = 1
    np.testing.assert_allclose(field_of(stripes, 0, 128), 0.25, atol=1e-6)


def test_each_field_of_a_combed_face_is_cut() -> None:
    for canvas, expected in (
        (FakeCanvas(interlaced(8), interlaced=True), [0, 1]),
        (FakeCanvas(interlaced(8)), [0, 1]),
        (FakeCanvas(STILL, interlaced=True), [None]),
    ):
        crops = cut_all(canvas, FACE)
        whole = cut(canvas, FACE)
        assert [crop.field for crop in crops] == expected
        assert {crop.region for crop in crops} == {whole.region}
        assert {crop.image.shape for crop in crops} == {whole.image.shape}
    (still,) = crops
    np.testing.assert_array_equal(still.image, whole.image)


def test_a_large_face_is_shrunk_for_the_network_whether_combed_or_not() -> None:
    large = cv2.resize(STILL, (480, 480))
    combed = large.copy()
    combed[1::2] = np.roll(large, 20, axis=1)[1::2]
    for image, count in ((large, 1), (combed, 2)):
        crops = cut_all(FakeCanvas(image, interlaced=True), Face(Box(140, 100, 380, 400)))
        assert [crop.image.shape for crop in crops] == [(256, 256, 3)] * count


def test_a_fields_change_goes_into_its_own_lines() -> None:
    canvas = FakeCanvas(interlaced(8))
    before = canvas.image.copy()
    first, second = cut_all(canvas, FACE)
    changed = first.image.copy()
    changed[:, ::2] += 0.1
    changed[:, 1::2] -= 0.1
    paste_all(canvas, [first, second], [changed, second.image], strength=1.0)
    difference = canvas.image - before
    start = first.region.y0
    assert not difference[start + 1 :: 2].any()
    assert np.abs(difference[start::2]).max() > 0.09


@pytest.mark.parametrize("whole", [False, True], ids=["both combed", "one of them whole"])
def test_fields_share_with_a_neighbour_as_whole_faces_do(whole: bool) -> None:
    one, other = Face(Box(90, 70, 150, 140)), Face(Box(100, 76, 160, 146))
    results = []
    for turn in (1, -1):
        canvas = FakeCanvas(interlaced(8))
        before = canvas.image.copy()
        firsts = [cut(canvas, one)] if whole else cut_all(canvas, one)
        crops = [*firsts, *cut_all(canvas, other)][::turn]
        assert len(crops) == 4 - whole
        stripes = np.where(np.arange(canvas.width) % 2, 0.1, -0.1).astype(np.float32)
        images: list[NDArray[np.float32]] = []
        for crop in crops:
            columns = stripes[crop.region.x0 : crop.region.x1]
            images.append(crop.image + columns[None, :, None])
        paste_all(canvas, crops, images, strength=1.0)
        results.append(canvas.image - before)
        assert np.abs(results[-1]).max() < 0.105  # nobody is corrected twice
    np.testing.assert_allclose(*results, atol=1e-5)
    assert np.abs(results[0][106:110, 125]).min() > 0.09  # in the middle of both


def test_a_picture_that_says_that_it_is_interlaced(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"x264-params": "tff=1"})
        stream.height, stream.width = 240, 256
        stream.pix_fmt = "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(portrait(), format="rgb24")))
        container.mux(stream.encode(None))
    with av.open(path) as container:
        (picture,) = container.decode(video=0)
    assert open_canvas(Frame(0, picture)).interlaced
    assert open_canvas(Frame(0, picture, orientation=3)).interlaced
    assert not open_canvas(Frame(0, picture, orientation=6)).interlaced  # its lines stand upright
    assert not open_canvas(Frame(0, portrait())).interlaced
