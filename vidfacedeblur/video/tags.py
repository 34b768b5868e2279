"""What a file says about itself, and what we add to it."""

from __future__ import annotations

from av.container import InputContainer
from av.stream import Disposition

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


def base_tag(key: str) -> str:
    """A tag's name in lower case, without a language."""
    return key.lower().split("-")[0]


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
    return {}


def timecode(source: InputContainer) -> str | None:
    """The time code of the first frame, from the stream that carries it."""
    codes = (s.metadata["timecode"] for s in source.streams if "timecode" in s.metadata)
    return next(codes, None)


def _takes_any_tag(source: InputContainer, container: Container) -> bool:
    # QuickTime has two kinds of tags. Of those that can have any name, and of covers, FFmpeg writes
    # the one or the other.
    has_cover = any(s.disposition & Disposition.attached_pic for s in source.streams)
    return container.muxer not in QUICKTIME or not (has_cover and container.muxer == "mp4")
