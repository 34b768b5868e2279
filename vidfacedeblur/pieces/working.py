"""The work on one piece: decoded again, deblurred where the plan says, and encoded."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO

from vidfacedeblur.best import MOST, Gatherer, dump
from vidfacedeblur.errors import PieceError
from vidfacedeblur.outcome import frames_ahead
from vidfacedeblur.pieces.folder import PieceFiles, writing
from vidfacedeblur.pieces.lines import LineReader, LineWriter
from vidfacedeblur.pieces.values import (
    PlanHead,
    PlannedFrame,
    check_made,
    made_of,
    result_line,
)
from vidfacedeblur.pipeline import FaceDeblurPipeline
from vidfacedeblur.restore import Watcher
from vidfacedeblur.stages import prefetch
from vidfacedeblur.types import FrameResult
from vidfacedeblur.video import (
    PacketWriter,
    PieceEncoder,
    VideoSource,
    frames_from,
    look_of,
    open_pieces,
    piece_encoder,
)
from vidfacedeblur.work import Work, decoded


@dataclass(frozen=True)
class _Plan:
    """A plan that is being read."""

    head: PlanHead
    meaning: str
    first: PlannedFrame
    rest: Iterator[PlannedFrame]

    def frames(self) -> Iterator[PlannedFrame]:
        return chain([self.first], self.rest)


def work_piece(
    pipeline: FaceDeblurPipeline,
    source: Path,
    target: Path,
    folder: Path,
    number: int,
    *,
    on_frame: Callable[[FrameResult], None] = lambda result: None,
    watch: bool = False,
    most: int = MOST,
) -> None:
    """Deblur and encode one piece; nothing happens where it is done.

    Any number of processes may work on pieces of a video, each on others.

    Args:
        pipeline: With the options of the survey.
        source: The video.
        target: Where the result will go; nothing is written there.
        folder: Where the survey left the pieces.
        number: Of the piece.
        on_frame: Called with each frame's result, after it was encoded.
        watch: Keep pictures of faces, for `join` to give to a `BestFaces`.
        most: Of each face so many, at least as many as are wanted then.

    Raises:
        PieceError: The piece was not surveyed, or with other options; the source has changed since,
            or its frames come out otherwise from the middle of the file.
        OutputError: The folder cannot be written to.
        VidFaceDeblurError: Whatever `FaceDeblurPipeline.run` raises.
    """
    begin = time.perf_counter()
    files = PieceFiles(folder, number)
    with ExitStack() as stack:
        plan = _open_plan(files, stack)
        seconds = plan.head.made.get("seconds", 0)
        check_made(plan.head.made, made_of(pipeline, source, target, seconds), source)
        if files.are_done(plan.meaning, best=watch):
            return
        files.clear_work()
        opened = stack.enter_context(open_pieces(source, pipeline.video))
        encoder = stack.enter_context(piece_encoder(opened, target, pipeline.video))
        watcher = Gatherer(most) if watch else None
        works = stack.enter_context(closing(_restored(pipeline, opened, plan, watcher)))
        with writing(files.packets) as packets, writing(files.results) as results:
            output = _Output(plan, encoder, packets, results)
            for work in works:
                on_frame(output.add(work))
            check_made(plan.head.made, made_of(pipeline, source, target, seconds), source)
            if watcher is not None:
                with writing(files.best) as file:
                    dump(watcher.gathered(), file, piece=plan.meaning, most=most)
            output.finish(source, begin)


class _Output:
    """The files of results and of packets that a piece becomes."""

    def __init__(
        self, plan: _Plan, encoder: PieceEncoder, packets: IO[bytes], results: IO[bytes]
    ) -> None:
        self._encoder = encoder
        head = {"piece": plan.meaning, "time_base": plan.head.time_base}
        self._packets = PacketWriter(packets, head | {"extradata": encoder.extradata.hex()})
        self._results = LineWriter(results, head)
        self._times = array("q")

    def add(self, work: Work) -> FrameResult:
        """Encode a frame."""
        with work.clock.measure("encode"):
            for packet in self._encoder.encode(work.frame):
                self._packets.write(packet)
        result = work.result()
        self._results.write(*result_line(result))
        self._times.append(result.pts or 0)
        return result

    def finish(self, source: Path, begin: float) -> None:
        """Complete the files.

        Raises:
            PieceError: The encoder has left frames out.
        """
        for packet in self._encoder.flush():
            self._packets.write(packet)
        if self._packets.times() != [*self._times]:
            raise PieceError(f"{source}: the encoder did not give one packet for each frame")
        self._packets.finish()
        self._results.finish(seconds=time.perf_counter() - begin)


def _open_plan(files: PieceFiles, stack: ExitStack) -> _Plan:
    try:
        lines = stack.enter_context(LineReader(files.plan))
        head = PlanHead(**lines.head)
    except (OSError, TypeError) as error:
        raise PieceError(f"{files.plan} is not there: the piece was not surveyed") from error
    frames = (PlannedFrame.of(*line) for line in lines)
    first = next(frames, None)
    if first is None:
        raise PieceError(f"{files.plan} is empty")
    return _Plan(head, lines.meaning, first, frames)


def _restored(
    pipeline: FaceDeblurPipeline, source: VideoSource, plan: _Plan, watcher: Watcher | None
) -> Generator[Work, None, None]:
    """The piece's frames with their faces deblurred, in threads as in a run over the whole."""
    ahead, wake = frames_ahead(source.info), source.interrupt
    with ExitStack() as stack:
        frames = prefetch(_planned(source, plan), ahead=ahead, name="decode", wake=wake)
        stack.enter_context(closing(frames))
        works = prefetch(pipeline.restored(frames, watcher), ahead=ahead, name="faces", wake=wake)
        stack.enter_context(closing(works))
        yield from works


def _planned(source: VideoSource, plan: _Plan) -> Iterator[Work]:
    """The piece's frames with the faces that were found on them.

    Raises:
        PieceError: A frame is not what it was when it was surveyed.
    """
    works = decoded(frames_from(source, plan.first.look, plan.head.start))
    with closing(works):
        for index, planned in enumerate(plan.frames(), plan.head.index):
            work = next(works, None)
            if work is None or not _is(work, planned):
                raise PieceError(
                    f"{source.path}: the frame at {planned.look.pts} is not what it was before"
                )
            work.frame.index, work.frame.duration = index, planned.duration
            work.faces = planned.faces
            work.clock.add("decode", planned.decode)
            work.clock.add("detect", planned.detect)
            yield work


def _is(work: Work, planned: PlannedFrame) -> bool:
    with work.clock.measure("decode"):
        return look_of(work.frame) == planned.look
