"""Pictures to find faces in, made from scikit-image's bundled photographs (public domain).

Only whole-number operations, so that they are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from skimage import data

Picture = NDArray[np.uint8]


def astronaut() -> Picture:
    picture: Picture = data.astronaut()
    return picture


def halved(picture: Picture, factor: int = 2) -> Picture:
    """Average blocks of factor x factor pixels."""
    height, width = (side // factor * factor for side in picture.shape[:2])
    blocks = picture[:height, :width].reshape(height // factor, factor, width // factor, factor, 3)
    mean: Picture = (blocks.sum(axis=(1, 3), dtype=np.int64) // factor**2).astype(np.uint8)
    return mean


def enlarged(picture: Picture, factor: int) -> Picture:
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def brightened(picture: Picture, percent: int) -> Picture:
    return np.minimum(picture.astype(np.int64) * percent // 100, 255).astype(np.uint8)


def sheared(picture: Picture, rise: int) -> Picture:
    """Shift each column down by its x * rise / 16, which turns a face a little."""
    columns = [np.roll(picture[:, x], x * rise // 16, axis=0) for x in range(picture.shape[1])]
    return np.stack(columns, axis=1)


def head(side: int = 160) -> Picture:
    """The astronaut's head from its surroundings."""
    return astronaut()[40 : 40 + side, 150 : 150 + side]


def crowd() -> Picture:
    """Fifty-four heads of four sizes, mirrored, brighter and darker, on noise: 720 x 1280."""
    rng = np.random.default_rng(7)
    canvas = rng.integers(90, 130, (720, 1280, 3)).astype(np.uint8)
    kinds = [head(), head()[:, ::-1], brightened(head(), 60), brightened(head(), 140)]
    small = [halved(k) for k in kinds] + [halved(k, 3) for k in kinds]
    for i in range(4):
        canvas[10:170, 20 + 320 * i :][:, :160] = kinds[i]
    for i in range(50):
        tile = small[(i * 3) % len(small)]
        y = 190 + (i // 13) * 130 + i % 3 * 7
        x = 10 + (i % 13) * 97 + i % 5
        canvas[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    return canvas


PICTURES: dict[str, tuple[Callable[[], Picture], int]] = {
    "astronaut": (astronaut, 20),
    "astronaut, large faces only": (astronaut, 60),
    "astronaut, odd size": (lambda: astronaut()[3:480, 20:401], 23),
    "half size": (lambda: halved(astronaut()), 20),
    "a quarter of the size": (lambda: halved(astronaut(), 4), 12),
    "twice the size": (lambda: enlarged(astronaut(), 2), 40),
    "dark": (lambda: brightened(astronaut(), 30), 20),
    "bright": (lambda: brightened(astronaut(), 180), 20),
    "mirrored": (lambda: astronaut()[:, ::-1].copy(), 20),
    "tilted": (lambda: sheared(astronaut(), 5), 20),
    "tilted the other way": (lambda: sheared(astronaut(), -5), 20),
    "upside down": (lambda: astronaut()[::-1].copy(), 20),
    "cut by the edge": (lambda: astronaut()[70:300, 200:420], 20),
    "cut by two edges": (lambda: astronaut()[:140, :225], 20),
    "tiled": (lambda: np.tile(halved(astronaut()), (2, 3, 1)), 20),
    "crowd": (crowd, 20),
    "no face: coffee": (data.coffee, 20),
    "no face: cat": (data.cat, 20),
}
"""By name: the picture, and the smallest face to look for in it."""
