"""From a camera to finished frames, with everything that a host hangs on to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from live.cameras import HttpCamera, clip, free_port, wait_until

from vidfacedeblur import FaceDeblurPipeline, FaceOptions
from vidfacedeblur.config import LiveOptions
from vidfacedeblur.errors import OutputError
from vidfacedeblur.live import (
    Freshest,
    LiveResult,
    LiveSession,
    LiveSource,
    Publisher,
    SegmentWriter,
)

QUICK = LiveOptions(timeout=1, stall=3, backoff=0.1, max_backoff=0.3)


@pytest.fixture(scope="module")
def pipeline(small_weights: Path) -> Iterator[FaceDeblurPipeline]:
    options = FaceOptions(gate="off")
    with FaceDeblurPipeline("deblurgan", weights=small_weights, faces=options) as made:
        yield made


class Notes:
    """An output that remembers what it was told."""

    def __init__(self, *, fails_at: int | None = None) -> None:
        self.results: list[LiveResult] = []
        self.gaps: list[int] = []
        self.closed = 0
        self._fails_at = fails_at

    def write(self, result: LiveResult) -> None:
        if len(self.results) == self._fails_at:
            raise OutputError("the disk is full")
        self.results.append(result)

    def gap(self) -> None:
        self.gaps.append(len(self.results))

    def close(self) -> None:
        self.closed += 1


def test_every_output_gets_every_frame(pipeline: FaceDeblurPipeline, tmp_path: Path) -> None:
    notes, freshest = Notes(), Freshest()
    told: list[LiveResult] = []
    writer = SegmentWriter(tmp_path, seconds=1)
    with HttpCamera() as camera, LiveSource(camera.url, QUICK) as source:
        session = LiveSession(pipeline, source, [notes, writer, freshest], on_result=told.append)
        session.run(seconds=4)
        stats = session.stats()
    results = notes.results
    assert told == results
    assert len(results) >= 20
    assert freshest.get(timeout=0) is results[-1]
    assert notes.closed == 1
    assert [r.result.pts for r in results] == [r.frame.pts for r in results]
    assert all(r.result.image is r.frame.picture for r in results)
    assert all(0 < r.latency < 3 for r in results)
    assert sum(bool(r.result.faces) for r in results) > len(results) / 2
    assert sum(len(r.result.faces) for r in results) == stats.faces
    assert stats.deblurred == stats.faces > 0
    assert stats.frames == len(results) == stats.health.delivered
    assert stats.latency_p50 is not None
    assert stats.latency_p95 is not None
    assert 0 < stats.latency_p50 <= stats.latency_p95 < 3
    assert stats.fps_in > 10
    assert stats.fps_out > 3
    assert writer.finished
    assert not list(tmp_path.glob("*.part.*"))


def test_a_camera_that_was_away_begins_anew(pipeline: FaceDeblurPipeline) -> None:
    port, notes = free_port(), Notes()
    camera = HttpCamera(port=port)
    gaps: list[float] = []
    with LiveSource(camera.url, QUICK) as source:
        session = LiveSession(
            pipeline, source, [notes], on_gap=lambda: gaps.append(time.monotonic())
        )
        thread = threading.Thread(target=session.run)
        thread.start()
        wait_until(lambda: len(notes.results) > 10)
        camera.close()
        wait_until(lambda: notes.gaps != [])
        assert session.waiting == (), "nothing waits for a camera that is away"
        small = clip(size=(128, 120), seconds=10)
        with HttpCamera(small, port=port):
            wait_until(lambda: any(r.frame.epoch > 1 for r in notes.results))
            wait_until(lambda: len(notes.results) > notes.gaps[-1] + 10)
            session.stop()
            thread.join(10)
            assert not thread.is_alive()
    before = [r for r in notes.results if r.frame.epoch == 1]
    after = [r for r in notes.results if r.frame.epoch > 1]
    assert len(gaps) == len(notes.gaps) >= 1
    assert notes.gaps[0] == len(before)
    assert {r.result.image.width for r in before} == {256}
    assert {r.result.image.width for r in after} == {128}
    seen = [{f.track for r in part for f in r.result.faces} for part in (before, after)]
    assert seen[0]
    assert not seen[0] & seen[1], "no face is taken for one seen before"


def test_outputs_are_told_that_a_camera_is_away_though_no_frame_waits(small_weights: Path) -> None:
    notes, camera = Notes(), HttpCamera()
    with (
        FaceDeblurPipeline(
            "deblurgan", weights=small_weights, faces=FaceOptions(faces="none")
        ) as nobody,
        LiveSource(camera.url, QUICK) as source,
    ):
        session = LiveSession(nobody, source, [notes])
        thread = threading.Thread(target=session.run)
        thread.start()
        wait_until(lambda: len(notes.results) > 3)
        assert notes.gaps == []
        camera.close()
        wait_until(lambda: source.health().state == "waiting")
        wait_until(lambda: notes.gaps == [len(notes.results)], seconds=5)
        session.stop()
        thread.join(5)


def test_an_output_that_fails_ends_it_and_the_others_are_closed(
    pipeline: FaceDeblurPipeline,
) -> None:
    good, bad = Notes(), Notes(fails_at=3)
    with (
        HttpCamera() as camera,
        LiveSource(camera.url, QUICK) as source,
        pytest.raises(OutputError, match="disk is full"),
    ):
        LiveSession(pipeline, source, [good, bad]).run(seconds=20)
    assert (len(good.results), len(bad.results)) == (4, 3)
    assert (good.closed, bad.closed) == (1, 1)


def test_what_publishers_sent_is_told_for_all_together(pipeline: FaceDeblurPipeline) -> None:
    sent = [Publisher(f"udp://127.0.0.1:{free_port()}", preset="ultrafast") for _ in range(2)]
    refused = Publisher(f"rtsp://127.0.0.1:{free_port()}/x", QUICK)
    with HttpCamera() as camera, LiveSource(camera.url, QUICK) as source:
        session = LiveSession(pipeline, source, [*sent, refused])
        thread = threading.Thread(target=session.run)
        thread.start()
        wait_until(lambda: session.stats().publish_failures > 1, 60)
        wait_until(lambda: session.stats().published > 10, 60)
        session.stop()
        thread.join(20)
    stats = session.stats()
    assert stats.published == sum(publisher.sent for publisher in sent)
    assert stats.publish_dropped == sum(publisher.dropped for publisher in (*sent, refused))
    assert stats.publish_failures == refused.failures


def test_closing_the_source_ends_the_session(pipeline: FaceDeblurPipeline) -> None:
    notes = Notes()
    with HttpCamera() as camera, LiveSource(camera.url, QUICK) as source:
        session = LiveSession(pipeline, source, [notes])
        thread = threading.Thread(target=session.run)
        thread.start()
        wait_until(lambda: len(notes.results) > 3)
        source.close()
        thread.join(5)
        assert not thread.is_alive()
    assert notes.closed == 1
    assert len(notes.results) == session.stats().frames


def test_two_cameras_share_a_pipeline(pipeline: FaceDeblurPipeline) -> None:
    notes = [Notes(), Notes()]
    with (
        HttpCamera() as one,
        HttpCamera(pace=10) as two,
        LiveSource(one.url, QUICK) as first,
        LiveSource(two.url, QUICK) as second,
    ):
        sessions = [
            LiveSession(pipeline, source, [note])
            for source, note in zip((first, second), notes, strict=True)
        ]
        threads = [threading.Thread(target=session.run) for session in sessions]
        for thread in threads:
            thread.start()
        wait_until(lambda: all(len(note.results) >= 10 for note in notes), 60)
        for source in (first, second):
            source.close()
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()
