"""How well an archive of 10,000 files would keep 1 to 1,000 nodes busy.

    python examples/benchmarks/scaling.py OUT/archive.sqlite --plot scaling.png

The costs of files are those of a run that was made (its journal, or its archive.csv); what the
driver spends is measured here; the nodes are simulated. Prints tables in Markdown.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import random
import sqlite3
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nodes import Cost, Ran, Rules, play
from overhead import Overhead, measure

NODES = (1, 8, 100, 1000)
_RATE = 25.0
"""Frames per second of a video of which only the number of frames is known."""


def recorded(path: Path) -> list[Cost]:
    """Costs of the files that were done.

    Args:
        path: A journal, of which the stages' shares are known, or an ``archive.csv``.
    """
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["state"] == "done"]
        return [Cost(float(row["seconds"]), int(row["frames"]) / _RATE) for row in rows]
    base = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        told = base.execute("SELECT summary FROM files WHERE state = 'done'").fetchall()
    finally:
        base.close()
    return [_cost_of(json.loads(summary)) for (summary,) in told]


def _cost_of(summary: dict[str, Any]) -> Cost:
    stages = {name: stats["mean"] for name, stats in summary["stages"].items()}
    total = sum(value for name, value in stages.items() if name != "total") or 1.0
    found = stages.get("decode", 0.0) + stages.get("detect", 0.0)
    again = stages.get("decode", 0.0) / total + 0.01
    return Cost(summary["seconds"], summary["frames"] / _RATE, found / total, again)


def archive(costs: Sequence[Cost], files: int, seed: int, *, long: bool) -> list[Cost]:
    """An archive of files that cost what recorded ones did.

    Args:
        costs: The recorded ones, drawn again and again.
        files: How many are drawn.
        seed: Of the draw.
        long: Lengths are made up, log-normal: half of them below one minute, one of a hundred
            above 16; what a second of video costs stays.
    """
    draw = random.Random(seed)  # noqa: S311 - no secret
    drawn = [draw.choice(costs) for _ in range(files)]
    if not long:
        return drawn
    lengths = [60 * math.exp(1.2 * draw.gauss(0, 1)) for _ in drawn]
    return [
        replace(cost, seconds=cost.seconds * length / cost.length, length=length)
        for cost, length in zip(drawn, lengths, strict=True)
    ]


def overhead_table(overheads: dict[str, Overhead]) -> Iterator[str]:
    """Of each executor, what a file costs the driver."""
    yield "| executor | driver per task | driver per file | waits for its disk | files/s | turn |"
    yield "|---|---|---|---|---|---|"
    for name, told in overheads.items():
        yield (
            f"| {name} | {1e3 * told.per_task:.2f} ms | {1e3 * told.per_file:.2f} ms"
            f" | {1e3 * told.disk:.2f} ms | {1 / (told.per_file + told.disk):.0f}"
            f" | {1e3 * told.turn:.1f} ms |"
        )


def cases(chunk: float) -> dict[str, tuple[bool, float, bool]]:
    """By name: whether lengths are made up, seconds of pieces, and longest first."""
    return {
        "as recorded, longest first": (False, 0.0, True),
        "long videos, in plan order": (True, 0.0, False),
        "long videos, longest first": (True, 0.0, True),
        f"long videos, in pieces of {chunk:g} s": (True, chunk, True),
    }


def main() -> None:
    """Measure, simulate, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("recorded", type=Path, help="a run's archive.sqlite or archive.csv")
    parser.add_argument("--files", type=int, default=10_000, help="of the archive")
    parser.add_argument("--chunk", type=float, default=60.0, help="seconds of a piece")
    parser.add_argument("--start", type=float, default=20.0, help="seconds until a worker is ready")
    parser.add_argument("--tasks", type=int, default=1000, help="to measure the overhead with")
    parser.add_argument("--workers", type=int, default=2, help="to measure the overhead with")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plot", type=Path, help="a PNG")
    given = parser.parse_args()
    costs = recorded(given.recorded)
    overheads = {name: measure(name, given.tasks, given.workers) for name in ("local", "ray")}
    print("\n".join(overhead_table(overheads)), end="\n\n")
    seconds = [cost.seconds for cost in costs]
    print(
        f"{len(costs)} recorded files, {statistics.median(seconds):.1f} s each (median;"
        f" {min(seconds):.1f} to {max(seconds):.1f}); {given.files} are drawn from them\n"
    )
    rules = rules_of(overheads["ray"], given.start)
    results: dict[str, list[Ran]] = {}
    print("| archive | nodes | hours | efficiency | driver busy | longest file alone, hours |")
    print("|---|---|---|---|---|---|")
    for name, (long, chunk, longest_first) in cases(given.chunk).items():
        drawn = archive(costs, given.files, given.seed, long=long)
        ruled = replace(rules, chunk=chunk, longest_first=longest_first)
        results[name] = [play(drawn, replace(ruled, nodes=nodes)) for nodes in NODES]
        print("\n".join(rows(name, results[name], max(cost.seconds for cost in drawn))))
    if given.plot:
        draw(results, given.files, given.plot)


def rules_of(told: Overhead, start: float) -> Rules:
    """For one node; what was measured here."""
    return Rules(1, told.per_file + told.disk, told.per_task, told.turn, start)


def rows(name: str, runs: Sequence[Ran], longest: float) -> Iterator[str]:
    """Of one kind of archive; `longest` in seconds."""
    for nodes, ran in zip(NODES, runs, strict=True):
        yield (
            f"| {name} | {nodes} | {ran.seconds / 3600:.2f} | {ran.efficiency:.3f}"
            f" | {100 * ran.driver:.1f} % | {longest / 3600:.2f} |"
        )


def draw(results: dict[str, list[Ran]], files: int, path: Path) -> None:
    """Efficiency over the number of nodes."""
    from matplotlib.figure import Figure  # opens no window

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for (name, runs), marker in zip(results.items(), "os^D", strict=False):
        axes.plot(NODES, [run.efficiency for run in runs], marker=marker, label=name)
    axes.axhline(0.9, color="grey", linewidth=0.8, linestyle="--")
    axes.set_xscale("log")
    axes.set_xticks(NODES, [f"{count:,}" for count in NODES])
    axes.minorticks_off()
    axes.set_ylim(0, 1.04)
    axes.set_xlabel("nodes, with one worker each")
    axes.set_ylabel("efficiency: work / (nodes × time)")
    axes.set_title(f"{files:,} files, simulated from recorded costs", fontsize=11)
    axes.grid(alpha=0.25)
    axes.legend(loc="lower left", frameon=False, fontsize=9)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
