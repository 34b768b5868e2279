"""What several workers bring, whole files and pieces of a long one, and what the journal costs.

    python examples/benchmarks/archive.py FOLDER [--model NAME] [--rounds 2] [--chunk 4]
    python examples/benchmarks/archive.py --overhead 300

Runs the command over the videos of a folder with one worker confined to one core, with two workers
of one core each, and with one worker that has both cores; checks that all outputs have every frame;
prints seconds from the first file begun to the last one ended, and their ratios. Then the same with
the longest video of the folder, in pieces. With --overhead it makes so many clips of a second, and
prints what planning and the journal take of a run over them.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import av
from pipeline import make_clip

from vidfacedeblur.archive.journal import Journal

WAYS = {
    "1 worker, 1 core": (1, ["--workers", "1"]),
    "2 workers, 1 core each": (2, ["--workers", "2"]),
    "1 worker, 2 cores": (2, ["--workers", "1"]),
}
"""Cores, and options."""


def run(source: Path, out: Path, cores: int, options: Sequence[str]) -> float:
    """Run the command on so many cores; seconds from the first begin to the last end."""
    mine = sorted(os.sched_getaffinity(0))[:cores]
    command = [sys.executable, "-m", "vidfacedeblur", str(source), "-o", str(out), "-q"]
    done = subprocess.run(
        [*command, *options],
        preexec_fn=lambda: os.sched_setaffinity(0, mine),
        check=False,
    )
    if done.returncode:
        sys.exit(f"the command ended with exit code {done.returncode}")
    with (out / "archive.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if frames(Path(row["input"])) != frames(Path(row["output"])):
            sys.exit(f"{row['output']} has lost frames")
    begun = min(datetime.fromisoformat(row["began"]) for row in rows)
    ended = max(datetime.fromisoformat(row["ended"]) for row in rows)
    return (ended - begun).total_seconds()


def frames(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def compare_ways(source: Path, options: Sequence[str], rounds: int) -> None:
    """Print a row for each way, best of the rounds, which take turns."""
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way, (cores, own) in WAYS.items():
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder) / "out"
                seconds[way].append(run(source, out, cores, [*own, *options]))
    best = {way: min(values) for way, values in seconds.items()}
    first = best["1 worker, 1 core"]
    for way, value in best.items():
        each = ", ".join(f"{one:.1f}" for one in seconds[way])
        print(f"  {way:24} {value:7.1f} s  {first / value:5.2f} times  (rounds: {each})")


def overhead(files: int, options: Sequence[str]) -> None:
    """Print what planning and the journal take of a run over many short clips."""
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "in", Path(folder) / "out"
        source.mkdir()
        make_clip(source / "0.mp4", 1)
        for number in range(1, files):
            shutil.copy(source / "0.mp4", source / f"{number}.mp4")
        one = Path(folder) / "one"
        one.mkdir()
        shutil.copy(source / "0.mp4", one)
        begin = time.perf_counter()
        run(source, out, os.cpu_count() or 1, options)
        total = time.perf_counter() - begin
        planning = statistics.median(
            planned(source, folder) - planned(one, folder) for _ in range(3)
        )
        command = [sys.executable, "-m", "vidfacedeblur", str(source), "-o", str(out), "-q"]
        again = seconds_of(lambda: subprocess.run([*command, *options], check=True))
        writing = seconds_of(lambda: write_journal(Path(folder) / "archive.sqlite", files))
    print(f"  {files} clips of a second: {total:.1f} s with all that belongs to it")
    print(f"  planning {planning:.2f} s ({planning / total:.2%})")
    print(f"  journal  {writing:.2f} s ({writing / total:.2%})")
    print(f"  a second run that finds nothing to do: {again:.1f} s")


def planned(source: Path, folder: str) -> float:
    """Seconds that a dry run takes, all files new."""
    out = str(Path(folder) / "nowhere")
    command = [sys.executable, "-m", "vidfacedeblur", str(source), "-o", out, "--dry-run", "-q"]
    return seconds_of(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))


def write_journal(path: Path, files: int) -> None:
    """Write what a run writes of so many files."""
    with Journal(path) as journal:
        journal.add((f"{n}.mp4".encode(), f"/in/{n}.mp4".encode()) for n in range(files))
        for row in list(journal.rows()):
            journal.begin(row.id)
            journal.change(row.id, {"events": bytes(500)}, state="done", summary="{}" * 1000)
            journal.row(row.id)


def seconds_of(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--model", default="deblurgan")
    parser.add_argument("--gate", default="auto")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--chunk", type=float, default=4.0)
    parser.add_argument("--overhead", type=int, metavar="FILES")
    asked = parser.parse_args()
    options = ["--model", asked.model, "--device", "cpu", "--gate", asked.gate]
    if asked.overhead:
        overhead(asked.overhead, options)
        return
    if asked.folder is None:
        parser.error("name a folder of videos")
    print(f"{asked.folder}, {asked.model}: whole files")
    compare_ways(asked.folder, [*options, "--chunk", "0"], asked.rounds)
    longest = max(asked.folder.iterdir(), key=frames)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / longest.name).symlink_to(longest.absolute())
        print(f"{longest.name}, {frames(longest)} frames: in pieces of {asked.chunk:g} s")
        compare_ways(Path(folder), [*options, "--chunk", str(asked.chunk)], asked.rounds)


if __name__ == "__main__":
    main()
