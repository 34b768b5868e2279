"""The sink: what goes in comes out, the file is whole or not there, and losses are named."""

from __future__ import annotations

import os
import shutil
import stat
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
from av.stream import Disposition

from vidfacedeblur.config import VideoOptions
from vidfacedeblur.errors import LossError, OptionError, OutputError, OutputExistsError
from vidfacedeblur.types import Frame, Region
from vidfacedeblur.video import VIDEO_SUFFIXES, draft, open_canvas, open_sink, open_source
from vidfacedeblur.video.colour import known_matrix, ycbcr
from vidfacedeblur.video.formats import CONTAINERS
from vidfacedeblur.video.verify import Expected, verify

Make = Callable[..., Path]
Go = Callable[..., Any]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_unsteady_times_are_kept(
    make_clip: Make, run: Go, tmp_path: Path, frame_times: Callable[[Path], list[Fraction]]
) -> None:
    unsteady = [0, 33, 100, 120, 500, 533, 1400, 1433]
    for suffix in (".mkv", ".mp4"):
        path = make_clip(tmp_path / f"a{suffix}", times=unsteady, settings={"bf": "2"})
        out = run(path, tmp_path / f"b{suffix}").written
        assert frame_times(out) == frame_times(path)
        with av.open(str(path)) as before, av.open(str(out)) as after:
            assert abs((before.duration or 0) - (after.duration or 0)) < 45_000  # microseconds


def test_equal_times_are_kept_where_they_can_be(
    make_clip: Make, run: Go, tmp_path: Path, frame_times: Callable[[Path], list[Fraction]]
) -> None:
    path = make_clip(tmp_path / "a.mkv", frames=6, encoder="ffv1")
    with av.open(str(path)) as source, av.open(str(tmp_path / "b.mkv"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0], opaque=True)
        for packet in source.demux(video=0):
            if packet.size:
                packet.pts = packet.dts = (packet.pts or 0) // 80 * 80
                packet.stream = stream
                target.mux(packet)
    twice = [Fraction(time, 1000) for time in (0, 0, 80, 80, 160, 160)]
    assert frame_times(tmp_path / "b.mkv") == twice
    assert frame_times(run(tmp_path / "b.mkv", tmp_path / "c.mkv").written) == twice
    result = run(tmp_path / "b.mkv", tmp_path / "c.mp4")
    assert len(frame_times(result.written)) == 6
    assert any("3 frames shared their time" in line for line in result.sink.warnings)


def test_sound_and_subtitles_are_bit_equal(
    make_clip: Make, run: Go, tmp_path: Path, packets: Callable[..., Any]
) -> None:
    path = make_clip(tmp_path / "a.mkv", frames=25, sound=True, subtitles=["one", "zwei", "três"])
    out = run(path, tmp_path / "b.mkv", strict=True).written
    assert packets(out, "audio") == packets(path, "audio")
    assert packets(out, "subtitle") == packets(path, "subtitle")
    with av.open(str(out)) as container:
        assert [s.type for s in container.streams] == ["video", "audio", "subtitle"]
        assert container.streams[2].language == "deu"


@pytest.mark.parametrize(
    ("suffix", "options", "encoding"),
    [
        (".mkv", {"crf": 20.0}, "libx264 yuv420p crf=20"),
        (".avi", {"encoder": "mjpeg"}, "mjpeg yuv420p strict=unofficial global_quality=236"),
    ],
)
@pytest.mark.parametrize("isolate", [False, True])
def test_how_it_was_encoded_is_known(
    suffix: str,
    options: dict[str, Any],
    encoding: str,
    isolate: bool,
    make_clip: Make,
    run: Go,
    tmp_path: Path,
) -> None:
    path = make_clip(tmp_path / "a.mkv")
    sink = run(path, tmp_path / f"b{suffix}", isolate=isolate, **options).sink
    assert sink.encoding.startswith(encoding)


def test_what_is_edited_comes_back_and_nothing_else(
    make_clip: Make, run: Go, tmp_path: Path
) -> None:
    def brighten(frame: Frame) -> None:
        open_canvas(frame).add(Region(8, 8, 24, 24), np.full((16, 16, 3), 0.2, np.float32))

    path = make_clip(tmp_path / "a.mkv", frames=5, encoder="ffv1")  # lossless in and out
    out = run(path, tmp_path / "b.mkv", edit=brighten).written
    with av.open(str(path)) as before, av.open(str(out)) as after:
        pairs = list(zip(before.decode(video=0), after.decode(video=0), strict=True))
    for old, new in pairs:
        luma = [np.frombuffer(bytes(f.planes[0]), np.uint8).reshape(48, -1) for f in (old, new)]
        change = luma[1][:, :64].astype(int) - luma[0][:, :64]
        assert change[8:24, 8:24].mean() > 30
        change[8:24, 8:24] = 0
        assert not change.any()


@pytest.mark.parametrize(
    ("encoder", "pix_fmt", "suffix"),
    [
        ("libx264", "yuv422p", ".mp4"),
        ("libx264", "yuv444p", ".mkv"),
        ("libx264", "yuv420p10le", ".mov"),
        ("libx264rgb", "rgb24", ".mp4"),
        ("libx265", "yuv420p", ".mp4"),
        ("libvpx-vp9", "yuv420p", ".webm"),
        ("libsvtav1", "yuv420p10le", ".mp4"),
        ("prores_ks", "yuv422p10le", ".mov"),
        ("mjpeg", "yuvj420p", ".mov"),
        ("ffv1", "yuva420p", ".mkv"),
        ("apng", "rgba", ".apng"),
    ],
)
def test_codec_and_pixel_format_are_kept(
    make_clip: Make,
    run: Go,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    encoder: str,
    pix_fmt: str,
    suffix: str,
) -> None:
    monkeypatch.setenv("SVT_LOG", "1")
    path = make_clip(
        tmp_path / f"a{suffix}", frames=3, encoder=encoder, pix_fmt=pix_fmt, settings={}
    )
    with (
        av.open(str(run(path, tmp_path / f"b{suffix}").written)) as after,
        av.open(str(path)) as before,
    ):
        old, new = (c.streams.video[0].codec_context for c in (before, after))
        assert new.codec.canonical_name == old.codec.canonical_name
        assert new.pix_fmt == old.pix_fmt


def test_colour_tags_aspect_and_rotation_are_kept(make_clip: Make, run: Go, tmp_path: Path) -> None:
    def tag(context: Any) -> None:
        context.colorspace, context.color_primaries, context.color_trc = 9, 9, 18
        context.color_range = 1
        context.sample_aspect_ratio = Fraction(12, 11)

    path = make_clip(tmp_path / "a.mp4", orientation=7, configure=tag)
    result = run(path, tmp_path / "b.mp4", strict=True)
    with open_source(result.written, VideoOptions()) as source:
        assert source.info.orientation == 7
        picture = next(iter(source)).picture
        assert isinstance(picture, av.VideoFrame)
        assert (picture.colorspace, picture.color_primaries, picture.color_trc) == (9, 9, 18)
    with av.open(str(result.written)) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(12, 11)


@pytest.mark.parametrize(
    ("tag", "lines", "matrix"),
    [
        *((1, 480, 1), (4, 1080, 4), (5, 1080, 5), (6, 1080, 5)),
        *((7, 480, 7), (9, 480, 9), (10, 480, 9)),
        *((2, 719, 5), (2, 720, 1), (3, 576, 5), (8, 2160, 1)),  # said nowhere, or of no use
    ],
)
def test_a_matrix_is_the_one_said_or_the_sizes(tag: int, lines: int, matrix: int) -> None:
    assert known_matrix(tag, lines) == matrix


@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize(
    ("matrix", "red", "green", "blue"),
    [  # of Cr; of Cb and Cr; of Cb: as the standards' conversions to 8 bits print them
        (1, 1.7927, (-0.2132, -0.5329), 2.1124),
        (4, 1.5938, (-0.3779, -0.8104), 2.0263),
        (5, 1.5960, (-0.3918, -0.8130), 2.0172),
        (7, 1.7941, (-0.2579, -0.5426), 2.0787),
        (9, 1.6787, (-0.1873, -0.6504), 2.1418),
    ],
)
def test_conversions_are_the_standards(
    matrix: int, red: float, green: tuple[float, float], blue: float, bits: int
) -> None:
    luma, unit = 255 / 219, 2 ** (bits - 8)
    expected = np.array([(luma, 0, red), (luma, *green), (luma, blue, 0)])
    limited = ycbcr(matrix, bits, full_range=False)
    np.testing.assert_allclose(255 * unit * limited.to_rgb[:, :3], expected, atol=2e-4)
    full, top = ycbcr(matrix, bits, full_range=True), 2**bits - 1
    chroma = np.array([219 / 255, 224 / 255, 224 / 255])
    np.testing.assert_allclose(top * full.to_rgb[:, :3], expected * chroma, atol=2e-4)
    for made, black, white in ((limited, 16 * unit, 235 * unit), (full, 0, top)):
        for level, shade in ((black, 0), (white, 1)):
            shown = made.to_rgb @ np.array([level, 128 * unit, 128 * unit, 1])
            np.testing.assert_allclose(shown, shade, atol=1e-5)
        np.testing.assert_allclose(made.to_rgb[:, :3] @ made.difference, np.eye(3), atol=1e-5)


@pytest.mark.parametrize(("says", "shade"), [(0, 1.0), (1, 1.0), (2, 235 / 255)])
def test_a_picture_is_read_in_the_range_that_it_says(says: int, shade: float) -> None:
    picture = av.VideoFrame(16, 16, "yuv420p")
    for plane, level in zip(picture.planes, (235, 128, 128), strict=True):
        plane.update(bytes([level]) * plane.buffer_size)
    picture.color_range = says
    shown = open_canvas(Frame(0, picture)).read(Region(0, 0, 16, 16))
    np.testing.assert_allclose(shown, shade, atol=1e-3)


def test_fields_stay_fields(make_clip: Make, run: Go, tmp_path: Path) -> None:
    def interlace(context: Any) -> None:
        context.flags |= (1 << 18) | (1 << 29)

    path = make_clip(tmp_path / "a.mp4", size=(64, 64), configure=interlace)
    with av.open(str(run(path, tmp_path / "b.mp4").written)) as container:
        assert next(container.decode(video=0)).interlaced_frame


def test_the_encoder_chooses_its_key_frames(make_clip: Make, run: Go, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=10, settings={"g": "1"})  # key frames only
    with av.open(str(run(path, tmp_path / "b.mp4").written)) as container:
        assert sum(p.is_keyframe for p in container.demux(video=0) if p.size) == 1


def test_dispositions_are_kept(make_clip: Make, run: Go, tmp_path: Path) -> None:
    plain = make_clip(tmp_path / "plain.mkv", sound=True)
    path = tmp_path / "a.mkv"
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        streams = [target.add_stream_from_template(s, opaque=True) for s in source.streams]
        streams[1].disposition = cast(Any, int(Disposition.comment))
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                target.mux(packet)
    with av.open(str(run(path, tmp_path / "b.mkv").written)) as container:
        assert container.streams[1].disposition & Disposition.comment


def test_tags_chapters_and_what_was_done(make_clip: Make, run: Go, tmp_path: Path) -> None:
    tags = {"title": "Ümläut", "comment": "mine", "com.example.case": "17"}
    plain = make_clip(tmp_path / "plain.mp4", frames=25, tags=tags)
    path = tmp_path / "a.mp4"
    with (
        av.open(str(plain)) as source,
        av.open(str(path), "w", container_options={"movflags": "+use_metadata_tags"}) as target,
    ):
        target.metadata.update(tags)
        chapter: Any = {"id": 0, "start": 0, "end": 500, "time_base": Fraction(1, 1000)}
        target.set_chapters([{**chapter, "metadata": {"title": "Intro"}}])
        stream = target.add_stream_from_template(source.streams.video[0], opaque=True)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    out = run(path, tmp_path / "b.mp4", comment="deblurred 3 faces", strict=True).written
    with av.open(str(out)) as container:
        assert {key: container.metadata[key] for key in tags} == tags
        assert container.metadata["vidfacedeblur"] == "deblurred 3 faces"
        assert [c["metadata"]["title"] for c in container.chapters()] == ["Intro"]


def test_the_first_frame_of_a_cut_is_at_its_time(
    make_clip: Make, run: Go, tmp_path: Path, frame_times: Callable[[Path], list[Fraction]]
) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=75, sound=True)
    out = run(path, tmp_path / "b.mp4", start=1.0, duration=1.0).written
    found = frame_times(out)
    assert (found[0], len(found)) == (0, 25)


# --- losses


def test_a_loss_is_named(make_clip: Make, run: Go, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", subtitles=["one"])
    result = run(path, tmp_path / "b.mp4")
    assert any("subtitle stream 1" in line for line in result.sink.warnings)
    with pytest.raises(LossError, match="subtitle stream 1"):
        run(path, tmp_path / "c.mp4", strict=True)
    assert names(tmp_path) == ["a.mkv", "b.mp4"]


def _late_by_an_edit_list(path: Path, target: Path, seconds: int) -> None:
    """Copy a clip so that the first seconds of its sound are hidden, as a cut without encoding."""
    with av.open(str(path)) as whole, av.open(str(target), "w") as cut:
        copies: Any = [cut.add_stream_from_template(stream) for stream in whole.streams]
        for packet in whole.demux():
            if packet.dts is None:
                continue
            copy = copies[packet.stream_index]
            if copy.type == "audio":
                shift = round(seconds / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = copy
            cut.mux(packet)


def test_sound_that_an_edit_list_hides_delays_nothing(
    make_clip: Make, run: Go, tmp_path: Path, packets: Callable[..., Any]
) -> None:
    _late_by_an_edit_list(
        make_clip(tmp_path / "whole.mp4", frames=50, sound=True), tmp_path / "a.mp4", 1
    )
    kept = run(tmp_path / "a.mp4", tmp_path / "b.mp4", strict=True).written
    assert packets(kept, "audio") == packets(tmp_path / "a.mp4", "audio")
    with pytest.raises(LossError, match=r"4\d packets of sound from before the beginning"):
        run(tmp_path / "a.mp4", tmp_path / "c.mkv", strict=True)
    for suffix in (".mkv", ".ts"):
        out = run(tmp_path / "a.mp4", tmp_path / f"d{suffix}").written
        with av.open(str(out)) as container:
            video = container.streams.video[0]
            first = next(container.demux(video))
            begin = container.start_time or 0
            assert first.pts * first.time_base - Fraction(begin, av.time_base) < Fraction(1, 10)


def test_depth_that_cannot_be_kept_is_named(make_clip: Make, run: Go, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", pix_fmt="yuv444p10le", settings={})
    result = run(path, tmp_path / "b.mkv", encoder="mpeg4")
    assert any("mpeg4 cannot hold" in line for line in result.sink.warnings)


@pytest.mark.parametrize(
    ("suffix", "options", "message"),
    [
        (".mkv", {"encoder": "nosuch"}, "no encoder is called 'nosuch'; there are .*libx264"),
        (".mkv", {"encoder": "aac"}, "aac does not encode video"),
        (".webm", {"encoder": "libx264"}, "libx264 does not fit into webm"),
        (".mkv", {"preset": "nosuch"}, "libx264 cannot be used here .*preset=nosuch"),
        (".png", {}, "cannot be written as a picture"),
    ],
)
def test_options_that_do_not_fit(
    make_clip: Make, run: Go, tmp_path: Path, suffix: str, options: dict[str, Any], message: str
) -> None:
    path = make_clip(tmp_path / "a.mkv")
    with pytest.raises(OptionError, match=message):
        run(path, tmp_path / f"b{suffix}", **options)
    assert names(tmp_path) == ["a.mkv"]


def test_every_container_that_is_offered_can_be_written(
    make_clip: Make, run: Go, tmp_path: Path, frame_times: Callable[[Path], list[Fraction]]
) -> None:
    path = make_clip(tmp_path / "a.mkv", frames=6, size=(176, 144), sound=True)
    for suffix in CONTAINERS:
        assert len(frame_times(run(path, tmp_path / f"b{suffix}").written)) == 6, suffix
    assert set(CONTAINERS) < VIDEO_SUFFIXES


# --- the file is whole or not there


def test_an_output_is_not_overwritten(make_clip: Make, run: Go, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4")
    target = tmp_path / "b.mp4"
    target.write_bytes(b"old")
    with pytest.raises(OutputExistsError, match="--overwrite"):
        run(path, target)
    assert target.read_bytes() == b"old"
    run(path, target, overwrite=True)
    assert target.stat().st_size > 1000


def test_the_input_is_never_the_output(make_clip: Make, run: Go, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4")
    os.link(path, tmp_path / "b.mp4")
    (tmp_path / "c.mp4").symlink_to(path)
    before = path.read_bytes()
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        with pytest.raises(OutputExistsError, match="input itself"):
            run(path, tmp_path / name, overwrite=True)
    assert path.read_bytes() == before


def test_a_link_is_replaced_and_not_followed(make_clip: Make, run: Go, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4")
    other = tmp_path / "other"
    other.write_bytes(b"precious")
    target = tmp_path / "b.mp4"
    target.symlink_to(other)
    with pytest.raises(OutputExistsError):
        run(path, target)
    run(path, target, overwrite=True)
    assert other.read_bytes() == b"precious"
    assert not target.is_symlink()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_nothing_is_left_after_an_error(
    make_clip: Make, run: Go, tmp_path: Path, error: type[BaseException]
) -> None:
    def fail(frame: Frame) -> None:
        if frame.index == 5:
            raise error

    path = make_clip(tmp_path / "a.mp4", frames=10, sound=True)
    target = tmp_path / "b.mp4"
    target.write_bytes(b"old")
    with pytest.raises(error):
        run(path, target, edit=fail, overwrite=True)
    assert names(tmp_path) == ["a.mp4", "b.mp4"]
    assert target.read_bytes() == b"old"


def test_nothing_is_left_without_finish(make_clip: Make, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4")
    options = VideoOptions()
    with open_source(path, options) as source:
        with open_sink(tmp_path / "b.mp4", source, options) as sink:
            for frame in source:
                sink.write(frame)
        assert names(tmp_path) == ["a.mp4"]


def test_folders_are_made_and_the_umask_is_obeyed(make_clip: Make, run: Go, tmp_path: Path) -> None:
    out = run(make_clip(tmp_path / "a.mp4"), tmp_path / "new" / "folder" / "b.mp4").written
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(out.stat().st_mode) == 0o666 & ~umask
    assert names(out.parent) == ["b.mp4"]


def test_a_folder_that_cannot_be_made(make_clip: Make, run: Go, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4")
    with pytest.raises(
        OutputError, match=r"b\.mp4 cannot be written: .*a\.mp4 is a file and no folder"
    ):
        run(path, path / "b.mp4")
    (tmp_path / "c.mp4").mkdir()
    with pytest.raises(OutputError, match="not a file"):
        run(path, tmp_path / "c.mp4", overwrite=True)


def test_a_full_disk(
    make_clip: Make, run: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    path = make_clip(tmp_path / "a.mp4", frames=5)
    made = draft._create

    def on_a_full_disk(target: Path) -> tuple[Path, int]:
        file, handle = made(target)
        file.unlink()
        file.symlink_to("/dev/full")
        return file, handle

    monkeypatch.setattr(draft, "_create", on_a_full_disk)
    with pytest.raises(OutputError, match="No space left on device"):
        run(path, tmp_path / "b.mkv")
    assert names(tmp_path) == ["a.mp4"]


def test_what_was_written_is_checked(make_clip: Make, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=10)
    right: dict[str, Any] = {
        "name": path,
        "frames": 10,
        "span": Fraction(36, 100),
        "width": 64,
        "height": 48,
        "kinds": {},
        "sample_aspect_ratio": None,
        "tags": {},
        "told": Counter(),
        "provenance": None,
    }
    assert verify(path, Expected(**right)) == ([], None)
    wrong = {"frames": 11, "span": Fraction(1, 2), "width": 66, "kinds": {"audio": 1}}
    for key, value in wrong.items():
        with pytest.raises(OutputError, match="failed its check"):
            verify(path, Expected(**{**right, key: value}))
    losses, tag = verify(
        path,
        Expected(**{**right, "tags": {"artist": "me", "x": "done"}, "provenance": "done"}),
    )
    assert "artist" in losses[0]
    assert len(losses) == 1
    assert tag is None


def test_long_names(make_clip: Make, run: Go, tmp_path: Path) -> None:
    out = run(make_clip(tmp_path / "a.mp4"), tmp_path / ("ü" * 120 + ".mp4")).written
    assert out.exists()
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize("names", [("a.mkv", "b.mkv"), ("a.mkv", "b.mp4")])
def test_a_cover_stays_a_cover(run: Any, tmp_path: Path, names: tuple[str, str]) -> None:
    path = tmp_path / names[0]
    red = av.VideoFrame.from_ndarray(np.full((32, 32, 3), (200, 9, 9), np.uint8), "rgb24")
    encoder: Any = av.CodecContext.create("mjpeg", "w")
    encoder.width = encoder.height = 32
    encoder.pix_fmt, encoder.time_base = "yuvj420p", Fraction(1, 25)
    cover = b"".join(bytes(packet) for packet in encoder.encode(red.reformat(format="yuvj420p")))
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("libx264", 25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        container.add_attachment("poster.jpg", "image/jpeg", cover)
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 9 * number, np.uint8), "rgb24")
            frame.pts = number
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    written = run(path, tmp_path / names[1], strict=True).written
    with av.open(str(written)) as container:
        shown = [s for s in container.streams.video if s.disposition & Disposition.attached_pic]
        assert len(container.streams.video) == 2
        packet = next(p for p in container.demux(shown[0]) if p.size)
    assert bytes(packet) == cover
    if names[1] == "b.mkv":
        assert shown[0].metadata["filename"] == "poster.jpg"
