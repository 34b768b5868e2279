"""The index of an archive: what became of each of its files, failures first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidfacedeblur.console import counted
from vidfacedeblur.report.document import document, put
from vidfacedeblur.report.text import amount, esc, href, name, shown

STATES = ("failed", "quarantined", "unfinished", "damaged", "skipped", "done")
"""What may become of a file, the worst first."""

_BAD = ("failed", "quarantined")
_LISTED = 10
"""Failures that are told above the table; the table has them all."""

_COLUMNS = (
    ("File", "name"),
    ("State", "state"),
    ("Frames", "number"),
    ("Faces", "number"),
    ("Deblurred", "number"),
    ("Seconds", "number"),
    ("fps", "number"),
    ("Attempts", "number"),
)


@dataclass(frozen=True)
class IndexEntry:
    """What became of one file of an archive."""

    input: str
    output: str | None
    state: str
    """One of `STATES`."""
    error: str | None
    """Why it failed, or what is wrong with it, in one line."""
    frames: int
    faces: int
    """Found, summed over frames."""
    deblurred: int
    seconds: float
    """Of work on it."""
    attempts: int
    page: str | None
    """Path of its own page, relative to the index's folder; a path, no URL."""
    output_link: str | None
    """Path of its output, likewise."""


def write_index(
    path: Path,
    entries: Iterable[IndexEntry],
    *,
    title: str,
    seconds: float | None = None,
    note: str | None = None,
) -> None:
    """Write the index of an archive.

    Args:
        path: The page; replaced if it is there.
        entries: The files, in the order in which they are shown.
        title: What the archive is called.
        seconds: Wall time of the whole run; None if unknown.
        note: A line on how the run went.

    Raises:
        OutputError: It cannot be written.
        ValueError: A state is none of `STATES`.
    """
    files = list(entries)
    for file in files:
        if file.state not in STATES:
            raise ValueError(f"state must be one of {', '.join(STATES)}, got {file.state!r}")
    sections = (_header(title, note), _totals(files, seconds), _failures(files), _table(files))
    text = document(
        title=f"{title} – faces deblurred",
        body="\n\n".join(section for section in sections if section),
        script="index.js",
        data={"states": STATES, "files": [_values(file) for file in files]},
    )
    put(path, text)


def _values(file: IndexEntry) -> list[Any]:
    """A file as the page's script reads it; links are ready to be used."""
    return [
        shown(file.input),
        STATES.index(file.state),
        file.frames,
        file.faces,
        file.deblurred,
        round(file.seconds, 2),
        round(file.frames / file.seconds, 2) if file.seconds > 0 else 0,
        file.attempts,
        shown(file.error) if file.error else None,
        href(file.page) if file.page else None,
        href(file.output_link) if file.output_link else None,
    ]


def _header(title: str, note: str | None) -> str:
    said = f"<p class='verdict'>{esc(note)}</p>" if note else ""
    return (
        f"<header>\n<p class='kind'>Faces deblurred</p>\n<h1>{name(title)}</h1>\n{said}\n</header>"
    )


def _totals(files: Sequence[IndexEntry], seconds: float | None) -> str:
    frames, worked = sum(f.frames for f in files), sum(f.seconds for f in files)
    faces, deblurred = sum(f.faces for f in files), sum(f.deblurred for f in files)
    wall = seconds if seconds is not None else worked
    states = Counter(file.state for file in files)
    done = states["done"] + states["damaged"]
    share = f"{100 * deblurred / faces:.0f} % of the faces found" if faces else ""
    rate = f"{amount(frames / wall)} frames a second" if wall > 0 else ""
    cells = [
        ("Files", f"{len(files):,}", f"{done:,} with an output of this run"),
        ("Failed", f"{states['failed'] + states['quarantined']:,}", _of(states)),
        ("Frames", f"{frames:,}", ""),
        ("Faces found", f"{faces:,}", "summed over frames"),
        ("Deblurred", f"{deblurred:,}", share),
        ("Time", _long(wall), rate),
    ]
    items = "".join(
        f"<div><dt>{term}</dt><dd>{value}<span>{said}</span></dd></div>"
        for term, value, said in cells
    )
    return f"<dl class='key-figures'>{items}</dl>"


def _of(states: Counter[str]) -> str:
    """What else did not go as it should."""
    names = ("quarantined", "unfinished", "damaged", "skipped")
    return ", ".join(f"{states[state]:,} {state}" for state in names if states[state])


def _long(seconds: float) -> str:
    if seconds < 60:
        return f"{amount(seconds)}<small> s</small>"
    minutes = round(seconds / 60)
    hours, rest = divmod(minutes, 60)
    return (
        f"{hours:,}<small> h</small> {rest}<small> min</small>"
        if hours
        else f"{minutes}<small> min</small>"
    )


def _failures(files: Sequence[IndexEntry]) -> str:
    bad = [file for file in files if file.state in _BAD]
    if not bad:
        return ""
    items = "\n".join(_failure(file) for file in bad[:_LISTED])
    more = len(bad) - _LISTED
    rest = (
        f"<p>{more:,} more are in the table below, which begins with them.</p>" if more > 0 else ""
    )
    return (
        "<section class='failures' aria-labelledby='failures'>\n"
        f"<h2 id='failures'>{counted(len(bad), 'file')} failed</h2>\n"
        f"<ul class='alert failed'>\n{items}\n</ul>{rest}\n</section>"
    )


def _failure(file: IndexEntry) -> str:
    who = name(file.input)
    if file.page:
        who = f"<a href='{esc(href(file.page))}'>{who}</a>"
    tries = f", {counted(file.attempts, 'attempt')}" if file.attempts > 1 else ""
    why = f"{esc(file.error or 'no reason given')} <small>({file.state}{tries})</small>"
    return f"<li><span class='file'>{who}</span> <span class='why'>{why}</span></li>"


def _table(files: Sequence[IndexEntry]) -> str:
    if not files:
        return "<p class='empty'>There is no file in this archive.</p>"
    heads = "".join(
        f"<th role='columnheader' scope='col' class='{kind}' aria-sort='none'>"
        f"<button type='button' data-column='{i}'>{title}</button></th>"
        for i, (title, kind) in enumerate(_COLUMNS)
    )
    return f"""<section aria-labelledby='files'>
<h2 id='files'>All files</h2>
<noscript><p>The table needs scripts, which are switched off here.</p></noscript>
<form class='find' role='search'>
<p><label for='search'>Find a name or a reason</label>
<input type='search' id='search' autocomplete='off' spellcheck='false'></p>
<fieldset><legend>State</legend>{_choices(files)}</fieldset>
</form>
<div class='pager'><p id='count' role='status'></p>
<p class='turn'><button type='button' id='back'>Back</button>
<button type='button' id='next'>Next</button></p></div>
<table class='files' role='table' aria-labelledby='files'>
<thead role='rowgroup'><tr role='row'>{heads}
<th role='columnheader' scope='col' class='open'>Output</th></tr></thead>
<tbody role='rowgroup'></tbody></table>
</section>"""


def _choices(files: Sequence[IndexEntry]) -> str:
    states = Counter(file.state for file in files)
    choices = [("all", len(files)), *((s, states[s]) for s in STATES if states[s])]
    return "".join(
        f"<label><input type='radio' name='state' value='{state}'"
        f"{' checked' if state == 'all' else ''}>"
        f"<span>{state} <small>{count:,}</small></span></label>"
        for state, count in choices
    )
