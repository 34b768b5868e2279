"""Closed captions, which broadcasts hide in the pictures, come through."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import pytest
from av.sidedata.sidedata import Type

from vidfacedeblur.errors import LossError

Go = Callable[..., Any]
LETTERS = b"HELLO WORLD"


def _caption(letter: int) -> bytes:
    """A NAL unit that carries a letter, as ATSC A/53 has it."""
    pair = bytes([0xFC, 0x80 | letter, 0x80])  # marked valid, of field 1; a letter, and nothing
    payload = b"\xb5\x00\x31GA94\x03" + bytes([0xC1, 0xFF]) + pair + b"\xff"
    return b"\0\0\0\1\x06\x04" + bytes([len(payload)]) + payload + b"\x80"


@pytest.fixture
def captioned(tmp_path: Path) -> Path:
    """A raw H.264 stream of a letter a picture."""
    encoder = cast(av.VideoCodecContext, av.CodecContext.create("libx264", "w"))
    encoder.width, encoder.height, encoder.pix_fmt = 64, 48, "yuv420p"
    encoder.time_base, encoder.max_b_frames = Fraction(1, 25), 0
    encoder.options = {"tune": "zerolatency"}
    units = []
    for number, letter in enumerate(LETTERS):
        frame = av.VideoFrame(64, 48, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes([100 + 5 * number]) * plane.buffer_size)
        frame.pts = number
        for packet in encoder.encode(frame):
            data = bytes(packet)
            # Behind the parameter sets, before the first slice.
            place = min(p for p in (data.find(b"\0\0\1\x65"), data.find(b"\0\0\1\x41")) if p >= 0)
            units.append(data[:place] + _caption(letter) + b"\0" + data[place:])
    path = tmp_path / "a.h264"
    path.write_bytes(b"".join(units))
    return path


def captions(path: Path) -> bytes:
    with av.open(str(path)) as container:
        found = [
            bytes(cast(Any, item))
            for frame in container.decode(video=0)
            for item in cast(Any, frame.side_data)
            if item.type == Type.A53_CC
        ]
    return bytes(data[1] & 0x7F for data in found)


@pytest.mark.parametrize("options", [{}, {"encoder": "libx265"}], ids=["same", "libx265"])
def test_captions_come_through(
    captioned: Path, run: Go, tmp_path: Path, options: dict[str, str]
) -> None:
    assert captions(captioned) == LETTERS
    assert captions(run(captioned, tmp_path / "b.mkv", **options).written) == LETTERS


def test_an_encoder_that_cannot_write_them_says_so(
    captioned: Path, run: Go, tmp_path: Path
) -> None:
    done = run(captioned, tmp_path / "b.mkv", encoder="ffv1")
    assert "ffv1 cannot write the closed captions that are in the pictures" in done.sink.warnings
    with pytest.raises(LossError, match="closed captions"):
        run(captioned, tmp_path / "c.mkv", encoder="ffv1", strict=True)
