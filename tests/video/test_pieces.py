"""The parts that pieces of a video are made of: sums, files of packets, seeking, times."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from vidfacedeblur.config import VideoOptions
from vidfacedeblur.errors import PieceError
from vidfacedeblur.types import Frame
from vidfacedeblur.video import (
    Encoded,
    PacketReader,
    PacketWriter,
    frames_from,
    look_of,
    open_pieces,
)
from vidfacedeblur.video.encoded import decoding_times
from vidfacedeblur.video.frames import checksum, rows_of
from vidfacedeblur.video.layout import layouts

Make = Callable[..., Path]


@pytest.mark.parametrize("pix_fmt", sorted(layouts()))
def test_a_checksum_is_of_all_samples_and_of_nothing_else(pix_fmt: str) -> None:
    picture = av.VideoFrame(35, 18, pix_fmt)
    for plane in picture.planes:
        rows_of(plane, np.uint8)[...] = 7
    before = checksum(picture)
    for plane in picture.planes:
        rows = rows_of(plane, np.uint8)
        for place in ((0, 0), (-1, plane.width - 1)):
            rows[place] ^= 1
            assert checksum(picture) != before
            rows[place] ^= 1
    layout = layouts()[pix_fmt]
    luma = rows_of(picture.planes[0], np.uint8)
    step = max(c.step for c in layout.components if c.plane == 0)
    luma[:, 36 * step * layout.bytes :] = 9  # padding
    assert checksum(picture) == before


# Files of packets


def written(pts: list[int], dts: list[int] | None = None) -> bytes:
    file = io.BytesIO()
    writer = PacketWriter(file, {"piece": "x", "n": [1, None]})
    for number, time in enumerate(pts):
        packet = av.Packet(bytes([number]) * (number + 1))
        packet.pts, packet.dts, packet.duration = time, (dts or pts)[number], 4
        packet.is_keyframe = number == 0
        writer.write(packet)
    assert writer.times() == sorted(pts)
    writer.finish()
    return file.getvalue()


def test_packets_come_back(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(written([0, 30, -10, 20]))
    with PacketReader(path) as reader:
        assert reader.head == {"piece": "x", "n": [1, None]}
        assert reader.count == 4
        found = list(reader)
    assert found[:2] == [Encoded(0, 4, True, b"\0"), Encoded(30, 4, False, b"\1\1")]
    assert [packet.pts for packet in found] == [0, 30, -10, 20]


@pytest.mark.parametrize(
    ("pts", "dts", "delay"),
    [
        ([0, 1, 2, 3], None, 0),
        ([0, 3, 1, 2, 6, 4, 5], None, 1),
        ([0, 4, 2, 1, 3], None, 2),
        ([0, 1, 2, 3], [-2, -1, 0, 1], 2),
        ([5], None, 0),
        ([], None, 0),
    ],
)
def test_the_delay_of_packets(
    pts: list[int], dts: list[int] | None, delay: int, tmp_path: Path
) -> None:
    path = tmp_path / "a"
    path.write_bytes(written(pts, dts))
    with PacketReader(path) as reader:
        assert reader.delay == delay


def test_any_change_of_a_file_of_packets_is_noticed(tmp_path: Path) -> None:
    path, good = tmp_path / "a", written([0, 30, 10, 20])
    bad = [good[:length] for length in range(len(good))]
    bad += [good[:i] + bytes([good[i] ^ 1]) + good[i + 1 :] for i in range(len(good))]
    bad += [good + b"\0", b"", b"\0" * len(good)]
    for data in bad:
        path.write_bytes(data)
        with pytest.raises(PieceError, match="whole"), PacketReader(path) as reader:
            list(reader)


def test_decoding_times() -> None:
    assert list(decoding_times([7, 10, 14], 2)) == [0, 3]
    assert list(decoding_times([7], 0)) == []
    assert list(decoding_times([7, 10], 5)) == [4, 7]  # of a video that is shorter
    assert list(decoding_times([], 0)) == []


# Finding a frame again


KINDS = {
    "h264.mp4": ("libx264", {"g": "6", "crf": "20"}),
    "h264.ts": ("libx264", {"g": "6", "crf": "20"}),
    "h264.mkv": ("libx264", {"g": "6", "crf": "20"}),
    "open.mp4": ("libx264", {"g": "6", "x264-params": "open-gop=1:scenecut=0:b-adapt=0"}),
    "open.ts": ("libx264", {"g": "6", "x264-params": "open-gop=1:scenecut=0:b-adapt=0"}),
    "cra.mp4": ("libx265", {"x265-params": "log-level=none:keyint=6:open-gop=1:b-adapt=0"}),
    "cra.ts": ("libx265", {"x265-params": "log-level=none:keyint=6:open-gop=1:b-adapt=0"}),
    "vp9.webm": ("libvpx-vp9", {"g": "6", "cpu-used": "8"}),
    "refresh.mkv": ("libx264", {"x264-params": "intra-refresh=1:keyint=6"}),
}


@pytest.mark.parametrize("name", KINDS)
def test_frames_are_the_same_from_any_key_frame_on(
    name: str, make_clip: Make, tmp_path: Path
) -> None:
    encoder, settings = KINDS[name]
    path = make_clip(tmp_path / name, frames=30, encoder=encoder, settings=settings)
    with open_pieces(path, VideoOptions()) as source:
        start = source.began
        all_of_them = [(look_of(frame), frame.key) for frame in source]
    keys = [number for number, (_, key) in enumerate(all_of_them) if key]
    assert name == "refresh.mkv" or len(keys) >= 4
    for number in keys:
        with open_pieces(path, VideoOptions()) as source:
            frames = frames_from(source, all_of_them[number][0], start)
            found = [look_of(frame) for frame in frames]
        assert found == [look for look, _ in all_of_them[number:]]


def test_a_frame_that_is_not_there(make_clip: Make, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4")
    with open_pieces(path, VideoOptions()) as source:
        look = look_of(next(iter(source)))
    for wrong in (
        look._replace(checksum=look.checksum ^ 1),
        look._replace(corrupt=True),
        look._replace(pts=look.pts + 1),
        look._replace(pts=10**9),
    ):
        with (
            open_pieces(path, VideoOptions()) as source,
            pytest.raises(PieceError, match="not what it was"),
        ):
            list(frames_from(source, wrong, source.began))


def test_a_picture_is_not_done_in_pieces(tmp_path: Path) -> None:
    picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")
    with av.open(str(tmp_path / "a.png"), "w", format="image2") as container:
        stream = container.add_stream("png")
        stream.width, stream.height, stream.pix_fmt = 32, 32, "rgb24"
        container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    with (
        pytest.raises(PieceError, match="picture"),
        open_pieces(tmp_path / "a.png", VideoOptions()),
    ):
        pass
    assert not Frame(0, picture).key
