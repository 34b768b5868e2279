"""The class: files, streams of frames, single pictures, crops; what changes and what does not."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from copy import copy as shallow
from copy import deepcopy
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from tests_support import audio_packets, portrait, read_times, write_portrait_clip

from vidfacedeblur import Box, FaceDeblurPipeline, FaceOptions, VideoOptions
from vidfacedeblur.errors import InputError, OptionError, OutputExistsError, UnknownModelError
from vidfacedeblur.types import STAGES, FrameResult

EVERY = FaceOptions(gate="off")
"""The astronaut is sharp."""


@pytest.fixture(scope="module")
def pipeline(small_weights: Path) -> Iterator[FaceDeblurPipeline]:
    with FaceDeblurPipeline(weights=small_weights, device="cpu", faces=EVERY) as opened:
        yield opened


@pytest.mark.parametrize("wanted", [pickle.dumps, shallow, deepcopy])
def test_another_process_must_make_its_own(
    pipeline: FaceDeblurPipeline, wanted: Callable[[FaceDeblurPipeline], object]
) -> None:
    with pytest.raises(TypeError, match="FaceDeblurPipeline can be neither pickled nor copied"):
        wanted(pipeline)


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(path) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_a_file_comes_out_whole_with_its_faces_changed(
    pipeline: FaceDeblurPipeline, tmp_path: Path
) -> None:
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    times = write_portrait_clip(source)
    results: list[FrameResult] = []
    summary = pipeline.run(source, target, on_frame=results.append)
    assert read_times(target) == read_times(source) == times
    assert audio_packets(target) == audio_packets(source)
    assert summary.frames == len(times)
    assert summary.faces == len(times)
    assert summary.output == str(target)
    assert set(summary.stages) == {*STAGES, "total"}
    assert not summary.damaged
    assert [r.index for r in results] == list(range(len(times)))
    for result in results:
        (face,) = result.faces
        assert face.track == 1
        assert face.sharpness is not None
        assert face.sharpness_after is not None
        assert all(getattr(result.timing, stage) > 0 for stage in STAGES)
    before, after = decoded(source)[0].astype(int), decoded(target)[0].astype(int)
    box = results[0].faces[0].box
    inside = np.abs(after - before)[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)]
    assert inside.mean() > 2
    assert np.abs(after - before)[:, :20].mean() < 2  # encoder noise only


def test_a_clip_without_faces_is_only_encoded_again(
    pipeline: FaceDeblurPipeline, tmp_path: Path
) -> None:
    write_portrait_clip(tmp_path / "in.mp4", faces=False, audio=False)
    summary = pipeline.run(tmp_path / "in.mp4", tmp_path / "out.mp4")
    assert summary.faces == 0
    assert summary.stages["deblur"].median == 0


def test_a_picture_file(pipeline: FaceDeblurPipeline, tmp_path: Path) -> None:
    frame = av.VideoFrame.from_ndarray(portrait(), format="rgb24")
    with av.open(tmp_path / "in.png", "w", format="image2") as container:
        stream = container.add_stream("png")
        stream.width, stream.height, stream.pix_fmt = 256, 240, "rgb24"
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    summary = pipeline.run(tmp_path / "in.png", tmp_path / "out.png")
    assert (summary.frames, summary.faces) == (1, 1)
    before, after = decoded(tmp_path / "in.png")[0], decoded(tmp_path / "out.png")[0]
    assert np.array_equal(before[:, :10], after[:, :10])
    assert not np.array_equal(before, after)


def test_arrays_are_copied_and_changed_in_the_face_only(pipeline: FaceDeblurPipeline) -> None:
    frames = [portrait(2 * i) for i in range(3)]
    kept = [frame.copy() for frame in frames]
    results = list(pipeline.process(frames))
    assert [len(result.faces) for result in results] == [1, 1, 1]
    assert [face.track for result in results for face in result.faces] == [1, 1, 1]
    for frame, copy, result in zip(frames, kept, results, strict=True):
        assert np.array_equal(frame, copy)
        assert result.image.shape == frame.shape
        assert np.array_equal(result.image[:, :20], frame[:, :20])
        assert not np.array_equal(result.image, frame)


def test_bgr_gives_what_rgb_gives(pipeline: FaceDeblurPipeline) -> None:
    rgb = portrait()
    a = pipeline.process_image(rgb).image
    b = pipeline.process_image(np.ascontiguousarray(rgb[..., ::-1]), colour="bgr").image
    assert np.array_equal(a, b[..., ::-1])


def test_video_frames_keep_their_time_and_are_changed_in_place(
    pipeline: FaceDeblurPipeline,
) -> None:
    frame = av.VideoFrame.from_ndarray(portrait(), format="rgb24").reformat(format="yuv420p")
    frame.pts = 77
    before = frame.to_ndarray()
    (result,) = pipeline.process([frame])
    assert result.pts == 77
    assert result.image is frame
    assert not np.array_equal(before, frame.to_ndarray())


def test_the_callers_own_boxes_are_used(pipeline: FaceDeblurPipeline) -> None:
    image = portrait()
    result = pipeline.process_image(image, faces=[(10, 10, 60, 70), Box(150, 100, 260, 250)])
    changed = (result.image != image).any(axis=2)
    assert changed[40, 35]
    assert changed[180, 220]
    assert not changed[40, 140]
    assert [face.box for face in result.faces] == [(10, 10, 60, 70), (150, 100, 260, 250)]
    unchanged = pipeline.process_image(image, faces=[])
    assert np.array_equal(unchanged.image, image)
    with pytest.raises(OptionError, match="box"):
        pipeline.process_image(image, faces=[(10, 10, 5, 70)])


@pytest.mark.parametrize("side", [32, 33, 47, 64, 100, 130])
def test_crops_of_any_size(pipeline: FaceDeblurPipeline, side: int) -> None:
    crops = np.stack([portrait()[50 : 50 + side, 80 : 80 + side] for _ in range(3)])
    restored = pipeline.deblur_faces(crops)
    assert restored.shape == crops.shape
    assert restored.dtype == np.uint8
    assert np.array_equal(restored[0], restored[2])
    assert pipeline.deblur_faces(crops[:0]).shape == (0, side, side, 3)


@pytest.mark.parametrize(
    "crops",
    [np.zeros((2, 31, 31, 3), np.uint8), np.zeros((64, 64, 3), np.uint8), np.zeros((1, 64, 64, 3))],
)
def test_wrong_crops_are_refused(pipeline: FaceDeblurPipeline, crops: np.ndarray) -> None:
    with pytest.raises(OptionError, match="crops must be"):
        pipeline.deblur_faces(crops)


@pytest.mark.parametrize(
    "frame", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8)]
)
def test_wrong_frames_are_refused(pipeline: FaceDeblurPipeline, frame: np.ndarray) -> None:
    with pytest.raises(OptionError, match="a frame must be"):
        pipeline.process_image(frame)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (11, 11), (40, 2000)])
def test_pictures_too_small_for_a_face(
    pipeline: FaceDeblurPipeline, shape: tuple[int, int]
) -> None:
    assert pipeline.process_image(np.full((*shape, 3), 99, np.uint8)).faces == ()


def test_strength_zero_and_no_faces_change_nothing(small_weights: Path) -> None:
    for options in (FaceOptions(strength=0), FaceOptions(faces="none")):
        with FaceDeblurPipeline(weights=small_weights, device="cpu", faces=options) as opened:
            assert np.array_equal(opened.process_image(portrait()).image, portrait())


def test_errors_leave_no_thread_and_no_debris(pipeline: FaceDeblurPipeline, tmp_path: Path) -> None:
    write_portrait_clip(tmp_path / "in.mp4")

    def fail(result: FrameResult) -> None:
        raise ZeroDivisionError(result.index)

    with pytest.raises(ZeroDivisionError):
        pipeline.run(tmp_path / "in.mp4", tmp_path / "out.mp4", on_frame=fail)
    assert [p.name for p in tmp_path.iterdir()] == ["in.mp4"]


def test_an_error_in_the_face_thread_is_raised_here(
    pipeline: FaceDeblurPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_portrait_clip(tmp_path / "in.mp4")

    def fail(*args: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(pipeline.deblurrer, "crops", fail)
    with pytest.raises(ZeroDivisionError):
        pipeline.run(tmp_path / "in.mp4", tmp_path / "out.mp4")
    assert [p.name for p in tmp_path.iterdir()] == ["in.mp4"]


def test_missing_input_and_existing_output(pipeline: FaceDeblurPipeline, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nosuch\.mp4"):
        pipeline.run(tmp_path / "nosuch.mp4", tmp_path / "out.mp4")
    write_portrait_clip(tmp_path / "in.mp4", frames=2)
    (tmp_path / "out.mp4").write_bytes(b"mine")
    with pytest.raises(OutputExistsError, match=r"out\.mp4"):
        pipeline.run(tmp_path / "in.mp4", tmp_path / "out.mp4")
    assert (tmp_path / "out.mp4").read_bytes() == b"mine"


def test_unknown_model_is_refused_before_anything_loads() -> None:
    with pytest.raises(UnknownModelError, match="deblurgan2"):
        FaceDeblurPipeline("deblurgan2")


def test_a_part_of_a_video(small_weights: Path, tmp_path: Path) -> None:
    write_portrait_clip(tmp_path / "in.mp4", frames=12)
    options = VideoOptions(start=0.1, duration=0.2)
    with FaceDeblurPipeline(weights=small_weights, device="cpu", video=options) as opened:
        summary = opened.run(tmp_path / "in.mp4", tmp_path / "out.mp4")
    assert summary.frames == 5


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_frame_that_says_it_is_turned_is_looked_at_upright(
    pipeline: FaceDeblurPipeline, tmp_path: Path, degrees: int
) -> None:
    path = tmp_path / "turned.mp4"
    matrices = {90: (0, -1, 1, 0), 180: (-1, 0, 0, -1), 270: (0, 1, -1, 0)}
    a, b, c, d = (value << 16 for value in matrices[degrees])
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("libx264", 25, options={"crf": "10"})
        stored = np.ascontiguousarray(np.rot90(portrait(), -degrees // 90))
        video.height, video.width = stored.shape[:2]
        video.pix_fmt = "yuv420p"
        video.set_display_matrix((a, b, 0, c, d, 0, 0, 0, 1 << 30))
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(stored, "rgb24")
            frame.pts = number
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    upright = pipeline.process_image(portrait()).faces
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    assert frames[0].rotation % 360 == degrees
    results = list(pipeline.process(frames))
    for result in results:
        assert len(result.faces) == 1
        assert np.allclose(result.faces[0].box, upright[0].box, atol=12)


def test_a_box_that_has_left_the_picture_changes_nothing(pipeline: FaceDeblurPipeline) -> None:
    before = portrait()
    result = pipeline.process_image(before, [(1000, 1000, 1100, 1100)])
    assert (result.image == before).all()
    assert [face.deblurred for face in result.faces] == [False]


@pytest.mark.parametrize("box", [(0, 0, math.inf, 9), (-math.inf, 0, 9, 9), (0, math.nan, 9, 9)])
def test_a_box_without_an_end_is_refused(
    pipeline: FaceDeblurPipeline, box: tuple[float, float, float, float]
) -> None:
    with pytest.raises(OptionError, match="with area"):
        pipeline.process_image(portrait(), [box])


def test_crops_and_faces_of_another_kind_are_refused(small_weights: Path) -> None:
    def nothing(image: object) -> None:
        return None

    with FaceDeblurPipeline(
        "deblurgan",
        weights=small_weights,
        find_faces=nothing,  # type: ignore[arg-type]
    ) as pipeline:
        with pytest.raises(OptionError, match="crops must be an array, got list"):
            pipeline.deblur_faces([portrait()])  # type: ignore[arg-type]
        with pytest.raises(OptionError, match="find_faces must give a list of faces, got None"):
            list(pipeline.process([portrait()]))


FORKED = """
import os, sys
from skimage import data
from vidfacedeblur import FaceDeblurPipeline
from vidfacedeblur.errors import EngineError
with FaceDeblurPipeline("deblurgan", weights=sys.argv[1], engine="torch", threads=2) as pipeline:
    pipeline.process_image(data.astronaut())
    child = os.fork()
    if not child:
        try:
            pipeline.process_image(data.astronaut())
        except EngineError as error:
            os._exit(7 if "spawn" in str(error) else 8)
        os._exit(9)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_torch_in_a_forked_process_says_why_it_cannot_work(small_weights: Path) -> None:
    command = [sys.executable, "-c", FORKED, str(small_weights)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "7", done.stderr[-2000:]
