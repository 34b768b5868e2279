"""Frames given one by one: `FaceDeblurPipeline.stream`, alone and several at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from tests_support import portrait

from vidfacedeblur import Box, Face, FaceDeblurPipeline, FaceOptions
from vidfacedeblur.errors import OptionError


@pytest.fixture(scope="module")
def pipeline(small_weights: Path) -> Iterator[FaceDeblurPipeline]:
    options = FaceOptions(gate="off")
    with FaceDeblurPipeline("deblurgan", weights=small_weights, faces=options) as made:
        yield made


def test_a_frame_waits_for_the_next_one(pipeline: FaceDeblurPipeline) -> None:
    stream = pipeline.stream()
    counts = [len(stream.push(portrait(2 * i))) for i in range(4)]
    assert counts == [0, 1, 1, 1]
    assert [result.index for result in stream.flush()] == [3]
    assert stream.flush() == []


def test_it_gives_what_process_gives(pipeline: FaceDeblurPipeline) -> None:
    frames = [portrait(2 * i) for i in range(8)]
    wanted = list(pipeline.process(frames))
    stream = pipeline.stream()
    results = [result for frame in frames for result in stream.push(frame)] + stream.flush()
    assert [r.faces for r in results] == [r.faces for r in wanted]
    for result, other in zip(results, wanted, strict=True):
        assert (result.image == other.image).all()


def test_after_a_flush_no_face_is_taken_for_one_seen_before(pipeline: FaceDeblurPipeline) -> None:
    stream = pipeline.stream()
    results = [*stream.push(portrait()), *stream.push(portrait()), *stream.flush()]
    results += [*stream.push(portrait()), *stream.push(portrait()), *stream.flush()]
    assert [result.index for result in results] == [0, 1, 2, 3]
    assert [[face.track for face in result.faces] for result in results] == [[1], [1], [2], [2]]


@pytest.mark.parametrize("own", [False, True])
def test_the_size_may_change_on_the_way(pipeline: FaceDeblurPipeline, own: bool) -> None:
    stream = pipeline.stream()
    box = [Box(60, 40, 160, 170)] if own else None
    small = np.ascontiguousarray(portrait()[:200, :220])
    results = [r for f in (portrait(), portrait(), small, small) for r in stream.push(f, box)]
    results += stream.flush()
    assert [result.image.shape[:2] for result in results] == [(240, 256)] * 2 + [(200, 220)] * 2
    assert [len(result.faces) for result in results] == [1, 1, 1, 1]
    assert results[1].faces[0].track != results[2].faces[0].track


def test_faces_come_with_every_frame_or_with_none(pipeline: FaceDeblurPipeline) -> None:
    stream = pipeline.stream()
    stream.push(portrait(), [])
    with pytest.raises(OptionError, match="every frame of a stream, or of none"):
        stream.push(portrait())
    stream = pipeline.stream()
    stream.push(portrait())
    with pytest.raises(OptionError, match="every frame of a stream, or of none"):
        stream.push(portrait(), [Box(60, 40, 160, 170)])


def test_a_wrong_frame_leaves_the_stream_usable(pipeline: FaceDeblurPipeline) -> None:
    stream = pipeline.stream()
    stream.push(portrait())
    with pytest.raises(OptionError, match="uint8"):
        stream.push(np.zeros((4, 4), np.uint8))
    assert len(stream.push(portrait())) == 1


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ([(60, 40, 60, 40)], "with area"),
        ([(1, 2, 3)], "must be"),
        ([Face(Box(60, 40, 160, 170), track=3)], "or none of them"),
    ],
)
def test_wrong_faces_leave_the_stream_usable(
    pipeline: FaceDeblurPipeline, wrong: list[object], says: str
) -> None:
    stream, box = pipeline.stream(), [Box(60, 40, 160, 170)]
    frames = [portrait(2 * i) for i in range(3)]
    stream.push(frames[0], box)
    with pytest.raises(OptionError, match=says):
        stream.push(np.zeros_like(frames[0]), wrong)  # type: ignore[arg-type]
    results = [*stream.push(frames[1], box), *stream.push(frames[2], box), *stream.flush()]
    assert [result.index for result in results] == [0, 1, 2]
    for result, plain in zip(results, pipeline.process(frames, [box] * 3), strict=True):
        assert (result.image == plain.image).all()


@pytest.mark.parametrize("own", [False, True])
def test_a_first_frame_that_is_refused_settles_nothing(
    pipeline: FaceDeblurPipeline, own: bool
) -> None:
    stream = pipeline.stream()
    with pytest.raises(OptionError, match="with area"):
        stream.push(portrait(), [(60, 40, 60, 40)])
    box = [Box(60, 40, 160, 170)] if own else None
    results = [*stream.push(portrait(), box), *stream.push(portrait(), box), *stream.flush()]
    assert [(result.index, len(result.faces)) for result in results] == [(0, 1), (1, 1)]


def test_a_frame_that_is_refused_changes_nothing_of_the_next(pipeline: FaceDeblurPipeline) -> None:
    box = Box(60, 40, 160, 170)
    stream = pipeline.stream()
    stream.push(portrait(), [])
    with pytest.raises(OptionError, match="track number, or none"):
        stream.push(portrait(), [Face(box, track=3), Face(box)])
    (_, first, *_) = [*stream.push(portrait(), [box]), *stream.push(portrait(), [box])]
    with pytest.raises(OptionError, match="track number, or none"):
        stream.push(np.zeros_like(portrait()), [Face(box, track=3)])  # no cut: it never came
    *_, last = [*stream.push(portrait(), [box]), *stream.flush()]
    assert [face.track for face in first.faces] == [face.track for face in last.faces] != []


def test_a_watcher_sees_each_frame_before_and_after(pipeline: FaceDeblurPipeline) -> None:
    class Watcher:
        seen: list[tuple[str, int, float]]

        def __init__(self) -> None:
            self.seen = []

        def before(self, work: object) -> None:
            self._note("before", work)

        def after(self, work: object) -> None:
            self._note("after", work)

        def _note(self, when: str, work: object) -> None:
            frame = work.frame  # type: ignore[attr-defined]
            self.seen.append((when, frame.index, float(frame.picture.sum())))

    watcher = Watcher()
    stream = pipeline.stream(watcher=watcher)
    results = [*stream.push(portrait()), *stream.push(portrait()), *stream.flush()]
    assert [(when, index) for when, index, _ in watcher.seen] == [
        ("before", 0),
        ("after", 0),
        ("before", 1),
        ("after", 1),
    ]
    assert watcher.seen[0][2] == portrait().sum() != watcher.seen[1][2]
    assert watcher.seen[1][2] == results[0].image.sum()


def test_cameras_in_threads_get_what_they_get_alone(pipeline: FaceDeblurPipeline) -> None:
    clips = [[portrait(2 * i + 5 * camera) for i in range(6)] for camera in range(4)]
    alone = [[r.image for r in pipeline.process(clip)] for clip in clips]
    together: dict[int, list[np.ndarray]] = {}

    def watch(camera: int) -> None:
        stream = pipeline.stream()
        results = [r for frame in clips[camera] for r in stream.push(frame)] + stream.flush()
        together[camera] = [result.image for result in results]

    threads = [threading.Thread(target=watch, args=(camera,)) for camera in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for camera, images in enumerate(alone):
        for image, other in zip(images, together[camera], strict=True):
            # Another batch adds up in another order: a rounding here and there.
            assert np.abs(image.astype(int) - other).max() <= 1


def test_video_frames_come_back_the_same_objects(pipeline: FaceDeblurPipeline) -> None:
    stream = pipeline.stream()
    frames = []
    for i in range(3):
        frames.append(
            av.VideoFrame.from_ndarray(portrait(i), format="rgb24").reformat(format="nv12")
        )
        frames[-1].pts = 40 * i
    results = [result for frame in frames for result in stream.push(frame)] + stream.flush()
    assert [result.image for result in results] == frames
    assert [result.pts for result in results] == [0, 40, 80]
