"""Box arithmetic against plain, slow versions of itself."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vidfacedeblur.faces.boxes import (
    iou,
    moved,
    share_of_smaller,
    squared,
    survivors,
    thinned,
    windows,
)
from vidfacedeblur.faces.resample import SumTable


def random_boxes(count: int, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 100, (count, 2))
    size = rng.integers(5, 40, (count, 2))
    return np.concatenate([corner, corner + size], axis=1).astype(np.float32)


@pytest.mark.parametrize("measure", ["union", "smaller"])
@pytest.mark.parametrize("count", [0, 1, 2, 300, 1200])
def test_thinning_is_greedy_suppression(count: int, measure: str) -> None:
    boxes = random_boxes(count)
    scores = np.random.default_rng(1).integers(0, 50, count).astype(np.float32)  # many equal
    overlap = iou if measure == "union" else share_of_smaller
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        if all(overlap(boxes[i], boxes[k]) <= 0.4 for k in kept):
            kept.append(int(i))
    ours = thinned(boxes, scores, threshold=0.4, measure=measure)  # type: ignore[arg-type]
    assert ours.tolist() == kept


def test_a_removed_box_removes_no_one() -> None:
    chain = np.arange(9)
    assert survivors(10, chain, chain + 1).tolist() == [True, False] * 5


def test_overlap_is_the_common_area_against_both_or_against_the_smaller() -> None:
    boxes = np.array([[0, 0, 9, 9], [5, 3, 14, 22], [20, 0, 29, 9]], np.float32)
    assert iou(boxes[0], boxes).tolist() == pytest.approx([1, 24 / (81 + 171 - 24), 0])
    # Edges count as inside: ten by ten pixels, of which five by seven are common.
    assert share_of_smaller(boxes[1], boxes).tolist() == pytest.approx([35 / 100, 1, 0])


def test_squares_are_as_long_as_the_longer_side_about_the_same_centre() -> None:
    boxes = np.array([[10, 20, 30, 80], [0, 0, 40, 20]], np.float32)
    assert squared(boxes).tolist() == [[-10, 20, 50, 80], [0, -10, 40, 30]]


def test_edges_move_by_shares_of_the_box_s_own_sides() -> None:
    box, shares = np.array([[10, 20, 29, 59]], np.float32), np.array([[0.1, 0.2, -0.1, 0.5]])
    assert moved(box, shares.astype(np.float32), extra=1)[0].tolist() == pytest.approx(
        [12, 28, 27, 79], abs=1e-4
    )
    assert moved(box, shares.astype(np.float32), extra=0)[0].tolist() == pytest.approx(
        [11.9, 27.8, 27.1, 78.5], abs=1e-4
    )


def test_boxes_without_area_overlap_nothing() -> None:
    point = np.zeros((1, 4), np.float32)
    assert iou(point, point).tolist() == [0]


def test_windows_count_pixels_from_one_and_stay_inside() -> None:
    boxes = np.array([[1, 1, 5, 5], [-3.7, 2.9, 99, 4], [30, 1, 40, 9]], np.float32)
    found = windows(boxes, 20, 10)
    assert found[:2].tolist() == [[0, 0, 5, 5], [0, 1, 20, 4]]
    assert found[2, 2] <= found[2, 0]  # outside: nothing to see


def averaged(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.float64]:
    """Adaptive average pooling as defined, (3, height, width), scaled for the networks."""
    result = np.empty((3, height, width))
    for y in range(height):
        for x in range(width):
            rows = slice(y * image.shape[0] // height, -(-(y + 1) * image.shape[0] // height))
            columns = slice(x * image.shape[1] // width, -(-(x + 1) * image.shape[1] // width))
            result[:, y, x] = image[rows, columns].mean(axis=(0, 1))
    return (result - 127.5) / 128


@pytest.mark.parametrize("size", [(12, 17), (37, 53), (50, 60), (1, 1)], ids=str)
def test_a_level_averages_whole_pixels(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (37, 53, 3)).astype(np.uint8)
    level = SumTable(image).level(*size)
    np.testing.assert_allclose(level[0], averaged(image, *size), atol=1e-6)


def test_crops_average_whole_pixels_of_their_windows() -> None:
    image = np.random.default_rng(0).integers(0, 256, (70, 90, 3)).astype(np.uint8)
    places = np.array([[0, 0, 90, 70], [3, 5, 4, 6], [10, 20, 34, 44], [80, 1, 90, 69]])
    crops = SumTable(image).crops(places, 24)
    for crop, (x0, y0, x1, y1) in zip(crops, places, strict=True):
        np.testing.assert_allclose(crop, averaged(image[y0:y1, x0:x1], 24, 24), atol=1e-6)


def test_sums_beyond_31_bits_wrap_and_stay_right() -> None:
    white = np.full((3000, 3000, 3), 255, np.uint8)  # 2.3e9 in the far corner
    white[2990:] = 0
    table = SumTable(white)
    corner = table.crops(np.array([[2900, 2976, 2924, 3000]]), 24)
    assert (corner[0, :, :14] == 127.5 / 128).all()
    assert (corner[0, :, 14:] == -127.5 / 128).all()
    assert table.level(1000, 1000)[0, :, :996].min() == 127.5 / 128
