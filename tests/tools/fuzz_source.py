"""Reads thousands of broken files through the video source, and says what must not have happened.

    python tests/tools/fuzz_source.py CLIPS_DIR --files 10000 --out findings

The files are made from the clips of a folder (`make_hardclips.sh` makes one) by flipping bits,
cutting, mixing, and changing numbers in headers. A file ends well if its frames come, or an error
of `vidfacedeblur.errors`. Another exception, a hang, too much memory, an error of several lines, a
frame that is not as promised, and a file or a socket opened beside the input are findings, and make
the exit code 1. So do not crashes by a signal, which are FFmpeg's; they are listed all the same.

File N of a seed is always the same one, as long as the clips are: ``--only N`` reads it again. What
depends on memory that nobody set, MALLOC_PERTURB_=165 in the environment makes happen more often;
times and memory then tell nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from fuzz_mutations import Forge, in_words
from fuzz_outcome import Outcome
from fuzz_pool import Pool, WorkerError
from fuzz_report import Progress, Tally
from fuzz_trace import opened, tracer

_WORKER = Path(__file__).with_name("fuzz_worker.py")
_TRACED_SLOWER = 5
_TRACED_FILES = 300


class Fuzzer:
    """One run over broken files.

    Args:
        arguments: As `parse` gives them.
        folder: For files that are thrown away.
    """

    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self.tally = Tally()
        self._arguments = arguments
        self._folder = folder
        self._forge = Forge(arguments.clips, arguments.seed)
        self._out: Path | None = arguments.out
        if self._out is not None:
            self._out.mkdir(parents=True, exist_ok=True)

    def run(self, numbers: Iterable[int], total: int) -> None:
        """Have files read, count what becomes of them, and keep those that must be looked at."""
        pool = Pool(
            self._command(),
            jobs=self._arguments.jobs,
            timeout=self._arguments.timeout,
            folder=self._folder,
        )
        progress = Progress(total)
        for outcome in pool.run(numbers):
            self._take(outcome)
            progress.show(self.tally)
        progress.end()

    def run_traced(self, numbers: Iterable[int]) -> int:
        """Have files read under strace; returns how many were seen in the trace."""
        log = self._folder / "trace.log"
        timeout = self._arguments.timeout * _TRACED_SLOWER
        command = [*tracer(log), *self._command(), "--marks"]
        pool = Pool(command, jobs=1, timeout=timeout, folder=self._folder)
        outcomes = {outcome.number: outcome for outcome in pool.run(numbers)}
        seen, found = opened(log)
        for number, findings in found.items():
            outcome = outcomes[number]
            verdict = "finding"
            both = (*outcome.findings, *findings)
            outcomes[number] = dataclasses.replace(outcome, verdict=verdict, findings=both)
        for outcome in outcomes.values():
            self._take(outcome)
        return seen

    def _command(self) -> list[str]:
        arguments = self._arguments
        return [
            *(sys.executable, str(_WORKER), str(arguments.clips), str(self._folder)),
            *("--seed", str(arguments.seed), "--timeout", str(arguments.timeout)),
        ]

    def _take(self, outcome: Outcome) -> None:
        if not outcome.kind:  # the worker did not live to say it
            mutant = self._forge.make(outcome.number)
            options = in_words(self._forge.options(outcome.number))
            outcome = dataclasses.replace(
                outcome, kind=mutant.kind, what=mutant.what, options=options
            )
        self.tally.add(outcome)
        if self._out is not None and (outcome.findings or self._arguments.only is not None):
            self._keep(outcome, self._out)

    def _keep(self, outcome: Outcome, out: Path) -> None:
        mutant = self._forge.make(outcome.number)
        (out / mutant.name).write_bytes(mutant.data)
        lines = [mutant.what, f"options: {outcome.options}", outcome.verdict, outcome.message]
        for finding in outcome.findings:
            lines += ["", finding.title, finding.detail]
        (out / f"{mutant.name}.txt").write_text("\n".join(lines), encoding="utf-8")


def parse(words: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", type=Path, metavar="CLIPS_DIR", help="the files to be broken")
    parser.add_argument("--files", type=int, default=10_000, help="how many (10000)")
    parser.add_argument("--seed", type=int, default=0, help="another one makes other files (0)")
    parser.add_argument("--jobs", type=int, default=2, help="files at a time (2)")
    parser.add_argument("--timeout", type=float, default=10, help="seconds for a file (10)")
    parser.add_argument("--out", type=Path, help="keep what must be looked at in this folder")
    parser.add_argument("--only", type=int, metavar="N", help="read file N and say all about it")
    parser.add_argument(
        "--strace",
        type=int,
        nargs="?",
        const=_TRACED_FILES,
        metavar="FILES",
        help=f"read some of the files ({_TRACED_FILES}) under strace, one at a time, instead",
    )
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    """Run; the exit code is 1 if there are findings."""
    arguments = parse(words)
    with tempfile.TemporaryDirectory(prefix="fuzz-source-") as folder:
        try:
            fuzzer = Fuzzer(arguments, Path(folder))
            _run(fuzzer, arguments)
        except (OSError, ValueError, WorkerError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
    print(fuzzer.tally.summary())
    return 1 if fuzzer.tally.findings else 0


def _run(fuzzer: Fuzzer, arguments: argparse.Namespace) -> None:
    if arguments.only is not None:
        fuzzer.run([arguments.only], 1)
        slowest = fuzzer.tally.slowest
        assert slowest is not None
        print(f"{slowest.what}\noptions: {slowest.options}\n{slowest.verdict}: {slowest.message}\n")
    elif arguments.strace is not None:
        step = max(1, arguments.files // arguments.strace)
        seen = fuzzer.run_traced(range(0, arguments.files, step))
        print(f"under strace: {seen} files")
    else:
        fuzzer.run(range(arguments.files), arguments.files)


if __name__ == "__main__":
    sys.exit(main())
