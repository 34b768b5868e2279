"""Around a run over one file: how far ahead it may read, and what is said of it at the end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import av

from vidfacedeblur.config import VideoOptions
from vidfacedeblur.provenance import file_sha256
from vidfacedeblur.timing import Tally
from vidfacedeblur.types import RunSummary
from vidfacedeblur.video import Sink, SourceInfo, is_own_suffix

_AHEAD = 4
_BYTES_AHEAD = 256 << 20
_LONG_HASH = 2 << 30
"""Bytes whose hash takes longer than a user waits for without a word."""


class WasRead(Protocol):
    """What is said of an input that was read to its end; a `Source` says it."""

    warnings: list[str]

    @property
    def info(self) -> SourceInfo: ...

    @property
    def corrupt_frames(self) -> int: ...

    @property
    def bad_packets(self) -> int: ...

    @property
    def truncated(self) -> str | None: ...


def frames_ahead(info: SourceInfo) -> int:
    """Frames that one stage may be ahead of the next: a few, but not of the largest pictures."""
    bits = av.VideoFormat(info.pix_fmt).bits_per_pixel
    return max(1, min(_AHEAD, _BYTES_AHEAD // max(1, info.width * info.height * bits // 8)))


def hash_of(path: Path, say: Callable[[str], None]) -> str | None:
    """A file's SHA-256; None of a pipe, and of what cannot be read, which others complain of."""
    with suppress(OSError):
        if path.is_file() and path.stat().st_size > _LONG_HASH:
            say(f"hashing {path.name} ...")
        return file_sha256(path)
    return None


def may_copy(source: WasRead, target: Path, options: VideoOptions) -> bool:
    """Whether a copy of an input in which no face was changed may take its output's place.

    Where it was asked for but would have a name that lies, the source's warnings say so.
    """
    if not options.copy_if_no_faces:
        return False
    if is_own_suffix(source.info.format_name, target.suffix):
        return True
    name = source.info.path
    source.warnings.append(f"encoded anew: a copy of {name} cannot be called {target.suffix}")
    return False


def summary_of(
    source: WasRead, sink: Sink, tally: Tally, *, output: Path, **values: Any
) -> RunSummary:
    """What a run did.

    Args:
        source: Read to its end.
        sink: Finished.
        tally: What was counted on the way.
        output: What was written.
        values: Further fields of the summary.
    """
    return RunSummary(
        input=str(source.info.path),
        output=str(output),
        frames=tally.frames,
        faces=tally.faces,
        deblurred=tally.deblurred,
        stages=tally.stages(),
        corrupt_frames=source.corrupt_frames,
        bad_packets=source.bad_packets,
        truncated=source.truncated,
        repairs=tuple(source.warnings),
        losses=tuple(sink.warnings),
        left_out=tuple(sink.left_out),
        tag=sink.tag,
        encoding=sink.encoding,
        **values,
    )
