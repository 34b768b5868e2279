"""Sharp faces pass untouched and cost nothing; blurred ones are deblurred; callers' own faces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from tests_support import Image, portrait, write_portrait_clip

from vidfacedeblur import Box, Face, FaceDeblurPipeline, FaceOptions, VideoOptions
from vidfacedeblur.errors import OptionError

BOX = (70.0, 50.0, 190.0, 200.0)


def blurred(image: Image) -> Image:
    return np.asarray(cv2.blur(image, (13, 13)), np.uint8)


@pytest.fixture(scope="module")
def pipeline(small_weights: Path) -> Iterator[FaceDeblurPipeline]:
    with FaceDeblurPipeline(weights=small_weights, device="cpu") as opened:
        yield opened


def test_a_sharp_face_keeps_every_bit_and_costs_nothing(
    pipeline: FaceDeblurPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline.deblurrer, "crops", lambda crops: pytest.fail("network was run"))
    frames = [portrait(2 * i) for i in range(6)]
    results = list(pipeline.process(frames))
    assert all(np.array_equal(r.image, f) for r, f in zip(results, frames, strict=True))
    for result in results:
        (face,) = result.faces
        assert face.weight == 0
        assert face.sharpness is not None
        assert face.sharpness > 0.465
        assert face.sharpness_after is None
        assert not face.deblurred
        assert result.timing.deblur == result.timing.paste == 0
    assert np.array_equal(pipeline.process_image(frames[0], faces=[BOX]).image, frames[0])


def test_a_blurred_face_is_deblurred(pipeline: FaceDeblurPipeline) -> None:
    frames = [blurred(portrait(2 * i)) for i in range(6)]
    for result, frame in zip(pipeline.process(frames), frames, strict=True):
        (face,) = result.faces
        assert face.deblurred
        assert face.sharpness is not None
        assert face.sharpness < 0.39
        assert not np.array_equal(result.image, frame)
    own = pipeline.process_image(frames[0], faces=[BOX])
    assert own.faces[0].weight == 1
    assert not np.array_equal(own.image, frames[0])


def test_a_short_blur_is_deblurred_and_its_neighbours_softly(pipeline: FaceDeblurPipeline) -> None:
    frames = [portrait(2 * i) for i in range(16)]
    frames[8] = blurred(frames[8])
    boxes = [[Face(Box(*BOX), track=5)] for _ in frames]
    weights = [r.faces[0].weight for r in pipeline.process(frames, boxes)]
    # A stream knows one frame of the future, and all of the past that counts.
    assert weights[7:12] == [0.75, 1, 0.75, 0.5, 0.25]
    assert set(weights[:7] + weights[12:]) == {0.0}


def test_a_file_of_sharp_faces_is_copied_if_asked(
    pipeline: FaceDeblurPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_portrait_clip(tmp_path / "a.mp4")
    monkeypatch.setattr(pipeline, "video", VideoOptions(copy_if_no_faces=True))
    summary = pipeline.run(tmp_path / "a.mp4", tmp_path / "b.mp4")
    assert (summary.faces, summary.deblurred, summary.copied) == (6, 0, True)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_a_callable_finds_the_faces_of_a_file(small_weights: Path, tmp_path: Path) -> None:
    write_portrait_clip(tmp_path / "a.mp4")
    seen: list[tuple[int, ...]] = []

    def find(image: Image) -> list[Box]:
        seen.append(image.shape)
        return [Box(*BOX), Box(10, 10, 50, 60)] if len(seen) > 2 else []

    off = FaceOptions(gate="off")
    with FaceDeblurPipeline(
        weights=small_weights, device="cpu", faces=off, find_faces=find
    ) as opened:
        results = []
        opened.run(tmp_path / "a.mp4", tmp_path / "b.mp4", on_frame=results.append)
        assert seen == [(240, 256, 3)] * 6
        assert [len(r.faces) for r in results] == [0, 0, 2, 2, 2, 2]
        assert {face.track for r in results for face in r.faces} == {1, 2}
        one = opened.process_image(portrait())
        assert [tuple(face.box) for face in one.faces] == [BOX, (10, 10, 50, 60)]
    with av.open(tmp_path / "b.mp4") as container:
        assert len(list(container.decode(video=0))) == 6


def test_the_callers_track_numbers_are_kept(pipeline: FaceDeblurPipeline) -> None:
    faces = [[Face(Box(*BOX), track=41), Face(Box(5, 5, 45, 55), track=7)] for _ in range(3)]
    results = list(pipeline.process([portrait()] * 3, faces))
    assert [[face.track for face in r.faces] for r in results] == [[41, 7]] * 3


@pytest.mark.parametrize(
    ("faces", "reason"),
    [
        ([[]], "an entry for each frame"),
        ([[(1, 2, 3)], []], "a face's box must be"),
        ([[(9, 9, 5, 20)], []], "with area"),
        ([[Face(Box(*BOX), track=3), Face(Box(*BOX))], []], "all faces of a video a track number"),
        ([[Face(Box(*BOX), track=3)] * 2, []], "same track number"),
        ([[Face(Box(*BOX), track=3)], [Face(Box(*BOX))]], "all faces of a video a track number"),
    ],
)
def test_wrong_faces_are_refused(
    pipeline: FaceDeblurPipeline, faces: list[list[Face]], reason: str
) -> None:
    with pytest.raises(OptionError, match=reason):
        list(pipeline.process([portrait()] * 2, faces))
