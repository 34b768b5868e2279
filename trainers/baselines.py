"""Classical deconvolution, from scikit-image, given the true kernel: what networks must beat.

Unsupervised Wiener: Orieux, Giovannelli, Rodet, J. Opt. Soc. Am. A 27(7), 2010; it estimates noise
and prior by itself, here badly. Wiener with a set balance of the two: Hunt 1971. Richardson-Lucy:
Richardson 1972, Lucy 1974.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage import restoration

from vidfacedeblur.types import FloatImage

_unsupervised: Any = restoration.unsupervised_wiener
_wiener: Any = restoration.wiener
_lucy: Any = restoration.richardson_lucy

Deconvolve = Callable[[FloatImage, NDArray[np.float32]], FloatImage]
"""Maps (H, W, 3) in [0, 1] and its (K, K) kernel to the same shape and range."""

_FADE = 64
"""Pixels over which the Wiener filter's input fades out, outside the picture."""
_BALANCE = 0.1
"""The best of 0.3, 0.1, 0.03 and 0.01 on faces that no figure is about."""
_ROUNDS = 20
"""Of Richardson-Lucy; more sharpens the noise."""
_SAMPLES = {"burnin": 5, "min_num_iter": 10, "max_num_iter": 20}
"""Of the Wiener filter's chain; 200, its default, measure the same and take ten times as long."""


def unsupervised_wiener(blurred: FloatImage, kernel: NDArray[np.float32]) -> FloatImage:
    """Wiener filter that estimates noise and prior by itself."""

    def restore(channel: NDArray[np.float32]) -> NDArray[np.float32]:
        found, _ = _unsupervised(channel, kernel, user_params=_SAMPLES, clip=False, rng=0)
        return np.asarray(found, np.float32)

    return _periodic(blurred, restore)


def wiener(blurred: FloatImage, kernel: NDArray[np.float32]) -> FloatImage:
    """Wiener filter with a set balance of noise and prior."""

    def restore(channel: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(_wiener(channel, kernel, _BALANCE, clip=False), np.float32)

    return _periodic(blurred, restore)


def _periodic(
    blurred: FloatImage, restore: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> FloatImage:
    edge = min(_FADE, min(blurred.shape[:2]) - 1)
    # The filter takes the picture for periodic: fading to the mean leaves no step at the border.
    extended = _extended(blurred, edge)
    fade = _fade(extended.shape[0], edge)[:, None, None] * _fade(extended.shape[1], edge)[:, None]
    mean = extended.mean((0, 1))
    return _by_channel(mean + (extended - mean) * fade, edge, restore)


def lucy(blurred: FloatImage, kernel: NDArray[np.float32]) -> FloatImage:
    """Richardson-Lucy."""

    def restore(channel: NDArray[np.float32]) -> NDArray[np.float32]:
        found: Any = _lucy(channel, kernel, num_iter=_ROUNDS, clip=False, filter_epsilon=1e-3)
        return np.asarray(found, np.float32)

    edge = kernel.shape[0] // 2
    return _by_channel(_extended(blurred, edge), edge, restore)


BASELINES: dict[str, Deconvolve] = {
    "unsupervised Wiener, kernel known": unsupervised_wiener,
    "Wiener, kernel known": wiener,
    "Richardson-Lucy, kernel known": lucy,
}


def _extended(image: FloatImage, edge: int) -> FloatImage:
    return np.pad(image, ((edge, edge), (edge, edge), (0, 0)), mode="reflect")


def _fade(length: int, edge: int) -> NDArray[np.float32]:
    """Weights that rise from 0 to 1 within `edge` samples of both ends."""
    places = np.arange(length)
    distance = np.minimum(places, places[::-1]) / edge
    return np.asarray(np.sin(np.minimum(1, distance) * np.pi / 2) ** 2, np.float32)


def _by_channel(
    extended: FloatImage,
    edge: int,
    restore: Callable[[NDArray[np.float32]], NDArray[np.float32]],
) -> FloatImage:
    """Restore each channel of an extended picture, and take the extension off."""
    channels = [restore(np.ascontiguousarray(extended[..., i], np.float32)) for i in range(3)]
    inside = np.stack(channels, axis=-1)[edge:-edge, edge:-edge]
    return np.clip(inside, 0, 1)
