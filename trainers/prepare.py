"""From a data set to what a pack holds: sharp faces, and faces averaged from frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from vidfacedeblur.errors import InputError, OptionError
from vidfacedeblur.faces import read_region, resized, whole_pixels
from vidfacedeblur.trainers.averaging import FACELESS, averaged_faces
from vidfacedeblur.trainers.finding import Find
from vidfacedeblur.trainers.media import read_picture
from vidfacedeblur.trainers.pack import PACK_SIDE, PackedFace, as_bytes
from vidfacedeblur.trainers.split import Clip, Picture
from vidfacedeblur.types import Box, ByteImage, FloatImage, Frame
from vidfacedeblur.video import open_canvas


@dataclass(frozen=True)
class PrepareOptions:
    """What to take from the clips of a data set."""

    lengths: tuple[int, ...]
    """Frames that are averaged; each length goes through the clip once. Empty: none."""
    gamma: float
    """See `averaging.average`."""
    still_every: int
    """Every so many frames of a clip one is taken as it is, to be blurred in training; 0: none."""

    def __post_init__(self) -> None:
        if any(length < 2 for length in self.lengths):
            raise OptionError(f"--average needs 2 frames or more, got {min(self.lengths)}")
        if not 0.1 <= self.gamma <= 10:
            raise OptionError(f"--gamma must lie within 0.1 to 10, got {self.gamma:g}")
        if self.still_every < 0:
            raise OptionError(f"--still-every must be 0 or more, got {self.still_every}")


@dataclass
class Tally:
    """What was left out, and why."""

    reasons: Counter[str] = field(default_factory=Counter)
    """Pictures and stretches of clips by the reason for which they were left out."""
    broken: list[str] = field(default_factory=list)
    """Files that could not be read, a line each."""


def cut_square(picture: ByteImage, square: Box, side: int) -> FloatImage:
    """Cut a square out of (H, W, 3) uint8 RGB as the pipeline does: (side, side, 3) in [0, 1]."""
    canvas = open_canvas(Frame(0, picture))
    region = whole_pixels(square, max(2, round(square.width)), canvas)
    return np.clip(resized(read_region(canvas, region), side), 0, 1)


def packed_pictures(
    pictures: Iterable[Picture], find: Find, tally: Tally
) -> Iterator[list[PackedFace]]:
    """Cut what `find` finds in each picture; an item for each picture."""
    for picture in pictures:
        try:
            image = read_picture(picture.path)
        except InputError as error:
            tally.broken.append(str(error))
            yield []
            continue
        yield list(_stills(image, find, picture, picture.name, tally))


def packed_clips(
    clips: Iterable[Clip], find: Find, options: PrepareOptions, tally: Tally
) -> Iterator[list[PackedFace]]:
    """Take stills of each clip and average its frames; an item for each clip."""
    for clip in clips:
        faces: list[PackedFace] = []
        try:
            if options.still_every:
                for number, frame in enumerate(clip.frames()):
                    if number % options.still_every == 0:
                        faces += _stills(frame, find, clip, f"{clip.name}#{number}", tally)
            for length in options.lengths:
                faces += _averages(clip, find, length, options.gamma, tally)
        except InputError as error:
            # A clip that breaks off may have been cut at any frame: nothing of it is used.
            tally.broken.append(str(error))
            faces = []
        yield faces


def _stills(
    image: ByteImage, find: Find, entry: Picture | Clip, name: str, tally: Tally
) -> Iterator[PackedFace]:
    squares = find(image)
    if not squares:
        tally.reasons[FACELESS] += 1
    for square in squares:
        sharp = as_bytes(cut_square(image, square, PACK_SIDE))
        yield PackedFace(sharp, name, entry.identity, entry.split or "train")


def _averages(
    clip: Clip, find: Find, length: int, gamma: float, tally: Tally
) -> Iterator[PackedFace]:
    found = averaged_faces(clip.frames(), find, length=length, side=PACK_SIDE, gamma=gamma)
    for face in found:
        if isinstance(face, str):
            tally.reasons[face] += 1
            continue
        name = f"{clip.name}#{face.middle}x{length}"
        sharp, blurred = as_bytes(face.sharp), as_bytes(face.blurred)
        yield PackedFace(sharp, name, clip.identity, clip.split or "train", blurred)
