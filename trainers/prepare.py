"""What ``vidfacedeblur-train prepare`` does: from data sets to a pack of faces.

A pack holds sharp faces, to be blurred in training, and faces averaged from frames.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vidfacedeblur.engines import choose
from vidfacedeblur.errors import InputError, OptionError
from vidfacedeblur.faces import open_detector
from vidfacedeblur.trainers.averaging import FACELESS, averaged_faces
from vidfacedeblur.trainers.datasets import DataSet, read_dataset
from vidfacedeblur.trainers.finding import (
    Find,
    all_faces,
    backgrounds,
    cut_square,
    main_face,
)
from vidfacedeblur.trainers.fixed_sets import judged_on
from vidfacedeblur.trainers.media import read_picture
from vidfacedeblur.trainers.pack import PACK_MARGIN, PACK_SIDE, Contents, PackedFace, write_pack
from vidfacedeblur.trainers.pictures import as_bytes
from vidfacedeblur.trainers.split import SPLITS, Clip, Picture, Split, read_split, splitted
from vidfacedeblur.trainers.terminal import progress, say
from vidfacedeblur.types import ByteImage
from vidfacedeblur.whole import check_place

_NAMED = 3
"""Of what is left out, in one line."""


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
        problems: list[str] = []
        try:
            if options.still_every:
                for number, frame in enumerate(clip.frames(problems)):
                    if frame is not None and number % options.still_every == 0:
                        faces += _stills(frame, find, clip, f"{clip.name}#{number}", tally)
            for length in options.lengths:
                faces += _averages(clip.frames(problems), clip, find, length, options.gamma, tally)
        except InputError as error:
            # A video that breaks off may have been cut at any frame: nothing of it is used.
            problems.append(str(error))
            faces = []
        tally.broken += dict.fromkeys(problems)  # each once, however often the clip was read
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
    frames: Iterable[ByteImage | None],
    clip: Clip,
    find: Find,
    length: int,
    gamma: float,
    tally: Tally,
) -> Iterator[PackedFace]:
    found = averaged_faces(frames, find, length=length, side=PACK_SIDE, gamma=gamma)
    for face in found:
        if isinstance(face, str):
            tally.reasons[face] += 1
            continue
        name = f"{clip.name}#{face.middle}x{length}"
        sharp, blurred = as_bytes(face.sharp), as_bytes(face.blurred)
        yield PackedFace(sharp, name, clip.identity, clip.split or "train", blurred)


def make_pack(args: argparse.Namespace) -> None:
    """Pack the faces of data sets into one file, and say what was left out."""
    options = PrepareOptions(tuple(args.average), args.gamma, args.still_every)
    if not 1 <= args.quality <= 100:
        raise OptionError(f"--quality must lie within 1 to 100, got {args.quality}")
    check_place(args.out)
    given = read_split(args.split) if args.split else None
    sets = [read_dataset(path, args.layout) for path in args.data]
    # Dealt together: who is in two data sets is on one side.
    data = splitted(_joined(sets), seed=args.seed, given=given)
    tally = Tally(broken=[*data.problems, *_strangers(data, given or {}, args.split)])
    detector = open_detector(choose("auto", "cpu"))
    if args.background:
        of_pictures = of_clips = backgrounds(detector, PACK_SIDE)
    else:
        of_pictures = main_face(detector, PACK_MARGIN)
        of_clips = all_faces(detector, PACK_MARGIN)
    faces = _faces(data, of_pictures, of_clips, options, tally)
    try:
        contents = write_pack(args.out, _some(faces, args.data), quality=args.quality)
    finally:
        for line in tally.broken:
            say(f"left out: {line}")
        for reason, count in tally.reasons.most_common():
            say(f"left out: {count} x {reason}")
    say(f"{args.out}: {_told(contents)}")
    for doubt in (*data.doubts, *_judged(data)):
        say(doubt)
    if "val" not in contents.splits:
        say(
            "no face is left to validate with, so nothing can be trained: it takes several people;"
            " in a folder of folders, each of these is taken for one"
        )


def _strangers(data: DataSet, given: dict[str, Split], path: Path) -> list[str]:
    """A line if a split names identities that the data does not have.

    Raises:
        InputError: It names no other.
    """
    known = {entry.identity for entry in data.entries}
    strangers = sorted(given.keys() - known)
    if not strangers:
        return []
    if len(strangers) == len(given):
        raise InputError(
            f"{path} names nobody who is in the data, where identities are such as {min(known)};"
            f" it has {strangers[0]}"
        )
    return [
        f"{len(strangers)} of the identities in {path} are not in the data: {_some_of(strangers)}"
    ]


def _judged(data: DataSet) -> list[str]:
    """A line if some of what is trained on is what models are judged on."""
    trained = {entry.identity for entry in data.entries if entry.split == "train"}
    if "celeba" in data.layout:
        trained |= {f"celeba_{who}" for who in trained}
    both = sorted(trained & judged_on())
    if not both:
        return []
    return [
        f"trained on here, but in the sets of 'evaluate', which will flatter what learns from them:"
        f" {_some_of(both)} ({len(both)} in all); --split can put them on the side test"
    ]


def _some_of(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


def _joined(sets: Sequence[DataSet]) -> DataSet:
    """What several data sets hold, as one."""
    return DataSet(
        ", ".join(data.layout for data in sets),
        tuple(picture for data in sets for picture in data.pictures),
        tuple(clip for data in sets for clip in data.clips),
        tuple(problem for data in sets for problem in data.problems),
        tuple(doubt for data in sets for doubt in data.doubts),
    )


def _faces(
    data: DataSet, of_pictures: Find, of_clips: Find, options: PrepareOptions, tally: Tally
) -> Iterator[PackedFace]:
    pictures = packed_pictures(data.pictures, of_pictures, tally)
    clips = packed_clips(data.clips, of_clips, options, tally)
    for part in progress(pictures, len(data.pictures)):
        yield from part
    for part in progress(clips, len(data.clips)):
        yield from part


def _some(faces: Iterator[PackedFace], data: Sequence[Path]) -> Iterator[PackedFace]:
    """The faces; an InputError if there is none."""
    first = next(faces, None)
    if first is None:
        raise InputError(f"nothing to pack in {', '.join(map(str, data))}")
    yield first
    yield from faces


def _told(contents: Contents) -> str:
    total = len(contents.names)
    sides = ", ".join(f"{contents.splits.count(side)} {side}" for side in SPLITS)
    return (
        f"{total - contents.averaged} sharp and {contents.averaged} averaged faces of"
        f" {len(set(contents.identities))} identities ({sides})"
    )
