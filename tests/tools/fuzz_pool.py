"""Worker processes that may die or hang at any file, and are replaced."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import select
import signal
import subprocess
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from fuzz_outcome import CRASH, Finding, Outcome

READY_SECONDS = 120.0
_GRACE = 2.0
"""Seconds over the limit until a worker is killed: it says first where it hangs."""
_FILES_PER_WORKER = 1000
_QUIET = {
    "MALLOC_ARENA_MAX": "2",  # else each thread reserves 64 MB, which counts against the limit
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}


class WorkerError(Exception):
    """A worker cannot be started."""


class Process:
    """One worker process, and what it wrote on stderr.

    Args:
        command: How to start it. It says a line when it is ready; then answers a line for a line.
        log: The file for its stderr.

    Raises:
        WorkerError: It ends, or is silent, before it is ready.
    """

    def __init__(self, command: list[str], log: Path) -> None:
        self.answered = 0
        self._log = log
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                env=os.environ | _QUIET,
            )
        if not self._line(READY_SECONDS):
            self.kill()
            raise WorkerError(f"a worker does not start: {' '.join(command)}\n{self.said()}")

    def ask(self, number: int, timeout: float) -> Outcome:
        """Have a file read. A worker that dies or hangs at it cannot be asked again."""
        assert self._process.stdin is not None
        os.truncate(self._log, 0)
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(b"%d\n" % number)
            self._process.stdin.flush()
        line = self._line(timeout + _GRACE)
        if line:
            self.answered += 1
            return Outcome.from_line(line)
        self.kill(only_if_alive=line is None)
        return self._death(number, timeout, hung=line is None)

    def kill(self, *, only_if_alive: bool = True) -> None:
        """End the process, or wait for its end."""
        if only_if_alive:
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def said(self) -> str:
        """What it wrote on stderr since the last question, at most the end of it."""
        return self._log.read_text(errors="replace")[-6000:]

    def _line(self, timeout: float) -> str | None:
        """A line of its answers; empty if it has ended; None if it is silent."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], timeout)
        return self._process.stdout.readline().decode() if ready else None

    def _death(self, number: int, timeout: float, *, hung: bool) -> Outcome:
        if hung:
            finding = Finding(f"hangs for over {timeout:g} s", self.said())
            return Outcome(number, "finding", seconds=timeout, findings=(finding,))
        code = self._process.returncode
        if code < 0:
            place = _first_of_ours(self.said())
            finding = Finding(f"{signal.Signals(-code).name} at {place}", self.said())
            return Outcome(number, CRASH, findings=(finding,))
        finding = Finding(f"the process ends with exit code {code}", self.said())
        return Outcome(number, "finding", findings=(finding,))


class Pool:
    """Several workers that share the files among them.

    Args:
        command: How to start a worker.
        jobs: How many run at a time.
        timeout: Seconds for a file.
        folder: For the workers' logs.
    """

    def __init__(self, command: list[str], *, jobs: int, timeout: float, folder: Path) -> None:
        self._command = command
        self._jobs = jobs
        self._timeout = timeout
        self._folder = folder
        self._outcomes: queue.Queue[Outcome | Exception | None] = queue.Queue()
        self._stopped = False
        self._lock = threading.Lock()

    def run(self, numbers: Iterable[int]) -> Iterator[Outcome]:
        """What becomes of every file, in the order in which they end.

        Raises:
            WorkerError: A worker cannot be started.
        """
        waiting = iter(numbers)
        threads = [
            threading.Thread(target=self._serve, args=(waiting, job), name=f"fuzz-{job}")
            for job in range(self._jobs)
        ]
        for thread in threads:
            thread.start()
        try:
            yield from self._collect()
        finally:
            self._stopped = True
            for thread in threads:
                thread.join()

    def _collect(self) -> Iterator[Outcome]:
        running = self._jobs
        while running:
            outcome = self._outcomes.get()
            if outcome is None:
                running -= 1
            elif isinstance(outcome, Exception):
                raise outcome
            else:
                yield outcome

    def _serve(self, numbers: Iterator[int], job: int) -> None:
        process: Process | None = None
        try:
            while (number := self._next(numbers)) is not None:
                if process is None:
                    process = Process(self._command, self._folder / f"worker-{job}.log")
                outcome = process.ask(number, self._timeout)
                self._outcomes.put(outcome)
                process = self._kept(process, outcome)
        except Exception as error:  # noqa: BLE001 - raised again in the main thread
            self._outcomes.put(error)
        finally:
            if process is not None:
                process.kill()
            self._outcomes.put(None)

    def _next(self, numbers: Iterator[int]) -> int | None:
        with self._lock:
            return None if self._stopped else next(numbers, None)

    def _kept(self, process: Process, outcome: Outcome) -> Process | None:
        """The process, where it can go on; now and then a fresh one is better."""
        if outcome.kind and process.answered < _FILES_PER_WORKER:
            return process
        if outcome.kind:
            process.kill()
        return None


def _first_of_ours(stacks: str) -> str:
    """The innermost line of the package in what `faulthandler` wrote about the main thread."""
    lines = re.findall(r'File "[^"]*/(vidfacedeblur/[^"]+)", line (\d+) in (\w+)', stacks)
    return "{}:{} ({})".format(*lines[0]) if lines else "no line of the package"
