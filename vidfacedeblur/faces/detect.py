"""Finding faces with MTCNN: three networks, each judging fewer and larger crops than the last.

The steps, thresholds and rounding are those of facenet-pytorch 2.5.3's ``MTCNN.detect``, so that
boxes are the same as what this project's users and its papers have: with ``resize="reference"`` to
a hundredth of a pixel, with ``resize="fast"`` to about one. Differences, none of which changes a
box: equal scores are ordered by position, candidates without a pixel inside the picture are left
out (there they are an error), and pictures smaller than a face have no faces (there too).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vidfacedeblur.faces.boxes import Boxes, Indices, iou, moved, ranked, squared, survivors
from vidfacedeblur.faces.boxes import thinned, windows
from vidfacedeblur.faces.resample import ExactSampler, FastSampler, Sampler
from vidfacedeblur.types import Box, ByteImage, Face, Network

LEAST_FACE = 12
"""Side of P-Net's window, and so the smallest face that can be looked for."""

_FACTOR = 0.709
"""Each level of the pyramid has half the pixels of the one before."""
_STRIDE = 2
_CHUNK = 64
"""Crops given to a network at once on a CPU: one shape to prepare for, and it stays in the cache."""

Scores = NDArray[np.float32]


class MtcnnDetector:
    """Finds the faces of a picture.

    Args:
        pnet: Proposes; called with (1, 3, H, W) of many sizes.
        rnet: Refines; called with (N, 3, 24, 24).
        onet: Decides; called with (N, 3, 48, 48).
        thresholds: Least probability to pass each network.
        resize: ``reference`` repeats the published resizing exactly, ``fast`` saves time.
    """

    def __init__(
        self,
        pnet: Network,
        rnet: Network,
        onet: Network,
        *,
        thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7),
        resize: Literal["fast", "reference"] = "fast",
    ) -> None:
        self._pnet, self._rnet, self._onet = pnet, rnet, onet
        self._thresholds = thresholds
        self._sampler = FastSampler if resize == "fast" else ExactSampler

    def detect(self, rgb: ByteImage, *, min_face: int, min_score: float) -> list[Face]:
        """Find the faces of an upright picture, (H, W, 3) uint8 RGB; the largest first.

        Args:
            rgb: The picture, of any size.
            min_face: Height of the smallest face to look for, in pixels; 12 or more.
            min_score: Least probability of a face that is returned.

        Raises:
            ValueError: `min_face` is below 12.
        """
        if min_face < LEAST_FACE:
            raise ValueError(f"min_face must be {LEAST_FACE} or more pixels, got {min_face}")
        height, width = rgb.shape[:2]
        scales = _scales(min(height, width), min_face)
        if not scales:
            return []
        sampler: Sampler = self._sampler(rgb)
        squares = self._propose(sampler, scales, height, width)
        squares = self._refine(sampler, squares, height, width)
        return self._decide(sampler, squares, height, width, min_score)
