"""Where a run over many files writes its pages, and what lies among its inputs that is its own."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vidfacedeblur.archive.run import NAME
from vidfacedeblur.plan import Job, Plan

_LONGEST = 255 - len("..part") - len(".html")
"""Bytes of a page's name that leave room for the hidden name under which it is written."""
_LEFT_BY_RUNS = re.compile(
    rf"{NAME}(-\d+-of-\d+)?[.](csv|json|sqlite(-journal)?)|.*[.]part", re.DOTALL
)
_RECORDS = ("report", "timings", "events", "html", "status")
"""Settings that name a file which a run writes."""


def page_of(job: Job, output: Path, html: Path | None) -> Path | None:
    """Where a file's own page is: in a folder beside the index."""
    if html is None:
        return None
    name = job.target.relative_to(output)
    return _pages_folder(html) / name.with_name(_page_name(name.name))


def others_of(plan: Plan, values: Mapping[str, Any]) -> list[Path]:
    """The files of a plan that are not looked for, but for those that runs write there themselves.

    Args:
        plan: Of the run.
        values: The settled options.
    """
    records = {path.name: path.resolve() for name in _RECORDS if (path := values[name])}
    pages = None if values["html"] is None else _pages_folder(values["html"]).resolve()

    def is_ours(path: Path) -> bool:
        if _LEFT_BY_RUNS.fullmatch(path.name):
            return True
        if path.name in records and path.resolve() == records[path.name]:
            return True
        return bool(pages and path.suffix == ".html" and path.resolve().is_relative_to(pages))

    return [path for path in plan.others if not is_ours(path)]


def _pages_folder(html: Path) -> Path:
    return html.with_name(f"{html.stem}_files")


def _page_name(name: str) -> str:
    """An output's name with ``.html``; a long one is cut, and a hash of it tells it from others."""
    if len(os.fsencode(name)) <= _LONGEST:
        return f"{name}.html"
    end = f"-{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}"
    while len(os.fsencode(name)) + len(end) > _LONGEST:
        name = name[:-1]  # by whole characters
    return f"{name}{end}.html"
