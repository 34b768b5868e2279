"""Streams beside the video, of every codec: copied, or left out and named; what is said of them."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from vidfacedeblur.errors import LossError
from vidfacedeblur.video.formats import BLU_RAY, CONTAINERS

Make = Callable[..., Path]
Go = Callable[..., Any]

# Two pictures of Blu-ray's subtitles: nothing is shown, nothing is shown.
_CLEAR = bytes.fromhex(
    "16000b 00400030 10 0000 80 00 00 00 17000a 01 00 0000 0000 0008 0008 800000"
)


def with_stream(
    make_clip: Make,
    path: Path,
    codec: str,
    data: bytes,
    *,
    tags: dict[str, str] | None = None,
    every: int = 5,
) -> Path:
    """A clip with one more stream, whose packets, one for so many frames, are all the same."""
    plain = make_clip(path.with_name(f"plain-{path.stem}.ts"), frames=25)
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        video = target.add_stream_from_template(source.streams.video[0], opaque=True)
        other = target.add_mux_stream(codec)
        other.metadata.update(tags or {})
        for number, packet in enumerate(source.demux(video=0)):
            if not packet.size:
                continue
            packet.stream = video
            target.mux(packet)
            if number % every == 0:
                extra: Any = av.Packet(data)
                extra.stream, extra.time_base = other, packet.time_base
                extra.pts = extra.dts = packet.dts
                target.mux(extra)
    return path


def with_sound(make_clip: Make, path: Path, encoder: str) -> Path:
    """A clip with sound by an encoder."""
    plain = make_clip(path.with_name(f"plain-{path.stem}.ts"), frames=25, sound=True)
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        video = target.add_stream_from_template(source.streams.video[0], opaque=True)
        sound: Any = target.add_stream(encoder, 48000, layout="stereo")
        resampler = av.AudioResampler(sound.format.name, "stereo", 48000, sound.frame_size or 1024)
        target.start_encoding()
        for packet in source.demux():
            if packet.stream.type == "video" and packet.size:
                packet.stream = video
                target.mux(packet)
            elif packet.stream.type == "audio":
                for frame in packet.decode():
                    for same in resampler.resample(frame):
                        target.mux(sound.encode(same))
        target.mux(sound.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "encoder"),
    [
        ("a.ts", "libmp3lame"),
        ("a.mpg", "libmp3lame"),
        ("a.ts", "ac3"),
        ("a.m2ts", "libmp3lame"),
        ("a.m2ts", "ac3"),
    ],
)
def test_sound_is_known_by_its_codec_and_not_by_its_decoder(
    name: str,
    encoder: str,
    make_clip: Make,
    run: Go,
    tmp_path: Path,
    packets: Callable[..., Any],
) -> None:
    path = with_sound(make_clip, tmp_path / name, encoder)
    result = run(path, tmp_path / f"b{path.suffix}")
    assert result.sink.left_out == []
    assert [data for *_, data in packets(result.written, "audio")] == [
        data for *_, data in packets(path, "audio")
    ]


@pytest.mark.parametrize(
    ("name", "codec", "data", "count"),
    [
        ("a.vob", "dvd_subtitle", bytes([0, 60]) + bytes(58), 1),
        ("a.ts", "dvb_subtitle", bytes.fromhex("20000f8000010000ff"), 5),
    ],
)
def test_subtitles_of_a_dvd_and_of_television_stay(
    name: str, codec: str, data: bytes, count: int, make_clip: Make, run: Go, tmp_path: Path
) -> None:
    path = with_stream(make_clip, tmp_path / name, codec, data, every=25 // count)
    with av.open(str(run(path, tmp_path / f"b{path.suffix}").written)) as container:
        assert [s.codec_context.codec.canonical_name for s in container.streams.subtitles] == [
            codec
        ]
        shown = [packet for packet in container.demux(subtitles=0) if packet.size]
    assert len(shown) == count
    cut = run(path, tmp_path / f"c{path.suffix}", start=0.44, duration=0.1)  # where none is shown
    assert len(cut.frames) == 3


def test_subtitles_of_a_blu_ray_stay(
    make_clip: Make, run: Go, tmp_path: Path, packets: Callable[..., Any]
) -> None:
    path = with_stream(make_clip, tmp_path / "a.mkv", "hdmv_pgs_subtitle", _CLEAR)
    blu_ray = run(path, tmp_path / "b.m2ts", strict=True).written
    again = run(blu_ray, tmp_path / "c.m2ts", strict=True).written
    before = [data for *_, data in packets(path, "subtitle")]
    assert len(before) == 5
    assert [data for *_, data in packets(again, "subtitle")] == before
    # Of other transport streams nobody could tell what it is.
    with pytest.raises(LossError, match=r"hdmv_pgs_subtitle\); it is left out; .mkv would keep"):
        run(path, tmp_path / "d.ts", strict=True)


def test_what_holds_a_blu_ray_is_preferred_to_what_is_there_anyway() -> None:
    for suffix, better in BLU_RAY.items():
        assert better.muxer == CONTAINERS[suffix].muxer
        assert better.codecs == CONTAINERS[suffix].codecs


def test_sound_that_nothing_here_knows_is_left_out_and_named(
    make_clip: Make, run: Go, tmp_path: Path
) -> None:
    known = with_sound(make_clip, tmp_path / "known.mov", "pcm_mulaw")
    path = tmp_path / "a.mov"
    path.write_bytes(known.read_bytes().replace(b"ulaw", b"apac"))
    result = run(path, tmp_path / "b.mov")
    assert result.sink.left_out == ["audio stream 1 (unknown codec)"]
    assert len(result.frames) == 25
    with pytest.raises(LossError, match="mov cannot hold audio stream 1"):
        run(path, tmp_path / "c.mov", strict=True)


@pytest.mark.parametrize("suffix", [".ts", ".mkv"])
def test_teletext_is_left_out_and_named(
    suffix: str, make_clip: Make, run: Go, tmp_path: Path
) -> None:
    page = bytes([0x10]) + bytes(183)
    path = with_stream(make_clip, tmp_path / "a.ts", "dvb_teletext", page, tags={"language": "deu"})
    result = run(path, tmp_path / f"b{suffix}")
    assert result.sink.left_out == ["subtitle stream 1 (unknown codec, deu)"]
    assert len(result.frames) == 25


# --- what is said of streams


def test_titles_of_tracks_stay_titles(make_clip: Make, run: Go, tmp_path: Path) -> None:
    plain = make_clip(tmp_path / "plain.mkv", sound=True)
    path = tmp_path / "a.mkv"
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        streams = [target.add_stream_from_template(s, opaque=True) for s in source.streams]
        streams[0].metadata["title"] = "Camera 3"
        streams[1].metadata["title"] = "Commentary"
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                target.mux(packet)
    for name in ("b.mp4", "c.mp4", "d.mov", "e.mkv"):
        path = run(path, tmp_path / name, strict=True).written
    with av.open(str(path)) as container:
        assert [s.metadata["title"] for s in container.streams] == ["Camera 3", "Commentary"]
    said = run(path, tmp_path / "f.ts").sink.warnings
    assert "mpegts cannot hold all that is said of streams: title" in said
    with pytest.raises(LossError, match="said of streams: title"):
        run(path, tmp_path / "g.ts", strict=True)


def coded(path: Path, code: dict[str, str], *, rate: int) -> Path:
    """A clip of 25 frames a second with a time code, which claims to have another rate."""
    with av.open(str(path), "w") as target:
        video: Any = target.add_stream("libx264", rate)
        video.width, video.height = 64, 48
        video.codec_context.time_base = Fraction(1, 1000)
        video.metadata.update(code)
        for number in range(10):
            picture = av.VideoFrame(64, 48, "yuv420p")
            picture.pts, picture.time_base = 40 * number, Fraction(1, 1000)
            target.mux(video.encode(picture))
        target.mux(video.encode(None))
    return path


def test_a_time_code_and_its_reel_stay_or_are_named(run: Go, tmp_path: Path) -> None:
    code = {"timecode": "01:02:03:04", "reel_name": "A001C002"}
    path = coded(tmp_path / "a.mkv", code, rate=25)
    for name in ("b.mov", "c.mkv", "d.mov"):
        path = run(path, tmp_path / name, strict=True).written
    with av.open(str(path)) as container:
        assert container.streams.data[0].metadata.items() >= code.items()
    with pytest.raises(LossError, match="said of streams: reel_name, timecode"):
        run(path, tmp_path / "e.ts", strict=True)
    assert run(path, tmp_path / "f.ts", strip_metadata=True, strict=True).written.exists()


@pytest.mark.parametrize(
    ("code", "rate"), [("01:02:03:04", 1000), ("01:02:03;04", 25), ("not a time", 25)]
)
def test_a_time_code_that_cannot_be_counted_on_stops_nothing(
    code: str, rate: int, run: Go, tmp_path: Path
) -> None:
    path = coded(tmp_path / "a.mkv", {"timecode": code}, rate=rate)
    for suffix in (".mov", ".mp4"):
        said = run(path, tmp_path / f"b{suffix}").sink.warnings
        assert said == ["mov cannot hold all that is said of streams: timecode"]
