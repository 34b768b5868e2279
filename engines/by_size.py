"""One network twice: on one thread for small batches, on several for the others.

What is shared out between threads has to be worth it: each thread that helped then looks for more
work for about a millisecond before it sleeps. A small level of the detector's pyramid is done in
that time; helpers save nothing there, and double what it costs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vidfacedeblur.types import Network

_SMALL = 40_000
"""Numbers of a batch up to which one thread is given it: up to two milliseconds of P-Net's work."""


class BySize:
    """A network that chooses between two of its kind; implements `Network`.

    Args:
        small: Runs batches of up to `_SMALL` numbers.
        large: Runs larger ones.
    """

    def __init__(self, small: Network, large: Network) -> None:
        self._small, self._large = small, large
        self.engine, self.device = large.engine, large.device

    def __call__(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        return (self._small if batch.size <= _SMALL else self._large)(batch)

    def close(self) -> None:
        self._small.close()
        self._large.close()
