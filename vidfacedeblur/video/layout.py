"""Where the samples of a pixel format lie in its planes.

Only little-endian formats of 8 to 16 bits with whole samples are described; the source converts
pictures in any other format once, to the nearest of these.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

import av

Model = Literal["yuv", "rgb", "gray"]


class Samples(NamedTuple):
    """Where one colour component lies; offset and step count samples, not bytes."""

    plane: int
    step: int = 1
    offset: int = 0


@dataclass(frozen=True)
class PixelLayout:
    """The colour samples of a pixel format. Alpha is not among them: nothing ever changes it."""

    model: Model
    components: tuple[Samples, ...]
    """Y, Cb, Cr; or R, G, B; or Y alone."""
    bits: int = 8
    """Significant bits of a sample."""
    shift: int = 0
    """Unused bits below them."""
    wide: int = 1
    """Luma samples per chroma sample, across."""
    high: int = 1
    """Luma samples per chroma sample, down."""
    full_range: bool = False
    """The format itself says full range, whatever the frame's tags say."""

    @property
    def bytes(self) -> int:
        """Bytes per sample."""
        return 1 if self.bits == 8 else 2

    @property
    def top(self) -> int:
        """The largest sample value."""
        return (1 << self.bits) - 1


_CHROMA = {"420": (2, 2), "422": (2, 1), "444": (1, 1), "440": (1, 2), "411": (4, 1), "410": (4, 4)}
_PACKED_RGB = {
    "rgb24": (3, 0, 1, 2),
    "bgr24": (3, 2, 1, 0),
    "rgba": (4, 0, 1, 2),
    "rgb0": (4, 0, 1, 2),
    "bgra": (4, 2, 1, 0),
    "bgr0": (4, 2, 1, 0),
    "argb": (4, 1, 2, 3),
    "0rgb": (4, 1, 2, 3),
    "abgr": (4, 3, 2, 1),
    "0bgr": (4, 3, 2, 1),
    "rgb48le": (3, 0, 1, 2),
    "rgba64le": (4, 0, 1, 2),
}  # samples per pixel, then the places of R, G and B
_DEPTHS = {"": 8, "9le": 9, "10le": 10, "12le": 12, "14le": 14, "16le": 16}
_THREE_PLANES = (Samples(0), Samples(1), Samples(2))
_SEMI_PLANAR = (Samples(0), Samples(1, 2, 0), Samples(1, 2, 1))
_SWAPPED_SEMI_PLANAR = (Samples(0), Samples(1, 2, 1), Samples(1, 2, 0))


@cache
def layouts() -> dict[str, PixelLayout]:
    """Every pixel format that a canvas can work on, by FFmpeg's name."""
    found = _planar_yuv() | _rgb() | _gray()
    found |= {
        "nv12": PixelLayout("yuv", _SEMI_PLANAR, wide=2, high=2),
        "nv21": PixelLayout("yuv", _SWAPPED_SEMI_PLANAR, wide=2, high=2),
        "nv16": PixelLayout("yuv", _SEMI_PLANAR, wide=2),
        "p010le": PixelLayout("yuv", _SEMI_PLANAR, bits=10, shift=6, wide=2, high=2),
        "yuyv422": PixelLayout("yuv", (Samples(0, 2), Samples(0, 4, 1), Samples(0, 4, 3)), wide=2),
        "uyvy422": PixelLayout("yuv", (Samples(0, 2, 1), Samples(0, 4), Samples(0, 4, 2)), wide=2),
    }
    return {name: layout for name, layout in found.items() if _exists(name)}


def _exists(name: str) -> bool:
    try:
        av.VideoFormat(name)
    except ValueError:  # not every subsampling comes in every depth
        return False
    return True


def _planar_yuv() -> dict[str, PixelLayout]:
    found = {}
    for chroma, (wide, high) in _CHROMA.items():
        for depth, bits in _DEPTHS.items():
            layout = PixelLayout("yuv", _THREE_PLANES, bits=bits, wide=wide, high=high)
            found[f"yuv{chroma}p{depth}"] = found[f"yuva{chroma}p{depth}"] = layout
        found[f"yuvj{chroma}p"] = PixelLayout(
            "yuv", _THREE_PLANES, wide=wide, high=high, full_range=True
        )
    return found


def _rgb() -> dict[str, PixelLayout]:
    found = {}
    for depth, bits in _DEPTHS.items():
        planar = PixelLayout("rgb", (Samples(2), Samples(0), Samples(1)), bits=bits)
        found[f"gbrp{depth}"] = found[f"gbrap{depth}"] = planar
    for name, (step, *places) in _PACKED_RGB.items():
        components = tuple(Samples(0, step, place) for place in places)
        found[name] = PixelLayout("rgb", components, bits=16 if name.endswith("le") else 8)
    return found


def _gray() -> dict[str, PixelLayout]:
    # Grey is always full range: swscale and the encoders take it so, whatever the tags say.
    found = {
        f"gray{depth}": PixelLayout("gray", (Samples(0),), bits=bits, full_range=True)
        for depth, bits in _DEPTHS.items()
    }
    found["ya8"] = PixelLayout("gray", (Samples(0, 2),), full_range=True)
    found["ya16le"] = PixelLayout("gray", (Samples(0, 2),), bits=16, full_range=True)
    return found
