"""A second video for the eye: what a run was given and what it made of it, in one picture.

Both files are decoded in step and put together in the input's own samples. The sink of a run writes
the result, with the input's times and sound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path
from typing import Literal, get_args

import av

from vidfacedeblur.config import VideoOptions
from vidfacedeblur.errors import InputError, OptionError, OutputExistsError
from vidfacedeblur.outcome import frames_ahead
from vidfacedeblur.stages import prefetch
from vidfacedeblur.types import Frame
from vidfacedeblur.video import How, Source, composer, open_sink, open_source
from vidfacedeblur.whole import STANDARD

_UNTIMED = frozenset({"avi", "gif", "mpeg"})
"""Formats, as FFmpeg names them, in which frames may have had to move in time."""

_UNSTEADY = Fraction(1, 50)
"""Seconds, beside a frame, by which a container may round times."""

_MOST_PIXELS = 2**31


def compare(
    source: Path,
    output: Path,
    target: Path,
    *,
    how: Literal["side", "wipe"] = "side",
    video: VideoOptions | None = None,
    on_frame: Callable[[int], None] = lambda index: None,
) -> int:
    """Write before and after as one video, or as one picture if the input is one.

    The target appears only when it is complete and verified. Tags, time codes and data streams of
    the input are not in it; sound and subtitles are where its container can hold them.

    Args:
        source: The input of a run.
        output: What the run has made of it.
        target: What to write; its suffix chooses the container as it does for an output.
        how: ``side`` by side, or parted by a line that moves across (``wipe``).
        video: The options of the run; what belongs to the encoder is left out where the target's
            suffix is not the output's.
        on_frame: Called with each frame's index, from 0, after it was encoded.

    Returns:
        The number of frames written.

    Raises:
        OptionError: `how` is unknown, a pipe is named, ``isolate`` is on, or the target is of
            another kind.
        InputError: A file cannot be read, or the output was not made of this input.
        DamagedInputError: The input is cut short, and ``keep_partial`` is off.
        OutputExistsError: The target exists, or is one of the two files.
        OutputError: The target cannot be written.
    """
    options = video or VideoOptions()
    _check(source, output, target, how, options)
    plain = replace(options, strict=False, copy_if_no_faces=False)
    with ExitStack() as stack:
        before = stack.enter_context(open_source(source, plain))
        whole = replace(plain, start=0, duration=None, keep_partial=True)
        after = stack.enter_context(open_source(output, whole))
        _check_sizes(before, after)
        compose = composer(before.info, how)
        wanted = _for_target(plain, output, target)
        sink = stack.enter_context(open_sink(target, before, wanted, size=compose.size))
        count = 0
        for frame, picture, seconds in _pairs(before, after, stack):
            assert isinstance(frame.picture, av.VideoFrame)
            frame.picture = compose(frame.picture, picture, seconds)
            sink.write(frame)
            count += 1
            on_frame(frame.index)
        sink.finish()
    return count


def _check(source: Path, output: Path, target: Path, how: str, options: VideoOptions) -> None:
    if how not in get_args(How):
        raise OptionError(f"--compare-as must be one of {', '.join(get_args(How))}, got {how!r}")
    if STANDARD in (source, output, target):
        raise OptionError("--compare needs files, not standard input or output")
    if options.isolate:
        raise OptionError(
            "--compare reads the input once more, which --isolate cannot do; give one"
        )
    if target.exists() and output.exists() and target.samefile(output):
        raise OutputExistsError(f"{target} is the output itself; choose another name")


def _check_sizes(before: Source, after: Source) -> None:
    old, new = before.info, after.info
    if (old.width, old.height) != (new.width, new.height):
        raise InputError(
            f"{new.path} was not made of {old.path}: it has {new.width}x{new.height} pixels, not"
            f" {old.width}x{old.height}"
        )


def _for_target(options: VideoOptions, output: Path, target: Path) -> VideoOptions:
    """The options to write with: for twice the pixels, and without what names people or places."""
    options = replace(
        options, strip_metadata=True, max_pixels=min(2 * options.max_pixels, _MOST_PIXELS)
    )
    chosen = options.encoder or options.encoder_options
    if chosen and target.suffix.lower() != output.suffix.lower():
        # An encoder that was chosen for one container need not fit into another.
        return replace(options, encoder=None, encoder_options=(), preset=None)
    return options


def _pairs(
    before: Source, after: Source, stack: ExitStack
) -> Iterator[tuple[Frame, av.VideoFrame, Fraction | None]]:
    """The input's frames with the output's pictures, and seconds since the first.

    The seconds are None where the input is a still picture.
    """
    first: Frame | None = None
    shift = Fraction(0)
    for old, new in zip_longest(_ahead(before, stack), _ahead(after, stack)):
        if old is None or new is None:
            raise _uneven(before, after, old or new, shorter=before if old is None else after)
        if first is None:
            first, shift = old, _time(new) - _time(old)
        _check_times(before, after, old, _time(new) - _time(old) - shift)
        assert isinstance(new.picture, av.VideoFrame)
        still = before.info.format_name in ("png", "jpeg")
        yield old, new.picture, None if still else _time(old) - _time(first)


def _uneven(before: Source, after: Source, extra: Frame | None, *, shorter: Source) -> InputError:
    frames = "no frame" if extra is None else f"{extra.index} frames"
    return InputError(
        f"{after.info.path} was not made of {before.info.path}: {shorter.info.path} has"
        f" {frames}, the other one more"
    )


def _ahead(source: Source, stack: ExitStack) -> Iterator[Frame]:
    """A source's frames, decoded in a thread of its own that ends when the stack is left."""
    ahead, wake = frames_ahead(source.info), source.interrupt
    frames = prefetch(iter(source), ahead=ahead, name="compare", wake=wake)
    stack.enter_context(closing(frames))
    return frames


def _check_times(before: Source, after: Source, frame: Frame, late: Fraction) -> None:
    if after.info.format_name in _UNTIMED:
        return
    if abs(late) > 1 / before.info.average_rate + _UNSTEADY:
        raise InputError(
            f"{after.info.path} was not made of {before.info.path}: its frame {frame.index} comes"
            f" {abs(float(late)):.3f} s {'later' if late > 0 else 'earlier'}"
        )


def _time(frame: Frame) -> Fraction:
    return (frame.pts or 0) * frame.time_base
