"""HDR10 data: the mastering display and the brightest content, which encoders are told as text.

FFmpeg hands them to an encoder by itself, but not through PyAV.
"""

from __future__ import annotations

import struct

import av
from av.sidedata.sidedata import Type

from vidfacedeblur.video.frames import side_data

_DYNAMIC = (Type.DYNAMIC_HDR_PLUS, Type.DYNAMIC_HDR_VIVID, Type.DOVI_METADATA)


def has_static_hdr(picture: av.VideoFrame) -> bool:
    """Whether a picture carries HDR10 data."""
    kinds = (Type.MASTERING_DISPLAY_METADATA, Type.CONTENT_LIGHT_LEVEL)
    return any(side_data(picture, kind) is not None for kind in kinds)


def has_dynamic_hdr(picture: av.VideoFrame) -> bool:
    """Whether a picture carries data of its own scene: HDR10+, HDR Vivid or Dolby Vision."""
    return any(side_data(picture, kind) is not None for kind in _DYNAMIC)


def x265_parameters(picture: av.VideoFrame) -> list[str]:
    """HDR10 data as libx265 wants them: chromaticity in 1/50000, luminance in 1/10000 cd/m2."""
    found = []
    display = _mastering_display(picture, chromaticity=50_000, luminance=10_000)
    if display is not None:
        found.append(f"master-display={display}")
    light = _light_level(picture)
    if light is not None:
        found.append(f"max-cll={light}")
    return ["hdr10=1", "repeat-headers=1", *found] if found else []


def svtav1_parameters(picture: av.VideoFrame) -> list[str]:
    """HDR10 data as libsvtav1 wants them: plain numbers."""
    found = []
    display = _mastering_display(picture, chromaticity=None, luminance=None)
    if display is not None:
        found.append(f"mastering-display={display}")
    light = _light_level(picture)
    if light is not None:
        found.append(f"content-light={light}")
    return found


def _mastering_display(
    picture: av.VideoFrame, *, chromaticity: int | None, luminance: int | None
) -> str | None:
    data = side_data(picture, Type.MASTERING_DISPLAY_METADATA)
    if data is None or len(data) < 88:
        return None
    # AVMasteringDisplayMetadata: red, green, blue and white as (x, y), then darkest and brightest,
    # each a fraction of two ints; then whether the colours and the luminances are there.
    *numbers, has_colours, has_luminance = struct.unpack("=22i", data[:88])
    if not (has_colours and has_luminance):
        return None
    values = [n / d if d else 0.0 for n, d in zip(numbers[::2], numbers[1::2], strict=True)]
    red, green, blue, white = (
        ",".join(_number(v, chromaticity) for v in values[i : i + 2]) for i in (0, 2, 4, 6)
    )
    darkest, brightest = (_number(v, luminance) for v in values[8:10])
    return f"G({green})B({blue})R({red})WP({white})L({brightest},{darkest})"


def _number(value: float, unit: int | None) -> str:
    return f"{value:.6f}" if unit is None else str(round(value * unit))


def _light_level(picture: av.VideoFrame) -> str | None:
    data = side_data(picture, Type.CONTENT_LIGHT_LEVEL)
    if data is None or len(data) < 8:
        return None
    brightest, average = struct.unpack("=2I", data[:8])
    return f"{brightest},{average}"
