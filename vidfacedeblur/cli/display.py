"""What the command says while it works: a bar on a terminal, a line now and then in a pipe."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tqdm import tqdm

from vidfacedeblur.console import counted, on_terminal, say, visible
from vidfacedeblur.types import FrameResult, RunSummary

_LINE_SECONDS = 15.0
"""Between two lines of progress where there is no terminal."""


class Bar:
    """Progress of one input."""

    def __init__(self, label: str, *, shown: bool) -> None:
        self._label = label
        self._shown = shown
        self._bar: tqdm[None] | None = None
        self._total: int | None = None
        self._frames = self._faces = 0
        self._begin = self._last = time.monotonic()

    def start(self, total: int | None) -> None:
        """Begin; `total` is an estimate of the number of frames, if there is one."""
        self._total = total
        self._begin = self._last = time.monotonic()
        if self._shown and on_terminal():
            label = visible(self._label)
            self._bar = tqdm(total=total, desc=label, unit=" frames", dynamic_ncols=True)

    def add(self, result: FrameResult) -> None:
        """Count a finished frame."""
        self._frames += 1
        self._faces += len(result.faces)
        if self._bar is not None:
            self._bar.set_postfix(faces=self._faces, refresh=False)
            self._bar.update()
        elif self._shown and time.monotonic() - self._last >= _LINE_SECONDS:
            self._last = time.monotonic()
            self._line()

    def _line(self) -> None:
        seconds = max(time.monotonic() - self._begin, 1e-6)
        rate = self._frames / seconds
        of = left = ""
        if self._total:
            of = f" of about {self._total}"
            left = f", {max(0, self._total - self._frames) / rate:.0f} s left"
        say(
            f"{self._label}: {self._frames}{of} frames, {rate:.1f} fps, {self._faces} faces{left}\n"
        )

    def close(self) -> None:
        """Take the bar off the terminal; the summary follows."""
        if self._bar is not None:
            self._bar.leave = False
            self._bar.close()


class Display:
    """Writes to standard error; everything but errors can be switched off."""

    def __init__(self, *, quiet: bool, progress: bool) -> None:
        self._quiet = quiet
        self._progress = progress and not quiet

    @property
    def shows_progress(self) -> bool:
        """Whether anything is said while work goes on."""
        return self._progress

    def error(self, message: str) -> None:
        """One line that says what went wrong."""
        self._write(message)

    def note(self, message: str) -> None:
        """One line that is worth knowing."""
        if not self._quiet:
            self._write(message)

    def status(self, message: str) -> None:
        """Something slow begins."""
        if self._progress:
            self._write(message)

    @contextmanager
    def progress_of(self, label: str) -> Iterator[Bar]:
        """Show the progress of one input."""
        bar = Bar(label, shown=self._progress)
        try:
            yield bar
        finally:
            bar.close()

    def summary(self, run: RunSummary) -> None:
        """Say what became of the one input, and how long each stage took."""
        self.result(run)
        if run.stages and not self._quiet:
            parts = [f"{name} {s.median:.1f}/{s.p95:.1f}" for name, s in run.stages.items()]
            say("  ms per frame, median/p95: " + ", ".join(parts) + "\n")

    def result(self, run: RunSummary) -> None:
        """Say what became of an input."""
        for warning in run.warnings:
            self.note(warning)
        if run.truncated:
            self.error(f"damaged input: {run.truncated}")
        elif run.damaged:
            self.error(
                f"damaged input {run.input}: {counted(run.corrupt_frames, 'corrupt frame')},"
                f" {counted(run.bad_packets, 'bad packet')}; what could be read is in the output"
            )
        if self._quiet:
            return
        say(
            f"{run.output}: {counted(run.frames, 'frame')}, {counted(run.faces, 'face')}"
            f" ({run.deblurred:,} deblurred),"
            f" {run.fps:.1f} fps"
            f" ({run.model}, {run.engine} on {run.device})"
            + ("; no face changed, copied as it is" if run.copied else "")
            + "\n"
        )

    def total(self, runs: Sequence[RunSummary], *, failed: int) -> None:
        """Say what became of several inputs."""
        if self._quiet:
            return
        frames, faces = sum(r.frames for r in runs), sum(r.faces for r in runs)
        deblurred = sum(r.deblurred for r in runs)
        seconds = sum(r.seconds for r in runs)
        rate = f", {frames / seconds:.1f} fps" if seconds else ""
        say(
            f"{counted(len(runs), 'output')}, {counted(failed, 'input')} failed or damaged,"
            f" {counted(frames, 'frame')}, {counted(faces, 'face')} ({deblurred:,} deblurred)"
            f"{rate}\n"
        )

    @staticmethod
    def _write(message: str) -> None:
        say(f"vidfacedeblur: {message}\n")
