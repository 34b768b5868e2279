"""The source: every frame once, at its own time, and nothing that was not asked for is opened."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from vidfacedeblur.config import VideoOptions
from vidfacedeblur.errors import (
    DamagedInputError,
    InputError,
    LossError,
    NoVideoError,
    OptionError,
)
from vidfacedeblur.types import Frame
from vidfacedeblur.video import open_canvas, open_source, output_suffix
from vidfacedeblur.video.timeline import DecodingOrder

Make = Callable[..., Path]
Packets = Callable[[Path, str], list[tuple[Fraction, bytes]]]


def read(path: Path, **options: Any) -> list[Frame]:
    with open_source(path, VideoOptions(**options)) as source:
        return list(source)


def times(frames: list[Frame]) -> list[int]:
    return [round((f.pts or 0) * f.time_base * 1000) for f in frames]


def test_unsteady_times_and_durations(make_clip: Make, tmp_path: Path) -> None:
    unsteady = [0, 33, 100, 120, 500, 533, 1400, 1433]
    frames = read(make_clip(tmp_path / "a.mkv", times=unsteady))
    assert times(frames) == unsteady
    gaps = [b - a for a, b in pairwise(unsteady)]
    assert [frame.duration for frame in frames[:-1]] == gaps
    assert [frame.index for frame in frames] == list(range(8))


def test_what_is_known_at_the_start(make_clip: Make, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=20, size=(64, 36), orientation=6)
    with open_source(path, VideoOptions()) as source:
        info = source.info
    assert (info.width, info.height, info.orientation) == (64, 36, 6)
    assert (info.codec_name, info.pix_fmt) == ("h264", "yuv420p")
    assert info.average_rate == 25
    assert info.estimated_frames == 20
    assert info.duration == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_display_matrix_with_its_mirrorings(
    make_clip: Make, tmp_path: Path, orientation: int
) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=2, orientation=orientation)
    frames = read(path)
    assert [frame.orientation for frame in frames] == [orientation] * 2


def test_passengers_are_all_packets_of_the_other_streams(
    make_clip: Make, tmp_path: Path, packets: Callable[..., Any]
) -> None:
    path = make_clip(tmp_path / "a.mkv", frames=25, sound=True)
    with open_source(path, VideoOptions()) as source:
        carried = [p for frame in source for p in frame.passengers] + list(source.trailing)
    assert [bytes(p) for p in carried] == [data for _, data in packets(path, "audio")]


def test_a_raw_stream_gets_times(make_clip: Make, tmp_path: Path) -> None:
    mp4 = make_clip(tmp_path / "a.mp4", frames=10, settings={"bf": "2"})
    raw = tmp_path / "a.h264"
    with av.open(str(mp4)) as source, av.open(str(raw), "w", format="h264") as target:
        stream = target.add_stream_from_template(source.streams.video[0], opaque=True)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    assert times(read(raw)) == [40 * n for n in range(10)]


def test_a_clock_that_starts_anew_goes_on(make_clip: Make, tmp_path: Path) -> None:
    first = make_clip(tmp_path / "a.ts", times=[5000 + 40 * n for n in range(10)])
    second = make_clip(tmp_path / "b.ts", times=[40 * n for n in range(10)])
    joined = tmp_path / "c.ts"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    with open_source(joined, VideoOptions()) as source:
        found = times(list(source))
        assert any("backwards" in line for line in source.warnings)
        assert source.bad_packets <= 1  # the joint itself looks like a lost packet
    assert len(found) == 20
    assert all(30 <= b - a <= 50 for a, b in pairwise(found))


# --- cuts


@pytest.mark.parametrize(("start", "duration"), [(0.5, None), (1.1, 0.5), (0, 0.5), (2.9, 9.0)])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_a_cut(
    make_clip: Make, tmp_path: Path, suffix: str, start: float, duration: float | None
) -> None:
    path = make_clip(tmp_path / f"a{suffix}", frames=75, settings={"g": "30", "bf": "2"})
    whole = read(path)
    wanted = [
        frame
        for frame in whole
        if round(start * 1000) <= times([frame])[0] - times(whole)[0]
        and (duration is None or times([frame])[0] - times(whole)[0] < (start + duration) * 1000)
    ]
    frames = read(path, start=start, duration=duration)
    shift = times(whole)[0] + round(start * 1000) if start else 0
    assert times(frames) == [time - shift for time in times(wanted)]
    assert (open_canvas(frames[0]).rgb() == open_canvas(wanted[0]).rgb()).all()


def test_a_cut_takes_its_sound_along(make_clip: Make, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=75, sound=True)
    with open_source(path, VideoOptions(start=1.0, duration=1.0)) as source:
        carried = [p for frame in source for p in frame.passengers] + list(source.trailing)
    begin = [float((p.pts or 0) * p.time_base) for p in carried]
    assert 0 <= min(begin) < 0.03
    assert 0.97 < max(begin) < 1


def test_a_start_after_the_end(make_clip: Make, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="--start 50 is after the last frame"):
        read(make_clip(tmp_path / "a.mp4"), start=50)


# --- damaged


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read(tmp_path / "nothing.mp4")
    with pytest.raises(InputError, match="not a file"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", r"a\.mp4 is empty"),
        (b"not a video\n" * 100, "not a video that can be read"),
        (bytes(5000), "not a video that can be read"),
    ],
)
def test_no_video_file(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(InputError, match=says):
        read(path)


def test_no_video_stream(tmp_path: Path) -> None:
    path = tmp_path / "a.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", 48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts = 48000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(NoVideoError, match="no video"):
        read(path)


def cut_short(path: Path, part: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    return path


def test_an_input_that_is_cut_short(make_clip: Make, tmp_path: Path) -> None:
    path = cut_short(make_clip(tmp_path / "a.mkv", frames=50, settings={"g": "10"}), 0.6)
    with pytest.raises(DamagedInputError, match=r"cut short: read .* --keep-partial") as caught:
        read(path)
    with open_source(path, VideoOptions(keep_partial=True)) as source:
        frames = list(source)
    assert source.truncated is not None
    assert re.search(rf"of 2\.\d+ s, {len(frames)} frames", source.truncated)
    assert 10 < len(frames) == caught.value.frames < 45


def test_a_whole_input_is_not_cut_short(make_clip: Make, tmp_path: Path) -> None:
    for suffix in (".mp4", ".mkv", ".avi", ".flv", ".ts", ".mxf"):
        path = make_clip(tmp_path / f"a{suffix}", frames=12, settings={"bf": "0"})
        with open_source(path, VideoOptions()) as source:
            assert len(list(source)) == 12
            assert (source.truncated, source.corrupt_frames, source.bad_packets) == (None, 0, 0)


def test_tapes_of_broadcasters_are_as_long_as_their_header_says(
    make_clip: Make, tmp_path: Path
) -> None:
    path = make_clip(tmp_path / "a.mxf", frames=50, settings={"bf": "0"})
    with pytest.raises(DamagedInputError, match=r"cut short: read .* of 2\.00 s"):
        read(cut_short(path, 0.5))


@pytest.mark.parametrize(("lines", "pix_fmt", "rate"), [(576, "yuv420p", 25), (480, "yuv411p", 30)])
def test_digital_tapes(
    run: Callable[..., Any], tmp_path: Path, lines: int, pix_fmt: str, rate: int
) -> None:
    path = tmp_path / "a.dv"
    with av.open(str(path), "w") as container:
        wanted = Fraction(rate, 1) if rate == 25 else Fraction(30_000, 1001)
        video: Any = container.add_stream("dvvideo", wanted)
        video.width, video.height, video.pix_fmt = 720, lines, pix_fmt
        for shade in range(20, 220, 10):
            grey = np.full((lines, 720, 3), shade, np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(grey, "rgb24")))
        container.mux(video.encode(None))
    result = run(path, tmp_path / "b.mkv")
    assert len(result.frames) == 20
    with av.open(str(tmp_path / "b.mkv")) as container:
        assert container.streams.video[0].average_rate == wanted
        assert container.metadata["TIMECODE"] == "00:00:00:00"


def test_an_avi_is_as_long_as_its_header_says(make_clip: Make, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.avi", encoder="mjpeg", pix_fmt="yuvj420p", frames=50)
    with open_source(cut_short(path, 0.5), VideoOptions(keep_partial=True)) as source:
        frames = list(source)
    assert 10 < len(frames) < 40
    assert source.truncated is not None
    assert re.search(rf"of 2\.00 s, {len(frames)} frames", source.truncated)


@pytest.mark.parametrize("suffix", [".avi", ".asf", ".mxf"])
@pytest.mark.parametrize("start", [0.0, 1.0])
def test_b_frames_of_files_that_store_no_times(tmp_path: Path, suffix: str, start: float) -> None:
    shades = list(range(20, 220, 4))
    path = tmp_path / f"a{suffix}"
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("libx264", 25, options={"bf": "3", "b-pyramid": "normal"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for number, shade in enumerate(shades):
            grey = np.full((48, 64, 3), shade, np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    with open_source(path, VideoOptions(start=start)) as source:
        frames = [
            (float(f.pts * f.time_base), f.picture.to_ndarray(format="rgb24")) for f in source
        ]
    times = [time for time, _ in frames]
    assert np.allclose(np.diff(times), 0.04, atol=0.002)
    seen = [float(image.mean()) for _, image in frames]
    assert np.allclose(seen, shades[-len(seen) :], atol=3)
    assert len(frames) in ((50,) if start == 0 else (24, 25, 26))


def test_a_packet_that_gave_no_picture_holds_up_the_times_for_a_while_only() -> None:
    order = DecodingOrder()
    times = []
    for number in range(100):
        packet = av.Packet(b"x")
        packet.pts = number
        order.add(packet)
        if number != 10:
            times.append(order.time(number))
    assert times[:10] == list(range(10))
    assert times[-50:] == list(range(50, 100))
    assert times == sorted(set(times))  # type: ignore[type-var]


def test_times_that_a_file_does_store_are_left_alone() -> None:
    order = DecodingOrder()
    for pts in (0, 3, 1, 2):
        packet = av.Packet(b"x")
        packet.pts = pts
        order.add(packet)
    assert [order.time(pts) for pts in (0, 1, 2, 3, None)] == [0, 1, 2, 3, None]


def test_damage_in_the_middle_is_counted(make_clip: Make, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.ts", frames=50, size=(160, 120), settings={"crf": "5"})
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = np.random.default_rng(0).bytes(2000)
    path.write_bytes(data)
    with open_source(path, VideoOptions()) as source:
        frames = list(source)
        assert source.corrupt_frames + source.bad_packets > 0
        assert source.corrupt_frames == sum(frame.corrupt for frame in frames)
        assert len(frames) > 40


def test_nothing_that_can_be_decoded(make_clip: Make, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", frames=3, encoder="ffv1")
    data = path.read_bytes()
    start = data.index(b"\x1f\x43\xb6\x75") + 40  # behind the first cluster's head
    path.write_bytes(data[:start] + bytes(len(data) - start))
    with pytest.raises((DamagedInputError, InputError)):
        read(path)


# --- hostile


def test_a_playlist_of_other_files_is_refused(make_clip: Make, tmp_path: Path) -> None:
    make_clip(tmp_path / "secret.mp4")
    path = tmp_path / "a.mp4"
    path.write_text("ffconcat version 1.0\nfile secret.mp4\n")
    with pytest.raises(InputError, match="not a video"):
        read(path)
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n")
    with pytest.raises(InputError, match="not a video"):
        read(path)


def test_a_name_is_never_a_protocol(
    make_clip: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_clip(tmp_path / "a.ts", frames=3)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        read(Path("concat:a.ts"))
    (tmp_path / "a.ts").rename(tmp_path / "concat:b.ts")
    assert len(read(Path("concat:b.ts"))) == 3


def test_too_many_pixels(make_clip: Make, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", size=(64, 64))
    with pytest.raises(InputError, match="64x64 is over 4000 pixels"):
        read(path, max_pixels=4000)


def test_a_size_that_grows_on_the_way(make_clip: Make, tmp_path: Path) -> None:
    small = make_clip(tmp_path / "a.ts", size=(64, 48), times=range(0, 400, 40))
    large = make_clip(tmp_path / "b.ts", size=(96, 64), times=range(400, 800, 40))
    joined = tmp_path / "c.ts"
    joined.write_bytes(small.read_bytes() + large.read_bytes())
    with open_source(joined, VideoOptions()) as source:
        sizes = {(canvas.width, canvas.height) for canvas in map(open_canvas, source)}
        assert sizes == {(64, 48)}
        assert [line for line in source.warnings if "96x64" in line]
    with pytest.raises(LossError, match="96x64"):
        read(joined, strict=True)


def test_a_codec_that_is_not_on_the_list(make_clip: Make, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.avi", encoder="huffyuv", pix_fmt="yuv422p")
    with pytest.raises(InputError, match="codec huffyuv is not accepted"):
        read(path)


# --- what will be written


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.mp4", ".mp4"),
        ("a.MOV", ".mov"),
        ("a.mkv", ".mkv"),
        ("a.ts", ".ts"),
        ("a.avi", ".mkv"),
        ("a.mxf", ".mkv"),
    ],
)
def test_the_suffix_of_the_output(
    make_clip: Make, tmp_path: Path, name: str, expected: str
) -> None:
    path = make_clip(tmp_path / name.lower(), settings={"bf": "0"}).rename(tmp_path / name)
    assert output_suffix(path) == expected


@pytest.mark.parametrize(
    ("sound", "suffix", "expected"),
    [
        ("mp3", ".avi", ".mkv"),
        ("pcm_mulaw", ".avi", ".mov"),
        ("adpcm_ms", ".avi", ".avi"),
        ("adpcm_ima_wav", ".asf", ".avi"),
    ],
)
def test_sound_that_matroska_cannot_hold_is_kept(
    run: Any, packets: Packets, tmp_path: Path, sound: str, suffix: str, expected: str
) -> None:
    path = tmp_path / f"a{suffix}"
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("mpeg4", 25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream(sound, 44100, layout="mono")
        for number in range(25):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 9 * number, np.uint8), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        wave = (9000 * np.sin(np.arange(44100) / 20)).astype(np.int16)[None]
        whole = av.AudioFrame.from_ndarray(wave, "s16", "mono")
        whole.sample_rate, whole.pts, whole.time_base = 44100, 0, Fraction(1, 44100)
        context = audio.codec_context
        resampler = av.AudioResampler(context.format, "mono", 44100, frame_size=context.frame_size)
        for part in (*resampler.resample(whole), *resampler.resample(None)):
            container.mux(audio.encode(part))
        container.mux(audio.encode(None))
    assert output_suffix(path) == expected
    written = run(path, tmp_path / f"b{expected}").written
    before, after = (b"".join(data for _, data in packets(p, "audio")) for p in (path, written))
    assert before == after
    if expected == ".avi":
        with pytest.raises(LossError, match=r"it is left out; \.avi would keep it"):
            run(path, tmp_path / "c.mkv", strict=True)


def test_a_suffix_that_lies(make_clip: Make, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4").rename(tmp_path / "a.avi")
    assert output_suffix(path) == ".mp4"
    path = make_clip(tmp_path / "a.mov").rename(tmp_path / "b.ts")
    assert output_suffix(path) == ".mov"


def test_nothing_reads_files_with_opencv() -> None:
    root = Path(__file__).resolve().parents[2]
    calls = re.compile(r"cv2\.(imread|imwrite|imdecode|VideoCapture|VideoWriter)\b")
    sources = [p for top in ("vidfacedeblur", "engines") for p in (root / top).rglob("*.py")]
    sources.remove(root / "vidfacedeblur" / "report" / "pictures.py")  # PNG files of our own
    assert [p.name for p in sources if calls.search(p.read_text(encoding="utf-8"))] == []


def test_times_are_exact(make_clip: Make, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", times=[7, 47, 87])
    assert [frame.time_base for frame in read(path)] == [Fraction(1, 1000)] * 3
    assert [frame.pts for frame in read(path)] == [7, 47, 87]
