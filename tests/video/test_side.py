"""User data of H.264 and HEVC come through or are named; what would break an encoder stays out."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import pytest
from av.sidedata.sidedata import Type

from vidfacedeblur.errors import LossError
from vidfacedeblur.video.side import fit_to_encode, has_user_data

Go = Callable[..., Any]
CAMERA = b"of a camera here"
X264 = bytes.fromhex("dc45e9bde6d948b7962cd820d923eeef")
X265 = bytes.fromhex("2ca2de09b51747dbbb55a4fe7fc2fc4e")
USER_DATA, REGISTERED = 5, 4
PICTURES = 6


def _message(kind: int, payload: bytes, *, hevc: bool) -> bytes:
    """A NAL unit of supplemental information."""
    head = b"\x4e\x01" if hevc else b"\x06"
    size = b"\xff" * (len(payload) // 255) + bytes([len(payload) % 255])
    return b"\0\0\0\1" + head + bytes([kind]) + size + payload + b"\x80"


def _place(data: bytes, *, hevc: bool) -> int:
    """Where the first slice of a coded picture begins."""
    place = data.find(b"\0\0\1")
    while not ((data[place + 3] >> 1) & 63 < 32 if hevc else data[place + 3] & 31 in (1, 5)):
        place = data.find(b"\0\0\1", place + 1)
    return place - (data[place - 1] == 0)


def write(
    path: Path, more: Callable[[int], bytes], *, encoder: str = "libx264", own: bool = False
) -> Path:
    """A raw stream with more before each picture, by its number; `own`: signed by its encoder."""
    context = cast(av.VideoCodecContext, av.CodecContext.create(encoder, "w"))
    context.width, context.height, context.pix_fmt = 64, 48, "yuv420p"
    context.time_base, context.max_b_frames = Fraction(1, 25), 0
    quiet = {"x265-params": "log-level=error:bframes=0"}
    context.options = {"tune": "zerolatency"} | (quiet if encoder == "libx265" else {})
    packets: list[av.Packet[Any]] = []
    for number in range(PICTURES):
        frame = av.VideoFrame(64, 48, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes([100 + 5 * number]) * plane.buffer_size)
        frame.pts = number
        packets += context.encode(frame)
    packets += context.encode(None)
    units = []
    for number, packet in enumerate(packets):
        data = bytes(packet)
        if not own:
            data = data.replace(X264, b"nobody knows it!").replace(X265, b"nobody knows it!")
        place = _place(data, hevc=encoder == "libx265")
        units.append(data[:place] + more(number) + data[place:])
    path.write_bytes(b"".join(units))
    return path


def of_camera(number: int, *, hevc: bool = False) -> bytes:
    return _message(USER_DATA, CAMERA + b"picture %d" % number, hevc=hevc)


def user_data(path: Path) -> list[list[bytes]]:
    """Of each picture, with names of encoders and without what follows them."""
    with av.open(str(path)) as container:
        return [
            [
                data[:16] if data[:16] in (X264, X265) else data
                for item in cast(Any, frame.side_data)
                if item.type == Type.SEI_UNREGISTERED
                for data in [bytes(item)]
                if not data.startswith(b"nobody")
            ]
            for frame in container.decode(video=0)
        ]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts"])
def test_user_data_of_a_camera_stay_with_their_pictures(
    suffix: str, run: Go, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.h264", of_camera)
    done = run(path, tmp_path / f"b{suffix}", strict=True)
    found = user_data(done.written)
    assert X264 in found[0]
    assert [[data for data in of_one if data != X264] for of_one in found] == [
        [CAMERA + b"picture %d" % number] for number in range(PICTURES)
    ]


def test_user_data_of_hevc_are_written_as_h264_and_named_otherwise(run: Go, tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.hevc", lambda number: of_camera(number, hevc=True), encoder="libx265"
    )
    done = run(path, tmp_path / "b.mkv")
    assert done.sink.warnings == ["libx265 cannot write the user data that are in the pictures"]
    with pytest.raises(LossError, match="the user data"):
        run(path, tmp_path / "c.mkv", strict=True)
    kept = run(path, tmp_path / "d.mkv", encoder="libx264", strict=True).written
    assert [found[-1] for found in user_data(kept)] == [
        CAMERA + b"picture %d" % number for number in range(PICTURES)
    ]


@pytest.mark.parametrize("encoder", ["libx264", "libx265"])
def test_an_encoder_s_words_about_itself_are_not_copied(
    encoder: str, run: Go, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.mkv", lambda _: b"", encoder=encoder, own=True)
    assert [found for found in user_data(path) if found] == [
        [X264 if encoder == "libx264" else X265]
    ]
    done = run(path, tmp_path / "b.mkv", encoder="libx264", strict=True)
    assert [found for found in user_data(done.written) if found] == [[X264]]


def test_user_data_beside_an_encoder_s_words_are_lost_and_named(run: Go, tmp_path: Path) -> None:
    path = write(tmp_path / "a.h264", of_camera, own=True)
    done = run(path, tmp_path / "b.mkv")
    assert done.sink.warnings == [
        "user data that are together with an encoder's own cannot be kept (1 pictures)"
    ]
    assert [len(found) for found in user_data(done.written)] == [1] * PICTURES
    assert user_data(done.written)[:2] == [[X264], [CAMERA + b"picture 1"]]


def test_user_data_are_metadata(run: Go, tmp_path: Path) -> None:
    path = write(tmp_path / "a.h264", of_camera)
    done = run(path, tmp_path / "b.mkv", strip_metadata=True, strict=True)
    assert [found for found in user_data(done.written) if found] == [[X264]]
    by_option = run(path, tmp_path / "c.mkv", encoder_options=(("udu_sei", "0"),))
    assert [found for found in user_data(by_option.written) if found] == [[X264]]


@pytest.mark.parametrize(
    ("kind", "encoder"),
    [(USER_DATA, "libx264"), (REGISTERED, "libx264"), (REGISTERED, "libx265")],
)
def test_more_than_an_encoder_can_take_is_lost_and_named(
    kind: int, encoder: str, run: Go, tmp_path: Path
) -> None:
    # libx264 writes it over what lies behind its buffer.
    if kind == USER_DATA:
        much = _message(kind, CAMERA + b"." * 3_000_000, hevc=False)
    else:
        pairs = b"\xfc\x80\x80" * 31
        captions = b"\xb5\x00\x31GA94\x03" + bytes([0xC0 | 31, 0xFF]) + pairs + b"\xff"
        much = _message(kind, captions, hevc=False) * 32_000
    path = write(tmp_path / "a.h264", lambda number: much if number == 2 else b"")
    done = run(path, tmp_path / "b.mkv", encoder=encoder)
    assert len(done.frames) == PICTURES
    assert done.sink.warnings[-1] == (
        "captions and user data of more than 65536 bytes a picture cannot be kept (1 pictures)"
    )


# --- what is said of the picture


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def all_around(path: Path, *, views: int) -> Path:
    """Say in an MP4 that its picture lies around the viewer; 1: one view above the other."""
    whole = bytes(4)  # version and flags
    projection = _box(b"prhd", whole + bytes(12)) + _box(b"equi", whole + bytes(16))
    sphere = _box(b"svhd", whole + b"camera\0") + _box(b"proj", projection)
    more = _box(b"st3d", whole + bytes([views])) + _box(b"sv3d", sphere)
    data = bytearray(path.read_bytes())
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
        place = data.find(kind, data.find(b"moov")) - 4
        size = int.from_bytes(data[place : place + 4], "big")
        data[place : place + 4] = (size + len(more)).to_bytes(4, "big")
    data[place + size : place + size] = more  # at the end of avc1
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("views", [0, 1])
def test_what_lies_around_the_viewer_is_named_as_lost(
    views: int, make_clip: Callable[..., Path], run: Go, tmp_path: Path
) -> None:
    path = all_around(make_clip(tmp_path / "a.mp4"), views=views)
    losses = [
        "how the picture lies around the viewer (360 degrees) cannot be kept",
        "how the picture holds one view for each eye (3D) cannot be kept",
    ][: 1 + views]
    for suffix in (".mp4", ".mkv"):
        assert run(path, tmp_path / f"b{suffix}").sink.warnings == losses
        with pytest.raises(LossError, match="360 degrees"):
            run(path, tmp_path / f"c{suffix}", strict=True)


def test_matroska_keeps_views_for_each_eye(
    make_clip: Callable[..., Path], run: Go, tmp_path: Path
) -> None:
    plain = make_clip(tmp_path / "plain.mkv")
    path = tmp_path / "a.mkv"
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0], opaque=True)
        stream.metadata["stereo_mode"] = "top_bottom"
        for packet in source.demux():
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    kept = run(path, tmp_path / "b.mkv", strict=True).written
    with av.open(str(kept)) as container:
        kinds = [
            cast(Any, item).type for item in cast(Any, next(container.decode(video=0)).side_data)
        ]
    assert Type.STEREO3D in kinds
    with pytest.raises(LossError, match="3D"):
        run(path, tmp_path / "c.mp4", strict=True)


def test_kinds_that_pyav_does_not_know_hide_nothing() -> None:
    encoder = cast(av.VideoCodecContext, av.CodecContext.create("png", "w"))
    encoder.width, encoder.height, encoder.pix_fmt = 16, 16, "rgb24"
    encoder.time_base = Fraction(1, 25)
    (packet,) = encoder.encode(av.VideoFrame(16, 16, "rgb24"))
    data, place = bytes(packet), bytes(packet).find(b"IDAT") - 4
    exif = b"eXIf" + b"II*\0\x08\0\0\0" + bytes(6)
    chunk = struct.pack(">I", len(exif) - 4) + exif + struct.pack(">I", zlib.crc32(exif))
    decoder = cast(av.VideoCodecContext, av.CodecContext.create("png", "r"))
    (picture,) = decoder.decode(av.Packet(data[:place] + chunk + data[place:]))
    picture.time_base = Fraction(1, 25)
    with pytest.raises(ValueError, match="not a valid Type"):
        _ = picture.side_data
    assert fit_to_encode(picture, user_data=True) == (picture, None)
    assert not has_user_data(picture, "h264")
