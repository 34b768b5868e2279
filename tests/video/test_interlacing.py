"""Pictures keep the order of their fields, though some have none."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from vidfacedeblur.errors import LossError
from vidfacedeblur.video.frames import filtered
from vidfacedeblur.video.interlacing import interlaced

Go = Callable[..., Any]


def order(picture: av.VideoFrame) -> str:
    kinds = {"tff": "TOPFIRST", "bff": "BOTTOMFIRST", "prog": "PROGRESSIVE"}
    steps = {mode: ("select", f"eq(interlace_type\\,{kind})") for mode, kind in kinds.items()}
    return next(mode for mode, step in steps.items() if filtered(picture, step) is not None)


def orders(path: Path) -> list[str]:
    with av.open(str(path)) as container:
        return [order(picture) for picture in container.decode(video=0)]


def write(path: Path, modes: list[str]) -> Path:
    """A clip whose pictures say what they are, each by itself."""
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("ffv1", 25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for number, mode in enumerate(modes):
            picture = av.VideoFrame(64, 48, "yuv420p")
            for plane in picture.planes:
                plane.update(bytes([60 + number]) * plane.buffer_size)
            picture.pts, picture.time_base = number, Fraction(1, 25)
            container.mux(video.encode(filtered(picture, ("setfield", mode))))
        container.mux(video.encode(None))
    return path


@pytest.mark.parametrize("first", ["tff", "bff"])
def test_pictures_without_fields_do_not_turn_those_of_others_round(
    first: str, run: Go, tmp_path: Path
) -> None:
    modes = [first] * 15 + ["prog"] * 4 + [first] * 16 + ["prog"] * 3
    path = write(tmp_path / "a.mkv", modes)
    assert orders(path) == modes
    done = run(path, tmp_path / "b.mkv", encoder="libx264", strict=True)
    assert orders(done.written) == [first] * len(modes)


@pytest.mark.parametrize("encoder", ["libx264", "libx265"])
def test_fields_that_come_after_the_first_picture_are_named_as_lost(
    encoder: str, run: Go, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.mkv", ["prog"] * 3 + ["tff"] * 5)
    done = run(path, tmp_path / "b.mkv", encoder=encoder)
    assert done.sink.warnings == [
        "that pictures are interlaced which come after progressive ones cannot be kept (5 pictures)"
    ]
    with pytest.raises(LossError, match="come after progressive ones"):
        run(path, tmp_path / "c.mkv", encoder=encoder, strict=True)


@pytest.mark.parametrize("modes", [["prog"] * 3 + ["tff"] * 5, ["tff"] * 3 + ["prog"] * 2])
def test_ffv1_keeps_what_each_picture_is(modes: list[str], run: Go, tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", modes)
    assert orders(run(path, tmp_path / "b.mkv", strict=True).written) == modes


def test_a_picture_without_a_unit_of_time_is_marked_too() -> None:
    picture = av.VideoFrame(64, 48, "yuv420p")
    assert picture.time_base is None
    assert interlaced(picture).interlaced_frame
