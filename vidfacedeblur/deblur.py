"""The deblurring network behind crops: ranges, layouts, batches and sizes taken care of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from vidfacedeblur.engines import Choice, deblur_spec, open_network
from vidfacedeblur.models.bundle import WeightsFile
from vidfacedeblur.turns import Combiner, OneAtATime
from vidfacedeblur.types import FaceCrop, FloatImage, Network

_BATCH = 8
"""Crops that the network is given at once, at most."""


class Deblurrer:
    """Deblurs crops of any size with one network, which any number of threads may share."""

    def __init__(
        self, network: Network, *, multiple: int, sha256: str, largest_batch: int = _BATCH
    ) -> None:
        self.network = OneAtATime(network)
        self.multiple = multiple
        """Sides that the network takes are multiples of this."""
        self.sha256 = sha256
        """Of the weights file."""
        self._combined: Combiner[FloatImage, FloatImage] = Combiner(
            lambda images: list(self.batch(np.stack(images))),
            key=lambda image: image.shape,
            most=largest_batch,
        )

    def crops(self, crops: Sequence[FaceCrop]) -> list[FloatImage]:
        """Deblur crops; one (S, S, 3) float32 RGB in [0, 1] for each, in the order given.

        Crops of one size run as one batch, with those that other threads ask for meanwhile.
        """
        return self._combined([crop.image for crop in crops])

    @overload
    def batch(self, images: NDArray[np.float32]) -> NDArray[np.float32]: ...

    @overload
    def batch(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]: ...

    def batch(
        self, images: NDArray[np.float32] | NDArray[np.uint8]
    ) -> NDArray[np.float32] | NDArray[np.uint8]:
        """Map (N, H, W, 3) RGB, float32 in [0, 1] or uint8, to the same shape, type and range.

        Sides that the network cannot take are extended by reflection and cut back.
        """
        height, width = images.shape[1:3]
        rows, columns = -height % self.multiple, -width % self.multiple
        top, left = rows // 2, columns // 2
        scaled = _network_input(images)
        if rows or columns:
            edges = ((0, 0), (0, 0), (top, rows - top), (left, columns - left))
            scaled = np.pad(scaled, edges, mode="reflect")
        (output,) = self.network(scaled)  # (N, 3, S, S)
        cut = output[:, :, top : top + height, left : left + width]
        if images.dtype == np.uint8:
            return np.rint(_images(cut, white=255)).astype(np.uint8)
        return _images(cut, white=1)

    def close(self) -> None:
        """Free the network."""
        self.network.close()


def _network_input(images: NDArray[np.float32] | NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, 3, H, W) in [-1, 1] of (N, H, W, 3): scaled and put in order in one pass."""
    turned = images.transpose(0, 3, 1, 2)
    scaled = np.empty(turned.shape, np.float32)
    white = 255 if images.dtype == np.uint8 else 1
    np.multiply(turned, np.float32(2 / white), out=scaled)
    scaled -= np.float32(1)
    return scaled


def _images(output: NDArray[np.float32], *, white: int) -> NDArray[np.float32]:
    """(N, H, W, 3) from 0 to `white`, of (N, 3, H, W) in [-1, 1]."""
    turned = output.transpose(0, 2, 3, 1)
    images = np.empty(turned.shape, np.float32)
    np.add(turned, np.float32(1), out=images)
    images *= np.float32(white / 2)
    return images


def open_deblurrer(
    weights: WeightsFile,
    choice: Choice,
    *,
    threads: int | None = None,
    on_status: Callable[[str], None] = lambda line: None,
) -> Deblurrer:
    """Make a model ready to deblur; close it when done.

    Args:
        weights: Of the model.
        choice: What runs it.
        threads: CPU threads; None leaves the engine's choice.
        on_status: Told in one line when something slow begins.

    Raises:
        WeightsError: The file does not hold weights of the model.
        EngineError: The engine computes something else than torch does, or cannot be opened.
    """
    spec = deblur_spec(weights)
    network = open_network(spec, choice, threads=threads, on_status=on_status)
    return Deblurrer(
        network, multiple=spec.multiple, sha256=weights.sha256, largest_batch=spec.batch
    )
