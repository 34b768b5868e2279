"""Finding faces with MTCNN: three networks, each judging fewer and larger crops than the last.

The steps, thresholds and rounding are those of facenet-pytorch 2.5.3's ``MTCNN.detect``, so that
boxes are the ones that this project's users and its papers have, to a hundredth of a pixel. What
differs changes no box: equal scores are ordered by position; candidates without a pixel inside the
picture are left out, and pictures smaller than a face have no faces (both are errors there). Only
pictures above 16 million pixels, searched for large faces, are made smaller first.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from vidfacedeblur.faces.boxes import Boxes, moved, squared, thinned, windows
from vidfacedeblur.faces.proposals import WINDOW, propose, pyramid
from vidfacedeblur.faces.resample import Batch, SumTable
from vidfacedeblur.types import Box, ByteImage, Face, Network

_RNET_SIDE = 24
ONET_SIDE = 48
"""Side of the crops that the last network judges, in pixels."""
_OVERLAP = 0.7
_CHUNK = {_RNET_SIDE: 32, ONET_SIDE: 8}
"""Crops that a CPU is given at once, at most: small enough for its cache."""

_LARGE = 2**24
"""Pixels above which a picture is shrunk first; the table of sums takes 16 bytes for each."""
_ENOUGH = ONET_SIDE
"""Pixels of the smallest face wanted that are left then; the networks look at no more."""

Picture = tuple[SumTable, int, int]
"""With its width and height."""


class MtcnnDetector:
    """Finds the faces of a picture.

    Args:
        pnet: Proposes; called with (1, 3, H, W) of many sizes.
        rnet: Refines; called with (N, 3, 24, 24).
        onet: Decides; called with (N, 3, 48, 48).
        thresholds: Least probability to pass each network.
    """

    def __init__(
        self,
        pnet: Network,
        rnet: Network,
        onet: Network,
        *,
        thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7),
    ) -> None:
        self._pnet, self._rnet, self._onet = pnet, rnet, onet
        self._thresholds = thresholds

    @property
    def networks(self) -> tuple[Network, Network, Network]:
        """P-, R- and O-Net."""
        return self._pnet, self._rnet, self._onet

    def close(self) -> None:
        """Free the networks."""
        for network in self.networks:
            network.close()

    def detect(self, rgb: ByteImage, *, min_face: int, min_score: float) -> list[Face]:
        """Find the faces of an upright picture, (H, W, 3) uint8 RGB of any size; largest first.

        Args:
            rgb: The picture.
            min_face: Height of the smallest face to look for, in pixels; 12 or more.
            min_score: Least probability of a face that is returned.

        Raises:
            ValueError: `min_face` is below 12.
        """
        if min_face < WINDOW:
            raise ValueError(f"min_face must be {WINDOW} or more pixels, got {min_face}")
        factor = min_face // _ENOUGH if rgb.shape[0] * rgb.shape[1] > _LARGE else 1
        if factor > 1:
            size = (rgb.shape[1] // factor, rgb.shape[0] // factor)
            shrunk = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
            faces = self._detect(shrunk, min_face // factor, min_score)
            return [_scaled(face, rgb.shape[1] / size[0], rgb.shape[0] / size[1]) for face in faces]
        return self._detect(rgb, min_face, min_score)

    def _detect(self, rgb: ByteImage, min_face: int, min_score: float) -> list[Face]:
        height, width = rgb.shape[:2]
        levels = pyramid(height, width, min_face)
        if not levels:
            return []
        table = SumTable(rgb)
        proposals = propose(self._pnet, table, levels, self._thresholds[0])
        picture = (table, width, height)
        return self._decide(picture, self._refine(picture, proposals), min_score)

    def _refine(self, picture: Picture, squares: Boxes) -> Boxes:
        """Squares that R-Net takes for faces, moved as it says."""
        squares, crops = _crops(picture, squares, _RNET_SIDE)
        if not len(squares):
            return squares
        regression, scores = _in_chunks(self._rnet, crops)
        passed = scores > np.float32(self._thresholds[1])
        squares, regression, scores = squares[passed], regression[passed], scores[passed]
        kept = thinned(squares, scores, threshold=_OVERLAP)
        return squared(moved(squares[kept], regression[kept], extra=1))

    def _decide(self, picture: Picture, squares: Boxes, min_score: float) -> list[Face]:
        """Faces that O-Net finds in the squares, the largest first."""
        squares, crops = _crops(picture, squares, ONET_SIDE)
        if not len(squares):
            return []
        # A face below min_score never removes one above it, so it can go before the thinning.
        least = max(min_score, float(np.nextafter(np.float32(self._thresholds[2]), np.float32(1))))
        found = [face for face in self.judge(squares, crops, least) if face is not None]
        boxes = np.array([face.box for face in found], np.float32).reshape(-1, 4)
        scores = np.array([face.score for face in found], np.float32)
        kept = thinned(boxes, scores, threshold=_OVERLAP, measure="smaller")
        faces = [found[i] for i in kept if _touches(found[i].box, *picture[1:])]
        return sorted(faces, key=lambda face: face.box.width * face.box.height, reverse=True)

    def judge(self, squares: Boxes, crops: Batch, min_score: float) -> list[Face | None]:
        """What O-Net says of squares: the face in each, or None.

        Args:
            squares: (N, 4) in pixels.
            crops: What they show, (N, 3, 48, 48), scaled as `resample.Batch`.
            min_score: Least probability of a face.
        """
        regression, scores, points = _in_chunks(self._onet, crops)
        passed = scores >= np.float32(min_score)
        boxes = moved(squares, regression, extra=1)
        landmarks = _landmarks(squares, points)
        return [
            _face(boxes[i], scores[i], landmarks[i]) if passed[i] else None
            for i in range(len(squares))
        ]


def _crops(picture: Picture, squares: Boxes, side: int) -> tuple[Boxes, Batch]:
    """The squares that have a pixel inside the picture, and what is there."""
    table, width, height = picture
    places = windows(squares, width, height)
    seen = (places[:, 2:] > places[:, :2]).all(axis=1)
    if not seen.any():
        return squares[:0], np.empty((0, 3, side, side), np.float32)
    return squares[seen], table.crops(places[seen], side)


def _in_chunks(network: Network, crops: Batch) -> tuple[NDArray[np.float32], ...]:
    """Run a network on a batch; on a CPU in chunks of a few sizes, which it prepares for once."""
    if network.device != "cpu":
        return network(crops)
    count, chunk = len(crops), _CHUNK[crops.shape[-1]]
    # The last chunk is filled up to a power of two: one face followed is a batch of one.
    rest = count % chunk
    spare = (1 << (rest - 1).bit_length()) - rest if rest else 0
    filled = np.concatenate([crops, np.zeros((spare, *crops.shape[1:]), np.float32)])
    parts = [network(filled[i : i + chunk]) for i in range(0, len(filled), chunk)]
    return tuple(np.concatenate(outputs)[:count] for outputs in zip(*parts, strict=True))


def _landmarks(squares: Boxes, points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Landmarks in pixels, (N, 5, 2), from O-Net's (N, 10): five x, then five y."""
    size = (squares[:, 2:] - squares[:, :2] + 1)[:, None]  # (N, 1, 2)
    within = points.reshape(-1, 2, 5).transpose(0, 2, 1)
    located: NDArray[np.float32] = size * within + squares[:, None, :2] - 1
    return located


def _face(box: NDArray[np.float32], score: np.float32, points: NDArray[np.float32]) -> Face:
    return Face(Box(*box.tolist()), float(score), tuple((x, y) for x, y in points.tolist()))


def _scaled(face: Face, x: float, y: float) -> Face:
    box = Box(face.box.x0 * x, face.box.y0 * y, face.box.x1 * x, face.box.y1 * y)
    points = tuple((px * x, py * y) for px, py in face.landmarks or ())
    return replace(face, box=box, landmarks=points)


def _touches(box: Box, width: int, height: int) -> bool:
    inside = box.x0 < width and box.y0 < height and box.x1 > 0 and box.y1 > 0
    return inside and box.width > 0 and box.height > 0
