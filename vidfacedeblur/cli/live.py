"""The command ``vidfacedeblur-live``: a camera's faces deblurred, until it is told to stop."""

from __future__ import annotations

import json
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidfacedeblur.cli import OK, open_pipeline, run_command
from vidfacedeblur.cli.display import Display
from vidfacedeblur.cli.extras import check_values, event_file, on_signals
from vidfacedeblur.cli.live_settings import LIVE_SETTINGS, build_live_parser, live_options
from vidfacedeblur.cli.settings import SETTINGS, model_and_faces
from vidfacedeblur.cli.status import StatusLine, StatusLines
from vidfacedeblur.console import counted
from vidfacedeblur.errors import OptionError, OutputError
from vidfacedeblur.events import TrackEvents
from vidfacedeblur.models.registry import entry

if TYPE_CHECKING:
    from vidfacedeblur.best import BestFaces
    from vidfacedeblur.live import Health, LiveResult, LiveSession, Output
    from vidfacedeblur.pipeline import FaceDeblurPipeline
    from vidfacedeblur.video import Address


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    flags = vars(build_live_parser().parse_args(argv))
    url = flags.get("url") or os.environ.get("VIDFACEDEBLUR_URL")
    return run_command(
        flags, lambda values, display: _run(url, values, display), LIVE_SETTINGS, SETTINGS
    )


def _run(url: str | None, values: dict[str, Any], display: Display) -> int:
    if not url:
        raise OptionError("no URL given; usage: vidfacedeblur-live URL [options]")
    entry(values["model"])
    _check(values)
    from vidfacedeblur.video import parse_address

    address = parse_address(url)
    with open_pipeline(*model_and_faces(values), display) as pipeline:
        return _watch(address, values, pipeline, display)


def _check(values: dict[str, Any]) -> None:
    """Refuse values before anything loads."""
    live_options(values)
    check_values(values)
    for name in ("duration", "segment_seconds", "status_interval"):
        value = values[name]
        if value is not None and not (math.isfinite(value) and value > 0):
            raise OptionError(f"--{name.replace('_', '-')} must be more than 0, got {value:g}")
    for name in ("events", "status"):
        path = values[name]
        if path is not None and not path.absolute().parent.is_dir():
            raise OutputError(f"cannot write {path}: there is no folder {path.parent}")
    if values["events"] and values["events"] == values["status"]:
        raise OptionError("--events and --status need a file each, or standard output for one")


def _watch(
    address: Address, values: dict[str, Any], pipeline: FaceDeblurPipeline, display: Display
) -> int:
    """Work on the camera until told to stop; the exit code."""
    from vidfacedeblur.live import LiveSession, LiveSource

    shown = _HealthNotes(display)
    with ExitStack() as stack:
        outputs = _outputs(values, pipeline)
        for output in outputs:
            stack.callback(output.close)
        best = _best_faces(values, pipeline, address, lambda: session, stack)
        told, forget = _events(values, address, stack)
        source = stack.enter_context(LiveSource(address, live_options(values), on_health=shown))

        def on_gap() -> None:
            forget()
            if best is not None:
                best.flush()

        session = LiveSession(
            pipeline, source, outputs, watcher=best, on_result=told, on_gap=on_gap
        )
        if best is not None:
            stack.callback(best.close)
        stack.callback(forget)
        signalled: list[int] = []

        def stop(number: int) -> None:
            signalled.append(number)
            session.stop()

        with on_signals(stop), _reporting(session, values, display):
            session.run(values["duration"])
    display.note(_summary(session))
    return 128 + signalled[0] if signalled else OK


def _outputs(values: dict[str, Any], pipeline: FaceDeblurPipeline) -> list[Output]:
    from vidfacedeblur.live import Publisher, SegmentWriter
    from vidfacedeblur.video import PROVENANCE

    provenance = {} if values["no_provenance"] else {PROVENANCE: json.dumps(pipeline.provenance())}
    encoding = {"crf": values["crf"], "preset": values["preset"], "tags": provenance}
    outputs: list[Output] = []
    if values["segments"] is not None:
        outputs.append(
            SegmentWriter(
                values["segments"],
                seconds=values["segment_seconds"],
                kind=values["segment_format"],
                **encoding,
            )
        )
    if values["publish"] is not None:
        outputs.append(Publisher(values["publish"], live_options(values), **encoding))
    return outputs


def _best_faces(
    values: dict[str, Any],
    pipeline: FaceDeblurPipeline,
    address: Address,
    session: Callable[[], LiveSession],
    stack: ExitStack,
) -> BestFaces | None:
    if values["best_faces"] is None:
        return None
    from vidfacedeblur.best import BestFaces

    def wall_of(_: int) -> float | None:
        # The frame that is being worked on is the first of those that wait.
        waiting = session().waiting
        return waiting[0].wall if waiting else None

    return BestFaces(
        _own_folder(values["best_faces"], stack),
        source=str(address),
        provenance=pipeline.provenance(),
        wall_of=wall_of,
    )


def _own_folder(parent: Path, stack: ExitStack) -> Path:
    """A folder that no other camera has, named by the time; removed at the end if it is empty."""
    began = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    for number in count(1):
        folder = parent / (began if number == 1 else f"{began}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise OutputError(f"cannot make {folder}: {error.strerror}") from error
        break

    def remove_empty() -> None:
        with suppress(OSError):
            folder.rmdir()

    stack.callback(remove_empty)
    return folder


def _events(
    values: dict[str, Any], address: Address, stack: ExitStack
) -> tuple[Callable[[LiveResult], None], Callable[[], None]]:
    """What is told of each frame, and of the camera's going away."""
    file = stack.enter_context(event_file(values["events"], live=True))
    if file is None:
        return lambda result: None, lambda: None
    events = TrackEvents(file, source=str(address), interval=values["event_interval"])
    return lambda done: events.add(done.result, wall=done.frame.wall), events.flush


class _HealthNotes:
    """Says in a line when the camera comes and goes."""

    def __init__(self, display: Display) -> None:
        self._display = display

    def __call__(self, health: Health) -> None:
        if health.state == "waiting":
            self._display.note(f"{health.reason}; connecting again")
        elif health.state == "live":
            self._display.note(f"live, connection {health.epoch}")


@contextmanager
def _reporting(session: LiveSession, values: dict[str, Any], display: Display) -> Iterator[None]:
    """Tell how it is doing, from a thread of its own: also while the model works."""
    done = threading.Event()
    line = StatusLine(shown=display.shows_progress)
    with event_file(values["status"], live=True) as file:
        lines = StatusLines(file)

        def tell() -> None:
            while not done.wait(values["status_interval"]):
                stats = session.stats()
                line.show(stats)
                lines.add(stats, time.time())

        thread = threading.Thread(target=tell, name="vidfacedeblur-status", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            line.clear()
            lines.add(session.stats(), time.time())


def _summary(session: LiveSession) -> str:
    stats = session.stats()
    health = stats.health
    return (
        f"{counted(stats.frames, 'frame')}, {counted(stats.faces, 'face')}"
        f" ({stats.deblurred:,} deblurred),"
        f" {health.dropped} dropped, {health.late} late, {health.damaged} damaged,"
        f" {counted(health.reconnects, 'reconnect')} in {stats.seconds:.0f} s"
    )


if __name__ == "__main__":
    sys.exit(main())
