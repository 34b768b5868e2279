"""What a file says about itself, and what we add to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from fractions import Fraction

from av.container import InputContainer
from av.stream import Disposition, Stream

from vidfacedeblur.video.formats import Container

PROVENANCE = "vidfacedeblur"
"""Name of the tag of the whole file that says what was done to it, as one line of JSON."""

_PLAIN = ("comment", "description", "synopsis")
"""Where that is said, in the first that is free, if the container takes known tags only."""

# Written by muxers and encoders about their own work.
_OWN = frozenset(
    {
        "encoder",
        "duration",
        "number_of_frames",
        "number_of_bytes",
        "bps",
        "major_brand",
        "minor_version",
        "compatible_brands",
        "rotate",
    }
)
# Without these a stream could not be used, or not be chosen, any more.
_NEEDED = frozenset({"language", "filename", "mimetype", "alpha_mode"})
_TIMECODE = ("timecode", "reel_name")
_MOST_FRAMES = 255
"""In a second of QuickTime's time codes."""
_TOLD = ("language", "title", *_TIMECODE)
"""Tags of a stream by which people find it, and find their way in it."""
_ROLES = (
    *("dub", "original", "comment", "lyrics", "karaoke", "forced", "captions", "descriptions"),
    *("hearing_impaired", "visual_impaired"),
)
"""Dispositions that say what a stream is for."""
QUICKTIME = frozenset({"mp4", "mov", "3gp", "3g2"})
"""Muxers of the QuickTime family."""


def kept_tags(tags: dict[str, str], *, strip: bool) -> dict[str, str]:
    """The tags that describe the content, without those that describe the old file.

    Args:
        tags: Of a file or of a stream.
        strip: Keep only what a stream needs to be of use.
    """
    return {
        key: value
        for key, value in tags.items()
        if base_tag(key) not in _OWN
        and not key.lower().startswith("_statistics")
        and (not strip or base_tag(key) in _NEEDED)
    }


def stream_tags(tags: dict[str, str], *, strip: bool) -> dict[str, str]:
    """`kept_tags` of a stream; what QuickTime calls a track's name is a title elsewhere.

    FFmpeg reads it as the one, and writes only the other.
    """
    kept = kept_tags(tags, strip=strip)
    if "title" not in kept and "name" in kept:
        kept["title"] = kept.pop("name")
    return kept


def base_tag(key: str) -> str:
    """A tag's name in lower case, without a language."""
    return key.lower().split("-")[0]


def told_of(streams: Iterable[Stream]) -> Counter[tuple[str, str]]:
    """What streams say of themselves, by kind, and how often; names of kinds as for a message."""
    told: Counter[tuple[str, str]] = Counter()
    for stream in streams:
        tags = {
            key.lower(): value for key, value in stream_tags(stream.metadata, strip=False).items()
        }
        told.update((key, tags[key]) for key in _TOLD if tags.get(key, "und") != "und")
        told.update(
            ("disposition", role) for role in _ROLES if stream.disposition & Disposition[role]
        )
    return told


def file_tags(
    source: InputContainer, container: Container, provenance: str | None, *, strip: bool
) -> dict[str, str]:
    """The tags of the whole file: the input's, unless stripped, and what was done."""
    tags = {} if strip else kept_tags(source.metadata, strip=False)
    if provenance is not None:
        free = (tag for tag in _PLAIN if tag not in tags)
        name = PROVENANCE if _takes_any_tag(source, container) else next(free, None)
        if name is not None:
            tags[name] = provenance
    return tags


def muxer_options(source: InputContainer, container: Container) -> dict[str, str]:
    """Options of the muxer that make it keep what it would drop without a word."""
    if container.muxer in QUICKTIME and _takes_any_tag(source, container):
        return {"movflags": "+use_metadata_tags"}
    if container.muxer == "yuv4mpegpipe":
        return {"strict": "-1"}  # or it takes 8 bits only
    return dict(container.settings)


def timecode(source: InputContainer) -> dict[str, str]:
    """The time code of the first frame and its reel's name, from the streams that carry them."""
    every = [stream.metadata for stream in source.streams]
    found = {key: [tags[key] for tags in every if key in tags] for key in _TIMECODE}
    return {key: values[0] for key, values in found.items() if values}


def is_countable(code: str, rate: Fraction) -> bool:
    """Whether QuickTime can count from a time code on, at a rate of frames.

    FFmpeg finds out when it writes the end of the file, and then nothing of it can be read.
    """
    frames = round(rate)
    leaves_numbers_out = ";" in code or "." in code
    return 1 <= frames <= _MOST_FRAMES and (frames % 30 == 0 or not leaves_numbers_out)


def _takes_any_tag(source: InputContainer, container: Container) -> bool:
    # QuickTime has two kinds of tags. Of those that can have any name, and of covers, FFmpeg writes
    # the one or the other.
    has_cover = any(s.disposition & Disposition.attached_pic for s in source.streams)
    return container.muxer not in QUICKTIME or not (has_cover and container.muxer == "mp4")
