"""How much is left of an archive is told by how long its videos are."""

from __future__ import annotations

import pytest

from vidfacedeblur.archive.progress import Progress, weights_of


def test_weights() -> None:
    assert weights_of([], []) == []
    assert weights_of([10, 30], [None, None]) == [10.0, 30.0]
    assert weights_of([10, 30, 20], [6.0, 2.0, None]) == [6.0, 2.0, 4.0]  # 8 s in 40 bytes
    assert weights_of([0, 30], [None, 0.0]) == [0.0, 30.0]


def test_the_time_left_goes_by_seconds_not_by_bytes() -> None:
    now = 0.0
    sizes = [1_000, 1_000_000]  # the second in a codec that spends a thousand times the bytes
    short, long = weights_of(sizes, [60.0, 60.0])
    progress = Progress(2, sum(sizes), short + long, clock=lambda: now)
    progress.begin(1, short)
    now = 100.0
    progress.end(1, failed=False)
    assert progress.seconds_left == pytest.approx(100)
    progress.begin(2, long)
    progress.further(2, 0.5, 10, 0)
    now = 150.0
    assert progress.seconds_left == pytest.approx(50)
