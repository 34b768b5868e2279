"""HDR10 data: the mastering display and the brightest content, which encoders are told as text.

FFmpeg hands them to an encoder by itself, but not through PyAV.
"""

from __future__ import annotations

import struct

from av.sidedata.sidedata import Type

from vidfacedeblur.video.frames import SideData

_DYNAMIC = (Type.DYNAMIC_HDR_PLUS, Type.DYNAMIC_HDR_VIVID, Type.DOVI_METADATA)


def has_static_hdr(data: SideData) -> bool:
    """Whether HDR10 data are among a picture's side data."""
    kinds = (Type.MASTERING_DISPLAY_METADATA, Type.CONTENT_LIGHT_LEVEL)
    return any(kind in data for kind in kinds)


def has_dynamic_hdr(data: SideData) -> bool:
    """Whether there are data of the scene alone: HDR10+, HDR Vivid or Dolby Vision."""
    return any(kind in data for kind in _DYNAMIC)


def x265_parameters(data: SideData) -> list[str]:
    """HDR10 data as libx265 wants them: chromaticity in 1/50000, luminance in 1/10000 cd/m2."""
    found = []
    display = _mastering_display(data, chromaticity=50_000, luminance=10_000)
    if display is not None:
        found.append(f"master-display={display}")
    light = _light_level(data)
    if light is not None:
        found.append(f"max-cll={light}")
    return ["hdr10=1", "repeat-headers=1", *found] if found else []


def svtav1_parameters(data: SideData) -> list[str]:
    """HDR10 data as libsvtav1 wants them: plain numbers."""
    found = []
    display = _mastering_display(data, chromaticity=None, luminance=None)
    if display is not None:
        found.append(f"mastering-display={display}")
    light = _light_level(data)
    if light is not None:
        found.append(f"content-light={light}")
    return found


def _mastering_display(
    data: SideData, *, chromaticity: int | None, luminance: int | None
) -> str | None:
    display = data.get(Type.MASTERING_DISPLAY_METADATA, b"")
    if len(display) < 88:
        return None
    # AVMasteringDisplayMetadata: red, green, blue and white as (x, y), then darkest and brightest,
    # each a fraction of two ints; then whether the colours and the luminances are there.
    *numbers, has_colours, has_luminance = struct.unpack("=22i", display[:88])
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


def _light_level(data: SideData) -> str | None:
    light = data.get(Type.CONTENT_LIGHT_LEVEL, b"")
    if len(light) < 8:
        return None
    brightest, average = struct.unpack("=2I", light[:8])
    return f"{brightest},{average}"
