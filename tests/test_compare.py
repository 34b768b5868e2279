"""Before and after in one video: sample by sample, as a viewer sees it, and refused in one line."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from tests_support import (
    audio_packets,
    portrait,
    read_times,
    write_audio,
    write_portrait_clip,
)

from vidfacedeblur import compare as module
from vidfacedeblur.cli import main
from vidfacedeblur.cli.comparing import compare_places
from vidfacedeblur.compare import compare
from vidfacedeblur.config import VideoOptions
from vidfacedeblur.errors import (
    DamagedInputError,
    InputError,
    OptionError,
    OutputError,
    OutputExistsError,
)
from vidfacedeblur.plan import Job, Plan
from vidfacedeblur.video import How, SourceInfo, composer
from vidfacedeblur.video.layout import layouts
from vidfacedeblur.video.orientation import turned_upright

TICK = Fraction(1, 1000)
MATRICES = {  # by EXIF orientation
    2: (-65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30),
    3: (-65536, 0, 0, 0, -65536, 0, 0, 0, 1 << 30),
    6: (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30),
    7: (0, -65536, 0, -65536, 0, 0, 0, 0, 1 << 30),
    8: (0, -65536, 0, 65536, 0, 0, 0, 0, 1 << 30),
}
LABEL = 40
"""Lines from the top that labels may cover, in the small clips."""


def noise(pix_fmt: str, size: tuple[int, int], seed: int) -> av.VideoFrame:
    """A picture whose every colour sample is another."""
    width, height = size
    rgba = np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)
    return av.VideoFrame.from_ndarray(rgba, "rgba").reformat(format=pix_fmt)


def write_clip(
    path: Path,
    *,
    seed: int = 0,
    frames: int = 4,
    size: tuple[int, int] = (320, 240),
    pix_fmt: str = "yuv420p",
    encoder: str = "ffv1",
    times: Sequence[int] | None = None,
    orientation: int = 1,
    aspect: Fraction | None = None,
    sound: bool = False,
) -> Path:
    """Write noise; `times` are in milliseconds, by default 40 apart."""
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream(encoder, 25)
        video.width, video.height = size
        video.pix_fmt = pix_fmt
        video.codec_context.time_base = video.time_base = TICK
        if aspect:
            video.codec_context.sample_aspect_ratio = aspect
        if orientation != 1:
            video.set_display_matrix(MATRICES[orientation])
        if sound:
            write_audio(container, seconds=0.04 * frames)
        for number, time in enumerate(times or [40 * n for n in range(frames)]):
            picture = noise(pix_fmt, size, seed + number)
            picture.pts, picture.time_base = time, TICK
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
    return path


def write_pair(folder: Path, suffix: str = ".mkv", **values: Any) -> tuple[Path, Path]:
    """Two clips that differ by their samples only."""
    return (
        write_clip(folder / f"in{suffix}", **values),
        write_clip(folder / f"out{suffix}", seed=100, **values),
    )


def frames_of(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def planes(picture: av.VideoFrame) -> list[NDArray[Any]]:
    """Every plane's bytes without padding; (rows, places, bytes at a place)."""
    found = []
    layout = layouts()[picture.format.name]
    for number, plane in enumerate(picture.planes):
        held = [c.step for c in layout.components if c.plane == number] or [1]
        size = max(held) * layout.bytes
        rows = np.frombuffer(bytes(plane), np.uint8).reshape(plane.height, -1)
        packed = layout.model == "yuv" and len(picture.planes) == 1  # a place is two pixels
        wide = -(-plane.width // 2) if packed else plane.width
        found.append(rows[:, : wide * size].reshape(plane.height, wide, size))
    return found


def described(picture: av.VideoFrame, orientation: int = 1) -> SourceInfo:
    name = picture.format.name
    size = (picture.width, picture.height)
    return SourceInfo(
        Path("x"), "matroska", "ffv1", *size, orientation, name, Fraction(25), None, None
    )


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("pix_fmt", sorted(layouts()))
def test_side_by_side_in_every_format_and_orientation(pix_fmt: str, orientation: int) -> None:
    before, after = noise(pix_fmt, (37, 29), 1), noise(pix_fmt, (37, 29), 2)
    old, new = planes(before), planes(after)
    compose = composer(described(before, orientation), "side")
    both = compose(before, after, Fraction(0))
    assert both.format.name == pix_fmt
    assert (both.width, both.height) == compose.size
    for a, b, c in zip(old, new, planes(both), strict=True):
        seen = [turned_upright(np.ascontiguousarray(plane), orientation) for plane in (a, b, c)]
        seen = [plane.reshape(*plane.shape[:2], -1) for plane in seen]
        wide = seen[0].shape[1]
        assert (seen[2][:, :wide] == seen[0]).all()
        assert (seen[2][:, -wide:] == seen[1]).all()
        assert seen[2].shape[1] - 2 * wide < 4


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "nv12", "yuyv422", "gbrp", "ya8"])
def test_wipe_is_before_on_the_left_and_after_on_the_right(pix_fmt: str, orientation: int) -> None:
    old, new = (planes(noise(pix_fmt, (48, 36), seed)) for seed in (1, 2))
    compose = composer(described(noise(pix_fmt, (48, 36), 1), orientation), "wipe")
    lines = []
    for quarter in range(9):
        pictures = (noise(pix_fmt, (48, 36), seed) for seed in (1, 2))
        both = compose(*pictures, Fraction(quarter, 2))
        assert compose.size == (both.width, both.height) == (48, 36)
        for number, three in enumerate(zip(old, new, planes(both), strict=True)):
            a, b, c = (turned_upright(np.ascontiguousarray(p), orientation) for p in three)
            a, b, c = (p.reshape(*p.shape[:2], -1) for p in (a, b, c))
            from_before = (a == c).all(axis=(0, 2))
            from_after = (b == c).all(axis=(0, 2))
            line = np.flatnonzero(~from_before & ~from_after)
            assert 1 <= len(line) <= 4
            assert from_before[: line[0]].all()
            assert from_after[line[-1] + 1 :].all()
            if number == 0:
                lines.append(int(line[0]))
    assert lines[:5] == sorted(set(lines[:5]))
    assert lines[4:] == sorted(set(lines[4:]), reverse=True)
    assert lines[0] == lines[8] == 0


@pytest.mark.parametrize(
    ("pix_fmt", "size"),
    [
        ("yuv420p", (320, 240)),
        ("yuv420p", (321, 241)),
        ("yuv422p10le", (321, 241)),
        ("yuva420p", (320, 240)),
        ("gray", (321, 241)),
        ("bgr0", (321, 241)),
        ("yuv411p", (320, 240)),
    ],
)
def test_files_come_out_sample_by_sample(
    pix_fmt: str, size: tuple[int, int], tmp_path: Path
) -> None:
    source, output = write_pair(tmp_path, pix_fmt=pix_fmt, size=size)
    seen: list[int] = []
    assert compare(source, output, tmp_path / "c.mkv", on_frame=seen.append) == 4
    assert seen == [0, 1, 2, 3]
    files = (source, output, tmp_path / "c.mkv")
    for three in zip(*map(frames_of, files), strict=True):
        for a, b, c in zip(*map(planes, three), strict=True):
            top = LABEL * a.shape[0] // size[1]
            assert (c[top:, : a.shape[1]] == a[top:]).all()
            assert (c[top:, -b.shape[1] :] == b[top:]).all()
            assert not (c[:top, : a.shape[1]] == a[:top]).all() or a.shape[0] < size[1]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c.mkv", "in.mkv", "out.mkv"]


@pytest.mark.parametrize("orientation", [2, 3, 6, 7, 8])
def test_a_turned_video_is_side_by_side_to_its_viewer(orientation: int, tmp_path: Path) -> None:
    source, output = write_pair(
        tmp_path, ".mp4", encoder="libx264", orientation=orientation, size=(160, 120)
    )
    target = tmp_path / "c.mp4"
    compare(source, output, target, video=VideoOptions(crf=0))
    (a, b, c) = (
        turned_upright(frames_of(path)[1].to_ndarray(format="gray"), orientation)
        for path in (source, output, target)
    )
    assert c.shape == (a.shape[0], 2 * a.shape[1])
    assert (c[LABEL:, : a.shape[1]] == a[LABEL:]).all()
    assert (c[LABEL:, a.shape[1] :] == b[LABEL:]).all()
    with av.open(str(target)) as container:
        side_data = next(container.decode(video=0)).side_data
        assert any(item.type.name == "DISPLAYMATRIX" for item in side_data)


@pytest.mark.parametrize("how", ["side", "wipe"])
def test_times_sound_and_pixel_aspect_are_kept(how: How, tmp_path: Path) -> None:
    times = [0, 33, 100, 107, 250, 900]
    pair = write_pair(
        tmp_path, ".mp4", encoder="libx264", times=times, sound=True, aspect=Fraction(16, 15)
    )
    target = tmp_path / "c.mp4"
    assert compare(*pair, target, how=how) == 6
    assert read_times(target) == times
    assert audio_packets(target) == audio_packets(pair[0])
    with av.open(str(target)) as container:
        video = container.streams.video[0]
        assert (video.width, video.height) == ((640 if how == "side" else 320), 240)
        assert video.sample_aspect_ratio == Fraction(16, 15)


def test_only_the_part_that_was_processed_is_read(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mkv", frames=20, sound=True)
    output = write_clip(tmp_path / "out.mkv", seed=4, frames=8)
    target = tmp_path / "c.mkv"
    assert compare(source, output, target, video=VideoOptions(start=0.16, duration=0.3)) == 8
    both, old = frames_of(target), frames_of(source)
    assert read_times(target)[0] == 0
    luma = planes(both[3])[0][LABEL:, :320]
    assert (luma == planes(old[7])[0][LABEL:]).all()
    assert (planes(both[3])[0][LABEL:, 320:] == luma).all()  # the output's noise is the same there


def test_the_output_may_have_another_format(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mkv", pix_fmt="bgr0")
    output = write_clip(tmp_path / "out.mkv", pix_fmt="yuv444p")
    compare(source, output, tmp_path / "c.mkv")
    image = frames_of(tmp_path / "c.mkv")[0].to_ndarray(format="rgb24").astype(int)[LABEL:]
    assert np.abs(image[:, :320] - image[:, 320:]).mean() < 3  # the same but for rounding


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_a_gif(suffix: str, tmp_path: Path) -> None:
    source = tmp_path / "in.gif"
    code = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=s=150x90:r=10:d=1", str(source)]
    subprocess.run(code, check=True)
    assert compare(source, source, tmp_path / f"c{suffix}") == 10
    frames = frames_of(tmp_path / f"c{suffix}")
    assert (frames[0].width, frames[0].height) == (300, 90)
    assert len(frames) == 10


def test_frames_of_gif_and_avi_need_not_keep_their_times(tmp_path: Path) -> None:
    times = [0, 40, 900, 940]
    source = write_clip(tmp_path / "in.mkv", times=times)
    output = write_clip(tmp_path / "out.avi")
    assert compare(source, output, tmp_path / "c.mkv") == 4
    assert read_times(tmp_path / "c.mkv") == times


def write_picture(path: Path, image: NDArray[np.uint8]) -> Path:
    """A PNG or JPEG."""
    encoder: Any = av.CodecContext.create("png" if path.suffix == ".png" else "mjpeg", "w")
    picture = av.VideoFrame.from_ndarray(image, "rgb24")
    if path.suffix != ".png":
        picture = picture.reformat(format="yuvj444p")
    encoder.width, encoder.height = picture.width, picture.height
    encoder.pix_fmt, encoder.time_base = picture.format.name, Fraction(1)
    path.write_bytes(b"".join(map(bytes, [*encoder.encode(picture), *encoder.encode(None)])))
    return path


def test_a_still_picture(tmp_path: Path) -> None:
    one, other = portrait(), portrait(20)[:, ::-1]
    source = write_picture(tmp_path / "in.png", one)
    output = write_picture(tmp_path / "out.png", np.ascontiguousarray(other))
    assert compare(source, output, tmp_path / "c.png") == 1
    image = frames_of(tmp_path / "c.png")[0].to_ndarray(format="rgb24")
    assert (image[LABEL:] == np.concatenate([one, other], axis=1)[LABEL:]).all()
    assert compare(source, output, tmp_path / "w.png", how="wipe") == 1
    image = frames_of(tmp_path / "w.png")[0].to_ndarray(format="rgb24")[LABEL:]
    assert (image[:, :126] == one[LABEL:, :126]).all()
    assert (image[:, 130:] == other[LABEL:, 130:]).all()
    assert image[:, 126:130, 0].tolist() == [[0, 255, 255, 0]] * len(image)


def test_a_jpeg_against_a_png(tmp_path: Path) -> None:
    source = write_picture(tmp_path / "in.jpg", portrait())
    output = write_picture(tmp_path / "out.png", portrait())
    compare(source, output, tmp_path / "c.jpg")
    image = frames_of(tmp_path / "c.jpg")[0].to_ndarray(format="rgb24").astype(int)[LABEL:]
    assert np.abs(image[:, :256] - image[:, 256:]).mean() < 3


def test_hdr_labels_do_not_glare(tmp_path: Path) -> None:
    picture = noise("yuv420p10le", (320, 240), 1)
    picture.color_trc = 16
    flat = [np.frombuffer(bytes(p), np.uint16) for p in picture.planes]
    assert max(map(int, flat[0])) > 900
    black = av.VideoFrame(320, 240, "yuv420p10le")
    for plane, value in zip(black.planes, (64, 512, 512), strict=True):
        plane.update(np.full(plane.buffer_size // 2, value, np.uint16).tobytes())
    black.color_trc = 16
    both = composer(described(black), "side")(black, black, None)
    luma = planes(both)[0].copy().view(np.uint16)
    assert 500 < luma.max() < 620


# --- what is refused


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mkv")
    others = {
        "short": (
            write_clip(tmp_path / "short.mkv", frames=3),
            "short.mkv has 3 frames, the other",
        ),
        "long": (write_clip(tmp_path / "long.mkv", frames=5), "in.mkv has 4 frames, the other"),
        "late": (
            write_clip(tmp_path / "late.mkv", times=[0, 40, 280, 320]),
            "its frame 2 comes 0.200 s later",
        ),
        "small": (write_clip(tmp_path / "small.mkv", size=(64, 48)), "has 64x48 pixels"),
    }
    for output, says in others.values():
        with pytest.raises(InputError, match=says) as caught:
            compare(source, output, tmp_path / "c.mkv")
        assert str(source) in str(caught.value)
        assert str(output) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not [p for p in tmp_path.iterdir() if p.name.endswith(".part") or p.stem == "c"]


def test_places_that_are_taken(tmp_path: Path) -> None:
    source, output = write_pair(tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    for target in (source, output):
        with pytest.raises(OutputExistsError, match="itself"):
            compare(source, output, target, video=VideoOptions(overwrite=True))
    (tmp_path / "c.mkv").write_text("old")
    with pytest.raises(OutputExistsError, match=r"c\.mkv exists"):
        compare(source, output, tmp_path / "c.mkv")
    with pytest.raises(OptionError, match="cannot be written as a picture"):
        compare(source, output, tmp_path / "c.png")
    (tmp_path / "c.mkv").unlink()
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before
    (tmp_path / "text").write_text("")
    with pytest.raises(OutputError, match="is a file and no folder"):
        compare(source, output, tmp_path / "text" / "c.mkv")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"source": Path("-")}, "not standard input"),
        ({"target": Path("-")}, "not standard input"),
        ({"how": "above"}, "must be one of side, wipe, got 'above'"),
        ({"video": VideoOptions(isolate=True)}, "--isolate"),
    ],
)
def test_what_cannot_be_asked_for(values: dict[str, Any], says: str) -> None:
    usual = {"source": Path("a.mkv"), "output": Path("b.mkv"), "target": Path("c.mkv")}
    with pytest.raises(OptionError, match=says):
        compare(**usual | values)


def test_an_input_that_is_cut_short(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mkv", frames=20)
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    with pytest.raises(DamagedInputError, match="cut short"):
        compare(source, source, tmp_path / "c.mkv")
    assert [p.name for p in tmp_path.iterdir()] == ["in.mkv"]
    assert compare(source, source, tmp_path / "c.mkv", video=VideoOptions(keep_partial=True)) > 5


def test_an_old_file_stays_if_anything_fails(tmp_path: Path) -> None:
    source, output = write_pair(tmp_path)
    (tmp_path / "c.mkv").write_text("old")

    def stop(index: int) -> None:
        if index == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(
            source, output, tmp_path / "c.mkv", video=VideoOptions(overwrite=True), on_frame=stop
        )
    assert (tmp_path / "c.mkv").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 3


def test_an_encoder_for_one_container_is_not_forced_on_another(tmp_path: Path) -> None:
    pair = write_pair(tmp_path, ".mov", encoder="prores_ks", pix_fmt="yuv422p10le")
    asked = VideoOptions(encoder="prores_ks", encoder_options=(("vendor", "apl0"),))
    for suffix, codec in ((".mp4", "h264"), (".mov", "prores")):
        compare(*pair, tmp_path / f"c{suffix}", video=asked)
        with av.open(str(tmp_path / f"c{suffix}")) as container:
            assert container.streams.video[0].codec_context.codec.canonical_name == codec


def test_names_and_places_of_the_input_are_left_out(tmp_path: Path) -> None:
    write_portrait_clip(tmp_path / "plain.mp4")
    tagged = tmp_path / "in.mp4"
    code = ["ffmpeg", "-v", "error", "-i", str(tmp_path / "plain.mp4"), "-c", "copy"]
    tags = ["-metadata", "title=Anna", "-metadata", "location=+52.5+013.4/"]
    subprocess.run([*code, *tags, str(tagged)], check=True)
    compare(tagged, tmp_path / "plain.mp4", tmp_path / "c.mp4")
    with av.open(str(tmp_path / "c.mp4")) as container:
        assert not {"title", "location"} & set(container.metadata)


# --- the command


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    write_portrait_clip(tmp_path / "clip.mp4")
    return tmp_path / "clip.mp4"


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    lines = capsys.readouterr().err.splitlines()
    said = [line for line in lines if not line.endswith(" ...") and ": using " not in line]
    assert len(said) == 1, said
    return said[0]


@pytest.mark.parametrize("how", ["side", "wipe"])
def test_a_whole_run(
    how: str,
    clip: Path,
    small_weights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, target = tmp_path / "out.mp4", tmp_path / "compare.mp4"
    base = [str(clip), "-o", str(out), "--weights", str(small_weights), "--device", "cpu"]
    base += ["--gate", "off", "--compare", str(target), "--compare-as", how]
    assert main(base) == 0
    said = capsys.readouterr().err
    assert "comparing out.mp4 with clip.mp4 ..." in said
    assert f"comparison: 6 frames in {target}" in said
    assert read_times(target) == read_times(clip)
    assert audio_packets(target) == audio_packets(clip)
    image = frames_of(target)[3].to_ndarray(format="rgb24").astype(int)
    assert image.shape == (240, 512 if how == "side" else 256, 3)
    if how == "side":
        change = np.abs(image[LABEL:, :256] - image[LABEL:, 256:]).mean(axis=2)
        assert change.max() > 30  # the face
        assert np.median(change) < 4  # all else
    assert main([*base, "-y", "-q"]) == 0
    assert main([*base, "-q", "--skip-existing"]) == 0


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        (["--compare", "clip.mp4"], 2, "clip.mp4 is taken by an input, an output"),
        (["--compare", "out.mp4"], 2, "out.mp4 is taken by an input, an output"),
        (["--compare", "x.mp4", "--report", "x.mp4"], 2, "x.mp4 is taken"),
        (["--compare", "x.mp4", "--best-faces", "x.mp4"], 2, "x.mp4 is taken"),
        (["--compare", "there.mp4"], 2, "there.mp4 exists; use --overwrite"),
        (["--compare", "folder"], 2, "folder is a folder; name a file"),
        (["--compare", "none/x.mp4"], 5, "there is no folder none"),
        (["--compare", "x.png"], 2, "the output is a video, so this must be one too"),
        (["--compare", "-"], 2, "--compare needs a file, not standard output"),
        (["--compare", "x.mp4", "-o", "-"], 2, "which pipes cannot do"),
        (["--compare", "x.mp4", "--isolate"], 2, "as --isolate wants"),
        (["--compare", "x.mp4", "--compare-as", "up"], 2, "must be one of side, wipe, got 'up'"),
        (["folder", "--compare", "folder/c"], 2, "lies in the input folder"),
        (["folder", "--compare", "there.mp4"], 5, "there.mp4 is a file; choose a folder"),
        (["folder", "--compare", "many"], 2, "many/clip_deblurred.mp4 is taken by an input"),
    ],
)
def test_contradictions(
    more: list[str],
    code: int,
    says: str,
    clip: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(clip.parent)
    Path("folder").mkdir()
    write_portrait_clip(Path("folder/a.mp4"), frames=2)
    Path("there.mp4").write_text("old")
    output = [] if "-o" in more else ["-o", "many" if more[0] == "folder" else "out.mp4"]
    before = sorted(Path().rglob("*"))
    assert main(["clip.mp4", *more, *output, "-q"]) == code
    assert says in error_line(capsys)
    assert sorted(Path().rglob("*")) == before


def test_the_output_stays_if_the_comparison_fails(
    clip: Path,
    small_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(*_: Any, **__: Any) -> int:
        raise OutputError("c.mp4 cannot be written: No space left on device")

    monkeypatch.setattr(module, "compare", full)
    base = [str(clip), "-o", str(tmp_path / "out.mp4"), "--weights", str(small_weights), "-q"]
    assert main([*base, "--compare", str(tmp_path / "c.mp4")]) == 5
    assert "No space left" in error_line(capsys)
    assert (tmp_path / "out.mp4").exists()
    assert not (tmp_path / "c.mp4").exists()


def test_places_of_several_inputs_are_named_like_their_outputs() -> None:
    jobs = tuple(Job(Path("in", name), Path("out", name)) for name in ("a/x.mp4", "a/x.mov"))
    places = compare_places(Plan(jobs, many=True), Path("both"), Path("out"))
    assert list(places.values()) == [Path("both/a/x.mp4"), Path("both/a/x.mov")]
    assert compare_places(Plan(jobs[:1]), Path("c.mp4"), Path("out.mp4")) == {
        jobs[0]: Path("c.mp4")
    }
