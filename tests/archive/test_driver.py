"""What the driver does with what it hears, by an executor that says what the test wants."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest

from vidfacedeblur.archive import driver as driver_module
from vidfacedeblur.archive.choose import Choice
from vidfacedeblur.archive.journal import Journal, Row
from vidfacedeblur.archive.progress import Progress
from vidfacedeblur.archive.run import Outcome, Request, Shard, run_archive
from vidfacedeblur.archive.spool import Spool
from vidfacedeblur.archive.tasks import Extras, Heard, Setup, Task
from vidfacedeblur.config import FaceOptions, ModelOptions, VideoOptions
from vidfacedeblur.errors import OutputError, OutputExistsError
from vidfacedeblur.plan import Job, Plan
from vidfacedeblur.provenance import file_sha256
from vidfacedeblur.types import RunSummary

Answer = Callable[[Task], list[tuple[str, dict[str, Any]]]]


def summary(task: Task, **values: Any) -> dict[str, Any]:
    told = RunSummary(task.source, task.target, "m", "e", "cpu", 10, 20, 5, 2.0, **values)
    return asdict(told)


def good(task: Task) -> list[tuple[str, dict[str, Any]]]:
    Path(task.target).parent.mkdir(parents=True, exist_ok=True)
    Path(task.target).write_text(f"made of {Path(task.source).read_text()}")
    return [("done", {"summary": summary(task)})]


def hashed(task: Task) -> list[tuple[str, dict[str, Any]]]:
    good(task)
    hashes = {
        "input_sha256": file_sha256(Path(task.source)),
        "output_sha256": file_sha256(Path(task.target)),
    }
    return [("done", {"summary": summary(task, **hashes)})]


def bad(task: Task) -> list[tuple[str, dict[str, Any]]]:
    return [("failed", {"error": f"{task.source} is no video", "code": 3})]


def lost(task: Task) -> list[tuple[str, dict[str, Any]]]:
    Path(task.target).with_name(f".{Path(task.target).name}.01234567.part").touch()
    return [("lost", {"error": "the worker was killed by SIGSEGV"})]


@dataclass
class Fake:
    """Answers each task at once."""

    answers: dict[str, Answer]
    """By the name of the source; what is not named is good."""
    slots: int = 2
    tasks: list[Task] = field(default_factory=list)
    stopped: bool = False
    closed: bool = False
    _heard: deque[list[Heard]] = field(default_factory=deque)

    @property
    def free(self) -> int:
        return self.slots - len(self._heard)

    def submit(self, task: Task) -> None:
        assert self.free > 0
        self.tasks.append(task)
        answer = self.answers.get(Path(task.source).name, good)
        self._heard.append([Heard(what, values, task) for what, values in answer(task)])  # type: ignore[arg-type]

    def poll(self, seconds: float) -> list[Heard]:
        return self._heard.popleft() if self._heard else []

    def stop(self) -> None:
        self.stopped = True

    def close(self) -> None:
        self.closed = True


@dataclass
class Ear:
    """Remembers what it is told."""

    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    choices: Sequence[Choice] = ()
    weight: float = 0.0
    """Of all files that are to be done."""

    def chosen(self, choices: Sequence[Choice], progress: Progress) -> None:
        self.choices, self.weight = choices, progress.weight

    def finished(self, row: Row) -> None:
        self.rows.append(row)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def tick(self, progress: Progress) -> None:
        pass


SETUP = Setup(ModelOptions(), FaceOptions(), VideoOptions())


class Archive:
    """A small archive of text files, run again and again."""

    def __init__(self, root: Path, *names: str) -> None:
        self.source, self.out = root / "in", root / "out"
        self.source.mkdir()
        for name in names:
            (self.source / name).write_text(name)

    def jobs(self) -> tuple[Job, ...]:
        return tuple(Job(p, self.out / p.name) for p in sorted(self.source.iterdir()))

    def run(
        self,
        answers: dict[str, Answer] | None = None,
        *,
        stopped: Callable[[], bool] = lambda: False,
        **request: Any,
    ) -> tuple[Fake, Ear, Outcome]:
        fake, ear, outcomes = Fake(answers or {}), Ear(), []
        asked = {"setup": SETUP} | request
        run_archive(
            Request(Plan(self.jobs(), many=True), self.out, **asked),
            lambda setup, most: fake,
            ear,
            stopped,
            lambda journal, outcome: outcomes.append(outcome),
        )
        return fake, ear, outcomes[0]

    def states(self) -> dict[str, str]:
        with Journal(self.out / "archive.sqlite", locked=False) as journal:
            return {os.fsdecode(row.target): row.state for row in journal.rows()}

    def why(self, **request: Any) -> dict[str, str | None]:
        """Why files are done, or not, by name; they are done."""
        _, ear, _ = self.run(**request)
        return {c.job.source.name: c.why or c.why_not for c in ear.choices}


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path, "a", "b", "c")


@dataclass
class Times:
    """Says yes after so many questions."""

    left: int

    def over(self) -> bool:
        self.left -= 1
        return self.left < 0


def sources(fake: Fake) -> list[str]:
    return [Path(task.source).name for task in fake.tasks]


def test_all_is_done_once(archive: Archive) -> None:
    fake, ear, outcome = archive.run()
    assert sources(fake) == ["a", "b", "c"]
    assert outcome.finished
    assert fake.closed
    assert [row.state for row in ear.rows] == ["done"] * 3
    assert (archive.out / "b").read_text() == "made of b"
    fake, _, outcome = archive.run()
    assert fake.tasks == []
    assert outcome.finished
    assert len(outcome.asked) == 3
    assert sorted(p.name for p in archive.out.iterdir()) == ["a", "archive.sqlite", "b", "c"]


def test_what_changed_is_done_again(archive: Archive) -> None:
    archive.run()
    (archive.source / "a").write_text("another")
    (archive.source / "d").write_text("d")
    (archive.out / "b").unlink()
    assert archive.why() == {"a": "input changed", "b": "output gone", "c": "done", "d": "new"}
    assert (archive.out / "a").read_text() == "made of another"
    other = Setup(ModelOptions(), FaceOptions(strength=0.5), VideoOptions())
    assert set(archive.why(setup=other).values()) == {"options changed"}
    assert set(archive.why(setup=other).values()) == {"done"}
    threads = Setup(ModelOptions(threads=3), FaceOptions(strength=0.5), VideoOptions())
    assert set(archive.why(setup=threads).values()) == {"done"}


def test_a_touched_file_is_known_by_its_content(archive: Archive) -> None:
    archive.run({"c": hashed})
    os.utime(archive.source / "c", (1, 1))
    os.utime(archive.source / "b", (1, 1))
    assert archive.why() == {"a": "done", "b": "input changed", "c": "done"}


def test_outputs_that_were_copied_are_known_by_their_content(archive: Archive) -> None:
    archive.run(dict.fromkeys("abc", hashed))
    for name in "abc":
        os.utime(archive.out / name, (1, 1))
    assert set(archive.why().values()) == {"done"}
    (archive.out / "c").write_text("edit of c")  # as long as before
    with pytest.raises(OutputExistsError, match="c exists"):
        archive.run()


def test_what_is_wanted_beside_is_made(archive: Archive) -> None:
    archive.run()
    wanted: dict[str, Any] = {"extras": lambda job: Extras(events=True)}
    assert set(archive.why(**wanted).values()) == {"incomplete"}
    assert set(archive.why(**wanted).values()) == {"done"}
    assert set(archive.why().values()) == {"done"}


def test_failures_are_kept_and_tried_again_when_asked(archive: Archive) -> None:
    _, _, outcome = archive.run({"b": bad})
    assert archive.states() == {"a": "done", "b": "failed", "c": "done"}
    assert outcome.finished
    assert [row.error for row in outcome.asked] == [
        None,
        f"{archive.source / 'b'} is no video",
        None,
    ]
    assert archive.why()["b"] == "failed before"
    assert archive.why(retry_failed=True)["b"] == "retried"
    assert archive.states()["b"] == "done"


def test_a_changed_file_that_failed_is_tried_again(archive: Archive) -> None:
    archive.run({"b": bad})
    (archive.source / "b").write_text("repaired")
    assert archive.why()["b"] == "input changed"


def test_a_file_that_kills_two_workers_is_left_alone(archive: Archive) -> None:
    fake, _, outcome = archive.run({"a": lost})
    assert sources(fake) == ["a", "b", "c", "a"]  # its second chance comes last
    assert archive.states() == {"a": "quarantined", "b": "done", "c": "done"}
    (row,) = [row for row in outcome.asked if row.state == "quarantined"]
    assert row.error is not None
    assert "killed by SIGSEGV" in row.error
    assert row.attempts == 2
    assert not list(archive.out.glob(".*"))
    assert archive.run()[0].tasks == []
    assert archive.why(retry_failed=True)["a"] == "retried"


def test_what_fails_after_the_output_was_made_can_be_tried_again(archive: Archive) -> None:
    def no_page(task: Task) -> list[tuple[str, dict[str, Any]]]:
        good(task)
        return [("failed", {"error": "the page cannot be written", "code": 5})]

    archive.run({"b": no_page})
    assert archive.why() == {"a": "done", "b": "failed before", "c": "done"}
    assert archive.why(retry_failed=True)["b"] == "retried"


def test_a_worker_that_dies_when_the_output_was_made(archive: Archive) -> None:
    def made(task: Task) -> list[tuple[str, dict[str, Any]]]:
        good(task)
        return lost(task)

    answers = iter([made, good])
    fake, _, outcome = archive.run({"a": lambda task: next(answers)(task)})
    assert [task.overwrite for task in fake.tasks if Path(task.source).name == "a"] == [False, True]
    assert outcome.finished
    assert archive.states()["a"] == "done"


def test_a_file_that_somebody_put_there_meanwhile_stays(archive: Archive) -> None:
    def taken(task: Task) -> list[tuple[str, dict[str, Any]]]:
        Path(task.target).write_text("mine")
        return [("failed", {"error": "exists; --overwrite replaces it", "code": 2})]

    archive.run({"b": taken})
    with pytest.raises(OutputExistsError, match="b exists"):
        archive.run(retry_failed=True)
    assert (archive.out / "b").read_text() == "mine"


def test_a_worker_that_dies_once_costs_nothing(archive: Archive) -> None:
    answers = iter([lost, good])
    _, _, outcome = archive.run({"a": lambda task: next(answers)(task)})
    assert archive.states()["a"] == "done"
    assert outcome.finished


def test_nodes_that_are_lost_blame_no_file(archive: Archive) -> None:
    def gone(task: Task) -> list[tuple[str, dict[str, Any]]]:
        return [("lost", {"error": "its node is gone", "node": True})]

    answers = iter([gone, gone, gone, good])
    _, _, outcome = archive.run({"a": lambda task: next(answers)(task)})
    assert set(archive.states().values()) == {"done"}
    assert outcome.finished


def test_the_longest_come_first_and_suspects_last(archive: Archive) -> None:
    seconds = {archive.source / name: length for name, length in (("b", 2.0), ("c", 9.0))}
    fake, _, _ = archive.run({name: lambda task: [] for name in "abc"}, stopped=Times(1).over)
    for _ in range(2):
        with Journal(archive.out / "archive.sqlite") as journal:
            journal.begin(3)
            journal.recover()
    fake, _, _ = archive.run(seconds=seconds)
    assert sources(fake) == ["b", "a", "c"]


def test_files_weigh_their_seconds_or_else_their_bytes(archive: Archive) -> None:
    (archive.source / "a").write_text("a" * 1000)
    _, ear, _ = archive.run(seconds={archive.source / "a": 5.0, archive.source / "b": 55.0})
    assert ear.weight == pytest.approx(60 + 60 / 1001)  # of c is known that it is one byte


def test_a_stop_leaves_everything_to_be_gone_on_with(archive: Archive) -> None:
    silent: dict[str, Answer] = {"b": lambda task: []}
    fake, _, outcome = archive.run(silent, stopped=Times(1).over)
    assert fake.stopped
    assert fake.closed
    assert not outcome.finished
    assert archive.states() == {"a": "done", "b": "planned", "c": "planned"}
    fake, _, outcome = archive.run()
    assert outcome.finished
    assert sources(fake) == ["b", "c"]


def test_outputs_of_others_are_not_touched(archive: Archive) -> None:
    archive.out.mkdir()
    (archive.out / "b").write_text("mine")
    with pytest.raises(OutputExistsError, match="b exists"):
        archive.run()
    assert (archive.out / "b").read_text() == "mine"
    assert archive.why(skip_existing=True) == {"a": "new", "b": "output exists", "c": "new"}
    assert (archive.out / "b").read_text() == "mine"
    assert archive.why(overwrite=True) == {"a": "done", "b": "replaced", "c": "done"}
    assert archive.why(overwrite=True)["b"] == "done"


def test_an_output_that_somebody_changed_is_not_replaced(archive: Archive) -> None:
    archive.run()
    (archive.out / "b").write_text("edited by hand")
    with pytest.raises(OutputExistsError, match="b exists"):
        archive.run()
    assert archive.why(overwrite=True)["b"] == "replaced"


def test_another_folders_files_do_not_replace_outputs(archive: Archive, tmp_path: Path) -> None:
    archive.run()
    other = Archive.__new__(Archive)
    other.source, other.out = tmp_path / "other", archive.out
    other.source.mkdir()
    (other.source / "a").write_text("of another folder")
    with pytest.raises(OutputExistsError, match="no run is known that made it of this input"):
        other.run()
    assert (archive.out / "a").read_text() == "made of a"


def test_an_archive_that_was_moved_is_known_by_its_content(
    archive: Archive, tmp_path: Path
) -> None:
    archive.run()
    archive.source = archive.source.rename(tmp_path / "moved")
    assert set(archive.why().values()) == {"done"}


def test_a_full_disk_stops_it_and_blames_no_file(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(task: Task) -> list[tuple[str, dict[str, Any]]]:
        monkeypatch.setattr(driver_module, "free_bytes", lambda folder: 1 << 20)
        return [("failed", {"error": "No space left on device", "code": 5, "output": True})]

    with pytest.raises(OutputError, match=r"has 1\.0 MiB left; make room"):
        archive.run({"b": full})
    monkeypatch.undo()
    assert archive.states() == {"a": "done", "b": "planned", "c": "planned"}
    archive.run()
    assert set(archive.states().values()) == {"done"}


def in_pieces(task: Task, fails: str | None = None) -> list[tuple[str, dict[str, Any]]]:
    if task.kind == fails:
        return [("failed", {"error": "not the same", "code": 1, "split": True})]
    if task.kind == "file" and task.chunk:
        told = [("piece", {"number": n, "done": n == 0}) for n in range(3)]
        return [*told, ("done", {"pieces": 3})]
    return good(task) if task.kind in ("join", "file") else [("done", {})]


def test_a_long_file_is_done_in_pieces(archive: Archive) -> None:
    fake, _, outcome = archive.run({"a": in_pieces}, chunk=10)
    steps = [(task.kind, task.number) for task in fake.tasks if Path(task.source).name == "a"]
    assert steps == [("file", 0), ("piece", 1), ("piece", 2), ("join", 0)]  # 0 was done before
    assert outcome.finished
    assert [row.attempts for row in outcome.asked] == [1, 1, 1]


@pytest.mark.parametrize("step", ["piece", "join"])
def test_what_cannot_be_done_in_pieces_is_done_whole(archive: Archive, step: str) -> None:
    fake, _, outcome = archive.run({"a": lambda task: in_pieces(task, step)}, chunk=10)
    assert outcome.finished
    assert archive.states()["a"] == "done"
    last = [task for task in fake.tasks if Path(task.source).name == "a"][-1]
    assert (last.kind, last.chunk) == ("file", 0)
    (archive.out / "a").unlink()
    fake, _, _ = archive.run({"a": in_pieces}, chunk=10)
    assert [task.chunk for task in fake.tasks] == [0]  # it is remembered


def test_a_piece_that_kills_two_workers_ends_its_file_only(archive: Archive) -> None:
    def answer(task: Task) -> list[tuple[str, dict[str, Any]]]:
        return lost(task) if task.kind == "piece" and task.number == 2 else in_pieces(task)

    _, _, outcome = archive.run({"a": answer}, chunk=10)
    assert archive.states() == {"a": "quarantined", "b": "done", "c": "done"}
    assert outcome.finished


def test_records_are_kept_with_their_file(archive: Archive) -> None:
    def recorded(task: Task) -> list[tuple[str, dict[str, Any]]]:
        with Spool(Path(task.folder), "events") as spool:
            spool.add_values({"of": task.source})
        return good(task)

    archive.run({"a": recorded, "b": bad})
    with Journal(archive.out / "archive.sqlite", locked=False) as journal:
        assert list(journal.records(1)) == ["events"]
        assert journal.records(3) == {}


def test_shards_part_the_archive_and_a_last_run_brings_them_together(tmp_path: Path) -> None:
    archive = Archive(tmp_path, *(f"file{number}" for number in range(20)))
    done: list[str] = []
    for number in (1, 2, 3):
        fake, _, outcome = archive.run(shard=Shard(number, 3))
        assert outcome.finished
        done += sources(fake)
    assert sorted(done) == sorted(job.source.name for job in archive.jobs())
    fake, _, outcome = archive.run()
    assert fake.tasks == []
    assert len(outcome.asked) == 20
    assert set(archive.states().values()) == {"done"}
    fake, _, _ = archive.run(shard=Shard(2, 5))  # divided anew
    assert fake.tasks == []


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/3/5", "-1/3"])
def test_shards_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="must be I/N"):
        Shard.parse(text)


def test_tasks_and_setups_survive_json() -> None:
    task = Task(1, "piece", "s\udcff", "t", "f", Extras(True, 0.5, "csv", "x"), True, 3, 2.5)
    assert Task.of(json.loads(json.dumps(task.values()))) == task
    setup = Setup(
        ModelOptions(weights=Path("w")),
        FaceOptions(regions=((1, 2, 3, 4),)),
        VideoOptions(encoder_options=(("a", "b"),), allow_decoders=("x",)),
    )
    assert Setup.of(json.loads(json.dumps(setup.values()))) == setup


def test_a_worker_knows_its_cores_before_anything_counts_them() -> None:
    """NumPy's and FFmpeg's threads for cores of others would slow all workers down."""
    script = "import vidfacedeblur.archive.process, sys; print({'numpy', 'av'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout == b"set()\n"
