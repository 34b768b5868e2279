"""One network twice, chosen between by the size of a batch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vidfacedeblur.engines.by_size import BySize


class _Named:
    """Answers with its number; remembers that it was closed."""

    device = "cpu"

    def __init__(self, engine: str, number: float) -> None:
        self.engine, self.number = engine, number
        self.closed = False

    def __call__(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        return (np.full(len(batch), self.number, np.float32),)

    def close(self) -> None:
        self.closed = True


def test_small_batches_go_to_the_one_and_large_ones_to_the_other() -> None:
    network = BySize(_Named("openvino", 1), _Named("openvino", 2))
    (small,) = network(np.zeros((1, 3, 48, 48), np.float32))
    (large,) = network(np.zeros((1, 3, 325, 577), np.float32))
    assert (small[0], large[0]) == (1, 2)
    assert (network.engine, network.device) == ("openvino", "cpu")


def test_both_are_closed() -> None:
    small, large = _Named("openvino", 1), _Named("openvino", 2)
    BySize(small, large).close()
    assert small.closed
    assert large.closed
