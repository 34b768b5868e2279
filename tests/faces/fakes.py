"""A canvas in memory, and a network that is a function."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vidfacedeblur.types import ByteImage, FloatImage, Region


class FakeCanvas:
    """A float picture that remembers what was added, and refuses regions outside it."""

    def __init__(self, image: FloatImage, *, interlaced: bool = False) -> None:
        self.image = image.astype(np.float32)
        self.interlaced = interlaced
        self.added: list[Region] = []

    @property
    def width(self) -> int:
        return self.image.shape[1]

    @property
    def height(self) -> int:
        return self.image.shape[0]

    def rgb(self) -> ByteImage:
        return np.rint(self.image * 255).astype(np.uint8)

    def read(self, region: Region) -> FloatImage:
        self._check(region)
        return self.image[region.y0 : region.y1, region.x0 : region.x1].copy()

    def add(self, region: Region, difference: FloatImage) -> None:
        self._check(region)
        assert difference.shape == (region.height, region.width, 3)
        assert difference.dtype == np.float32
        assert np.isfinite(difference).all()
        self.image[region.y0 : region.y1, region.x0 : region.x1] += difference
        self.added.append(region)

    def _check(self, region: Region) -> None:
        assert 0 <= region.x0 < region.x1 <= self.width, region
        assert 0 <= region.y0 < region.y1 <= self.height, region


def noise(height: int, width: int, seed: int = 0) -> FloatImage:
    return np.random.default_rng(seed).random((height, width, 3), dtype=np.float32)


class FakeNetwork:
    """Runs a function; counts its calls."""

    engine = "torch"

    def __init__(
        self,
        run: Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], ...]],
        device: str = "cpu",
    ) -> None:
        self._run = run
        self.device = device
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        self.shapes.append(batch.shape)
        assert batch.dtype == np.float32
        return self._run(batch)

    def close(self) -> None:
        pass
