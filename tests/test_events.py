"""What is told of faces as they come, stay and go, and the file that it is written to."""

from __future__ import annotations

import json
import math
import os
import select
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from vidfacedeblur import (
    Box,
    EventFile,
    Face,
    FrameResult,
    FrameTiming,
    TrackEvents,
    event_file,
    events,
)
from vidfacedeblur.errors import OptionError, OutputError

SCHEMA: dict[str, Any] = json.loads(
    Path(events.__file__).with_name("events.schema.json").read_text()
)
FACE = Face(
    Box(10.123, 20, 60, 90),
    score=0.98765,
    landmarks=((20, 40), (50, 40), (35, 55), (25, 70), (45, 70)),
    track=1,
    sharpness=0.4,
    sharpness_after=0.5,
)
OTHER = Face(Box(0, 0, 9, 9), track=2, sharpness=0.3)
TIMING = FrameTiming(1, 2, 3, 4, 5)


def frame(index: int, *faces: Face, pts: int | None = -1) -> FrameResult:
    """A frame at 25 a second, in milliseconds."""
    own = 40 * index if pts == -1 else pts
    return FrameResult(index, own, Fraction(1, 1000), faces, TIMING)


class Told(list[dict[str, Any]]):
    """The events, each checked against the schema as JSON would carry it."""

    def __call__(self, event: dict[str, Any]) -> None:
        jsonschema.Draft202012Validator(SCHEMA).validate(event)
        assert json.loads(json.dumps(event, allow_nan=False)) == event
        self.append(event)

    def short(self, name: str = "frame") -> list[tuple[Any, ...]]:
        return [(event["event"], event["track"], event[name]) for event in self]


def test_the_schema_is_one_and_knows_its_version() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["schema"]["const"] == events.SCHEMA


@pytest.mark.parametrize(
    "change",
    [
        {"event": "begin"},
        {"reason": "gone"},
        {"frames": 3},
        {"wall": "yesterday"},
        {"box": [1, 2, 3]},
        {"extra": 1},
        {"event": "end"},
        {"event": "interval"},
    ],
    ids=str,
)
def test_the_schema_refuses_what_is_no_event(change: dict[str, Any]) -> None:
    told = Told()
    TrackEvents(told, source="a").add(frame(0, FACE))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMA).validate(told[0] | change)


def test_what_a_start_says() -> None:
    told = Told()
    TrackEvents(told, source="in.mp4").add(frame(3, FACE), wall=1_700_000_000.1234)
    assert told == [
        {
            "schema": 1,
            "event": "start",
            "source": "in.mp4",
            "track": 1,
            "frame": 3,
            "pts": 120,
            "time": 0.12,
            "wall": "2023-11-14T22:13:20.123Z",
            "box": [10.12, 20, 60, 90],
            "landmarks": [[20, 40], [50, 40], [35, 55], [25, 70], [45, 70]],
            "score": 0.9877,
            "weight": 1.0,
            "sharpness": 0.4,
            "sharpness_after": 0.5,
            "deblurred": True,
            "timing": {
                "decode": 1,
                "detect": 2,
                "deblur": 3,
                "paste": 4,
                "encode": 5,
                "total": 15,
            },
        }
    ]


def test_an_end_says_the_last_sighting_and_the_best() -> None:
    told = Told()
    track = TrackEvents(told, source="a", interval=math.inf)
    faces = [
        replace(FACE, sharpness_after=0.5),
        replace(FACE, sharpness=0.7, sharpness_after=None),  # the sharpest, though left alone
        replace(FACE, sharpness=0.7, sharpness_after=None, box=Box(0, 0, 90, 90)),  # and larger
        replace(FACE, sharpness=0.7, sharpness_after=None, box=Box(9, 9, 99, 99)),
        replace(FACE, sharpness=0.9, sharpness_after=0.6, box=Box(0, 0, 99, 99)),
    ]
    for index, face in enumerate(faces):
        track.add(frame(index, face), wall=100.0 + index)
    track.flush()
    assert told.short() == [("start", 1, 0), ("end", 1, 4)]
    end = told[1]
    assert (end["frames"], end["deblurred_frames"], end["reason"]) == (5, 2, "flush")
    assert (end["first_time"], end["first_wall"]) == (0, "1970-01-01T00:01:40.000Z")
    assert end["sharpness_after"] == 0.6
    assert end["best"] == {
        "frame": 2,
        "time": 0.08,
        "wall": "1970-01-01T00:01:42.000Z",
        "box": [0, 0, 90, 90],
        "sharpness": 0.7,
        "sharpness_after": None,
    }


@pytest.mark.parametrize(
    ("interval", "wanted"),
    [
        (1.0, [25, 50, 75]),
        (0.5, [13, 25, 38, 50, 63, 75, 88]),  # on the beat, though no frame is at 0.5 s
        (0.2, list(range(5, 100, 5))),  # sums of 0.2 miss the frames by a rounding
        (0, list(range(1, 100))),
        (0.01, list(range(1, 100))),
        (math.inf, []),
    ],
)
def test_intervals_keep_time(interval: float, wanted: list[int]) -> None:
    told = Told()
    track = TrackEvents(told, source="a", interval=interval)
    for index in range(100):
        track.add(frame(index, FACE))
    assert [event["frame"] for event in told if event["event"] == "interval"] == wanted


def test_intervals_go_by_the_wall_clock_where_there_is_one() -> None:
    told = Told()
    track = TrackEvents(told, source="a")
    # The camera's own clock stands still; the wall clock is set back by an hour on the way.
    walls = [100.0, 100.5, 101.2, 101.9, 102.1, *(-3500 + t for t in (0.0, 0.5, 1.1))]
    for index, wall in enumerate(walls):
        track.add(frame(index, FACE, pts=0), wall=wall)
    assert [event["frame"] for event in told] == [0, 2, 4, 5, 7]


@pytest.mark.parametrize(("interval", "wanted"), [(0, [0, 1, 2]), (1.0, [0])])
def test_without_a_clock_there_is_no_interval(interval: float, wanted: list[int]) -> None:
    told = Told()
    track = TrackEvents(told, source="a", interval=interval)
    for index in range(3):
        track.add(frame(index, FACE, pts=None))
    assert [event["frame"] for event in told] == wanted
    assert told[0]["time"] is None


@pytest.mark.parametrize("interval", [-1, math.nan, -math.inf])
def test_an_interval_that_is_none(interval: float) -> None:
    with pytest.raises(OptionError, match="0 or more seconds, got"):
        TrackEvents(Told(), source="a", interval=interval)


@pytest.mark.parametrize(("missing", "again"), [(10, False), (11, True)])
def test_a_face_is_gone_when_the_tracker_has_forgotten_it(missing: int, again: bool) -> None:
    told = Told()
    track = TrackEvents(told, source="a", interval=math.inf)
    track.add(frame(0, FACE))
    for index in range(1, missing + 1):
        track.add(frame(index))
    track.add(frame(missing + 1, FACE))
    track.flush()
    first = [("start", 1, 0)]
    if again:
        first += [("end", 1, 0), ("start", 1, 12)]
        assert told[1]["reason"] == "gone"
        assert told[-1]["frames"] == 1
    assert told.short() == [*first, ("end", 1, missing + 1)]


def test_the_tracker_forgets_a_face_after_as_many_frames() -> None:
    from vidfacedeblur.faces import Tracker

    for elapsed, kept in ((events.GONE, True), (events.GONE + 1, False)):
        tracker = Tracker()
        (before,) = tracker.update(0, [replace(FACE, track=None)])
        (after,) = tracker.update(elapsed, [replace(FACE, track=None)])
        assert (before.track == after.track) is kept


def test_faces_are_told_apart_and_those_without_a_number_left_out() -> None:
    told = Told()
    track = TrackEvents(told, source="a", interval=math.inf)
    track.add(frame(0, FACE, replace(FACE, track=None)))
    track.add(frame(1, OTHER, FACE))
    track.flush()
    assert told.short() == [("start", 1, 0), ("start", 2, 1), ("end", 1, 1), ("end", 2, 1)]
    assert told[3]["landmarks"] is None
    track.flush()
    assert len(told) == 4


def test_what_the_callable_raises_comes_out() -> None:
    def tell(event: dict[str, Any]) -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        TrackEvents(tell, source="a").add(frame(0, FACE))


def test_memory_does_not_grow_with_the_stream() -> None:
    import tracemalloc

    track = TrackEvents(lambda event: None, source="a", interval=0.1)
    image = np.zeros((500, 500), np.uint8)
    sizes = []
    tracemalloc.start()
    for index in range(4000):
        face = replace(FACE, track=1 + index // 20, sharpness_after=index / 4000)
        track.add(replace(frame(index, face), image=image.copy()))
        if index % 1000 == 999:
            sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert sizes[-1] - sizes[0] < 20_000
    assert sizes[-1] < 200_000  # no picture is held


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    path.write_text("old\n")
    with EventFile(path) as file:
        file({"a": 1})
        assert path.read_text() == "old\n"
        assert lines(tmp_path / ".e.jsonl.part") == [{"a": 1}]  # at once
    assert lines(path) == [{"a": 1}]
    assert [p.name for p in tmp_path.iterdir()] == ["e.jsonl"]


def test_after_an_error_the_lines_are_there(tmp_path: Path) -> None:
    def fail() -> None:
        with EventFile(tmp_path / "e.jsonl") as file:
            file({"a": 1})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert lines(tmp_path / "e.jsonl") == [{"a": 1}]


def test_a_live_file_is_added_to(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    for number in range(2):
        with EventFile(path, live=True) as file:
            file({"a": number})
            assert len(lines(path)) == number + 1
    assert lines(path) == [{"a": 0}, {"a": 1}]


def test_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    with EventFile(Path("-")) as file:
        file({"a": "ä"})
        assert capsys.readouterr().out == '{"a": "\\u00e4"}\n'


def test_a_live_file_may_be_moved_away_or_emptied_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    before = set(Path("/proc/self/fd").iterdir())
    with EventFile(path, live=True) as file:
        file({"a": 0})
        path.rename(tmp_path / "e.jsonl.1")
        file({"a": 1})
        path.rename(tmp_path / "e.jsonl.2")
        path.touch()  # as logrotate does where it is told to
        file({"a": 2})
        file({"a": 3})
        assert lines(path) == [{"a": 2}, {"a": 3}]
        os.truncate(path, 0)
        file({"a": 4})
    assert lines(path) == [{"a": 4}]
    assert [lines(tmp_path / f"e.jsonl.{n}") for n in (1, 2)] == [[{"a": 0}], [{"a": 1}]]
    assert set(Path("/proc/self/fd").iterdir()) <= before


def test_a_moved_file_that_cannot_be_begun_anew_is_one_clear_error(tmp_path: Path) -> None:
    (folder := tmp_path / "logs").mkdir()
    with EventFile(folder / "e.jsonl", live=True) as file:
        file({"a": 0})
        folder.rename(tmp_path / "moved")
        for _ in range(2):
            with pytest.raises(OutputError, match=r"cannot write .*e[.]jsonl: No such file"):
                file({"a": 1})
    assert lines(tmp_path / "moved" / "e.jsonl") == [{"a": 0}]


@pytest.mark.parametrize("live", [False, True])
def test_a_file_that_cannot_be_written(live: bool, tmp_path: Path) -> None:
    path = tmp_path / "none" / "e.jsonl"
    with (
        pytest.raises(OutputError, match=r"cannot write .*e[.]jsonl: No such file"),
        EventFile(path, live=live),
    ):
        pass


def test_a_full_disk_and_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "full").symlink_to("/dev/full")  # the link, lest a mistake replaces the device
    with (
        pytest.raises(OutputError, match=r"cannot write .*full: No space left on device"),
        EventFile(tmp_path / "full") as file,
    ):
        file({"a": 1})
    assert (tmp_path / "full").is_symlink()


def test_a_line_that_does_not_fit_is_not_there_by_half(tmp_path: Path) -> None:
    class Short:
        """A file of which the disk takes ten bytes at a time, and twice only."""

        def __init__(self, path: Path) -> None:
            self._file = path.open("ab", buffering=0)
            self._left = 2

        def write(self, data: bytes) -> int:
            self._left -= 1
            if self._left < 0:
                raise OSError(28, "No space left on device")
            return self._file.write(data[:10])

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

    path = tmp_path / "e.jsonl"
    path.write_text('{"a": 0}\n')
    short = Short(path)
    with pytest.raises(OSError, match="No space"):
        event_file._write_whole(short, b"x" * 50)  # type: ignore[arg-type]
    short.close()
    assert lines(path) == [{"a": 0}]


@pytest.mark.parametrize("live", [False, True])
def test_a_killed_process_leaves_whole_lines(live: bool, tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    code = (
        "import sys; from pathlib import Path; from vidfacedeblur.event_file import EventFile\n"
        f"with EventFile(Path(sys.argv[1]), live={live}) as file:\n"
        "    for n in range(10**9): file({'schema': 1, 'n': n, 'long': 'x' * 20000})\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(path)])
    written = path if live else tmp_path / ".e.jsonl.part"
    end = time.monotonic() + 30
    while not (written.exists() and written.stat().st_size > 10**6):
        assert time.monotonic() < end
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert path.exists() is live
    # The system may halve a line as long as these where it is killed in the midst of it.
    whole = written.read_text().rpartition("\n")[0].splitlines()
    assert [json.loads(line)["n"] for line in whole] == list(range(len(whole)))


def test_what_a_power_failure_left_of_a_line_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    torn = '{"schema": 1, "a'
    for length in range(len(torn) + 1):
        path.write_text('{"schema": 1, "a": 0}\n' + torn[:length])
        with EventFile(path, live=True) as file:
            file({"schema": 1, "a": 1})
        assert [line["a"] for line in lines(path)] == [0, 1]
    path.write_text("somebody's notes")
    with EventFile(path, live=True) as file:
        file({"schema": 1})
    assert path.read_text().startswith("somebody's notes")


# Standard output as it usually is, whatever these tests run under.
BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


def test_a_reader_has_each_line_at_once() -> None:
    code = (
        "import time; from pathlib import Path; from vidfacedeblur.event_file import EventFile\n"
        "with EventFile(Path('-')) as file: file({'a': 1}); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=BUFFERED) as process:
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], 20)
        process.kill()
        assert readable
        assert process.stdout.readline() == b'{"a": 1}\n'


def test_a_reader_that_goes_away_is_one_clear_error() -> None:
    code = (
        "import sys; from pathlib import Path; from vidfacedeblur.event_file import EventFile\n"
        "from vidfacedeblur.errors import OutputError\n"
        "try:\n"
        "    with EventFile(Path('-')) as file:\n"
        "        for n in range(10**6): file({'n': n})\n"
        "except OutputError as error: sys.stderr.write(str(error)); sys.exit(5)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=BUFFERED,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(30) == 5
    assert said == b"cannot write standard output: Broken pipe"
