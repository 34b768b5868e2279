"""What went wrong, the key figures, and what was done with what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from vidfacedeblur.console import counted
from vidfacedeblur.report.record import RunRecord
from vidfacedeblur.report.text import amount, clock, esc
from vidfacedeblur.types import RunSummary

_NAMES = {
    "changed": "Changed",
    "began": "Begun",
    "version": "vidfacedeblur",
    "model": "Model",
    "engine": "Engine",
    "input": "Input",
    "output": "Output",
    "input_sha256": "Input, SHA-256",
    "output_sha256": "Output, SHA-256",
    "weights_sha256": "Weights, SHA-256",
    "options_sha256": "Options, SHA-256",
    "tag": "Tag of the output",
    "encoding": "Encoded as",
    "made_with": "Made with",
    "options": "Options",
}
"""What the keys of a provenance are called; others are called as they are."""


def alerts(summary: RunSummary | None, record: RunRecord, error: str | None) -> str:
    """What the reader must know before anything else; nothing where all went well."""
    boxes = []
    if error is not None:
        until = (
            f"Below is what was known when {counted(record.frames, 'frame was', 'frames were')}"
            " finished."
            if record.frames
            else "No frame was finished."
        )
        boxes.append(_box("failed", "This run failed, and wrote no output.", [error], until))
    elif summary is None:
        boxes.append(_box("failed", "This run did not come to its end.", []))
    if summary is not None:
        if summary.damaged:
            boxes.append(_box("damaged", "The input is damaged.", _damage(summary, record)))
        kept = [*summary.losses, *(f"left out: {stream}" for stream in summary.left_out)]
        if kept:
            boxes.append(_box("warned", "Not everything could be kept.", kept))
        if summary.repairs:
            boxes.append(_box("warned", "Mended or converted on reading.", summary.repairs))
    if not boxes:
        return ""
    return f"<section class='alerts' aria-label='Problems'>{''.join(boxes)}</section>"


def figures(summary: RunSummary | None, record: RunRecord) -> str:
    """The key figures, as a list of terms and values."""
    frames = summary.frames if summary else record.frames
    faces = summary.faces if summary else record.faces
    deblurred = summary.deblurred if summary else record.deblurred
    cells = [("Frames", f"{frames:,}", "")]
    if record.duration is not None:
        cells.append(("Duration", clock(record.duration), "of the video"))
    if record.tracks:
        cells.append(("Tracks", f"{record.tracks:,}", "a face in one shot each"))
    share = f"{100 * deblurred / faces:.0f} % of the faces found" if faces else ""
    cells.append(("Faces found", f"{faces:,}", "summed over frames" if frames > 1 else ""))
    cells.append(("Deblurred", f"{deblurred:,}", share))
    if summary:
        took = f"in {amount(summary.seconds)} s"
        cells.append(("Speed", f"{amount(summary.fps)}<small> fps</small>", took))
    items = "".join(
        f"<div><dt>{term}</dt><dd>{value}<span>{note}</span></dd></div>"
        for term, value, note in cells
    )
    return f"<dl class='key-figures'>{items}</dl>"


def part(provenance: Mapping[str, Any] | None) -> str:
    """A sentence where only a part of the input was worked on, by which moments must be read."""
    options = (provenance or {}).get("options", {})
    start, length = options.get("start"), options.get("duration")
    if not start and length is None:
        return ""
    begin = f"from {start:.10g} s after its first frame on" if start else "from its first frame on"
    end = "" if length is None else f", for {length:.10g} s"
    said = f"Only a part of the input was worked on: {begin}{end}."
    if start:
        said += " Frames are counted, and times taken, from there."
    return f"<p class='verdict'>{said}</p>"


def verdict(summary: RunSummary | None, provenance: Mapping[str, Any] | None) -> str:
    """A sentence where nothing was changed, which the figures alone do not explain."""
    if summary is None or summary.deblurred:
        return ""
    said = _why_none(summary, (provenance or {}).get("options", {}))
    return f"<p class='verdict'>{said}</p>"


def _why_none(summary: RunSummary, options: Mapping[str, Any]) -> str:
    if summary.copied:
        return "No face was changed; the output is the input, byte by byte."
    if options.get("faces") == "none":
        return "No face was looked for, so no picture was changed."
    if not summary.faces:
        where = " where they were asked for" if _limited(options) else ""
        return f"No face was found{where}, so no picture was changed."
    if options.get("strength") == 0:
        return "No face was changed: the strength that was asked for is 0."
    return "Every face was sharp already; none was changed."


def _limited(options: Mapping[str, Any]) -> bool:
    """Whether faces were asked for in parts of the picture only."""
    return bool(options.get("regions") or options.get("exclude"))


def provenance_section(
    summary: RunSummary | None, record: RunRecord, provenance: Mapping[str, Any] | None
) -> str:
    """What was changed and with what; nothing where nothing is known."""
    known = {**(provenance or {}), **_of_summary(summary, record)}
    order = (*_NAMES, *(key for key in known if key not in _NAMES))
    rows = "\n".join(_row(key, known[key]) for key in order if _is_said(known.get(key)))
    if not rows:
        return ""
    return (
        "<section aria-labelledby='made'>\n<h2 id='made'>What was changed, and with what</h2>\n"
        f"<dl class='about'>\n{rows}\n</dl>\n</section>"
    )


def _of_summary(summary: RunSummary | None, record: RunRecord) -> dict[str, Any]:
    if summary is None:
        return {}
    return {
        "input": summary.input,
        "output": summary.output,
        "changed": _changed(summary, record),
        "model": summary.model,
        "engine": f"{summary.engine} on {summary.device}",
        "input_sha256": summary.input_sha256 or "not known: it came through a pipe",
        "output_sha256": summary.output_sha256 or "not known: it went into a pipe",
        "weights_sha256": summary.weights_sha256,
        "options_sha256": summary.options_sha256,
        "tag": summary.tag,
        "encoding": summary.encoding,
        "repairs": summary.repairs,
        "losses": summary.losses,
        "left out": summary.left_out,
    }


def _changed(summary: RunSummary, record: RunRecord) -> str:
    if summary.copied:
        return "nothing: the output is the input, byte by byte"
    frames = f"{record.changed:,} of {counted(record.frames, 'frame')}"
    what = f"faces in {frames}, nothing else" if record.changed else "nothing"
    return (
        f"{what}; then every frame was encoded anew, which may change all of a picture a little,"
        " unless the encoding is lossless"
    )


def _row(key: str, value: object) -> str:
    term = esc(_NAMES.get(key, key[:1].upper() + key[1:]))
    return f"<div><dt>{term}</dt><dd>{_value(key, value)}</dd></div>"


def _value(key: str, value: object) -> str:
    if isinstance(value, Mapping):
        pairs = "".join(
            f"<div><dt>{esc(name)}</dt><dd>{esc(_plain(one))}</dd></div>"
            for name, one in value.items()
        )
        return (
            f"<details><summary>{counted(len(value), 'entry', 'entries')}</summary>"
            f"<dl class='options'>{pairs}</dl></details>"
        )
    if isinstance(value, list | tuple):
        return _list(value)
    text = f"<bdi>{esc(value)}</bdi>"
    return f"<code>{text}</code>" if key.endswith("sha256") or key == "tag" else text


def _plain(value: object) -> object:
    """An option's value, for people who do not know Python."""
    if value is None or value == ():
        return "not given"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(str(_plain(one)) for one in value)
    return value


def _is_said(value: object) -> bool:
    return value is not None and value not in ("", (), [], {})


def _damage(summary: RunSummary, record: RunRecord) -> Iterable[str]:
    if summary.truncated is not None:
        yield summary.truncated
    if summary.corrupt_frames:
        which = [
            f"{number}" if time is None else f"{number} ({clock(time)})"
            for number, time in record.corrupt
        ]
        more = [", ..."] if summary.corrupt_frames > len(which) > 0 else []
        kind = "frame" if len(which) == 1 else "frames"
        places = f": {kind} " + "".join([", ".join(which), *more]) if which else ""
        yield f"{counted(summary.corrupt_frames, 'frame')} with concealed damage{places}"
    if summary.bad_packets:
        yield f"{counted(summary.bad_packets, 'packet')} that could not be read"


def _box(kind: str, title: str, lines: Iterable[str], note: str = "") -> str:
    return (
        f"<div class='alert {kind}'><p class='what'>{title}</p>{_list(lines)}"
        f"{f'<p>{note}</p>' if note else ''}</div>"
    )


def _list(lines: Iterable[object]) -> str:
    items = "".join(f"<li>{esc(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""
