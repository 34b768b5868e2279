"""Frames in, frames with deblurred faces out: the state that a stream carries along."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

import av

from vidfacedeblur.config import FaceOptions
from vidfacedeblur.deblur import Deblurrer
from vidfacedeblur.errors import OptionError
from vidfacedeblur.faces import FaceLike, FaceStream, Finder, GivenFaces
from vidfacedeblur.restore import Watcher, restore
from vidfacedeblur.types import ByteImage, Face, FrameResult
from vidfacedeblur.work import Colour, Work, given_back, work_on


class WorkStream:
    """Fills in the faces of frames, each of which waits for some that follow.

    Args:
        faces: Finds them; None leaves every frame without faces.
    """

    def __init__(self, faces: FaceStream | None) -> None:
        self._faces = faces
        self._waiting: deque[Work] = deque()

    def push(self, work: Work) -> list[Work]:
        """Take the next frame; the frames whose faces are settled, in order."""
        if self._faces is None:
            return [work]
        with work.clock.measure("detect"):
            settled = self._faces.push(work.canvas)
        self._waiting.append(work)
        return self._with_faces(settled)

    def flush(self) -> list[Work]:
        """The frames that still wait."""
        return [] if self._faces is None else self._with_faces(self._faces.flush())

    def _with_faces(self, settled: Iterable[list[Face]]) -> list[Work]:
        works = []
        for faces in settled:
            work = self._waiting.popleft()
            work.faces = faces
            works.append(work)
        return works


class FrameStream:
    """One camera's or video's frames, deblurred as they come; made by `FaceDeblurPipeline.stream`.

    A frame waits for the one after it, by which its faces are steadied. One thread at a time may
    use a stream; streams of one pipeline may each be used by a thread of their own, and share its
    networks fairly.

    Args:
        deblurrer: Deblurs the crops.
        options: Which faces are deblurred, and how strongly.
        find: Makes what looks for faces, where the caller does not give them.
        colour: Order of an array's channels.
        watcher: Is shown each frame before and after.
    """

    def __init__(
        self,
        deblurrer: Deblurrer,
        options: FaceOptions,
        find: Callable[[], Finder],
        *,
        colour: Colour = "rgb",
        watcher: Watcher | None = None,
    ) -> None:
        self._deblurrer = deblurrer
        self._options = options
        self._find = find
        self._colour: Colour = colour
        self._watcher = watcher
        self._count = 0
        self._given: Sequence[FaceLike] | None = None
        self._works: WorkStream | None = None

    def push(
        self, picture: ByteImage | av.VideoFrame, faces: Sequence[FaceLike] | None = None
    ) -> list[FrameResult]:
        """Take the next frame.

        Args:
            picture: (H, W, 3) uint8, which is copied; or `av.VideoFrame`, which is changed in place
                and may be touched by nobody else until it comes back.
            faces: Its faces, as `Face`s or boxes (x0, y0, x1, y1) in pixels, with all frames or
                with none; None looks for them. Faces that have a `track` keep it.

        Returns:
            The results of the frames that are done now, in order: after the first push none, then
            one each time. Their `image` is a changed copy of the array, or the same
            `av.VideoFrame`.

        Raises:
            OptionError: The frame is of another shape or type, a box has no area, or faces are
                given with some frames only. The frame is not taken then, and the stream goes on.
            InputError: The same for a frame whose pixel format cannot be worked on.
        """
        work = work_on(self._count, picture, self._colour)
        works = self._works
        if works is None:
            works = self._begin(own_faces=faces is not None)
        elif (faces is None) != (self._given is None):
            raise OptionError("give the faces of every frame of a stream, or of none")
        self._given = faces
        settled = works.push(work)
        self._works = works  # only now: a first frame that is refused settles nothing
        self._count += 1
        return self._finished(settled)

    def flush(self) -> list[FrameResult]:
        """The results of the frames that still wait.

        Frames may follow, as after a camera was away: they begin another scene, in which no face
        is taken for one seen before. Numbers of frames and tracks go on.
        """
        return [] if self._works is None else self._finished(self._works.flush())

    def _begin(self, *, own_faces: bool) -> WorkStream:
        if self._options.faces == "none":
            return WorkStream(None)
        finder = GivenFaces(lambda _: self._given or ()) if own_faces else self._find()
        return WorkStream(FaceStream(finder, self._options, ahead=0))

    def _finished(self, works: Iterable[Work]) -> list[FrameResult]:
        results = []
        for work in works:
            restore([work], self._deblurrer, self._options, self._watcher)
            results.append(work.result(given_back(work, self._colour)))
        return results


def with_faces(
    frames: Iterable[ByteImage | av.VideoFrame], faces: Iterable[Sequence[FaceLike]] | None
) -> Iterator[tuple[ByteImage | av.VideoFrame, Sequence[FaceLike] | None]]:
    """Each frame with its faces, which are taken when it is; with None where none are given.

    Raises:
        OptionError: `faces` ends before the frames do.
    """
    remaining = None if faces is None else iter(faces)
    for frame in frames:
        if remaining is None:
            yield frame, None
            continue
        given = next(remaining, None)
        if given is None:
            raise OptionError("faces must have an entry for each frame; an empty one for no faces")
        yield frame, given
