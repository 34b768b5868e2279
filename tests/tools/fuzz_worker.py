"""The fuzzer's worker: reads numbers of broken files from stdin, answers a line for each.

Run by `fuzz_source.py`, which notices when it dies or hangs.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import os
import re
import resource
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TextIO

import av.subtitles.codeccontext
import av.subtitles.stream  # noqa: F401 - PyAV loads both late, which would be noticed
from fuzz_mutations import Forge, in_words
from fuzz_outcome import Finding, Outcome
from fuzz_watch import Watch

from vidfacedeblur.config import VideoOptions
from vidfacedeblur.errors import VidFaceDeblurError
from vidfacedeblur.types import Frame
from vidfacedeblur.video import Source, open_canvas, open_source

READY = "ready"
_TOUCHED = 10
"""Of this many frames, the pixels of one are looked at."""


@dataclass
class Reading:
    """How far one file was read."""

    verdict: str = "finding"
    frames: int = 0
    message: str = ""
    findings: list[Finding] = field(default_factory=list)


def read(path: Path, options: VideoOptions, watch: Watch) -> Reading:
    """Read a file as the pipeline does; never raises but for what stops the process."""
    reading = Reading()
    raised: Exception | None = None
    with watch.over(path):
        try:
            reading.verdict = _read_all(path, options, watch, reading)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
            raised = error
    if isinstance(raised, VidFaceDeblurError):
        reading.verdict = f"refused: {type(raised).__name__}"
        reading.message = str(raised)
        if "\n" in reading.message:
            reading.findings.append(Finding("an error of several lines", repr(reading.message)))
    elif raised is not None:
        reading.findings.append(_finding_of(raised))
    opened = watch.found()
    if opened:
        # Of names, digits and temporary folders differ from file to file.
        title = "opened: " + re.sub(r"\d+", "#", opened[0])
        reading.findings.append(Finding(title, "\n".join(opened)))
    if reading.findings:
        reading.verdict = "finding"
    return reading


def _read_all(path: Path, options: VideoOptions, watch: Watch, reading: Reading) -> str:
    with open_source(path, options) as source:
        watch.look()
        last: int | None = None
        for frame in source:
            watch.look()
            frame.passengers = ()
            broken = _broken_promise(frame, source, reading.frames, last)
            if broken and not reading.findings:
                reading.findings.append(Finding(f"a broken promise: {broken}", repr(frame)))
            if reading.frames % _TOUCHED == 0:
                open_canvas(frame).rgb()[0, 0].tolist()
            last = frame.pts
            reading.frames += 1
        damaged = source.corrupt_frames or source.bad_packets or source.truncated
    watch.look()
    return "damaged" if damaged else "whole"


def _broken_promise(frame: Frame, source: Source, number: int, last: int | None) -> str | None:
    """Which of the things that every frame of a source holds this one does not."""
    picture, info = frame.picture, source.info
    shape = (info.width, info.height, info.pix_fmt)
    if (picture.width, picture.height, picture.format.name) != shape:  # type: ignore[union-attr]
        return "a frame is not of the source's size and pixel format"
    if frame.index != number:
        return "a frame's number is not its place"
    if frame.pts is None or (last is not None and frame.pts < last):
        return "times run backwards, or there is none"
    if frame.duration is None or frame.duration < 0:
        return "a duration is missing or negative"
    if frame.time_base <= 0 or info.average_rate <= 0:
        return "a time base or a rate is not positive"
    return None


def _finding_of(error: Exception) -> Finding:
    place = _deepest_of_ours(error.__traceback__)
    detail = "".join(traceback.format_exception(error))
    return Finding(f"{type(error).__name__} at {place}", detail)


def _deepest_of_ours(trace: TracebackType | None) -> str:
    ours = [f for f in traceback.extract_tb(trace) if "/vidfacedeblur/" in f.filename]
    if not ours:
        return "no line of the package"
    name = ours[-1].filename.rpartition("/vidfacedeblur/")[2]
    return f"vidfacedeblur/{name}:{ours[-1].lineno} ({ours[-1].line})"


class Worker:
    """Makes files, reads them, and says what became of them."""

    def __init__(self, forge: Forge, folder: Path, *, timeout: float, marks: bool) -> None:
        self._forge = forge
        self._folder = folder.resolve()
        self._timeout = timeout
        self._watch = Watch(marks=marks)

    def work(self, number: int) -> Outcome:
        """Make and read file `number`."""
        mutant = self._forge.make(number)
        chosen = self._forge.options(number)
        with _file(self._folder / mutant.name, mutant.data) as path:
            _forget_the_most_memory()
            faulthandler.dump_traceback_later(self._timeout)
            begin = time.perf_counter()
            reading = read(path, VideoOptions(**chosen), self._watch)  # type: ignore[arg-type]
            seconds = time.perf_counter() - begin
            faulthandler.cancel_dump_traceback_later()
        return Outcome(
            number=number,
            kind=mutant.kind,
            what=mutant.what,
            options=in_words(chosen),
            verdict=reading.verdict,
            frames=reading.frames,
            seconds=seconds,
            megabytes=_most_megabytes(),
            message=reading.message,
            findings=tuple(reading.findings),
        )


@contextlib.contextmanager
def _file(path: Path, data: bytes) -> Iterator[Path]:
    path.write_bytes(data)
    try:
        yield path
    finally:
        path.unlink()


def _forget_the_most_memory() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _most_megabytes() -> int:
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) >> 10 if found else 0


def _answers() -> TextIO:
    """Where to answer. What FFmpeg or a library prints on stdout goes to stderr from now on."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return answers


def _limit(gigabytes: float) -> None:
    """Bound the memory; and use as few threads on a large machine as on a small one."""
    size = int(gigabytes * (1 << 30))
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    processors = sorted(os.sched_getaffinity(0))
    first = os.getpid() % len(processors)
    os.sched_setaffinity(0, (processors[first], processors[first - 1]))


def main() -> None:
    """Answer until there are no more numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", type=Path)
    parser.add_argument("folder", type=Path, help="where to put the broken files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timeout", type=float, default=10)
    parser.add_argument("--gigabytes", type=float, default=3)
    parser.add_argument("--marks", action="store_true", help="show in a trace where files begin")
    arguments = parser.parse_args()
    answers = _answers()
    faulthandler.enable()
    warnings.simplefilter("error")
    _limit(arguments.gigabytes)
    worker = Worker(
        Forge(arguments.clips, arguments.seed),
        arguments.folder,
        timeout=arguments.timeout,
        marks=arguments.marks,
    )
    print(READY, file=answers)
    for line in sys.stdin:
        print(worker.work(int(line)).to_line(), file=answers)


if __name__ == "__main__":
    main()
