"""The command over many files: from the user's options to a run over an archive."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidfacedeblur.archive.choose import identity
from vidfacedeblur.archive.executor import Executor
from vidfacedeblur.archive.journal import FINISHED, Journal, Row
from vidfacedeblur.archive.local import LocalExecutor, slots_for
from vidfacedeblur.archive.probe import Look, look_at
from vidfacedeblur.archive.run import (
    Outcome,
    Request,
    Shard,
    choices_for,
    read_known,
    run_archive,
)
from vidfacedeblur.archive.tables import (
    totals,
    write_joined,
    write_pages_index,
    write_tables,
)
from vidfacedeblur.archive.tasks import Extras, Setup
from vidfacedeblur.cli.archive_display import ArchiveDisplay, summary_of_choices
from vidfacedeblur.cli.comparing import check_comparison
from vidfacedeblur.cli.extras import check_places, event_file, on_signals
from vidfacedeblur.cli.places import others_of, page_of
from vidfacedeblur.config import ScanOptions
from vidfacedeblur.console import visible
from vidfacedeblur.errors import FAILED, OK, OptionError, OutputExistsError
from vidfacedeblur.plan import Job, Plan, make_plan
from vidfacedeblur.records import Report, summary_of_values, timing_head
from vidfacedeblur.scan import said_of_others
from vidfacedeblur.whole import STANDARD, check_place, standard_output, writing

if TYPE_CHECKING:
    from vidfacedeblur.cli.display import Display


@dataclass
class _Stop:
    """Whether, and by which signal, the run was asked to stop."""

    number: int | None = None

    def ask(self, number: int) -> None:
        """Ask it to stop."""
        self.number = number

    def __call__(self) -> bool:
        return self.number is not None


@dataclass
class _Result:
    """What is said when all is over."""

    outcome: Outcome = field(default_factory=Outcome)
    totals: dict[str, Any] = field(default_factory=dict)


def run_many(
    inputs: Sequence[Path],
    output: Path,
    values: dict[str, Any],
    setup: Setup,
    display: Display,
    check: Callable[[Plan], None],
) -> int:
    """Run the command over several inputs.

    Args:
        inputs: Files and folders.
        output: The folder of the outputs.
        values: The settled options.
        setup: What they say of the model, the faces and the video.
        display: Where lines go.
        check: Refuses a plan that contradicts other options.

    Returns:
        The exit code: that of a signal if it was stopped, 1 if any input failed, else 0.
    """
    shard = _shard(values["shard"])
    known = read_known(output, shard)
    display.status("planning ...")
    plan, seconds = _plan(inputs, output, values, known, display.status)
    check(plan)
    others = others_of(plan, values)
    if others:
        display.note(said_of_others(others))
    request = Request(
        plan,
        output,
        setup,
        extras=_extras(plan, inputs, output, values, replace=bool(known)),
        shard=shard,
        chunk=values["chunk"],
        seconds=seconds,
        **{name: values[name] for name in ("overwrite", "skip_existing", "retry_failed")},
    )
    _keep_tables(request.stem, values)
    for name in ("timings", "events"):
        if values[name] not in (None, STANDARD):
            check_place(values[name])
    if values["dry_run"]:
        return _dry_run(request, known, display)
    return _run(request, values, display)


def _run(request: Request, values: dict[str, Any], display: Display) -> int:
    result, stop = _Result(), _Stop()
    with (
        on_signals(stop.ask),
        event_file(values["status"], live=True) as status,
        Report(values["report"], values) as report,
    ):
        shown = ArchiveDisplay(display, status, request.output)

        def conclude(journal: Journal, outcome: Outcome) -> None:
            result.outcome, result.totals = outcome, totals(outcome.entries)
            shown.end(result.totals)
            _write(journal, outcome, request, values)
            _report(outcome, report)

        run_archive(request, _open(values), shown, stop, conclude)
        report.stopped = not result.outcome.finished
    for path, why in request.plan.problems:
        display.error(f"{path}: {why}")
    _say_failed(result.outcome, request.stem, display)
    rows = [row for row in result.outcome.asked if row.state in FINISHED]
    bad = [row for row in result.outcome.asked if row.code] + list(request.plan.problems)
    display.total([summary_of_values(row.figures) for row in rows], failed=len(bad))
    if stop.number is not None:
        display.error("stopped; start it again, and it goes on from here")
        return 128 + stop.number
    return FAILED if bad else OK


def _open(values: Mapping[str, Any]) -> Callable[[Setup, int], Executor]:
    workers = None if values["workers"] == "auto" else values["workers"]

    def local(setup: Setup, most: int) -> Executor:
        slots = slots_for(workers, setup.model.device, most=most)
        return LocalExecutor(setup, slots)

    def on_ray(setup: Setup, most: int) -> Executor:
        from vidfacedeblur.archive.ray_executor import open_ray

        return open_ray(
            setup,
            values["ray_address"],
            workers,
            values["ray_cores"],
            values["ray_gpus"],
            most=most,
        )

    return on_ray if values["executor"] == "ray" else local


def _keep_tables(stem: Path, values: Mapping[str, Any]) -> None:
    """Refuse to write a record over the archive's own tables or its journal."""
    own = {stem.with_suffix(suffix).resolve() for suffix in (".csv", ".json", ".sqlite")}
    for name in ("report", "timings", "events", "html", "status"):
        if values[name] and values[name].resolve() in own:
            raise OptionError(
                f"--{name} {values[name]} is one of the archive's own; choose another"
            )


def _shard(text: str | None) -> Shard | None:
    try:
        return None if text is None else Shard.parse(text)
    except ValueError as error:
        raise OptionError(f"--shard {error}, got {text!r}") from error


def _plan(
    inputs: Sequence[Path],
    output: Path,
    values: Mapping[str, Any],
    known: Mapping[bytes, Row],
    say: Callable[[str], None],
) -> tuple[Plan, dict[Path, float]]:
    """The plan, and how long files are; what is finished is not opened again."""
    before = {row.source: row for row in known.values()}
    looks: dict[Path, Look] = {}

    def look(files: Sequence[Path]) -> None:
        new = [path for path in files if path not in looks and not finished(path)]
        looks.update(look_at(new, said=lambda count: say(f"planning: {count} files looked at ...")))

    def finished(path: Path) -> str | None:
        row = before.get(os.fsencode(path.absolute()))
        if row is None or row.state not in FINISHED or identity(path) != (row.size, row.mtime):
            return None
        return Path(row.target_name).suffix

    def suffix_of(path: Path) -> str:
        suffix = finished(path)
        if suffix is None:
            look([path])
            suffix = looks[path].suffix
        return suffix

    plan = make_plan(
        inputs,
        output,
        suffix_of=suffix_of,
        upcoming=look,
        scan=ScanOptions(
            match=values["match"],
            ignore=values["ignore"],
            hidden=values["hidden"],
            follow_links=values["follow_links"],
        ),
        as_many=True,
        overwrite=values["overwrite"],
        skip_existing=values["skip_existing"],
    )
    seconds = {path: seen.seconds for path, seen in looks.items() if seen.seconds is not None}
    return plan, seconds


def _extras(
    plan: Plan, inputs: Sequence[Path], output: Path, values: dict[str, Any], *, replace: bool
) -> Callable[[Job], Extras]:
    """What is made beside each job's output."""
    faces = check_places(plan, inputs, output, values, replace=replace)
    compared = check_comparison(plan, inputs, output, values)
    # Not `Path.exists`, which raises an error where a name is too long for a file.
    there = next((path for path in compared.values() if os.path.lexists(path)), None)
    if there and not (replace or values["overwrite"]):
        raise OutputExistsError(f"{there} exists; --overwrite replaces it")
    timings: Path | None = values["timings"]

    def extras_of(job: Job) -> Extras:
        page = page_of(job, output, values["html"])
        return Extras(
            events=values["events"] is not None,
            interval=values["event_interval"],
            timings=None if timings is None else timings.suffix[1:],  # type: ignore[arg-type]
            faces=str(faces[job]) if job in faces else None,
            page=None if page is None else str(page),
            index=None if page is None else str(values["html"]),
            compare=str(compared[job]) if job in compared else None,
            compare_as=values["compare_as"],
        )

    return extras_of


def _dry_run(request: Request, known: dict[bytes, Row], display: Display) -> int:
    choices = choices_for(request, known)
    with writing(STANDARD):
        output = standard_output()
        for choice in choices:
            said = choice.why or f"not done: {choice.why_not}"
            fields = (said, choice.job.source, choice.job.target)
            line = "\t".join(visible(str(field)) for field in fields)
            encoding = output.encoding or "utf-8"
            output.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        output.flush()
    for path, why in request.plan.problems:
        display.error(f"{path}: {why}")
    display.note(summary_of_choices(choices))
    return OK


def _write(journal: Journal, outcome: Outcome, request: Request, values: Mapping[str, Any]) -> None:
    """Everything that is told of the archive as a whole."""
    write_tables(request.stem, outcome.entries, asdict(request.setup))
    kept = {name: _kept(journal, outcome, name) for name in ("timings", "events")}
    if values["timings"]:
        write_joined(values["timings"], timing_head(values["timings"].suffix), kept["timings"])
    if values["events"]:
        write_joined(values["events"], "", kept["events"])
    if values["html"]:
        pages = {str(job.source.absolute()): _page(job, request, values) for job in request.jobs}
        title = request.output.absolute().name
        write_pages_index(values["html"], title, outcome.entries, pages)


def _page(job: Job, request: Request, values: Mapping[str, Any]) -> Path:
    page = page_of(job, request.output, values["html"])
    assert page is not None
    return page


def _kept(journal: Journal, outcome: Outcome, kind: str) -> Iterator[bytes]:
    for row in outcome.asked:
        records = journal.records(row.id)
        if kind in records:
            yield records[kind]


def _report(outcome: Outcome, report: Report) -> None:
    for row in outcome.asked:
        if row.state in FINISHED:
            report.add(summary_of_values(row.figures))
        elif row.error:
            report.add_failure(row.source_path, row.error, row.code or FAILED)
    for job in outcome.skipped:
        report.add_skipped(job.source)


def _say_failed(outcome: Outcome, stem: Path, display: Display) -> None:
    """Also of earlier runs, whose failures were not tried again."""
    failed = [row for row in outcome.asked if row.code]
    if failed:
        display.note(f"{len(failed)} failed or damaged; {stem}.csv says why")


__all__ = ["run_many"]
