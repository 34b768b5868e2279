"""The section of costs: milliseconds of a frame by stage, over time and in figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vidfacedeblur.report.record import Floats, RunRecord
from vidfacedeblur.report.text import amount, esc
from vidfacedeblur.report.timeline import axis, runs
from vidfacedeblur.types import STAGES, RunSummary, StageStats

_UNITS = 1000
"""Of the drawing's height."""
_LABELLED = 0.9
"""Of the chart's height; a label would be cut off above."""
_OUTLIER = 3.0
"""A stretch this many times as dear as 95 % of them goes over the chart's top."""

_LEAD = (
    "Milliseconds of work that a frame cost. Stages of several frames run at the same time, so"
    " their sum is more than the time a frame took."
)


def costs_section(record: RunRecord, summary: RunSummary | None) -> str:
    """The chart and its table; nothing where no frame was finished."""
    stages = summary.stages if summary and summary.stages else record.stages()
    if not stages:
        return ""
    chart = _chart(record) if record.bins > 1 else ""
    return (
        "<section aria-labelledby='costs'>\n<h2 id='costs'>Time spent on a frame</h2>\n"
        f"<p class='lead' id='costs-how'>{_LEAD}</p>\n"
        f"<div class='costs'>{chart}{_table(stages, chart=bool(chart))}</div>\n</section>"
    )


def costs_data(record: RunRecord) -> list[list[float]]:
    """What the page's script reads: milliseconds of each stage, a list a stretch."""
    return [[round(float(value), 2) for value in row] for row in record.spent()]


def _chart(record: RunRecord) -> str:
    spent = record.spent()
    top, over = _top(spent.sum(axis=1))
    step = _nice(top / 4)
    lines = "".join(
        f"<line x1='0' x2='100%' y1='{_y(value, top)}' y2='{_y(value, top)}'/>"
        f"<text x='0' y='{_y(value, top)}' dy='-4'>{value:g}{' ms' if i == 0 else ''}</text>"
        for i, value in enumerate(np.arange(step, _LABELLED * top, step)[::-1].round(6))
    )
    note = (
        f"<p class='note'>{over} stretch{'es' if over > 1 else ''} of frames, up to"
        f" {amount(float(spent.sum(axis=1).max()))} ms, cut off at the top.</p>"
        if over
        else ""
    )
    return (
        "<div><div class='chart stack' id='stack' data-scrub>\n"
        "<p class='moment' aria-hidden='true'></p>\n"
        f"<div class='plot'><svg class='areas' role='img' aria-label='{_told(record)}'"
        f" viewBox='0 0 {record.bins} {_UNITS}' preserveAspectRatio='none'>"
        f"{''.join(_areas(spent, top))}</svg>"
        f"<svg class='grid' aria-hidden='true' width='100%' height='100%'>{lines}</svg></div>\n"
        f"{axis(record)}\n<div class='field'><span class='cursor'></span>"
        f"<input type='range' min='0' max='{record.bins - 1}' value='0'"
        " aria-label='Moment in the chart of time spent' aria-describedby='costs-how'></div>\n"
        f"</div>{note}</div>\n"
    )


def _told(record: RunRecord) -> str:
    means = zip(STAGES, record.spent().mean(axis=0), strict=True)
    told = ", ".join(f"{stage} {amount(float(value))}" for stage, value in means)
    return esc(f"Stacked areas of milliseconds by stage over the run; on average {told}")


def _areas(spent: Floats, top: float) -> list[str]:
    """The areas from the topmost down, each drawn to the foot and covered by the next."""
    edges = np.clip(np.cumsum(spent, axis=1) / top, 0, 1)
    drawn = []
    for i in reversed(range(len(STAGES))):
        heights = (_UNITS - np.rint(edges[:, i] * _UNITS)).astype(int)
        path = "".join(f"V{height}H{b}" for _, b, height in runs(heights))
        drawn.append(f"<path class='s-{STAGES[i]}' d='M0 {_UNITS}{path}V{_UNITS}Z'/>")
    return drawn


def _top(totals: Floats) -> tuple[float, int]:
    """How many milliseconds the chart is high, and how many stretches are higher."""
    usual, most = float(np.percentile(totals, 95)), float(totals.max())
    if most <= _OUTLIER * usual:
        return 1.05 * most or 1.0, 0
    top = 1.5 * usual or most
    return top, int((totals > top).sum())


def _nice(value: float) -> float:
    """The next of 1, 2, 5, 10, ... from a value up."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(next(power * n for n in (1, 2, 5, 10) if power * n >= value * 0.999))


def _y(value: float, top: float) -> str:
    return f"{100 * (1 - value / top):.2f}%"


def _table(stages: dict[str, StageStats], *, chart: bool) -> str:
    heads: Sequence[str] = ("Stage", "p50", "p95", "Mean", "Share")
    head = "".join(f"<th scope='col'>{name}</th>" for name in heads)
    here = "<th scope='col' class='now'>Here</th>" if chart else ""
    total = sum(stages[stage].mean for stage in STAGES if stage in stages) or 1.0
    rows = "\n".join(
        _row(name, stages[name], total, chart=chart)
        for name in (*STAGES, "total")
        if name in stages
    )
    return (
        "<table class='figures stages'><caption>Milliseconds a frame</caption>"
        f"<thead><tr>{head}{here}</tr></thead>\n<tbody>{rows}</tbody></table>"
    )


def _row(name: str, stats: StageStats, total: float, *, chart: bool) -> str:
    key = f"<span class='key s-{name}'></span>" if name in STAGES else ""
    share = f"{100 * stats.mean / total:.0f} %"
    figures: dict[str, Any] = {"p50": stats.median, "p95": stats.p95, "mean": stats.mean}
    cells = "".join(f"<td>{value:,.1f}</td>" for value in figures.values())
    here = "<td class='now'></td>" if chart else ""
    kind = " class='sum'" if name == "total" else ""
    return f"<tr{kind}><th scope='row'>{key}{name}</th>{cells}<td>{share}</td>{here}</tr>"
