"""`BestFaces`: watches faces go by, and keeps the best pictures of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vidfacedeblur.best.again import AWAY
from vidfacedeblur.best.files import FaceFiles
from vidfacedeblur.best.gather import MOST, Gathered, Gatherer, Track
from vidfacedeblur.best.shots import chosen
from vidfacedeblur.errors import OptionError
from vidfacedeblur.events import GONE
from vidfacedeblur.work import Work


class BestFaces:
    """Keeps the best pictures of each face, and writes them when the face is gone; a `Watcher`.

    They are at least half a second apart, and fewer where others would be much worse. How they are
    compared is said in `best.quality`, what is written in `best.files`. Close it when all frames
    were shown. Not safe to share between threads.

    Args:
        folder: Made when there is something to write.
        source: What the video or camera is called.
        most: Pictures of each track.
        provenance: What is done, as `FaceDeblurPipeline.provenance` says.
        wall_of: When the frame with this index arrived, in seconds since 1970 (UTC); asked while
            the frame is worked on.
        min_frames: Tracks that are shorter are only counted, unless the whole video is.
        overwrite: Remove the pictures of faces that are there, when the first frame comes.

    Raises:
        OptionError: A number is less than 1.
        OutputExistsError: The folder holds pictures of faces, and may not be overwritten.
        OutputError: The folder is a file, or cannot be looked into.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        source: str,
        most: int = MOST,
        provenance: Mapping[str, Any] | None = None,
        wall_of: Callable[[int], float | None] = lambda index: None,
        min_frames: int = 3,
        overwrite: bool = False,
    ) -> None:
        if most < 1 or min_frames < 1:
            raise OptionError(f"most and min_frames must be 1 or more, got {most}, {min_frames}")
        self._files = FaceFiles(
            folder, source=source, provenance=provenance or {}, overwrite=overwrite
        )
        self._gatherer = Gatherer(most, wall_of=wall_of)
        self._min_frames = min_frames
        self.tracks = 0
        """Tracks that were written."""
        self.short = 0
        """Tracks that were too short to be."""
        self.pictures = 0
        """Pictures that were written, not counting the originals beside them."""

    @property
    def most(self) -> int:
        """Pictures of each track, at most."""
        return self._gatherer.most

    def before(self, work: Work) -> None:
        """Keep the original of each face that may be among the best."""
        self._files.clear()
        self._gatherer.before(work)

    def after(self, work: Work) -> None:
        """Take in the faces as they became; write tracks that have ended.

        Raises:
            OutputError: A picture cannot be written.
        """
        self._gatherer.after(work)
        self._settle_old()

    def take_in(self, later: Gathered) -> None:
        """Go on with what a `Gatherer` of no fewer pictures gathered of the frames that follow.

        Raises:
            OutputError: A picture cannot be written.
        """
        self._files.clear()
        self._gatherer.take_in(later)
        self._settle_old()

    def flush(self) -> None:
        """All tracks end, as the camera went away; more may follow.

        Raises:
            OutputError: A picture cannot be written.
        """
        self._gatherer.end_tracks(list(self._gatherer.tracks))
        while self._gatherer.gone:
            self._settle(self._gatherer.gone.pop(0))

    def close(self) -> None:
        """All tracks end. May be called more than once.

        Raises:
            OutputError: A picture cannot be written.
        """
        self._files.clear()  # also where there was no frame
        self.flush()

    def _settle_old(self) -> None:
        """Settle the tracks that have ended for so long that they cannot go on."""
        gone, end = self._gatherer.gone, self._gatherer.end
        while gone and end - gone[0].last > AWAY + GONE:
            self._settle(gone.pop(0))

    def _settle(self, gone: Track) -> None:
        """Write a track that has ended, unless its face was seen again under another number."""
        for later in (*self._gatherer.gone, *self._gatherer.tracks.values()):
            if later.goes_on_with(gone):
                later.take_over(gone, self.most)
                return
        # Of a still picture, every face counts.
        if gone.frames < min(self._min_frames, self._gatherer.frames):
            self.short += 1
            return
        shots = chosen(gone.shots, self.most)
        self._files.write(gone.numbers, shots)
        self.tracks += 1
        self.pictures += len(shots)
