"""The promises: what an output must have in common with its input."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from check_facts import FLOATING, Facts, Media, Payload, probe_first_frame, tags

_UNTIMED = {"h264", "hevc", "m4v"}
_LIGHT = ("Mastering display metadata", "Content light level metadata")
_ALPHA = ("yuva", "rgba", "bgra", "gbrap")
_RGB = ("gbr", "rgb", "bgr", "pal")


class Violation(NamedTuple):
    """A promise that was not kept."""

    code: str
    """One word for the promise."""
    detail: str
    """What was found, one line."""


def judge(before: Media, after: Media) -> Iterator[Violation]:
    """Every promise that was not kept."""
    rules = (_playable, _frames, _order, _duration, _geometry, _colour, _alpha, _first_frame)
    for rule in (*rules, _other_streams, _video_language, _metadata, _chapters):
        yield from rule(before, after)


def _half_tick(before: Media, after: Media) -> Fraction:
    return max(before.reading.time_base, after.reading.time_base) / 2


def _ms(seconds: Fraction, digits: int) -> str:
    return f"{float(seconds) * 1e3:.{digits}f} ms"


def _playable(before: Media, after: Media) -> Iterator[Violation]:
    if after.reading.errors:
        yield Violation("playable", f"{after.reading.errors} decode/demux errors in the output")


def _frames(before: Media, after: Media) -> Iterator[Violation]:
    """As many frames, each at its time; where times are missing, over as long a time."""
    counts = len(before.reading.times), len(after.reading.times)
    if counts[0] != counts[1]:
        yield Violation("frame_count", f"in {counts[0]} out {counts[1]}")
    half = _half_tick(before, after)
    if before.timed and after.timed and counts[0] == counts[1]:
        yield from _moved_frames(before, after, half)
    elif before.times and after.times:
        apart = abs(before.span - after.span)
        if apart > half * 2:
            yield Violation("pts", f"time span differs by {_ms(apart, 1)}")


def _moved_frames(before: Media, after: Media, half: Fraction) -> Iterator[Violation]:
    shift = before.origin(after) - after.origin(before)
    pairs = zip(sorted(before.times), sorted(after.times), strict=True)
    off = [abs(a - b - shift) for a, b in pairs]
    worst = max(off, default=Fraction(0))
    if worst > half + Fraction(1, 10**9):
        moved = f"{sum(o > half for o in off)}/{len(off)} frames moved"
        yield Violation("pts", f"{moved}, worst {_ms(worst, 3)} (half tick = {_ms(half, 3)})")


def _order(before: Media, after: Media) -> Iterator[Violation]:
    if after.times != sorted(after.times):
        yield Violation("pts_order", "output frames not in increasing PTS order")


def _duration(before: Media, after: Media) -> Iterator[Violation]:
    if before.formats & _UNTIMED:
        return
    decoded = bool(FLOATING & (before.formats | after.formats))
    a, b = (_seconds(media, decoded=decoded) for media in (before, after))
    steps = len(before.times) - 1
    step = float(before.span / steps) if steps > 0 else 0.04
    tick = 2 * float(_half_tick(before, after))
    if a and abs(a - b) > max(step, tick) * 1.01 + 0.001:
        yield Violation("duration", f"in {a:.3f}s out {b:.3f}s")


def _seconds(media: Media, *, decoded: bool) -> float:
    """The file's length as its header says, or as decoded where headers only guess."""
    if not decoded:
        return float(media.facts["format"].get("duration", 0) or 0)
    return float(media.span + media.reading.last_duration) if media.times else 0.0


def _geometry(before: Media, after: Media) -> Iterator[Violation]:
    a, b = before.video, after.video
    for name in ("width", "height"):
        if a.get(name) != b.get(name):
            yield Violation(name, f"in {a.get(name)} out {b.get(name)}")
    if _aspect(a) != _aspect(b):
        yield Violation("sar", f"in {_aspect(a)} out {_aspect(b)}")
    if _matrix(a) != _matrix(b):
        yield Violation("rotation", f"display matrix in [{_matrix(a)}] out [{_matrix(b)}]")


def _aspect(video: Facts) -> str:
    said = video.get("sample_aspect_ratio")
    return "1:1" if said in (None, "0:1", "N/A") else str(said)


def _matrix(video: Facts) -> str | None:
    for data in video.get("side_data_list", []):
        if data.get("side_data_type") == "Display Matrix":
            return " ".join(data.get("displaymatrix", "").split())
    return None


def _colour(before: Media, after: Media) -> Iterator[Violation]:
    a, b = before.video, after.video
    if _pix_fmt(a) != _pix_fmt(b):
        yield Violation("pix_fmt", f"in {a.get('pix_fmt')} out {b.get('pix_fmt')}")
    if _range(a).rstrip("?") != _range(b).rstrip("?") and not _pix_fmt(a).startswith(_RGB):
        yield Violation("color_range", f"in {_range(a)} out {_range(b)}")
    for name in ("color_space", "color_transfer", "color_primaries"):
        x, y = a.get(name, "unknown"), b.get(name, "unknown")
        if x != y and x not in ("unknown", "reserved", "gbr"):
            yield Violation(name, f"in {x} out {y}")


def _pix_fmt(video: Facts) -> str:
    """The pixel format; the range that yuvj formats imply is compared by itself."""
    return str(video.get("pix_fmt", "")).replace("yuvj", "yuv")


def _range(video: Facts) -> str:
    full = str(video.get("pix_fmt", "")).startswith("yuvj")
    return str(video.get("color_range") or ("pc" if full else "tv?"))


def _alpha(before: Media, after: Media) -> Iterator[Violation]:
    """Transparency that only the container tells of; FFmpeg's VP8 and VP9 decoders ignore it."""
    had, has = (tags(media.video).get("alpha_mode") == "1" for media in (before, after))
    if had and not has and not _pix_fmt(after.video).startswith(_ALPHA):
        why = "container says alpha_mode=1; the default vp8/vp9 decoder ignores it"
        yield Violation("alpha", f"alpha channel lost ({why})")


def _first_frame(before: Media, after: Media) -> Iterator[Violation]:
    """Interlacing, and what was measured of light, as the first frame says."""
    a, b = (probe_first_frame(media.path, media.video) for media in (before, after))
    if a and b:
        yield from _interlacing(a, b)
    light = _light(b)
    for name, values in _light(a).items():
        if name not in light or any(_differ(v, light[name].get(k)) for k, v in values.items()):
            yield Violation("hdr", f"{name} lost or changed")


def _interlacing(a: Facts, b: Facts) -> Iterator[Violation]:
    was, now = a.get("interlaced_frame"), b.get("interlaced_frame")
    if was != now:
        yield Violation("interlaced", f"interlaced_frame in {was} out {now}")
    elif was and a.get("top_field_first") != b.get("top_field_first"):
        yield Violation("interlaced", "field order flipped")


def _light(frame: Facts) -> dict[str, Facts]:
    found = {data.get("side_data_type"): data for data in frame.get("side_data_list", [])}
    return {
        kind: {name: _number(value) for name, value in found[kind].items()}
        for kind in _LIGHT
        if kind in found
    }


def _number(value: object) -> object:
    return float(Fraction(value)) if isinstance(value, str) and "/" in value else value


def _differ(x: object, y: object) -> bool:
    """Whether a number is not kept; what is no number does not count."""
    if not isinstance(x, int | float):
        return False
    return not isinstance(y, int | float) or abs(x - y) > 1e-3 * max(1, abs(x))


def _other_streams(before: Media, after: Media) -> Iterator[Violation]:
    for kind in ("audio", "subtitle", "cover", "video", "data", "attachment"):
        a, b = before.others(kind), after.others(kind)
        if len(a) != len(b):
            yield Violation(f"{kind}_streams", f"in {len(a)} out {len(b)}")
        for number, (x, y) in enumerate(zip(a, b, strict=False)):
            name = f"{kind}[{number}]"
            yield from _content(kind, name, (before, x), (after, y))
            yield from _description(name, x, y)


def _content(
    kind: str, name: str, a: tuple[Media, Facts], b: tuple[Media, Facts]
) -> Iterator[Violation]:
    """The same codec, the same bytes, and no shift against the video."""
    (before, x), (after, y) = a, b
    if x.get("codec_name") != y.get("codec_name"):
        what = f"{name} in {x.get('codec_name')} out {y.get('codec_name')}"
        yield Violation(f"{kind}_codec", what)
        return
    if kind == "data" and x.get("codec_tag_string") == "text":
        return  # chapters of MOV and MP4, which every writer makes anew
    p, q = before.reading.payloads[x["index"]], after.reading.payloads[y["index"]]
    if p.data != q.data:
        sizes = f"{len(p.data)} vs {len(q.data)} bytes"
        yield Violation(f"{kind}_bits", f"{name} payload differs ({sizes})")
    elif kind in ("audio", "subtitle"):
        late = _shift(before, after, p, q)
        if late:
            yield Violation(
                f"{kind}_sync", f"{name} starts {_ms(late, 2)} off against the video clock"
            )


def _shift(before: Media, after: Media, p: Payload, q: Payload) -> Fraction | None:
    """Seconds that a stream moved against the video, or None if no more than clocks round to."""
    if p.start is None or q.start is None:
        return None
    zeros = before.origin(after), after.origin(before)
    rounding = max(p.time_base, q.time_base) / 2
    if any(zeros):
        rounding += max(_half_tick(before, after), Fraction(1, 1000))
    shift = abs((p.start - zeros[0]) - (q.start - zeros[1]))
    return shift if shift > rounding else None


def _description(name: str, x: Facts, y: Facts) -> Iterator[Violation]:
    """The same language, tags and disposition."""
    a, b = tags(x), tags(y)
    yield from _language(name, a, b)
    for key in sorted(set(a) - {"language", "creation_time", "timecode"}):
        if a[key] != b.get(key):
            yield Violation("stream_metadata", f"{name} {key}={a[key]!r} -> {b.get(key)!r}")
    was, now = _disposition(x), _disposition(y)
    if was != now:
        yield Violation("disposition", f"{name} in {was} out {now}")


def _disposition(stream: Facts) -> list[str]:
    return sorted(n for n, on in stream.get("disposition", {}).items() if on and n != "default")


def _language(name: str, a: dict[str, str], b: dict[str, str]) -> Iterator[Violation]:
    was, now = a.get("language", "und"), b.get("language", "und")
    if was != now:
        yield Violation("language", f"{name} in {was} out {now}")


def _video_language(before: Media, after: Media) -> Iterator[Violation]:
    yield from _language("video", tags(before.video), tags(after.video))


def _metadata(before: Media, after: Media) -> Iterator[Violation]:
    a, b = tags(before.facts["format"]), tags(after.facts["format"])
    for key in sorted(set(a) - {"timecode"}):
        value = b.get(key)
        if key == "creation_time" and value and value[:19] == a[key][:19]:
            continue
        if value != a[key]:
            yield Violation("metadata", f"{key}={a[key]!r} -> {value!r}")


def _chapters(before: Media, after: Media) -> Iterator[Violation]:
    a, b = before.facts.get("chapters", []), after.facts.get("chapters", [])
    if len(a) != len(b):
        yield Violation("chapters", f"in {len(a)} out {len(b)}")
    for x, y in zip(a, b, strict=False):
        early, late = (abs(float(x[n]) - float(y[n])) for n in ("start_time", "end_time"))
        titles = [chapter.get("tags", {}).get("title") for chapter in (x, y)]
        if early > 0.002 or late > 0.05 or titles[0] != titles[1]:
            was, now = f"{titles[0]!r} {x['start_time']}", f"{titles[1]!r} {y['start_time']}"
            yield Violation("chapters", f"{was} -> {now}")
