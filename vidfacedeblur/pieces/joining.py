"""Pieces put together: their packets copied into one file, with all else that the source has."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vidfacedeblur.best import BestFaces, load
from vidfacedeblur.errors import PieceError
from vidfacedeblur.outcome import may_copy
from vidfacedeblur.pieces.folder import PieceFiles
from vidfacedeblur.pieces.lines import LineReader
from vidfacedeblur.pieces.values import Survey, check_made, made_of, result_of
from vidfacedeblur.pipeline import FaceDeblurPipeline
from vidfacedeblur.timing import Tally
from vidfacedeblur.types import FrameResult, RunSummary
from vidfacedeblur.video import (
    Encoded,
    Joined,
    PacketReader,
    SourceInfo,
    open_joint,
    write_joined,
)


@dataclass
class _WasRead:
    """What the survey says of the input."""

    info: SourceInfo
    corrupt_frames: int
    bad_packets: int
    truncated: str | None
    warnings: list[str]


def join(
    pipeline: FaceDeblurPipeline,
    source: Path,
    target: Path,
    folder: Path,
    *,
    on_result: Callable[[FrameResult], None] = lambda result: None,
    best: BestFaces | None = None,
) -> RunSummary:
    """Put the pieces of a video together; the target appears when it is complete and verified.

    Args:
        pipeline: With the options of the survey.
        source: The video.
        target: The output file.
        folder: With all pieces done. It is left as it is, but for pieces that turn out to be
            damaged: those are removed, to be made anew.
        on_result: Called with each frame's result, in order.
        best: Takes in the pictures of faces that were kept of each piece, and is left open; the
            work on each piece must have been told to watch.

    Returns:
        What `FaceDeblurPipeline.run` returns; `seconds` are those of all steps together, and the
        time of decoding is that of both.

    Raises:
        PieceError: A piece is missing, was altered, or is of another video or other options.
        OutputExistsError: The target exists, or is the source.
        OutputError: It cannot be written.
        LossError: Something would be lost, and `VideoOptions.strict` is on.
    """
    begin = time.perf_counter()
    survey = Survey.read(folder)
    made = survey.made
    seconds = made.get("seconds", 0)
    check_made(made, made_of(pipeline, source, target, seconds), source)
    tally = Tally()
    came_from = pipeline.hash_of(source)
    said = json.dumps(pipeline.provenance(came_from))
    with open_joint(source, target, pipeline.video, provenance=said) as (opened, sink):
        pieces = _Pieces(survey, folder, sink.extradata)
        for _ in write_joined(opened, sink, pieces.joined()):
            result = pieces.results.popleft()
            tally.add(result)
            on_result(result)
        if best is not None:
            pieces.show(best)
        if tally.frames != survey.frames:
            raise PieceError(f"{folder} holds {tally.frames} frames of {survey.frames}")
        check_made(made, made_of(pipeline, source, target, seconds), source)
        read = _WasRead(
            opened.info,
            survey.corrupt_frames,
            survey.bad_packets,
            survey.truncated,
            [*survey.repairs],
        )
        copied = not tally.deblurred and may_copy(read, target, pipeline.video)
        written = sink.leave_as_is() if copied else sink.finish()
    busy = survey.seconds + pieces.seconds + time.perf_counter() - begin
    return pipeline.summary(
        read,
        sink,
        tally,
        output=written,
        seconds=busy,
        copied=copied,
        input_sha256=came_from,
    )


class _Pieces:
    """The pieces of a folder, read one after the other.

    Args:
        survey: Says which there are.
        folder: Where they are.
        extradata: What all packets are decoded with.

    Raises:
        PieceError: One is missing, or of other options.
    """

    def __init__(self, survey: Survey, folder: Path, extradata: bytes) -> None:
        self.results: deque[FrameResult] = deque()
        """Of frames whose times were taken."""
        self.seconds = 0.0
        """That were worked on the pieces, as far as they were read."""
        self._extradata = extradata
        self._files = [PieceFiles(folder, number) for number in range(survey.pieces)]
        self._plans = survey.plans
        self._delay = max((self._checked(files) for files in self._files), default=0)

    def joined(self) -> Joined:
        """All frames."""
        return Joined(self._packets(), self._times(), self._delay)

    def show(self, best: BestFaces) -> None:
        """Let the pictures of faces be taken in."""
        for files, plan in zip(self._files, self._plans, strict=True):
            with _removed_if_damaged(files):
                gathered = load(files.best, piece=plan, most=best.most)
            best.take_in(gathered)

    def _checked(self, files: PieceFiles) -> int:
        """The delay of a piece's packets."""
        if not files.are_done(self._plans[files.number]):
            raise PieceError(f"piece {files.number} in {files.folder} is not done")
        with PacketReader(files.packets) as packets:
            if bytes.fromhex(packets.head["extradata"]) != self._extradata:
                files.clear_work()
                raise PieceError(f"{files.packets} was encoded with other settings")
            return packets.delay

    def _packets(self) -> Iterator[Encoded]:
        for files in self._files:
            with _removed_if_damaged(files), PacketReader(files.packets) as packets:
                yield from packets

    def _times(self) -> Iterator[int]:
        for files in self._files:
            with _removed_if_damaged(files), LineReader(files.results) as lines:
                self.seconds += lines.end["seconds"]
                unit = Fraction(*lines.head["time_base"])
                for line in lines:
                    result = result_of(*line, unit)
                    self.results.append(result)
                    assert result.pts is not None
                    yield result.pts


@contextmanager
def _removed_if_damaged(files: PieceFiles) -> Iterator[None]:
    try:
        yield
    except PieceError:
        files.clear_work()
        raise
