"""A video in pieces: what comes out is what a run over the whole gives, or nothing does."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from tests_support import portrait, write_audio, write_portrait_clip

from vidfacedeblur import BestFaces, FaceDeblurPipeline, FaceOptions, VideoOptions
from vidfacedeblur.errors import DamagedInputError, OutputExistsError, PieceError
from vidfacedeblur.pieces import (
    Survey,
    join,
    pieces_ready,
    survey,
    why_whole,
    work_piece,
)
from vidfacedeblur.types import FrameResult, FrameTiming, RunSummary
from vidfacedeblur.video import open_source

LOSSLESS = VideoOptions(encoder="ffv1", overwrite=True)
GROUPS = {"g": "8", "keyint_min": "4"}
"""A key frame every 8 frames at the latest."""
SECONDS = 0.3
FRAMES = 24


@pytest.fixture(scope="module")
def pipeline(small_weights: Path) -> Iterator[FaceDeblurPipeline]:
    with FaceDeblurPipeline(
        weights=small_weights,
        device="cpu",
        threads=1,  # what comes out depends on it, by a hair
        faces=FaceOptions(gate="off", min_face=80),
        video=LOSSLESS,
    ) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _options_as_they_were(pipeline: FaceDeblurPipeline) -> Iterator[None]:
    video, faces = pipeline.video, pipeline.faces
    yield
    pipeline.video, pipeline.faces = video, faces


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Three groups of pictures, uneven times, B-frames, sound; the face moves all the time."""
    path = tmp_path / "in.mp4"
    write_long(path, "libx264", GROUPS, sound=True)
    return path


@pytest.fixture(scope="module")
def made(pipeline: FaceDeblurPipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a clip, its pieces, and what they were put together to."""
    folder = tmp_path_factory.mktemp("made")
    write_long(folder / "in.mp4", "libx264", GROUPS, sound=True)
    Pieces(pipeline, folder / "in.mp4", folder / "out.mkv")
    return folder


@pytest.fixture
def pieces(made: Path, pipeline: FaceDeblurPipeline, tmp_path: Path) -> Pieces:
    """A copy of all that, of one's own."""
    copy = tmp_path / "copy"
    shutil.copytree(made, copy)  # with the time of the clip, too
    return Pieces(pipeline, copy / "in.mp4", copy / "out.mkv")


class Pieces:
    """What came of a video in pieces, the last piece worked on first."""

    def __init__(
        self,
        pipeline: FaceDeblurPipeline,
        source: Path,
        target: Path,
        *,
        best: BestFaces | None = None,
        seconds: float = SECONDS,
    ) -> None:
        self.folder = target.with_suffix(".pieces")
        self.told: list[int] = []
        self.results: list[FrameResult] = []
        self.source, self.target = source, target
        self._here = pipeline, source, target, self.folder
        self.survey = survey(*self._here, seconds=seconds, on_piece=self.told.append)
        for number in reversed(range(self.survey.pieces)):
            self.work(number, watch=best is not None)
        self.summary = self.join(best=best)

    def work(self, number: int, **more: Any) -> None:
        work_piece(*self._here, number, **more)

    def join(self, best: BestFaces | None = None) -> RunSummary:
        self.results.clear()
        return join(*self._here, on_result=self.results.append, best=best)


def planes(path: Path) -> list[tuple[int | None, list[bytes]]]:
    """Time and samples of every frame."""
    with av.open(str(path)) as container:
        return [
            (frame.pts, [bytes(memoryview(plane)) for plane in frame.planes])  # type: ignore[arg-type]
            for frame in container.decode(video=0)
        ]


def packets(path: Path) -> tuple[list[tuple[int, int]], list[tuple[Any, ...]]]:
    """Times of the video's packets, and all that the others are."""
    video, others = [], []
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.size and packet.stream.type == "video":
                assert packet.pts is not None
                assert packet.dts is not None
                video.append((packet.pts, packet.dts))
            elif packet.size:
                values = (packet.stream_index, packet.pts, packet.dts, packet.duration)
                others.append((*values, bytes(packet)))
    return video, others


def without_times(results: list[FrameResult]) -> list[FrameResult]:
    return [replace(result, timing=FrameTiming()) for result in results]


def said(summary: RunSummary) -> dict[str, Any]:
    """What two runs must agree in."""
    ignored = {"output", "output_sha256", "seconds", "stages", "losses"}
    return {key: value for key, value in vars(summary).items() if key not in ignored}


def check_same(whole: Path, joined: Path) -> None:
    """The same frames at the same times, and the same packets beside them."""
    assert planes(joined) == planes(whole)
    (video, others), (joint, beside) = packets(whole), packets(joined)
    assert sorted(beside) == sorted(others)
    assert [pts for pts, _ in sorted(joint)] == [pts for pts, _ in sorted(video)]
    check_decodable(joint)


def check_decodable(video: list[tuple[int, int]]) -> None:
    assert all(dts <= pts for pts, dts in video)
    assert all(a[1] < b[1] for a, b in pairwise(video))


def both(
    pipeline: FaceDeblurPipeline, source: Path, suffix: str = ".mkv"
) -> tuple[Path, Path, Pieces, list[FrameResult]]:
    """A run over the whole and one in pieces."""
    whole, joined = source.with_name(f"whole{suffix}"), source.with_name(f"joined{suffix}")
    results: list[FrameResult] = []
    summary = pipeline.run(source, whole, on_frame=results.append)
    pieces = Pieces(pipeline, source, joined)
    assert said(pieces.summary) == said(summary)
    assert without_times(pieces.results) == without_times(results)
    return whole, joined, pieces, results


@pytest.mark.parametrize("gate", ["off", "auto"])
def test_faces_go_on_over_the_seams(gate: Any, clip: Path, pipeline: FaceDeblurPipeline) -> None:
    pipeline.faces = FaceOptions(gate=gate, min_face=80)
    whole, joined, pieces, results = both(pipeline, clip)
    assert pieces.survey.pieces == 3
    assert pieces.told == [0, 1, 2]
    assert {face.track for result in results for face in result.faces} == {1}
    assert [len(result.faces) for result in results] == [1] * FRAMES
    assert (pieces.summary.deblurred > 0) == (gate == "off")
    check_same(whole, joined)


@pytest.mark.parametrize("suffix", [".mp4", ".ts"])
def test_what_is_written_with_b_frames(
    suffix: str, clip: Path, pipeline: FaceDeblurPipeline
) -> None:
    lossless = (("x265-params", "lossless=1:b-adapt=0"),)
    pipeline.video = VideoOptions(encoder="libx265", encoder_options=lossless, overwrite=True)
    whole, joined, _, _ = both(pipeline, clip, suffix)
    check_same(whole, joined)
    video = packets(joined)[0]
    assert video != sorted(video)  # there are some
    assert [dts for _, dts in video] == [dts for _, dts in packets(whole)[0]]


def test_the_time_and_work_of_all_steps_is_told(pieces: Pieces) -> None:
    stages = pieces.summary.stages
    assert all(stages[name].mean > 0 for name in ("decode", "detect", "deblur", "encode"))
    assert pieces.summary.seconds > pieces.survey.seconds > 0


def write_long(path: Path, encoder: str, settings: dict[str, str], **more: Any) -> None:
    """A face that moves, with times of its own, in a codec of the file's own kind."""
    pix_fmt = more.get("pix_fmt", "yuv420p")
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream(encoder, rate=25, options=settings)
        video.width, video.height, video.pix_fmt = 256, 240, pix_fmt
        video.time_base = video.codec_context.time_base = Fraction(1, 1000)
        if "matrix" in more:
            video.set_display_matrix(more["matrix"])
        write_audio(container, seconds=1) if more.get("sound") else None
        words: Any = container.add_mux_stream("subrip") if more.get("words") else None
        container.start_encoding()
        for i in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(portrait(2 * i), format="rgb24")
            frame = frame.reformat(format=pix_fmt)
            frame.pts, frame.time_base = 40 * i + 9 * (i % 3), Fraction(1, 1000)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for number in range(10) if words else ():
            packet: Any = av.Packet(b"word %d" % number)
            packet.stream, packet.time_base = words, Fraction(1, 1000)
            packet.pts = packet.dts = 100 * number
            packet.duration = 90
            container.mux(packet)


SOURCES: dict[str, tuple[str, dict[str, str], dict[str, Any]]] = {
    "a.mkv": ("libx264", GROUPS, {"words": True}),
    "a.mov": ("mjpeg", {}, {"pix_fmt": "yuvj420p"}),
    "a.ts": ("libx264", GROUPS, {}),
    "a.webm": ("libvpx-vp9", {"g": "8", "cpu-used": "8", "deadline": "realtime"}, {}),
    "ten.mkv": ("libx265", {"x265-params": "log-level=none:keyint=8:open-gop=0"}, {}),
    "turned.mp4": ("libx264", GROUPS, {"matrix": (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)}),
    "open.mp4": ("libx264", {**GROUPS, "x264-params": "open-gop=1:scenecut=0"}, {}),
    "open.ts": ("libx264", {**GROUPS, "x264-params": "open-gop=1:scenecut=0"}, {}),
    "cra.mkv": ("libx265", {"x265-params": "log-level=none:keyint=8:open-gop=1"}, {}),
}


@pytest.mark.parametrize("name", SOURCES)
def test_any_kind_of_video(name: str, pipeline: FaceDeblurPipeline, tmp_path: Path) -> None:
    encoder, settings, more = SOURCES[name]
    if name == "ten.mkv":
        more = {"pix_fmt": "yuv420p10le"}
    write_long(tmp_path / name, encoder, settings, **more)
    whole, joined, pieces, _ = both(pipeline, tmp_path / name)
    assert pieces.survey.pieces == 3
    check_same(whole, joined)


@pytest.mark.parametrize(
    ("encoder", "suffix"),
    [
        ("libx264", ".mov"),
        ("libx265", ".mp4"),
        ("libvpx-vp9", ".webm"),
        ("libsvtav1", ".mp4"),
        ("prores_ks", ".mov"),
        ("mjpeg", ".mkv"),
    ],
)
def test_encoders(
    encoder: str, suffix: str, clip: Path, pipeline: FaceDeblurPipeline, tmp_path: Path
) -> None:
    """Lossy ones decide otherwise at a seam, but nothing is lost there, nor looks different."""
    pipeline.video = VideoOptions(encoder=encoder, overwrite=True)
    whole, joined, _, results = both(pipeline, clip, suffix)
    one, other = planes(whole), planes(joined)
    assert [pts for pts, _ in other] == [pts for pts, _ in one]
    assert len(one) == len(results)
    check_decodable(packets(joined)[0])
    for (_, a), (_, b) in zip(one, other, strict=True):
        kind = np.uint16 if encoder == "prores_ks" else np.uint8
        luma = [np.frombuffer(planes_[0], kind).astype(int) for planes_ in (a, b)]
        assert np.abs(luma[0] - luma[1]).mean() < 2


# What must be noticed


def test_damage_in_the_middle(clip: Path, pipeline: FaceDeblurPipeline) -> None:
    data = bytearray(clip.read_bytes())
    with av.open(str(clip)) as container:
        where = [p for p in container.demux(video=0) if p.size and not p.is_keyframe][12]
        assert where.pos is not None
        data[where.pos + 20 : where.pos + 60] = bytes(40)
    clip.write_bytes(data)
    whole, joined, pieces, _ = both(pipeline, clip)
    assert pieces.summary.damaged
    check_same(whole, joined)


def test_a_video_that_is_cut_short(tmp_path: Path, pipeline: FaceDeblurPipeline) -> None:
    source = tmp_path / "in.mkv"
    write_portrait_clip(source, frames=FRAMES, settings=GROUPS)
    source.write_bytes(source.read_bytes()[: int(0.7 * source.stat().st_size)])
    with pytest.raises(DamagedInputError, match="cut short"):
        Pieces(pipeline, source, tmp_path / "no.mkv")
    pipeline.video = replace(LOSSLESS, keep_partial=True)
    whole, joined, pieces, _ = both(pipeline, source)
    assert pieces.summary.truncated
    check_same(whole, joined)


def test_work_that_was_broken_off_goes_on(
    pieces: Pieces, pipeline: FaceDeblurPipeline, tmp_path: Path
) -> None:
    target, clip = pieces.target, pieces.source
    folder, before = pieces.folder, target.read_bytes()
    stamps = {path: path.stat().st_mtime_ns for path in folder.glob("*.packets")}
    for name in ("survey.json", "piece-00000.plan", "piece-00001.results"):
        (folder / name).unlink()
    half = folder / "piece-00002.packets"
    half.write_bytes(half.read_bytes()[:-9])
    (folder / ".piece-00002.packets.0123abcd.part").write_bytes(b"half")
    ready = pieces_ready(folder)
    assert (ready.surveyed, ready.done, ready.complete) == ((1, 2), (), False)
    assert ready.waiting == (1, 2)
    with pytest.raises(PieceError, match="survey"):
        pieces.join()
    again = Pieces(pipeline, clip, target)
    assert pieces_ready(folder).done == (0, 1, 2)
    assert not list(folder.glob(".*"))
    assert again.survey.plans == pieces.survey.plans
    redone = [path.name for path, t in stamps.items() if path.stat().st_mtime_ns != t]
    assert sorted(redone) == ["piece-00001.packets", "piece-00002.packets"]
    assert planes(target) == planes_of(before, tmp_path)


def planes_of(data: bytes, folder: Path) -> list[tuple[int | None, list[bytes]]]:
    path = folder / "kept.mkv"
    path.write_bytes(data)
    return planes(path)


def test_pieces_can_be_worked_on_while_the_survey_goes_on(
    clip: Path, pieces: Pieces, pipeline: FaceDeblurPipeline, tmp_path: Path
) -> None:
    here = (pipeline, clip, tmp_path / "out.mkv", tmp_path / "pieces")
    shown: list[int] = []

    def work(number: int) -> None:
        assert not pieces_ready(here[3]).complete
        work_piece(*here, number, on_frame=lambda result: shown.append(result.index))

    frames: list[int] = []
    survey(*here, seconds=SECONDS, on_piece=work, on_frame=frames.append)
    assert frames == shown == list(range(FRAMES))
    join(*here)
    assert planes(tmp_path / "out.mkv") == planes(pieces.target)


def test_a_survey_that_is_complete_is_not_made_again(
    pieces: Pieces, pipeline: FaceDeblurPipeline
) -> None:
    clip = pieces.source
    frames: list[int] = []
    here = (pipeline, clip, pieces.target, pieces.folder)
    assert survey(*here, seconds=SECONDS, on_frame=frames.append) == pieces.survey
    assert frames == []
    other = survey(*here, seconds=1.5 * SECONDS, on_frame=frames.append)
    assert other.pieces < pieces.survey.pieces
    assert len(frames) == FRAMES
    ready = pieces_ready(pieces.folder)
    assert ready.surveyed == tuple(range(other.pieces))
    assert ready.done == ()


@pytest.mark.parametrize("kind", ["packets", "results"])
def test_an_altered_piece_is_noticed_and_made_anew(kind: str, pieces: Pieces) -> None:
    target = pieces.target
    kept = planes(target)
    path = pieces.folder / f"piece-00001.{kind}"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    target.unlink()
    with pytest.raises(PieceError, match="altered"):
        pieces.join()
    assert not target.exists()
    assert pieces_ready(pieces.folder).waiting == (1,)
    pieces.work(1)
    pieces.join()
    assert planes(target) == kept


def test_an_altered_plan_is_noticed(
    clip: Path, pipeline: FaceDeblurPipeline, tmp_path: Path
) -> None:
    folder = tmp_path / "pieces"
    survey(pipeline, clip, tmp_path / "out.mkv", folder, seconds=SECONDS)
    path = folder / "piece-00001.plan"
    lines = path.read_text().splitlines(keepends=True)
    values = json.loads(lines[3])
    values[0][2] ^= 1  # the checksum of its picture
    lines[3] = json.dumps(values) + "\n"
    path.write_text("".join(lines))
    with pytest.raises(PieceError, match="not what it was"):
        work_piece(pipeline, clip, tmp_path / "out.mkv", folder, 1)
    assert pieces_ready(folder).done == ()
    with pytest.raises(PieceError, match="not surveyed"):
        work_piece(pipeline, clip, tmp_path / "out.mkv", folder, 77)


def test_a_source_that_changes_is_noticed(pieces: Pieces, pipeline: FaceDeblurPipeline) -> None:
    target, clip = pieces.target, pieces.source
    target.unlink()
    stamp = clip.stat().st_mtime_ns
    os.utime(clip, ns=(stamp, stamp + 1))
    (pieces.folder / "piece-00000.packets").unlink()
    with pytest.raises(PieceError, match="has changed"):
        pieces.work(0)
    with pytest.raises(PieceError, match="has changed"):
        pieces.join()
    again = Pieces(pipeline, clip, target)
    assert again.summary.frames == FRAMES


def test_other_options_are_noticed(pieces: Pieces, pipeline: FaceDeblurPipeline) -> None:
    pipeline.faces = FaceOptions(gate="off", min_face=80, strength=0.5)
    with pytest.raises(PieceError, match="other options"):
        pieces.work(0)
    with pytest.raises(PieceError, match="other options"):
        pieces.join()


def test_a_source_of_the_same_size_and_time_is_noticed(
    clip: Path, pipeline: FaceDeblurPipeline, tmp_path: Path
) -> None:
    folder = tmp_path / "pieces"
    survey(pipeline, clip, tmp_path / "out.mkv", folder, seconds=SECONDS)
    size, stamp = clip.stat().st_size, clip.stat().st_mtime_ns
    write_long(clip, "libx264", {**GROUPS, "crf": "25"}, sound=True)
    clip.write_bytes(clip.read_bytes().ljust(size, b"\0")[:size])
    os.utime(clip, ns=(stamp, stamp))
    with pytest.raises(PieceError, match="not what it was"):
        work_piece(pipeline, clip, tmp_path / "out.mkv", folder, 2)


def test_the_target_is_not_overwritten(pieces: Pieces, pipeline: FaceDeblurPipeline) -> None:
    pipeline.video = replace(LOSSLESS, overwrite=False)
    with pytest.raises(OutputExistsError):
        pieces.join()


def test_without_faces_the_input_may_be_copied(
    pipeline: FaceDeblurPipeline, tmp_path: Path
) -> None:
    source = tmp_path / "in.mp4"
    write_portrait_clip(source, frames=FRAMES, faces=False, settings=GROUPS)
    pipeline.video = VideoOptions(copy_if_no_faces=True)
    pieces = Pieces(pipeline, source, tmp_path / "out.mp4")
    assert pieces.summary.copied
    assert (tmp_path / "out.mp4").read_bytes() == source.read_bytes()


def test_times_that_had_to_be_mended(pipeline: FaceDeblurPipeline, tmp_path: Path) -> None:
    source = tmp_path / "in.ts"
    write_long(tmp_path / "a.ts", "libx264", GROUPS)
    source.write_bytes((tmp_path / "a.ts").read_bytes() * 2)  # the clock starts again
    with pytest.raises(PieceError, match="times"):
        Pieces(pipeline, source, tmp_path / "out.mkv", seconds=0.1)
    assert not (tmp_path / "out.mkv").exists()


@pytest.mark.parametrize(
    ("options", "target", "seconds", "reason"),
    [
        (VideoOptions(), "b.mp4", SECONDS, None),
        (VideoOptions(), "b.mp4", 0.6, "shorter"),
        (VideoOptions(start=0.2), "b.mp4", SECONDS, "--start"),
        (VideoOptions(isolate=True), "b.mp4", SECONDS, "--isolate"),
        (VideoOptions(), "b.avi", SECONDS, "avi"),
        (VideoOptions(), "b.gif", SECONDS, "gif"),
        (VideoOptions(), "b.png", SECONDS, "picture"),
        (VideoOptions(encoder="mpeg4"), "b.mp4", SECONDS, "mpeg4"),
        (VideoOptions(), "-", SECONDS, "pipe"),
    ],
)
def test_why_a_video_is_done_as_a_whole(
    options: VideoOptions, target: str, seconds: float, reason: str | None, clip: Path
) -> None:
    with open_source(clip, replace(options, isolate=False)) as source:
        found = why_whole(source, Path(target), options, seconds=seconds)
    assert found is None if reason is None else reason in str(found)


# The best faces


def test_the_best_faces_are_those_of_a_whole_run(
    clip: Path, pipeline: FaceDeblurPipeline, tmp_path: Path
) -> None:
    def watched(name: str, go: Callable[[BestFaces], Any]) -> dict[str, bytes]:
        best = BestFaces(tmp_path / name, source="in.mp4", most=2)
        go(best)
        best.close()
        assert (best.tracks, best.short) == (1, 0)
        return {path.name: path.read_bytes() for path in sorted((tmp_path / name).iterdir())}

    whole = watched("a", lambda best: pipeline.run(clip, tmp_path / "a.mkv", watcher=best))
    joined = watched("b", lambda best: Pieces(pipeline, clip, tmp_path / "b.mkv", best=best))
    assert whole.keys() == joined.keys()
    assert whole
    first = [name for name in whole if "-1" in name]
    assert {name: whole[name] for name in first} == {name: joined[name] for name in first}


def test_pictures_of_faces_must_have_been_asked_for(pieces: Pieces, tmp_path: Path) -> None:
    with pytest.raises(PieceError, match="best"):
        pieces.join(best=BestFaces(tmp_path / "b", source="a", overwrite=True))
    assert pieces_ready(pieces.folder).waiting == (0,)


def test_a_survey_can_be_read_again(pieces: Pieces) -> None:
    assert Survey.read(pieces.folder) == pieces.survey
    assert pieces.survey.frames == FRAMES
