"""The first step against its published form: every pair compared, twice."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from fakes import FakeNetwork
from numpy.typing import NDArray

from vidfacedeblur.faces.boxes import moved, ranked, squared, thinned
from vidfacedeblur.faces.proposals import propose, pyramid
from vidfacedeblur.faces.resample import SumTable

THRESHOLD = 0.6


def dense_network(found: list[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> FakeNetwork:
    """A P-Net with random answers, half of them above the threshold; keeps them in `found`."""
    rng = np.random.default_rng(0)

    def run(batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        cells = [(side - 1) // 2 - 4 for side in batch.shape[2:]]
        scores = rng.integers(10, 90, cells).astype(np.float32) / 100  # many equal
        regression = rng.normal(0, 0.1, (4, *cells)).astype(np.float32)
        found.append((regression, scores))
        return regression[None], scores[None]

    return FakeNetwork(run)


def published(
    found: list[tuple[NDArray[np.float32], NDArray[np.float32]]], scales: list[float]
) -> NDArray[np.float32]:
    """Thin each level above 0.5 and all together above 0.7, with nothing left out."""
    boxes, scores, regression = [], [], []
    for (moves, level), scale in zip(found, scales, strict=True):
        rows, columns = np.nonzero(level >= np.float32(THRESHOLD))
        corner = 2 * np.stack([columns, rows], axis=1).astype(np.float32)
        ends = [np.floor((corner + add) / np.float32(scale)) for add in (1, 12)]
        windows = np.concatenate(ends, axis=1)
        kept = thinned(windows, level[rows, columns], threshold=0.5)
        boxes.append(windows[kept])
        scores.append(level[rows, columns][kept])
        regression.append(moves[:, rows, columns].T[kept])
    together = np.concatenate(boxes)
    kept = thinned(together, np.concatenate(scores), threshold=0.7)
    assert len(kept) == len(together)  # the second thinning removes nothing
    return squared(moved(together[kept], np.concatenate(regression)[kept], extra=0))


@pytest.mark.parametrize("min_face", [12, 13, 14, 20, 27, 40])
def test_proposals_are_the_published_ones(min_face: int) -> None:
    found: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
    levels = pyramid(90, 110, min_face)
    table = SumTable(np.zeros((90, 110, 3), np.uint8))
    ours = propose(dense_network(found), table, levels, THRESHOLD)
    theirs = published(found, [scale for scale, _, _ in levels])
    assert len(theirs) > 5
    # Equal scores of two levels may come in either order.
    assert sorted(ours.tolist()) == sorted(theirs.tolist())


def test_levels_halve_the_pixels_down_to_one_window() -> None:
    levels = pyramid(480, 640, 20)
    assert levels[0] == (0.6, 289, 385)
    assert len(levels) == 10
    assert min(levels[-1][1:]) >= 12
    for (_, h0, w0), (_, h1, w1) in pairwise(levels):
        assert h1 * w1 == pytest.approx(h0 * w0 / 2, rel=0.1)


def test_ranking_keeps_the_order_of_equals() -> None:
    assert ranked(np.float32([1, 3, 3, 2, 3])).tolist() == [1, 2, 4, 3, 0]
