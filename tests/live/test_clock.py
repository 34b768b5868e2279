"""Times of recordings, whatever the clock of a camera says."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import av
import pytest
from live.test_outputs import result, times_of

from vidfacedeblur.live import LiveResult, SegmentWriter
from vidfacedeblur.live.values import StreamClock


@cache
def pictures() -> list[LiveResult]:
    return [result(number) for number in range(10)]


def taken(number: int, *, pts: int | None, arrived: float, epoch: int = 1) -> LiveResult:
    """A frame that says it is of one time, and came at another."""
    given = pictures()[number % 10]
    return replace(given, frame=replace(given.frame, pts=pts, arrived=100 + arrived, epoch=epoch))


def seconds_of(clock: StreamClock, frames: list[tuple[int, float]]) -> list[float]:
    """What a clock makes of frames, given as their pts and arrival."""
    return [float(clock.time(taken(i, pts=p, arrived=a))) - 100 for i, (p, a) in enumerate(frames)]


@pytest.mark.parametrize(
    "pts",
    [lambda n: 9000, lambda n: n, lambda n: 900 * n],
    ids=["stands still", "counts frames", "a quarter of life's pace"],
)
def test_a_clock_that_does_not_run_makes_no_endless_file(
    tmp_path: Path, pts: Callable[[int], int]
) -> None:
    writer = SegmentWriter(tmp_path, seconds=5)
    for number in range(500):
        writer.write(taken(number, pts=pts(number), arrived=number / 25))
    writer.close()
    lengths = [times_of(path)[-1] for path in writer.finished]
    assert len(lengths) == 4, "20 seconds came, of which the first 2 were lost on the clock"
    assert lengths[1:3] == pytest.approx([5, 5], abs=0.1)
    counts = [len(times_of(path)) for path in writer.finished]
    assert counts[0] == pytest.approx(25 * 7.2, abs=5)
    assert sum(counts) == 500


def test_a_clock_that_runs_at_twice_lifes_pace_is_not_believed_for_ever(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, seconds=30)
    for number in range(200):
        writer.write(taken(number, pts=90_000 * 2 * number, arrived=number))
    writer.close()
    counts = [len(times_of(path)) for path in writer.finished]
    assert counts[0] == 15
    assert counts[-3:-1] == [30, 30]


def test_the_next_connection_is_believed_again(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path)
    for number in range(100):
        writer.write(taken(number, pts=0, arrived=number / 25))
    for number in range(10):  # all at once, as after a pause of the network
        writer.write(taken(number, pts=3600 * number, arrived=5, epoch=2))
    writer.close()
    assert times_of(writer.finished[-1]) == [number / 25 for number in range(10)]


def test_a_file_is_named_by_when_it_began_to_the_millisecond(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path)
    for seconds in (0.0625, 0.625, 7.0):
        given = pictures()[0]
        writer.write(replace(given, frame=replace(given.frame, wall=1.7e9 + seconds)))
        writer.gap()
    stamps = [path.name.removeprefix("camera-20231114T2213") for path in writer.finished]
    assert stamps == ["20.062Z.mkv", "20.625Z.mkv", "27.000Z.mkv"]


def test_the_last_hundred_files_are_remembered(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path)
    paths = [tmp_path / str(number) for number in range(150)]
    for path in paths:
        writer._note(path)
    assert writer.finished == paths[50:]


def test_a_file_that_goes_on_keeps_its_mark_however_much_of_it_plays(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, seconds=600)
    for number in range(300):
        writer.write(taken(number, pts=3600 * number, arrived=number / 25))
    (part,) = tmp_path.iterdir()
    assert len(times_of(part)) > 50
    assert SegmentWriter(tmp_path).finished == []
    assert list(tmp_path.iterdir()) == [part]
    writer.close()
    assert len(times_of(writer.finished[0])) == 300


@pytest.mark.parametrize("drift", [0.95, 1.05])
def test_a_clock_that_drifts_is_believed(drift: float) -> None:
    frames = [(round(3600 * drift * n), n / 25 + 0.01 * (n % 3)) for n in range(5000)]
    times = seconds_of(StreamClock(), frames)
    steps = [b - a for a, b in itertools.pairwise(times)]
    assert steps == pytest.approx([drift / 25] * len(steps), abs=1e-4)


def test_pauses_of_the_network_do_not_make_a_clock_doubtful() -> None:
    """Ten times in a row nothing comes for five seconds, and then all of it at once."""
    frames = [(3600 * n, 5.0 * (1 + n // 125)) for n in range(1250)]
    assert seconds_of(StreamClock(), frames) == pytest.approx([5 + n / 25 for n in range(1250)])


def test_pictures_that_share_their_times_by_twos_keep_them() -> None:
    frames = [(7200 * (n // 2), n / 25) for n in range(1000)]
    assert seconds_of(StreamClock(), frames) == pytest.approx([n // 2 * 0.08 for n in range(1000)])


@pytest.mark.parametrize("rate", [0.5, 5, 50])
def test_key_frames_come_by_the_clock_and_not_by_counting(tmp_path: Path, rate: float) -> None:
    writer = SegmentWriter(tmp_path, seconds=600)
    for number in range(round(10 * rate) + 1):
        writer.write(taken(number, pts=round(90_000 * number / rate), arrived=number / rate))
    writer.close()
    with av.open(writer.finished[0]) as container:
        packets = [p for p in container.demux(video=0) if p.pts is not None]
    keys = [float(p.pts * p.time_base) for p in packets if p.is_keyframe]
    assert keys == [0, 2, 4, 6, 8, 10]
