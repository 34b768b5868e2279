"""The survey: a video's faces are found once, from its first frame to its last."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path

from vidfacedeblur.errors import PieceError
from vidfacedeblur.outcome import frames_ahead
from vidfacedeblur.pieces.folder import PieceFiles, clear_others, writing
from vidfacedeblur.pieces.lines import LineReader, LineWriter
from vidfacedeblur.pieces.values import PlanHead, PlannedFrame, Survey, check_made, made_of
from vidfacedeblur.pipeline import FaceDeblurPipeline
from vidfacedeblur.stages import prefetch
from vidfacedeblur.video import VideoSource, look_of, open_pieces, why_whole
from vidfacedeblur.work import Work, decoded


def survey(
    pipeline: FaceDeblurPipeline,
    source: Path,
    target: Path,
    folder: Path,
    *,
    seconds: float,
    on_piece: Callable[[int], None] = lambda number: None,
    on_frame: Callable[[int], None] = lambda index: None,
) -> Survey:
    """Find the faces of a video, and plan the pieces in which they are deblurred.

    Begun anew over a folder that has pieces already, it plans the same again, and leaves what was
    done of them alone; pieces of another video or of other options are removed. A survey that is
    complete is not made again.

    Args:
        pipeline: Finds the faces; its options say how.
        source: The video.
        target: Where the result will go; nothing is written there.
        folder: Where the pieces go; made when there is something to write.
        seconds: Least length of a piece but the last, which goes on to the next key frame.
        on_piece: Called with the number of each piece as soon as it can be worked on, from 0.
        on_frame: Called with the index of each frame.

    Raises:
        PieceError: The video cannot be done in pieces; it can be run whole.
        VidFaceDeblurError: Whatever `FaceDeblurPipeline.run` raises.
    """
    begin = time.perf_counter()
    made = made_of(pipeline, source, target, seconds)
    done = _complete(folder, made)
    if done is not None:
        for number in range(done.pieces):
            on_piece(number)
        return done
    with open_pieces(source, pipeline.video) as opened, ExitStack() as stack:
        reason = why_whole(opened, target, pipeline.video, seconds=seconds)
        if reason is not None:
            raise PieceError(f"{source} cannot be done in pieces: {reason}")
        clear_others(folder, made)
        ahead = frames_ahead(opened.info)
        frames = prefetch(decoded(opened), ahead=ahead, name="decode", wake=opened.interrupt)
        stack.enter_context(closing(frames))
        plans, count = [], 0
        works = _checked(pipeline.found(frames, ahead), opened)
        for number, piece in enumerate(_pieces(works, seconds)):
            files = PieceFiles(folder, number)
            plan, length = _write_plan(files, piece, _head(made, count, opened), on_frame)
            plans.append(plan)
            count += length
            on_piece(number)
    check_made(made, made_of(pipeline, source, target, seconds), source)
    result = Survey(
        made=made,
        plans=tuple(plans),
        frames=count,
        corrupt_frames=opened.corrupt_frames,
        bad_packets=opened.bad_packets,
        truncated=opened.truncated,
        repairs=tuple(opened.warnings),
        seconds=time.perf_counter() - begin,
    )
    result.write(folder)
    return result


def _complete(folder: Path, made: dict[str, object]) -> Survey | None:
    """The survey that is there, if it is of the same video and options and all its plans are."""
    try:
        found = Survey.read(folder)
        for number, plan in enumerate(found.plans):
            with LineReader(PieceFiles(folder, number).plan) as lines:
                if lines.meaning != plan:
                    return None
    except (PieceError, OSError):
        return None
    return found if found.made == made else None


def _checked(works: Iterator[Work], source: VideoSource) -> Iterator[Work]:
    """Frames, as long as their times are those that they have in the file.

    Raises:
        PieceError: They are not.
    """
    last: int | None = None
    for work in works:
        pts = work.frame.pts
        if source.retimed:
            raise PieceError(f"{source.path} cannot be done in pieces: its times had to be mended")
        if pts is None or (last is not None and pts <= last):
            raise PieceError(f"{source.path} cannot be done in pieces: frames share their times")
        last = pts
        yield work


def _pieces(works: Iterator[Work], seconds: float) -> Iterator[Iterator[Work]]:
    """Frames by piece; each piece is to be taken to its end before the next."""
    upcoming = next(works, None)

    def piece(first: Work) -> Iterator[Work]:
        nonlocal upcoming
        yield first
        for work in works:
            if _may_begin(work, first, seconds):
                upcoming = work
                return
            yield work

    while upcoming is not None:
        first, upcoming = upcoming, None
        yield piece(first)


def _may_begin(work: Work, first: Work, seconds: float) -> bool:
    """Whether a piece may begin with a frame, where the one before began with `first`."""
    now, before = work.frame, first.frame
    if not now.key or now.corrupt:
        return False
    return float(((now.pts or 0) - (before.pts or 0)) * now.time_base) >= seconds


def _head(made: dict[str, object], index: int, source: VideoSource) -> PlanHead:
    unit = source.reader.time_base
    return PlanHead(made, index, source.began, (unit.numerator, unit.denominator))


def _write_plan(
    files: PieceFiles, works: Iterator[Work], head: PlanHead, on_frame: Callable[[int], None]
) -> tuple[str, int]:
    """Write a piece's plan, unless the same is there; what it means, and its number of frames."""
    with writing(files.plan) as file:
        lines = LineWriter(file, asdict(head))
        for work in works:
            with work.clock.measure("decode"):
                look = look_of(work.frame)
            time = work.clock.timing()
            faces = work.faces
            planned = PlannedFrame(look, work.frame.duration, faces, time.decode, time.detect)
            lines.write(*planned.line())
            on_frame(work.frame.index)
        plan = lines.finish()
    return plan, lines.count
