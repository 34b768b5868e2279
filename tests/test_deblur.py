"""The deblurring network behind crops: any size, either type, the same picture."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vidfacedeblur.deblur import Deblurrer


class Invert:
    """Stands in for a network: gives the negative, and notes what it was given."""

    engine, device = "fake", "cpu"

    def __init__(self) -> None:
        self.seen: list[NDArray[np.float32]] = []

    def __call__(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        self.seen.append(batch.copy())
        return (-batch,)

    def close(self) -> None:
        pass


@pytest.mark.parametrize("size", [(32, 32), (45, 50), (33, 64)])
def test_both_types_give_the_same_picture_of_the_same_size(size: tuple[int, int]) -> None:
    network = Invert()
    deblurrer = Deblurrer(network, multiple=32, sha256="")
    levels = np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    bytes_out = deblurrer.batch(levels)
    floats_out = deblurrer.batch((levels / 255).astype(np.float32))
    assert (bytes_out.dtype, floats_out.dtype) == (np.uint8, np.float32)
    assert np.array_equal(bytes_out, 255 - levels)
    assert np.allclose(floats_out, 1 - levels / 255, atol=1e-6)
    for seen in network.seen:
        assert seen.shape[2] % 32 == seen.shape[3] % 32 == 0
        assert seen.dtype == np.float32
        assert abs(seen).max() <= 1 + 1e-6
    assert np.allclose(network.seen[0], network.seen[1], atol=1e-6)
