"""The deblurring network behind crops: ranges, layouts, batches and sizes taken care of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from vidfacedeblur.engines import Choice, deblur_spec, open_network
from vidfacedeblur.models.weights import LoadedModel
from vidfacedeblur.types import FaceCrop, FloatImage, Network


class Deblurrer:
    """Deblurs crops of any size with one network."""

    def __init__(self, network: Network, *, multiple: int, sha256: str) -> None:
        self.network = network
        self.multiple = multiple
        """Sides that the network takes are multiples of this."""
        self.sha256 = sha256
        """Of the weights file."""

    def crops(self, crops: Sequence[FaceCrop]) -> list[FloatImage]:
        """Deblur crops; one (S, S, 3) float32 RGB in [0, 1] for each, in the order given.

        Crops of one size run as one batch.
        """
        by_side: dict[int, list[int]] = defaultdict(list)
        for i, crop in enumerate(crops):
            by_side[crop.image.shape[0]].append(i)
        results: dict[int, FloatImage] = {}
        for picks in by_side.values():
            restored = self.batch(np.stack([crops[i].image for i in picks]))
            results.update(zip(picks, restored, strict=True))
        return [results[i] for i in range(len(crops))]

    def batch(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map (N, H, W, 3) float32 RGB in [0, 1] to the same shape and range.

        Sides that the network cannot take are extended by reflection and cut back.
        """
        height, width = images.shape[1:3]
        rows, columns = -height % self.multiple, -width % self.multiple
        top, left = rows // 2, columns // 2
        if rows or columns:
            edges = ((0, 0), (top, rows - top), (left, columns - left), (0, 0))
            images = np.pad(images, edges, mode="reflect")
        scaled = images.transpose(0, 3, 1, 2) * np.float32(2) - np.float32(1)  # (N, 3, S, S)
        (output,) = self.network(scaled)
        restored = (output.transpose(0, 2, 3, 1) + np.float32(1)) * np.float32(0.5)
        return restored[:, top : top + height, left : left + width]

    def close(self) -> None:
        """Free the network."""
        self.network.close()


def open_deblurrer(
    model: LoadedModel, choice: Choice, *, on_status: Callable[[str], None] = lambda line: None
) -> Deblurrer:
    """Make a model ready to deblur; close it when done.

    Args:
        model: The network with its weights.
        choice: What runs it.
        on_status: Told in one line when something slow begins.
    """
    spec = deblur_spec(model)
    network = open_network(spec, choice, on_status=on_status)
    return Deblurrer(network, multiple=spec.multiple, sha256=model.sha256)
