"""Pictures and clips of people, and who is trained on and who tested on: nobody is on two sides.

The paper splits 70:30; its 30 are halved here into `val`, to choose by, and `test`, to report.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from vidfacedeblur.errors import InputError
from vidfacedeblur.trainers.media import is_picture, read_frames
from vidfacedeblur.types import ByteImage

Split = Literal["train", "val", "test"]
"""A side of the split."""
SPLITS: tuple[Split, ...] = get_args(Split)
"""Every side, in the order in which identities are dealt to them."""
_TRAINED, _SEEN = 0.70, 0.85
"""Shares of the identities that are trained on, and that are trained on or chosen by."""


@dataclass(frozen=True)
class Picture:
    """A picture of somebody."""

    path: Path
    name: str
    """Path relative to the data set, with slashes."""
    identity: str
    split: Split | None = None
    """None: not dealt to a side yet."""


@dataclass(frozen=True)
class Clip:
    """Frames of one person, in order."""

    name: str
    """Path of the file or folder relative to the data set, with slashes."""
    identity: str
    files: tuple[Path, ...]
    """Pictures in their order, or one video."""
    split: Split | None = None
    """None: not dealt to a side yet."""

    def frames(self, problems: list[str]) -> Iterator[ByteImage | None]:
        """Decode the frames one after the other, upright where it is a video.

        Args:
            problems: Gets a line for each picture that cannot be decoded.

        Yields:
            (H, W, 3) RGB; None in the place of such a picture.

        Raises:
            InputError: A video cannot be decoded, or not in whole; what comes before was yielded.
        """
        for file in self.files:
            try:
                yield from read_frames(file)
            except InputError as error:
                if not is_picture(file):
                    raise
                problems.append(str(error))
                yield None


@dataclass(frozen=True)
class DataSet:
    """What a data set holds."""

    layout: str
    """Name of the layout that it has."""
    pictures: tuple[Picture, ...] = ()
    clips: tuple[Clip, ...] = ()
    problems: tuple[str, ...] = ()
    """Each entry that is missing or cannot be used as it is, in one line."""
    doubts: tuple[str, ...] = ()
    """What may be meant otherwise than it was read, in one line each."""

    @property
    def entries(self) -> tuple[Picture | Clip, ...]:
        """Pictures and clips."""
        return (*self.pictures, *self.clips)


def assign_splits(identities: Iterable[str], *, seed: int = 0) -> dict[str, Split]:
    """Deal identities to the sides; the same set and seed give the same sides everywhere.

    Args:
        identities: In any order; one that comes twice counts once.
        seed: Chooses one of the possible splits.
    """

    def place(identity: str) -> tuple[bytes, str]:
        # A hash of our own: Python's differs from process to process, and random generators from
        # version to version. File names may hold surrogates.
        text = f"{seed}/{identity}".encode("utf-8", "surrogatepass")
        return hashlib.sha256(text).digest(), identity

    dealt = sorted(set(identities), key=place)
    first, second = round(_TRAINED * len(dealt)), round(_SEEN * len(dealt))
    sides: dict[str, Split] = dict.fromkeys(dealt[:first], "train")
    sides |= dict.fromkeys(dealt[first:second], "val")
    sides |= dict.fromkeys(dealt[second:], "test")
    return sides


def splitted(data: DataSet, *, seed: int = 0, given: dict[str, Split] | None = None) -> DataSet:
    """Deal every picture and clip to a side, all of one identity to the same.

    An identity that has two sides, as in two data sets, is told of among the problems.

    Args:
        data: The data set.
        seed: Chooses the split of the identities that have no side yet.
        given: Sides by identity; they count more than those that the data set brings along.
    """
    sides, torn = settled((entry.identity, entry.split) for entry in data.entries)
    sides |= given or {}
    sides |= assign_splits({entry.identity for entry in data.entries} - sides.keys(), seed=seed)
    return sided(data, sides, torn)


def read_split(path: Path) -> dict[str, Split]:
    """Read a split of the user's own: a CSV file with the columns identity and split.

    Raises:
        InputError: The file is missing, lacks a column, names an unknown side, or has an identity
            on two sides.
    """
    sides: dict[str, Split] = {}
    for line, row in read_table(path, ("identity", "split")):
        identity, side = row["identity"], known_split(row["split"])
        if side is None or not identity:
            raise InputError(
                f"{path} line {line}: expected an identity and one of {', '.join(SPLITS)},"
                f" got {identity!r} and {row['split']!r}"
            )
        if sides.setdefault(identity, side) != side:
            raise InputError(
                f"{path} line {line}: {identity} is in {side}, but was in {sides[identity]} above"
            )
    return sides


def settled(
    entries: Iterable[tuple[str, Split | None]],
) -> tuple[dict[str, Split], tuple[str, ...]]:
    """Settle where each identity belongs, from the sides that its entries bring along.

    Returns:
        The first side named for each identity that has any; the identities that had two.
    """
    sides: dict[str, Split] = {}
    torn: dict[str, None] = {}
    for identity, side in entries:
        if side is not None and sides.setdefault(identity, side) != side:
            torn[identity] = None
    return sides, tuple(torn)


def sided(data: DataSet, sides: dict[str, Split], torn: Iterable[str]) -> DataSet:
    """The data set with these sides by identity, and open ones for all others.

    Args:
        data: The data set.
        sides: By identity.
        torn: Identities that had two sides; each becomes a problem that is told.
    """
    pictures = tuple(replace(p, split=sides.get(p.identity)) for p in data.pictures)
    clips = tuple(replace(c, split=sides.get(c.identity)) for c in data.clips)
    told = (f"identity {who} is on two sides; all of it goes to {sides[who]}" for who in torn)
    return replace(data, pictures=pictures, clips=clips, problems=(*data.problems, *told))


def known_split(text: str) -> Split | None:
    """The side of that name; None if there is none."""
    return next((side for side in SPLITS if side == text), None)


def read_table(path: Path, columns: Iterable[str]) -> list[tuple[int, dict[str, str]]]:
    """Read these columns of a CSV file, stripped of blanks, each row with its line's number.

    Raises:
        InputError: The file is missing, is no CSV text, or lacks a column.
    """
    columns = tuple(columns)
    try:
        # With "-sig": spreadsheets write a mark before the first column's name.
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = sorted(set(columns) - set(reader.fieldnames or ()))
            if missing:
                raise InputError(f"{path} lacks the column(s) {', '.join(missing)}")
            return [
                (reader.line_num, {name: (row[name] or "").strip() for name in columns})
                for row in reader
            ]
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read {path}: it is not CSV text in UTF-8") from error


def read_pairs(path: Path, problems: list[str]) -> dict[str, str]:
    """Read lines of a name and a value, with blanks or a comma between them, as CelebA has them.

    Args:
        path: The file; one in CSV has a heading.
        problems: Gets a line for each that does not parse, or names what was named before.

    Raises:
        InputError: The file cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    pairs: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        words = line.replace(",", " ").split()
        if not words or (path.suffix == ".csv" and number == 1):
            continue
        if len(words) == 2 and words[0] not in pairs:
            pairs[words[0]] = words[1]
        else:
            problems.append(f"{path.name} line {number}: expected a new name and a value: {line!r}")
    return pairs
