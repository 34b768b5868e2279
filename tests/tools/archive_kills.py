"""Kill a run over an archive again and again, and see that the end is that of a run left alone.

    python tests/tools/archive_kills.py FOLDER [--clips FOLDER ...] [--files 300] [--kills 20]

FOLDER must not exist; the archive is made there of clips that this script makes, of those in the
folders given, and of broken and hostile ones. Prints what it saw; exit code 1 if anything differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import av
from tests_support import write_portrait_clip

NAMES = (
    "plain",
    "with spaces  two",
    'it\'s "quoted"',
    "new\nline",
    "smile \U0001f600 \u00fcml\u00e4ut",
    "-o dash",
    "50% of $HOME; rm *",
    "<img src=x onerror=alert(1)>",
    "\u202eltr",
    os.fsdecode(b"bytes \xff\xfe"),
)

_STARTUP_SECONDS = 6.0
"""Until the workers are at work; some kills shall come before that."""


def build(folder: Path, clips: Sequence[Path], files: int, seed: int) -> None:
    """Fill a folder with so many files, in deep folders, under names that hurt."""
    chance = random.Random(seed)
    made = folder.with_name("made")
    made.mkdir()
    pool = list(clips)
    for number in range(4):
        path = made / f"portrait{number}.mp4"
        write_portrait_clip(path, frames=6 + 10 * number, audio=number % 2 == 0)
        pool.append(path)
    pool += broken(made, pool[-1])
    for number, source in zip(range(files), cycle(pool), strict=False):
        place = folder.joinpath(*(f"d{chance.randrange(3)}" for _ in range(number % 5)))
        place.mkdir(parents=True, exist_ok=True)
        name = f"{NAMES[number % len(NAMES)]} {number}{source.suffix}"
        shutil.copyfile(source, place / name)


def broken(made: Path, good: Path) -> list[Path]:
    """Files that are none, cut short, damaged, or want to be read elsewhere."""
    data = good.read_bytes()
    hurt = bytearray(data)
    for place in range(len(hurt) // 3, len(hurt), 997):
        hurt[place] ^= 0xFF
    contents = {
        "empty.mp4": b"",
        "text.mkv": b"no video at all",
        "short.mp4": data[: len(data) // 2],
        "hurt.mp4": bytes(hurt),
        "noise.ts": random.Random(1).randbytes(40_000),
        "list.mp4": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        "concat.mkv": b"ffconcat version 1.0\nfile '/etc/passwd'\n",
    }
    paths = [made / name for name in contents]
    for path in paths:
        path.write_bytes(contents[path.name])
    return paths


def command(source: Path, out: Path, weights: Path | None, more: Sequence[str]) -> list[str]:
    own = [] if weights is None else ["--weights", str(weights)]
    files = [*("--report", f"{out}.json"), *("--events", f"{out}.events.jsonl")]
    base = [sys.executable, "-m", "vidfacedeblur", str(source), "-o", str(out), "-q"]
    return [*base, "--device", "cpu", *own, *files, *more]


def run_with_kills(
    arguments: Sequence[str], out: Path, kills: int, longest: float, seed: int
) -> list[str]:
    """Start again until it ends by itself, killed within `longest` seconds; what went wrong."""
    chance = random.Random(seed)
    problems: list[str] = []
    before: dict[bytes, float] = {}
    while True:
        process = subprocess.Popen(arguments, start_new_session=True)
        try:
            process.wait(chance.uniform(0.3, longest) if kills else None)
        except subprocess.TimeoutExpired:
            kills -= 1
            if chance.random() < 0.5:
                os.killpg(process.pid, signal.SIGKILL)  # the workers, too
            else:
                process.kill()
            process.wait()
            now = finished(out / "archive.sqlite")
            problems += [
                f"done again: {name!r}" for name in before if now.get(name) != before[name]
            ]
            print(f"killed; {len(now)} files done, {kills} kills to go", flush=True)
            before = now
            continue
        if kills:
            print(f"it ended before {kills} more kills", flush=True)
        now = finished(out / "archive.sqlite")
        problems += [f"done again: {name!r}" for name in before if now.get(name) != before[name]]
        return problems


def finished(journal: Path) -> dict[bytes, float]:
    """When each file was done, by target."""
    if not journal.exists():
        return {}
    for _ in range(100):
        try:
            with sqlite3.connect(journal) as base:
                states = "('done', 'damaged', 'failed', 'quarantined')"
                query = f"SELECT target, ended FROM files WHERE state IN {states}"
                return dict(base.execute(query))
        except sqlite3.OperationalError:
            time.sleep(0.05)
    return {}


def frames_hash(path: Path) -> str:
    """Of all decoded frames and their times."""
    digest = hashlib.sha256()
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            digest.update(repr((frame.pts, frame.time_base)).encode())
            digest.update(frame.to_ndarray(format="rgb24").tobytes())
    return digest.hexdigest()


def outcome(out: Path) -> dict[str, Any]:
    """What a run left, but for times: outputs, journal, report, events."""
    files = {str(p.relative_to(out)): p for p in sorted(out.rglob("*")) if p.is_file()}
    media = {n: frames_hash(p) for n, p in files.items() if not n.startswith("archive.")}
    with sqlite3.connect(out / "archive.sqlite") as base:
        columns = "target, source, state, size, sha256, options, made, error, code, summary"
        rows = [list(row) for row in base.execute(f"SELECT {columns} FROM files ORDER BY target")]
    for row in rows:
        row[-1] = figures(json.loads(row[-1])) if row[-1] else None
    report = json.loads(out.with_name(f"{out.name}.json").read_text())
    runs = [figures(run) for run in report["runs"]]
    runs.sort(key=lambda run: run["input"])
    failures = sorted((f["input"], f["error"], f["exit_code"]) for f in report["failures"])
    events = out.with_name(f"{out.name}.events.jsonl").read_text(errors="surrogateescape")
    return {
        "media": media,
        "tables": sorted(n for n in files if n.startswith("archive.")),
        "journal": rows,
        "runs": runs,
        "failures": failures,
        "complete": report["summary"]["complete"],
        "events": sorted(map(without_times, events.splitlines())),
        "debris": sorted(n for n in files if ".part" in n or ".vidfacedeblur" in n),
    }


def figures(run: dict[str, Any]) -> dict[str, Any]:
    left_out = ("seconds", "stages", "fps", "output", "output_sha256")
    return {name: value for name, value in run.items() if name not in left_out}


def without_times(line: str) -> str:
    event = json.loads(line)
    return json.dumps({k: v for k, v in event.items() if k not in ("wall", "timing")})


def compare(left: dict[str, Any], right: dict[str, Any], roots: tuple[Path, Path]) -> list[str]:
    """In what two outcomes differ."""
    problems = [f"debris: {name}" for one in (left, right) for name in one["debris"]]
    for part, value in left.items():
        text, other = repr(value), repr(right[part]).replace(str(roots[1]), str(roots[0]))
        if text != other:
            place = next(
                (i for i, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), 0
            )
            around = slice(max(0, place - 150), place + 150)
            problems.append(f"{part} differs:\n  {text[around]}\n  {other[around]}")
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=Path, action="append", default=[])
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--seed", type=int, default=7)
    asked, more = parser.parse_known_args()  # what is not known here is for the command
    asked.folder.mkdir(parents=True)
    source, left, right = (asked.folder / name for name in ("in", "alone", "killed"))
    clips = sorted(p for folder in asked.clips for p in folder.iterdir() if p.is_file())
    build(source, clips, asked.files, asked.seed)
    begin = time.monotonic()
    subprocess.run(command(source, left, asked.weights, more), check=False)
    seconds = time.monotonic() - begin
    print(f"left alone: {seconds:.1f} s", flush=True)
    arguments = command(source, right, asked.weights, more)
    longest = _STARTUP_SECONDS + 1.5 * seconds / max(1, asked.kills)
    problems = run_with_kills(arguments, right, asked.kills, longest, asked.seed)
    alone = outcome(left)
    problems += compare(alone, outcome(right), (left, right))
    states: dict[str, int] = {}
    for row in alone["journal"]:
        states[row[2]] = states.get(row[2], 0) + 1
    print(f"{len(alone['journal'])} files: {states}; {len(problems)} problems")
    print("\n".join(problems))
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
