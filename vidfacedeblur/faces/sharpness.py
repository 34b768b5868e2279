"""How sharp a face is, as a number that does not depend on its size."""

from __future__ import annotations

import cv2
import numpy as np

from vidfacedeblur.types import FloatImage

_SIDE = 80
"""Every face is brought to this many pixels first."""
_CENTRE = 0.6
"""Share of the crop's sides that is looked at: the face without its surroundings."""
_WINDOW = 9
"""Length of the re-blurring filter in pixels."""


def sharpness(crop: FloatImage) -> float:
    """How much of a face's detail is lost when it is blurred again, 0 to 1.

    A sharp face loses most of its neighbour-to-neighbour variation, a blurred one little, because it
    has lost it already (Crete et al., "The Blur Effect: Perception and Estimation with a New
    No-Reference Perceptual Blur Metric", SPIE 2007; this is one minus their figure, on the luma of
    the crop's middle). Contrast cancels out. A flat crop counts as blurred.

    Args:
        crop: (S, S, 3) float32 RGB in [0, 1].
    """
    side = crop.shape[0]
    edge = round(side * (1 - _CENTRE) / 2)
    middle = crop[edge : side - edge, edge : side - edge]
    how = cv2.INTER_AREA if middle.shape[0] > _SIDE else cv2.INTER_CUBIC
    middle = cv2.resize(np.ascontiguousarray(middle), (_SIDE, _SIDE), interpolation=how)
    luma = middle @ np.array([0.299, 0.587, 0.114], np.float32)
    kept = []
    for axis, window in ((0, (1, _WINDOW)), (1, (_WINDOW, 1))):
        again = cv2.blur(luma, window, borderType=cv2.BORDER_REPLICATE)
        before = np.abs(np.diff(luma, axis=axis))
        lost = np.maximum(0, before - np.abs(np.diff(again, axis=axis)))
        kept.append(float(lost.sum() / max(float(before.sum()), 1e-4)))
    # The direction that lost more to motion speaks for the face.
    return min(1.0, max(0.0, min(kept)))
