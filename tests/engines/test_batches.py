"""Batches of any length through networks that take a few sizes only."""

from __future__ import annotations

import numpy as np
import pytest

from vidfacedeblur.engines.batches import Batch, Outputs, buckets, filled_up, in_steps


@pytest.mark.parametrize(
    ("largest", "sizes"),
    [(1, (1,)), (2, (1, 2)), (8, (1, 2, 4, 8)), (12, (1, 2, 4, 8, 12)), (16, (1, 2, 4, 8, 16))],
)
def test_buckets_are_powers_of_two_and_the_largest(largest: int, sizes: tuple[int, ...]) -> None:
    assert buckets(largest) == sizes


@pytest.mark.parametrize("count", range(1, 13))
def test_a_batch_is_filled_up_to_a_bucket(count: int) -> None:
    batch = np.ones((count, 3, 4, 4), np.float32)
    full = filled_up(batch, 12)
    assert len(full) in buckets(12)
    assert len(full) < 2 * count or count == 1
    assert (full[:count] == 1).all()
    assert not full[count:].any()


@pytest.mark.parametrize("count", [1, 3, 4, 5, 9])
def test_steps_are_joined_in_order(count: int) -> None:
    seen: list[int] = []

    def run(part: Batch) -> Outputs:
        seen.append(len(part))
        return part + 1, part.sum((1, 2, 3))

    batch = np.arange(count * 12, dtype=np.float32).reshape(count, 3, 2, 2)
    more, sums = in_steps(run, batch, 4)
    assert np.array_equal(more, batch + 1)
    assert np.array_equal(sums, batch.sum((1, 2, 3)))
    assert max(seen) <= 4
    assert sum(seen) == count
