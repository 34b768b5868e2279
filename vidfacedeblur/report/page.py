"""The page of one run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vidfacedeblur.report.about import alerts, figures, part, provenance_section, verdict
from vidfacedeblur.report.costs import costs_data, costs_section
from vidfacedeblur.report.document import document, put
from vidfacedeblur.report.faces import faces_section
from vidfacedeblur.report.record import RunRecord
from vidfacedeblur.report.text import esc, href, name
from vidfacedeblur.report.timeline import timeline_data, timeline_section
from vidfacedeblur.types import RunSummary


def write_page(
    path: Path,
    *,
    title: str,
    record: RunRecord,
    summary: RunSummary | None,
    error: str | None = None,
    faces: Path | None = None,
    provenance: Mapping[str, Any] | None = None,
    output_link: str | None = None,
    index_link: str | None = None,
) -> None:
    """Write the page of a run, also of one that failed.

    Args:
        path: The page; replaced if it is there.
        title: The input's name.
        record: What was collected of its frames.
        summary: What the run did; None if it did not come to its end.
        error: Why it failed, in one line.
        faces: Where `BestFaces` wrote; None if no faces were looked for.
        provenance: As `FaceDeblurPipeline.provenance` says; ``options`` may map names to values.
        output_link: Path of the output, relative to the page's folder; a path, no URL.
        index_link: Path of the archive's index, likewise.

    Raises:
        OutputError: It cannot be written.
    """
    sections = (
        _back(index_link),
        alerts(summary, record, error),
        _header(title, output_link if error is None else None),
        figures(summary, record),
        verdict(summary, provenance),
        part(provenance),
        faces_section(faces, seen=record.faces),
        timeline_section(record),
        costs_section(record, summary),
        provenance_section(summary, record, provenance),
    )
    text = document(
        title=f"{title} – faces deblurred",
        body="\n\n".join(section for section in sections if section),
        script="page.js",
        data=timeline_data(record) | {"spent": costs_data(record)},
    )
    put(path, text)


def _back(index_link: str | None) -> str:
    if index_link is None:
        return ""
    return f"<nav aria-label='Archive'><a href='{esc(href(index_link))}'>All files</a></nav>"


def _header(title: str, output_link: str | None) -> str:
    link = (
        f"<p class='link'><a href='{esc(href(output_link))}'>Open the deblurred file</a></p>"
        if output_link
        else ""
    )
    return (
        f"<header>\n<p class='kind'>Faces deblurred</p>\n<h1>{name(title)}</h1>\n{link}\n</header>"
    )
