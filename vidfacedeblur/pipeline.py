"""`FaceDeblurPipeline`: wires the stages of a frame's way and owns what they need.

    decode -> detect, track -> cut, deblur -> paste -> encode

Decoding and the work on faces each run in a thread of their own, with bounded hand-overs; encoding
runs in the caller's. The first error stops every stage and is raised in the caller.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

import av
import numpy as np

from vidfacedeblur.config import (
    DEFAULT_MODEL,
    Engine,
    FaceOptions,
    ModelOptions,
    VideoOptions,
    options_sha256,
)
from vidfacedeblur.deblur import open_deblurrer
from vidfacedeblur.engines import choose
from vidfacedeblur.errors import OptionError
from vidfacedeblur.faces import (
    FaceFinder,
    FaceLike,
    FaceStream,
    Finder,
    FindFaces,
    GivenFaces,
    as_face,
    need,
    open_detector,
    sharpness,
)
from vidfacedeblur.models.bundle import find_weights
from vidfacedeblur.outcome import WasRead, frames_ahead, hash_of, may_copy, summary_of
from vidfacedeblur.provenance import provenance
from vidfacedeblur.restore import Watcher, restore
from vidfacedeblur.stages import grouped, prefetch
from vidfacedeblur.stream import FrameStream, WorkStream, with_faces
from vidfacedeblur.timing import Tally
from vidfacedeblur.types import (
    ByteImage,
    Face,
    FrameResult,
    RunSummary,
)
from vidfacedeblur.video import Sink, SourceInfo, open_job
from vidfacedeblur.work import Colour, Work, decoded, given_back, work_on

_log = logging.getLogger(__name__)
_GPU_GROUP = 8
"""Frames whose faces go to a GPU together; a CPU gains nothing from it."""


class FaceDeblurPipeline:
    """Deblurs the faces of videos, of a stream of frames, of single pictures, or crops alone.

    The networks are loaded once, when the pipeline is made, and serve every call; close it, or use
    it as a context manager, to free them. Threads may share it: the networks serve them in turn.

    Args:
        model: Name of the deblurring model; see ``vidfacedeblur --list-models``.
        weights: A safetensors file of your own; None takes the bundled weights.
        engine: ``auto``, ``torch``, ``openvino`` or ``tensorrt``.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        threads: CPU threads for each network; None: the cores that this process may use, up to 16.
        faces: Which faces are deblurred, and how strongly.
        video: How files are read and written; `run` only.
        find_faces: Finds the faces of each frame in place of the detector: given the upright
            picture, (H, W, 3) uint8 RGB, it returns `Face`s or boxes. Faces that have a `track`
            keep it.
        on_status: Told in one line when something slow begins, such as preparing an engine.

    Raises:
        OptionError: An option has a wrong value.
        UnknownModelError: There is no such model.
        WeightsError: The weights are missing, altered or of another model.
        EngineUnavailableError: The engine or device asked for cannot be used on this machine.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        weights: str | Path | None = None,
        engine: Engine = "auto",
        device: str = "auto",
        threads: int | None = None,
        faces: FaceOptions | None = None,
        video: VideoOptions | None = None,
        find_faces: FindFaces | None = None,
        on_status: Callable[[str], None] | None = None,
    ) -> None:
        own = Path(weights) if weights is not None else None
        self.options = ModelOptions(model, own, engine, device, threads)
        self.faces = faces or FaceOptions()
        self.video = video or VideoOptions()
        if not isinstance(self.faces, FaceOptions) or not isinstance(self.video, VideoOptions):
            raise OptionError("faces and video must be FaceOptions and VideoOptions")
        self._find_faces = find_faces
        self._say = say = on_status or _log.info
        choice = choose(engine, device)
        self.notes = tuple(
            f"using {choice.engine} on {choice.device} ({reason})" for reason in choice.passed_over
        )
        """Why a better engine or device is not used, a line each."""
        found = find_weights(model, own)
        with ExitStack() as stack:
            self.deblurrer = open_deblurrer(found, choice, threads=threads, on_status=say)
            stack.callback(self.deblurrer.close)
            self._detector = open_detector(choice, threads=threads, on_status=say)
            stack.callback(self._detector.close)
            self._resources = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the networks. May be called more than once."""
        self._resources.close()

    def __reduce__(self) -> NoReturn:
        """Refuse what `pickle`, `copy` and processes started by spawn ask for."""
        raise TypeError(
            "a FaceDeblurPipeline can be neither pickled nor copied, since its networks are loaded"
            " in this process: give another process the options, and make the pipeline there"
        )

    @property
    def changes_faces(self) -> bool:
        """Whether the options let any face change."""
        return self.faces.faces != "none" and self.faces.strength > 0

    @property
    def options_sha256(self) -> str:
        """A hash of the options that show in the output."""
        return options_sha256((self.options, self.faces, self.video))

    def provenance(self, input_sha256: str | None = None) -> dict[str, str | None]:
        """What is done to a picture, and with what: version, model and hashes, None where unknown.

        Args:
            input_sha256: Of the input; None where it came from a camera or through a pipe.
        """
        return provenance(
            model=self.options.model if self.changes_faces else None,
            weights=self.deblurrer.sha256 if self.changes_faces else None,
            options=self.options_sha256,
            source=input_sha256,
        )

    def run(
        self,
        source: str | Path,
        target: str | Path,
        *,
        on_frame: Callable[[FrameResult], None] = lambda result: None,
        on_start: Callable[[SourceInfo], None] = lambda info: None,
        watcher: Watcher | None = None,
    ) -> RunSummary:
        """Deblur the faces of a video or picture file and write the result to `target`.

        The target appears only when it is complete and verified.

        Args:
            source: The input file; ``-`` is standard input (Matroska, NUT or y4m).
            target: The output file; its suffix names the container. ``-`` is standard output,
                where nothing can be verified or taken back.
            on_frame: Called in this thread with each frame's result, after it was encoded.
            on_start: Called once with what is known of the input before it is decoded.
            watcher: Is shown each frame before and after its faces are deblurred, in a thread of
                its own; `BestFaces` is one.

        Raises:
            InputError: The input is missing, unreadable or has no video.
            DamagedInputError: The input is cut short, and `VideoOptions.keep_partial` is off.
            OutputExistsError: The target exists, or is the source.
            OutputError: The target cannot be written.
            LossError: Something would be lost, and `VideoOptions.strict` is on.
        """
        begin = time.perf_counter()
        tally = Tally()
        came_from = self.hash_of(Path(source))
        said = json.dumps(self.provenance(came_from))
        job = open_job(Path(source), Path(target), self.video, provenance=said)
        with job as (opened, sink), ExitStack() as stack:
            on_start(opened.info)
            ahead = frames_ahead(opened.info)
            # Closed in reverse: each thread has ended before what it uses is closed.
            wake = opened.interrupt
            frames = prefetch(decoded(opened), ahead=ahead, name="decode", wake=wake)
            stack.enter_context(closing(frames))
            works = self.restored(self.found(frames, ahead), watcher)
            edited = prefetch(works, ahead=ahead, name="faces", wake=wake)
            stack.enter_context(closing(edited))
            for work in edited:
                with work.clock.measure("encode"):
                    sink.write(work.frame)
                result = work.result()
                tally.add(result)
                on_frame(result)
            copied = not tally.deblurred and may_copy(opened, Path(target), self.video)
            written = sink.leave_as_is() if copied else sink.finish()
        seconds = time.perf_counter() - begin
        return self.summary(
            opened,
            sink,
            tally,
            output=written,
            seconds=seconds,
            copied=copied,
            input_sha256=came_from,
        )

    def process(
        self,
        frames: Iterable[ByteImage | av.VideoFrame],
        faces: Iterable[Sequence[FaceLike]] | None = None,
        *,
        colour: Colour = "rgb",
    ) -> Iterator[FrameResult]:
        """Deblur the faces of a stream of frames, one result for each frame, in order.

        A frame waits for the one after it, by which its faces are steadied.

        Args:
            frames: (H, W, 3) uint8 arrays, or `av.VideoFrame` with their pts.
            faces: For each frame its faces, as `Face`s or boxes (x0, y0, x1, y1) in pixels, taken
                when the frame is; None looks for them. Faces that have a `track` keep it.
            colour: Order of an array's channels.

        Yields:
            Results whose `image` is a changed copy of the array, or the same `av.VideoFrame`,
            changed in place.

        Raises:
            OptionError: A frame is of another shape or type, a box has no area, or `faces` ends
                before the frames do.
            InputError: A frame's pixel format cannot be worked on.
        """
        stream = self.stream(colour=colour)
        for picture, given in with_faces(frames, faces):
            yield from stream.push(picture, given)
        yield from stream.flush()

    def stream(self, *, colour: Colour = "rgb", watcher: Watcher | None = None) -> FrameStream:
        """Begin a stream to which frames are given as they come, one call each.

        Cameras have a stream each, and may share one pipeline: their threads use its networks in
        turns, and crops that wait at the same time are deblurred together.

        Args:
            colour: Order of an array's channels.
            watcher: Is shown each frame before and after its faces are deblurred.
        """
        find = partial(self._finder, 0)
        return FrameStream(self.deblurrer, self.faces, find, colour=colour, watcher=watcher)

    def process_image(
        self,
        image: ByteImage | av.VideoFrame,
        faces: Sequence[FaceLike] | None = None,
        *,
        colour: Colour = "rgb",
    ) -> FrameResult:
        """Deblur the faces of one picture.

        Args:
            image: As in `process`.
            faces: The faces to deblur, as boxes (x0, y0, x1, y1) in pixels; None looks for them.
            colour: Order of an array's channels.

        Raises:
            OptionError: The picture is of another shape or type, or a box has no area.
            InputError: Its pixel format cannot be worked on.
        """
        work = work_on(0, image, colour)
        if faces is None:
            list(self.found([work], 0))
        else:
            work.faces = [self._weighed(work, as_face(face)) for face in faces]
        restore([work], self.deblurrer, self.faces)
        return work.result(given_back(work, colour))

    def deblur_faces(self, crops: ByteImage) -> ByteImage:
        """Deblur face crops: (N, S, S, 3) uint8 RGB in, the same out, for any S from 32 up.

        Raises:
            OptionError: The array is of another shape or type.
        """
        if not isinstance(crops, np.ndarray):
            raise OptionError(f"crops must be an array, got {type(crops).__name__}")
        good = crops.ndim == 4 and crops.shape[1] == crops.shape[2] and crops.shape[3] == 3
        if not good or crops.shape[1] < 32 or crops.dtype != np.uint8:
            raise OptionError(
                "crops must be (N, S, S, 3) uint8 RGB with S of 32 or more, got"
                f" {crops.shape} {crops.dtype}"
            )
        if not len(crops):
            return crops.copy()
        restored = self.deblurrer.batch(crops)
        if self.faces.strength == 1:
            return restored
        mixed = crops + self.faces.strength * (restored.astype(np.float32) - crops)
        return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)

    # Parts of `run`, for those who do them apart from each other

    def found(self, works: Iterable[Work], ahead: int) -> Iterator[Work]:
        """Fill in the faces of a video's frames; none is changed.

        A frame waits for three times `ahead` that follow, or for one: twice `ahead` is for faces to
        be found backwards, the rest for them to be steadied.
        """
        wanted = self.faces.faces != "none"
        faces = FaceStream(self._finder(2 * ahead), self.faces, ahead=ahead) if wanted else None
        stream = WorkStream(faces)
        for work in works:
            yield from stream.push(work)
        yield from stream.flush()

    def restored(
        self, works: Iterable[Work], watcher: Watcher | None = None
    ) -> Generator[Work, None, None]:
        """Deblur and paste the known faces of frames, in groups where that helps the device."""
        on_gpu = self.deblurrer.network.device != "cpu"
        for group in grouped(works, _GPU_GROUP if on_gpu else 1):
            restore(group, self.deblurrer, self.faces, watcher)
            yield from group

    def hash_of(self, path: Path) -> str | None:
        """A file's SHA-256, said to be worked out where that takes long; None of a pipe."""
        return hash_of(path, self._say)

    def summary(
        self,
        source: WasRead,
        sink: Sink,
        tally: Tally,
        *,
        output: Path,
        seconds: float,
        copied: bool,
        input_sha256: str | None,
    ) -> RunSummary:
        """What a run did: `tally` counted its frames, `sink` is finished and wrote `output`."""
        network = self.deblurrer.network
        return summary_of(
            source,
            sink,
            tally,
            output=output,
            model=self.options.model,
            engine=network.engine,
            device=network.device,
            seconds=seconds,
            copied=copied,
            input_sha256=input_sha256,
            output_sha256=self.hash_of(output),
            weights_sha256=self.deblurrer.sha256,
            options_sha256=self.options_sha256,
        )

    def _finder(self, holds_back: int) -> Finder:
        find = self._find_faces
        if find is not None:
            return GivenFaces(lambda canvas: find(canvas.rgb()))
        return FaceFinder(self._detector, self.faces, holds_back=holds_back)

    def _weighed(self, work: Work, face: Face) -> Face:
        """A face of a single picture with its sharpness, and the correction that it needs."""
        sharp = sharpness(work.canvas, face.box)
        weight = need(sharp) if self.faces.gate == "auto" else 1.0
        return replace(face, sharpness=sharp, weight=weight)
