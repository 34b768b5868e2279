"""Putting faces back: nothing where nothing changed, no seam, no double correction."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import FakeCanvas, noise

from vidfacedeblur.faces import cut, face_mask, paste, paste_all
from vidfacedeblur.types import Box, Face, FaceCrop, FloatImage, Region

BOX = Box(100, 90, 150, 152)


def textured(crop: FaceCrop, seed: int = 5, amount: float = 0.2) -> FloatImage:
    """A crop with detail added to it, of no mean colour."""
    detail = noise(crop.image.shape[0], crop.image.shape[0], seed) - np.float32(0.5)
    changed: FloatImage = crop.image + np.float32(amount) * detail
    return changed


def test_a_face_of_half_the_weight_gets_half_the_correction() -> None:
    added = []
    for weight in (1, 0.5, 0):
        canvas = FakeCanvas(np.full((240, 320, 3), 0.5, np.float32))
        crop = cut(canvas, Face(Box(60, 50, 140, 150), weight=weight))
        restored = crop.image.copy()
        restored[::2] += np.float32(0.2)
        paste(canvas, crop, restored, strength=1)
        added.append(canvas.image - np.float32(0.5))
    np.testing.assert_allclose(added[1], added[0] / 2, atol=1e-6)
    assert added[0].any()
    assert not added[2].any()


@pytest.mark.parametrize("largest", [64, 256], ids=["shrunk", "own size"])
def test_what_the_network_left_alone_keeps_every_bit(largest: int) -> None:
    canvas = FakeCanvas(noise(240, 320))
    before = canvas.image.copy()
    crop = cut(canvas, Face(BOX), largest=largest)
    paste(canvas, crop, crop.image.copy(), strength=1.0)
    assert not canvas.added
    assert (canvas.image == before).all()


def test_strength_none_changes_nothing_and_half_changes_half() -> None:
    changes = []
    for strength in (0.0, 0.5, 1.0):
        canvas = FakeCanvas(noise(240, 320))
        before = canvas.image.copy()
        crop = cut(canvas, Face(BOX))
        paste(canvas, crop, textured(crop), strength=strength)
        changes.append(canvas.image - before)
    assert not changes[0].any()
    assert changes[2].any()
    np.testing.assert_allclose(changes[1] * 2, changes[2], atol=1e-6)


def test_inside_the_face_the_result_is_the_network_s() -> None:
    canvas = FakeCanvas(np.full((240, 320, 3), 0.5, np.float32))
    crop = cut(canvas, Face(BOX))
    restored = textured(crop)
    paste(canvas, crop, restored, strength=1.0)
    mask = face_mask(crop.face, crop.region)
    region = crop.region
    result = canvas.image[region.y0 : region.y1, region.x0 : region.x1]
    inner = mask == 1
    assert inner.sum() > 0.7 * np.pi / 4 * BOX.width * BOX.height
    mean = np.tensordot(mask, restored - crop.image, 2) / mask.sum()
    np.testing.assert_allclose(result[inner], (restored - mean)[inner], atol=1e-5)


def test_every_pixel_under_the_mask_is_changed_and_no_others_are_touched() -> None:
    canvas = FakeCanvas(np.full((240, 320, 3), 0.5, np.float32))
    crop = cut(canvas, Face(BOX))
    stripes = np.where(np.arange(len(crop.image)) % 2, 0.2, -0.2).astype(np.float32)
    paste(canvas, crop, crop.image + stripes[:, None, None], strength=1.0)
    mask, region = face_mask(crop.face, crop.region), crop.region
    changed = np.abs(canvas.image - 0.5)[region.y0 : region.y1, region.x0 : region.x1, 0]
    np.testing.assert_allclose(changed, 0.2 * mask, atol=0.002)
    rows, columns = np.nonzero(mask)
    left, top = region.x0 + columns.min(), region.y0 + rows.min()
    right, bottom = region.x0 + columns.max() + 1, region.y0 + rows.max() + 1
    assert canvas.added == [(left, top, right, bottom)]


def test_a_face_in_the_middle_of_its_crop_has_the_same_mask_on_all_sides() -> None:
    mask = face_mask(Face(BOX), Region(77, 73, 173, 169))
    np.testing.assert_allclose(mask, mask[::-1], atol=1e-5)
    np.testing.assert_allclose(mask, mask[:, ::-1], atol=1e-5)


def test_a_shift_of_colour_is_taken_out() -> None:
    canvas = FakeCanvas(np.full((240, 320, 3), 0.5, np.float32))
    crop = cut(canvas, Face(BOX))
    paste(canvas, crop, crop.image + np.float32([0.03, -0.02, 0.01]), strength=1.0)
    np.testing.assert_allclose(canvas.image, 0.5, atol=1e-6)


@pytest.mark.parametrize("box", [BOX, Box(60, 60, 190, 120), Box(90, 20, 120, 200)], ids=str)
@pytest.mark.parametrize("off", [(0, 0), (9, -7)], ids=["centred", "off centre"])
def test_the_mask_and_its_slope_vanish_at_the_border(box: Box, off: tuple[int, int]) -> None:
    region = cut(FakeCanvas(noise(300, 400)), Face(box)).region
    region = Region(region.x0 + off[0], region.y0 + off[1], region.x1 + off[0], region.y1 + off[1])
    mask = face_mask(Face(box), region)
    for side in (mask[0], mask[-1], mask[:, 0], mask[:, -1]):
        assert not side.any()
    for inner in (mask[1], mask[-2], mask[:, 1], mask[:, -2]):
        assert inner.max() < 0.06
    assert mask.max() == 1
    assert mask.min() == 0
    steps = max(np.abs(np.diff(mask, axis=axis)).max() for axis in (0, 1))
    assert steps < 12 / min(box.width, box.height)  # no edge anywhere
    assert np.abs(np.diff(mask, 2, axis=0)).max() < 0.1  # nor a kink


def test_the_mask_reaches_past_the_landmarks() -> None:
    region = Region(82, 76, 178, 172)
    corner = ((102.0, 94.0), (148.0, 94.0), (125.0, 120.0), (104.0, 148.0), (146.0, 148.0))
    mask = face_mask(Face(BOX, landmarks=corner), region)
    plain = face_mask(Face(BOX), region)
    for x, y in corner:
        assert mask[int(y) - 76, int(x) - 82] > 0.9
    assert plain[94 - 76, 102 - 82] < 0.6
    assert not mask[0].any()


def test_landmarks_well_inside_the_face_leave_the_mask_as_it_is() -> None:
    region = Region(82, 76, 178, 172)
    usual = ((114.0, 112.0), (136.0, 112.0), (125.0, 124.0), (116.0, 136.0), (134.0, 136.0))
    mask = face_mask(Face(BOX, landmarks=usual), region)
    np.testing.assert_array_equal(mask, face_mask(Face(BOX), region))


def test_a_shrunk_face_keeps_the_detail_the_network_never_saw() -> None:
    canvas = FakeCanvas(noise(600, 600))
    before = canvas.image.copy()
    crop = cut(canvas, Face(Box(150, 150, 450, 450)))
    assert crop.region.width > crop.image.shape[0]
    smooth = np.zeros_like(crop.image)
    smooth[64:128] = 0.1
    smooth[128:192] = -0.1
    paste(canvas, crop, crop.image + smooth, strength=1.0)
    centre = np.s_[240:290, 240:360]
    change = canvas.image[centre] - before[centre]
    assert change.std() < 1e-3  # one smooth value, the noise is untouched
    assert abs(change.mean()) > 0.05


@pytest.mark.parametrize(
    "box", [Box(-20, 30, 25, 80), Box(290, 215, 330, 260), Box(-30, -30, 9, 9)]
)
def test_over_the_edge_only_the_part_inside_is_changed(box: Box) -> None:
    canvas = FakeCanvas(noise(240, 320))
    crop = cut(canvas, Face(box))
    paste(canvas, crop, textured(crop), strength=1.0)
    assert canvas.added  # the fake refuses regions outside


@pytest.mark.parametrize("far", [500, 64])  # where it is, and what of its mask would be, outside
@pytest.mark.parametrize(("left", "up"), [(1, 1), (1, 0), (-1, 0), (0, 1), (0, -1)])
def test_a_face_outside_the_picture_changes_nothing(left: int, up: int, far: int) -> None:
    canvas = FakeCanvas(noise(100, 100))
    before = canvas.image.copy()
    x, y = 25 - left * (25 + far), 25 - up * (25 + far)
    crop = cut(canvas, Face(Box(x, y, x + 50, y + 50)))
    paste(canvas, crop, textured(crop), strength=1.0)
    assert (canvas.image == before).all()


def test_overlapping_faces_are_corrected_once() -> None:
    boxes = [Box(100, 90, 150, 152), Box(112, 94, 162, 156), Box(105, 110, 150, 165)]
    canvas = FakeCanvas(np.full((240, 320, 3), 0.5, np.float32))
    crops = [cut(canvas, Face(box)) for box in boxes]
    plus = np.zeros((240, 320, 3), np.float32)
    plus[::2] = 0.2
    plus[1::2] = -0.2  # the same correction for every pixel, whichever face it is of
    images = [c.image + plus[c.region.y0 : c.region.y1, c.region.x0 : c.region.x1] for c in crops]
    paste_all(canvas, crops, images, strength=1.0)
    assert np.abs(canvas.image - 0.5).max() <= 0.2 + 0.005
    assert np.abs(canvas.image[130, 130] - 0.5).min() > 0.19


def test_a_face_that_hardly_counts_takes_nothing_from_its_neighbour() -> None:
    results = []
    for weights in ((1.0,), (1.0, 0.01), (0.5, 0.5)):
        canvas = FakeCanvas(np.full((240, 320, 3), 0.5, np.float32))
        boxes = (Box(100, 90, 150, 152), Box(112, 94, 162, 156))
        pairs = zip(boxes, weights, strict=False)
        crops = [cut(canvas, Face(box, weight=weight)) for box, weight in pairs]
        plus = np.zeros((240, 320, 3), np.float32)
        plus[::2], plus[1::2] = 0.2, -0.2
        parts = [plus[c.region.y0 : c.region.y1, c.region.x0 : c.region.x1] for c in crops]
        images = [c.image + part for c, part in zip(crops, parts, strict=True)]
        paste_all(canvas, crops, images, strength=1.0)
        results.append(canvas.image - np.float32(0.5))
    alone, beside, halves = results
    np.testing.assert_allclose(beside, alone, atol=0.003)
    assert np.abs(halves[120, 131]).min() > 0.19  # in the middle of both: half of each


def test_order_does_not_matter() -> None:
    results = []
    for turn in (1, -1):
        canvas = FakeCanvas(noise(240, 320))
        crops = [cut(canvas, Face(Box(90 + x, 90, 140 + x, 150))) for x in (0, 20, 35)][::turn]
        images = [textured(crop, seed=crop.region.x0) for crop in crops]
        paste_all(canvas, crops, images, strength=0.8)
        results.append(canvas.image)
    np.testing.assert_allclose(*results, atol=1e-6)


def test_fifty_faces() -> None:
    canvas = FakeCanvas(noise(480, 640))
    corners = [(i % 10 * 60, i // 10 * 90) for i in range(50)]
    crops = [cut(canvas, Face(Box(x, y, x + 50, y + 70))) for x, y in corners]
    paste_all(canvas, crops, [textured(crop) for crop in crops], strength=1.0)
    assert len(canvas.added) == 50
    assert np.isfinite(canvas.image).all()


def test_the_mean_of_a_large_face_is_taken_out_as_well() -> None:
    """Its pixels are summed in parts."""
    canvas = FakeCanvas(np.full((900, 900, 3), 0.5, np.float32))
    crop = cut(canvas, Face(Box(200, 200, 700, 700)), largest=896)
    shift = np.array([0.1, -0.05, 0.02], np.float32)
    paste_all(canvas, [crop], [crop.image + shift], strength=1.0)
    np.testing.assert_allclose(canvas.image, 0.5, atol=1e-4)
