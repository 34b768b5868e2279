"""The command ``vidfacedeblur``: parses, plans, runs, prints, and maps errors to exit codes.

Nothing here loads torch before there is work to do, so ``--help`` and mistakes answer at once.
"""

from __future__ import annotations

import logging
import signal
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from vidfacedeblur.cli.comparing import check_comparison, write_comparisons
from vidfacedeblur.cli.display import Display
from vidfacedeblur.cli.extras import (
    Told,
    beside,
    check_archive_values,
    check_page,
    check_places,
    check_regions,
    check_suffix,
    check_values,
    event_file,
    on_signals,
    signals_wait,
)
from vidfacedeblur.cli.live_settings import LIVE_SETTINGS
from vidfacedeblur.cli.options import Setting, resolve
from vidfacedeblur.cli.settings import SETTINGS, build_parser, model_and_faces
from vidfacedeblur.config import FaceOptions, ModelOptions, VideoOptions
from vidfacedeblur.console import say, visible
from vidfacedeblur.errors import (
    DAMAGED,
    FAILED,
    OK,
    OptionError,
    OutputError,
    VidFaceDeblurError,
    exit_code,
)
from vidfacedeblur.models.registry import MODELS, entry
from vidfacedeblur.records import Report, TimingsFile
from vidfacedeblur.whole import STANDARD, check_name, standard_output, writing

if TYPE_CHECKING:
    from vidfacedeblur.pipeline import FaceDeblurPipeline
    from vidfacedeblur.plan import Job, Plan
    from vidfacedeblur.types import FrameResult, RunSummary
    from vidfacedeblur.video import SourceInfo


class _Stopped(BaseException):
    """A signal asked the run to stop."""

    def __init__(self, number: int) -> None:
        self.exit_code = 128 + number
        super().__init__(number)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    flags = build_parser().read(argv)
    if "list_models" in flags:
        try:
            return _list_models()
        except OutputError as error:
            say(f"vidfacedeblur: {error}\n")
            return exit_code(error)
    return run_command(
        flags, lambda values, display: _run(flags, values, display), SETTINGS, LIVE_SETTINGS
    )


def run_command(
    flags: dict[str, Any],
    run: Callable[[dict[str, Any], Display], int],
    settings: Sequence[Setting],
    others: Sequence[Setting],
) -> int:
    """Settle a command's options and run it; an error is a line on standard error.

    Args:
        flags: What the command line gave, by key.
        run: Given the settled values; returns the exit code.
        settings: The command's.
        others: Those of other commands, which the environment and the configuration may have too.

    Returns:
        The exit code.
    """
    display = Display(quiet="quiet" in flags, progress="no_progress" not in flags)
    try:
        values, notes = resolve(flags, settings=settings, others=others)
        display = Display(quiet=values["quiet"], progress=not values["no_progress"])
        _log_to_standard_error(logging.INFO if values["verbose"] else logging.WARNING)
        for note in notes:
            display.note(note)
        return run(values, display)
    except VidFaceDeblurError as error:
        display.error(str(error))
        return exit_code(error)
    except KeyboardInterrupt:
        display.error("stopped")
        return 128 + signal.SIGINT
    except _Stopped as stop:
        display.error("stopped")
        return stop.exit_code
    except Exception as error:  # noqa: BLE001 - the last resort: one line, not a traceback
        return _internal(error, display)
    finally:
        say("")  # what a library could not write there would change the exit code at Python's end


def open_pipeline(
    chosen: ModelOptions, faces: FaceOptions, display: Display, video: VideoOptions | None = None
) -> FaceDeblurPipeline:
    """Load the networks, and say what is worth knowing of them; close it when done."""
    display.status("loading ...")
    from vidfacedeblur.engines import before_torch
    from vidfacedeblur.pipeline import FaceDeblurPipeline

    before_torch.loading = signals_wait
    pipeline = FaceDeblurPipeline(
        chosen.model,
        weights=chosen.weights,
        engine=chosen.engine,
        device=chosen.device,
        threads=chosen.threads,
        faces=faces,
        video=video,
        on_status=display.status,
    )
    for line in pipeline.notes:
        display.note(line)
    return pipeline


def _run(flags: dict[str, Any], values: dict[str, Any], display: Display) -> int:
    inputs = flags.get("inputs")
    if not inputs:
        raise OptionError("no INPUT given; usage: vidfacedeblur INPUT... -o OUT")
    if not flags.get("output"):
        raise OptionError("no output given; add -o OUT")
    entry(values["model"])
    options = _options(values)
    check_archive_values(values)
    check_values(values)
    check_page(values["html"])
    timings = TimingsFile(values["timings"])
    report = Report(values["report"], values)
    output = Path(flags["output"])
    check_name(output)

    from vidfacedeblur.plan import is_many, make_plan
    from vidfacedeblur.video import find_suffix

    if is_many(inputs) or _asks_for_archive(values, flags["output"]):
        from vidfacedeblur.archive.tasks import Setup
        from vidfacedeblur.cli.archive import run_many

        def check(plan: Plan) -> None:
            _keep_apart(plan, values)

        return run_many(inputs, output, values, Setup(*options), display, check)
    video = options[2]
    plan = make_plan(
        inputs,
        output,
        suffix_of=lambda path: find_suffix(path, video),
        to_folder=flags["output"].endswith("/"),
        overwrite=values["overwrite"],
        skip_existing=values["skip_existing"],
    )
    if any(job.target == output for job in plan.jobs):  # it is not a folder
        check_suffix("-o", output, source=inputs[0] if video.copy_if_no_faces else None)
    _keep_apart(plan, values)
    places = check_places(plan, inputs, output, values)
    comparisons = check_comparison(plan, inputs, output, values)
    for job in plan.skipped:
        display.note(f"{job.target} exists; skipped")
        report.add_skipped(job.source)
    with on_signals(_stop):
        with report, timings, event_file(values["events"]) as file:
            codes = [
                _one(job, options, display, timings, report, Told(file, places, values))
                for job in plan.jobs
            ]
        write_comparisons(comparisons, values, video, display)
    return codes[0] if codes else OK


def _asks_for_archive(values: dict[str, Any], output: str) -> bool:
    """Whether one input is to be run as several are.

    Raises:
        OptionError: It is, but there is no folder for the journal.
    """
    names = ("workers", "shard", "status", "dry_run", "retry_failed")
    asked = next((name for name in names if values[name]), None)
    if values["executor"] != "local":
        asked = "executor"
    if asked and not (output.endswith("/") or Path(output).is_dir()):
        flag = asked.replace("_", "-")
        raise OptionError(f"--{flag} is for several inputs, or a folder as --output: -o OUT/")
    return asked is not None


def _keep_apart(plan: Plan, values: dict[str, Any]) -> None:
    """Refuse to write a report over a video, or over another report."""
    media = {p.resolve() for job in (*plan.jobs, *plan.skipped) for p in (job.source, job.target)}
    files = [values[name] for name in ("report", "timings", "events", "html", "status")]
    records = [path.resolve() for path in files if path and path != STANDARD]
    folders = [values["best_faces"].resolve()] if values["best_faces"] else []
    for path in (*records, *folders):
        folder = path.is_dir() and path not in folders
        if path in media or folder or [*records, *folders].count(path) > 1:
            raise OptionError(f"{path} is taken by an input, an output or a folder; choose another")


def _options(values: dict[str, Any]) -> tuple[ModelOptions, FaceOptions, VideoOptions]:
    def pick(*names: str) -> dict[str, Any]:
        return {name: values[name] for name in names}

    return (
        *model_and_faces(values),
        VideoOptions(
            **pick("start", "duration", "encoder", "crf", "preset", "pipe_format"),
            **pick("overwrite", "copy_if_no_faces", "strip_metadata", "keep_partial", "strict"),
            **pick("max_pixels", "isolate", "max_memory", "timeout"),
            encoder_options=values["encoder_option"],
            provenance=not values["no_provenance"],
            allow_decoders=values["allow_decoder"],
        ),
    )


def _one(
    job: Job,
    options: tuple[ModelOptions, FaceOptions, VideoOptions],
    display: Display,
    timings: TimingsFile,
    report: Report,
    told: Told,
) -> int:
    """Run the one job."""
    chosen, faces, video = options
    try:
        with (
            open_pipeline(chosen, faces, display, video) as pipeline,
            beside(job, pipeline, told, display) as made,
            display.progress_of(job.source.name) as bar,
        ):

            def count(result: FrameResult) -> None:
                bar.add(result)
                timings.add(job.source, result)
                made.add(result)

            def start(info: SourceInfo) -> None:
                sides = (info.width, info.height)
                upright = sides[::-1] if info.orientation >= 5 else sides
                check_regions({"--region": faces.regions, "--exclude": faces.exclude}, *upright)
                bar.start(info.estimated_frames)

            summary: RunSummary = pipeline.run(
                job.source,
                job.target,
                on_start=start,
                on_frame=count,
                watcher=made.best,
            )
            made.end(summary)
    except _Stopped as stop:
        report.add_failure(job.source, "stopped before its end", stop.exit_code)
        raise
    except Exception as error:
        report.add_failure(job.source, error, exit_code(error))
        raise
    report.add(summary)
    display.summary(summary)
    return DAMAGED if summary.damaged else OK


def _internal(error: Exception, display: Display) -> int:
    """Print an error that nobody foresaw; `OSError` explains itself."""
    verbose = logging.getLogger().isEnabledFor(logging.INFO)
    if verbose:
        for line in "".join(traceback.format_exception(error)).rstrip("\n").split("\n"):
            say(f"{line}\n")
    kind = "" if isinstance(error, OSError) else f"internal error, {type(error).__name__}: "
    display.error(f"{kind}{error}" + ("" if verbose else " (-v shows more)"))
    return FAILED


class _LogLine(logging.Formatter):
    """A message in which names show their control characters."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return visible(super().formatMessage(record))


def _log_to_standard_error(level: int) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_LogLine("vidfacedeblur: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])


def _list_models() -> int:
    from vidfacedeblur.models import bundle  # no torch: looks at files

    for name, model in MODELS.items():
        note = "" if bundle.bundled(name) else "; no bundled weights, needs --weights"
        with writing(STANDARD):
            standard_output().write(f"{name:24}{model.summary}{note}\n")
    return OK


def _stop(number: int) -> NoReturn:
    raise _Stopped(number)


__all__ = ["OK", "exit_code", "main", "open_pipeline", "run_command"]
