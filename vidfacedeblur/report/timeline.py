"""The section of time: a lane for each face, in which its correction rises and falls."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from vidfacedeblur.console import counted
from vidfacedeblur.report.record import Floats, Lane, RunRecord
from vidfacedeblur.report.text import clock, esc

_HEIGHT = 24
"""Of a lane, in the units of its drawing; the correction's weight has what the foot leaves."""
_FOOT = 4
_LEAST_WIDTH = 1 / 200
"""Of the lane, that a face takes however shortly it was there."""
_OPEN = 16
"""Lanes that are shown before more are asked for."""
_TICKS = 6
"""Labels on the axis, at most; a phone has room for every second."""
_LAST_TICK = 0.92
"""Of the axis, behind which a label would not fit."""
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800)
"""Seconds between two labels; beyond, whole hours."""

_LEAD = (
    "A line where a face was seen; it rises with how strongly the face was changed, to the lane's"
    " top at weight 1. Point at a moment, drag, or use the arrow keys to read it."
)


def timeline_section(record: RunRecord) -> str:
    """The lanes, and the same as a table; nothing where there was one frame, or no face."""
    lanes, others = record.lanes()
    everything = [*lanes, *([others] if others else [])]
    if not everything:
        return ""
    drawing = _drawing(record, everything) if record.bins > 1 else ""
    table = _table(everything)
    if drawing:
        table = f"<details><summary>The same as a table</summary>{table}</details>"
    return (
        "<section aria-labelledby='time'>\n<h2 id='time'>When faces were changed</h2>\n"
        f"{drawing}{table}\n</section>"
    )


def timeline_data(record: RunRecord) -> dict[str, Any]:
    """What the page's script reads of the lanes: hundredths of each stretch, null if unknown."""
    lanes, others = record.lanes()
    return {
        "bins": record.bins,
        "size": record.size,
        "frames": record.frames,
        "labels": [clock(start) for start in record.starts],
        "lanes": [_values(lane, record.bins) for lane in (*lanes, *([others] if others else []))],
    }


def axis(record: RunRecord) -> str:
    """The axis of moments, above lanes or below a chart."""
    places = [
        (_percent(at / record.bins), label)
        for at, label in _ticks(record)
        if at < _LAST_TICK * record.bins
    ]
    marks = "".join(
        f"<text x='{x}' y='13'>{label}</text><line x1='{x}' x2='{x}' y1='17' y2='22'/>"
        for x, label in places
    )
    return f"<svg class='axis' aria-hidden='true' width='100%' height='22'>{marks}</svg>"


def runs(values: Sequence[float] | Floats) -> Iterable[tuple[int, int, float]]:
    """Stretches of equal values: from, to (exclusive), value."""
    start = 0
    for at in range(1, len(values) + 1):
        if at == len(values) or values[at] != values[start]:
            yield start, at, values[start]
            start = at


def _drawing(record: RunRecord, lanes: Sequence[Lane]) -> str:
    rows = "\n".join(_row(lane, i, record.bins) for i, lane in enumerate(lanes))
    more = len(lanes) - _OPEN
    button = (
        f"<button type='button' class='more' data-more='lanes'>Show {more} more</button>"
        if more > 0
        else ""
    )
    return (
        f"<p class='lead' id='time-how'>{_LEAD}</p>\n"
        "<div class='chart lanes' id='lanes' data-scrub>\n"
        f"<p class='moment' aria-hidden='true'></p>\n<div class='top'>{axis(record)}</div>\n"
        f"<ul>\n{rows}\n</ul>\n"
        "<div class='field'><span class='cursor'></span>"
        f"<input type='range' min='0' max='{record.bins - 1}' value='0'"
        " aria-label='Moment in the timeline' aria-describedby='time-how'></div>\n"
        f"</div>\n{button}\n"
    )


def _row(lane: Lane, number: int, bins: int) -> str:
    hidden = " hidden" if number >= _OPEN else ""
    return (
        f"<li{hidden}><span class='who'>{esc(lane_label(lane))}</span>"
        f"<svg role='img' aria-label='{esc(_told(lane))}' viewBox='0 0 {bins} {_HEIGHT}'"
        f" preserveAspectRatio='none'>{_presence(lane, bins)}{_weight(lane, bins)}</svg>"
        "<span class='here' aria-hidden='true'></span></li>"
    )


def lane_label(lane: Lane) -> str:
    """What a lane is called."""
    if lane.number is not None:
        return f"Face {lane.number}"
    return counted(lane.tracks, "other face") if lane.tracks else "No track"


def _told(lane: Lane) -> str:
    start, end = clock(lane.start), clock(lane.end)
    when = f"from {start} to {end}" if start else f"frames {lane.first:,} to {lane.last:,}"
    seen = "frame" if lane.number is not None else "sighting"
    return (
        f"{lane_label(lane)}: {when}, changed in {lane.changed:,} of {counted(lane.frames, seen)}"
    )


def _presence(lane: Lane, bins: int) -> str:
    """A line at the foot, where the face was there."""
    least = bins * _LEAST_WIDTH
    there = (lane.seen[:bins] > 0).astype(float)
    return "".join(
        f"<rect class='there' x='{_short(min(a, bins - least))}' y='{_HEIGHT - _FOOT}'"
        f" width='{_short(max(b - a, least))}' height='{_FOOT}'/>"
        for a, b, value in runs(there)
        if value
    )


def _weight(lane: Lane, bins: int) -> str:
    """What rises from the foot with the weight of the correction."""
    least, top = bins * _LEAST_WIDTH, _HEIGHT - _FOOT
    heights = np.ceil(lane.weights()[:bins] * top)
    path = "".join(
        f"M{_short(min(a, bins - least))} {_HEIGHT}V{top - height:.0f}"
        f"h{_short(max(b - a, least))}V{_HEIGHT}"
        for a, b, height in runs(heights)
        if height
    )
    return f"<path class='changed' d='{path}'/>" if path else ""


def _values(lane: Lane, bins: int) -> dict[str, Any]:
    """A lane from its first stretch to its last."""
    seen = lane.seen[:bins]
    (there,) = np.nonzero(seen)
    part = slice(int(there[0]), int(there[-1]) + 1)
    before, after = (values[:bins][part] for values in lane.sharpness())
    weights = np.where(seen > 0, lane.weights()[:bins], math.nan)[part]
    return {
        "name": lane_label(lane),
        "from": part.start,
        "weight": _hundredths(weights),
        "before": _hundredths(before),
        "after": _hundredths(after),
    }


def _hundredths(values: Floats) -> list[int | None]:
    return [None if math.isnan(value) else round(100 * value) for value in values]


def _table(lanes: Iterable[Lane]) -> str:
    heads = ("Face", "From", "To", "Frames", "Changed", "Weight", "Sharpness", "After")
    head = "".join(f"<th scope='col'>{name}</th>" for name in heads)
    body = "\n".join(_table_row(lane) for lane in lanes)
    return (
        "<div class='wide' tabindex='0' role='region' aria-label='Faces over time, as a table'>"
        f"<table class='figures'><thead><tr>{head}</tr></thead>\n"
        f"<tbody>{body}</tbody></table></div>"
    )


def _table_row(lane: Lane) -> str:
    start = clock(lane.start) or f"{lane.first:,}"
    end = clock(lane.end) or f"{lane.last:,}"
    means = "".join(
        f"<td>{'–' if math.isnan(value) else f'{value:.2f}'}</td>" for value in lane.overall()
    )
    return (
        f"<tr><th scope='row'>{esc(lane_label(lane))}</th><td>{start}</td><td>{end}</td>"
        f"<td>{lane.frames:,}</td><td>{lane.changed:,}</td>{means}</tr>"
    )


def _ticks(record: RunRecord) -> Iterable[tuple[int, str]]:
    """Stretches that have a label on the axis, and the labels."""
    starts = [start for start in record.starts if start is not None]
    length = starts[-1] - starts[0] if len(starts) == record.bins else 0.0
    if length <= 0:
        apart = max(1, -(-record.bins // _TICKS))
        return [(at, f"{at * record.size:,}") for at in range(0, record.bins, apart)]
    fits = [step for step in _STEPS if length / step <= _TICKS]
    step = fits[0] if fits else 3600 * math.ceil(length / 3600 / _TICKS)
    found, due = [], math.ceil(starts[0] / step) * step
    for at, start in enumerate(starts):
        if start >= due - 1e-6:
            found.append((at, clock(due).removesuffix(".0")))
            due += step * (1 + math.floor((start - due) / step + 1e-6))
    return found


def _percent(share: float) -> str:
    return f"{100 * share:.2f}%"


def _short(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
