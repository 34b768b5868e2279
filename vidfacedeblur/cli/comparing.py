"""``--compare``: where before and after go, and how a run refuses to write them there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidfacedeblur.cli.extras import check_folder, check_suffix
from vidfacedeblur.console import counted
from vidfacedeblur.errors import OptionError, OutputError, OutputExistsError
from vidfacedeblur.whole import STANDARD

if TYPE_CHECKING:
    from vidfacedeblur.cli.display import Display
    from vidfacedeblur.config import VideoOptions
    from vidfacedeblur.plan import Job, Plan

_OTHERS = ("report", "timings", "events", "html", "best_faces")
"""Settings that name a file or folder which a run writes."""


def check_comparison(
    plan: Plan, inputs: Sequence[Path], output: Path, values: dict[str, Any]
) -> dict[Job, Path]:
    """Where each job's comparison goes; nowhere unless it is asked for.

    Whether those of several inputs exist is not looked at: that is for whoever decides which of
    their outputs are made anew.

    Raises:
        OptionError: There would be nothing to read again, the place is taken, or the target is a
            picture and the output is none.
        OutputExistsError: There is a comparison, and it may not be replaced.
        OutputError: There is no folder to write it into.
    """
    named: Path | None = values["compare"]
    if named is None:
        return {}
    _check_inputs(plan, values)
    places = compare_places(plan, named, output)
    _keep_apart(plan, places, named, values)
    if plan.many:
        check_folder("--compare", named, inputs, output)
        return places
    for job in plan.jobs:
        _check_target(places[job], job, replace=values["overwrite"])
    return places


def compare_places(plan: Plan, folder: Path, output: Path) -> dict[Job, Path]:
    """Where each job's comparison goes: named like its output, or for one input as the user said.

    Args:
        plan: Of the run.
        folder: What the user named.
        output: Where the outputs go; of several inputs, the folder.
    """
    if not plan.many:
        return dict.fromkeys(plan.jobs, folder)
    return {job: folder / job.target.relative_to(output) for job in plan.jobs}


def write_comparisons(
    places: dict[Job, Path], values: dict[str, Any], video: VideoOptions, display: Display
) -> None:
    """Compare each finished job's output with its input.

    Raises:
        VidFaceDeblurError: Whatever `compare` raises; the output stays as it is.
    """
    if not places:
        return
    from vidfacedeblur.compare import compare

    for job, target in places.items():
        display.status(f"comparing {job.target.name} with {job.source.name} ...")
        frames = compare(job.source, job.target, target, how=values["compare_as"], video=video)
        display.note(f"comparison: {counted(frames, 'frame')} in {target}")


def _check_inputs(plan: Plan, values: dict[str, Any]) -> None:
    if any(STANDARD in (job.source, job.target) for job in plan.jobs):
        raise OptionError("--compare reads the input and the output again, which pipes cannot do")
    if values["compare"] == STANDARD:
        raise OptionError("--compare needs a file, not standard output")
    if values["isolate"]:
        raise OptionError("--compare cannot read in a child process, as --isolate wants; give one")


def _keep_apart(plan: Plan, places: dict[Job, Path], named: Path, values: dict[str, Any]) -> None:
    taken = {p.resolve() for job in (*plan.jobs, *plan.skipped) for p in (job.source, job.target)}
    taken |= {values[name].resolve() for name in _OTHERS if values[name]}
    for path in (named, *places.values()):
        if path.resolve() in taken:
            raise OptionError(
                f"--compare {path} is taken by an input, an output or a record; choose another"
            )


def _check_target(target: Path, job: Job, *, replace: bool) -> None:
    from vidfacedeblur.video import PICTURE_SUFFIXES

    folder = target.absolute().parent
    if not (folder.is_dir() or folder == job.target.absolute().parent):
        raise OutputError(f"cannot write {target}: there is no folder {target.parent}")
    if target.is_dir():
        raise OptionError(f"--compare {target} is a folder; name a file for one input")
    check_suffix("--compare", target)
    still = [path.suffix.lower() in PICTURE_SUFFIXES for path in (target, job.target)]
    if still[0] != still[1]:
        what = "picture, .png or .jpg" if still[1] else "video"
        raise OptionError(f"--compare {target}: the output is a {what}, so this must be one too")
    if target.exists() and not replace:
        raise OutputExistsError(f"{target} exists; use --overwrite to replace it")
