"""The fixed evaluation sets: lists of files with their sha256; the pixels stay where they are.

- ``synthetic-faces`` v2 (folder ``faces``, test split): each face cut to 128 pixels, convolved with
  a random camera path of odd size 13 to 27, given noise of 0.01, rounded to 8 bits. The paths curve
  less than the published generator's (`kernels.trajectories`). Version 1 cut its squares with other
  code; the list is the same.
- ``averaged-video`` v1 (folder ``videos``): the mean of 5 to 15 frames of clips that no model was
  trained on, against the middle frame, cut to 128 pixels.
- ``published`` v1 (folder ``benchmark``): whole pictures that others published blurred and sharp,
  with their own results where they gave them.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import resources
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vidfacedeblur.errors import InputError
from vidfacedeblur.trainers.averaging import averaged_at
from vidfacedeblur.trainers.blur import as_eight_bit, convolve
from vidfacedeblur.trainers.files import sha256_of
from vidfacedeblur.trainers.finding import cut_square
from vidfacedeblur.trainers.kernels import random_kernels, trajectories
from vidfacedeblur.trainers.media import read_frames, read_picture
from vidfacedeblur.types import Box, ByteImage, FloatImage, Region

SIDE = 128
NOISE = 0.01
KERNEL_SIZES = tuple(range(13, 28, 2))
LENGTHS = (5, 7, 9, 11, 15)

Row = dict[str, str]


@dataclass(frozen=True)
class Pair:
    """A sharp picture and its blurred partner, (H, W, 3) float32 RGB in [0, 1]."""

    name: str
    group: str
    """What the set is broken down by: kernel size, frames averaged, or source."""
    sharp: FloatImage
    blurred: FloatImage
    kernel: NDArray[np.float32] | None = None
    """The true kernel, where there is one."""
    peers: dict[str, tuple[float, float]] = field(default_factory=dict)
    """PSNR in dB and SSIM that others reached on this pair, as they were measured for the list."""


@dataclass(frozen=True)
class FixedSet:
    """One evaluation set."""

    name: str
    list_file: str
    folder: str
    """Where its files lie within a data folder."""
    broken_down_by: str
    load: Callable[[Sequence[Row], Path], Iterator[Pair]]

    def rows(self, limit: int | None = None) -> list[Row]:
        """The list, or so many rows spread evenly over it."""
        text = (resources.files("vidfacedeblur.trainers.sets") / self.list_file).read_text("utf-8")
        rows = list(csv.DictReader(text.splitlines()))
        if limit is None or limit >= len(rows):
            return rows
        picks = np.linspace(0, len(rows) - 1, limit).round().astype(int)
        return [rows[i] for i in picks]

    def pairs(self, data: Path, limit: int | None = None) -> Iterator[Pair]:
        """Make the pairs, one after the other.

        Raises:
            InputError: A file is missing, or is not the one that the list names.
        """
        return self.load(self.rows(limit), data / self.folder)


def checked(path: Path, sha256: str) -> Path:
    """The path, after a check of what lies there.

    Raises:
        InputError: The file is missing, or another than the list names.
    """
    if sha256_of(path) != sha256:
        raise InputError(f"{path} is not the file that the evaluation set was made from")
    return path


def square_of(row: Row) -> Box:
    """The square that a row names."""
    x0, y0, side = int(row["x0"]), int(row["y0"]), int(row["side"])
    return Box(x0, y0, x0 + side, y0 + side)


def _synthetic(rows: Sequence[Row], folder: Path) -> Iterator[Pair]:
    for row in rows:
        picture = read_picture(checked(folder / row["file"], row["sha256"]))
        sharp = cut_square(picture, square_of(row), SIDE)
        size = int(row["kernel_size"])
        rng = np.random.default_rng(int(row["seed"]))
        kernels = random_kernels([size], rng, paths=trajectories(1, rng, curving=1))
        blurred = convolve(torch.from_numpy(sharp).permute(2, 0, 1)[None], kernels)
        grain = rng.normal(0, NOISE, blurred.shape).astype(np.float32)
        recorded = as_eight_bit(blurred + torch.from_numpy(grain))[0].permute(1, 2, 0)
        yield Pair(row["file"], row["kernel_size"], sharp, recorded.numpy(), kernels[0].numpy())


def _averaged(rows: Sequence[Row], folder: Path) -> Iterator[Pair]:
    for (name, sha256), group in groupby(rows, key=lambda row: (row["file"], row["sha256"])):
        wanted = sorted(group, key=_last_frame)
        kept: deque[ByteImage] = deque(maxlen=max(LENGTHS))
        for number, frame in enumerate(read_frames(checked(folder / name, sha256))):
            kept.append(frame)
            while wanted and _last_frame(wanted[0]) == number:
                yield _averaged_pair(wanted.pop(0), kept)
            if not wanted:
                break


def _last_frame(row: Row) -> int:
    length = int(row["length"])
    return int(row["middle"]) - length // 2 + length - 1


def _averaged_pair(row: Row, frames: Sequence[ByteImage]) -> Pair:
    length = int(row["length"])
    x0, y0, x1, y1 = map(int, square_of(row))
    region = Region(x0, y0, x1, y1)
    sharp, blurred, _ = averaged_at(list(frames)[-length:], region, side=SIDE)
    recorded = np.asarray(np.rint(255 * blurred) / 255, np.float32)
    return Pair(f"{row['file']}#{row['middle']}", row["length"], sharp, recorded)


def _published(rows: Sequence[Row], folder: Path) -> Iterator[Pair]:
    for row in rows:
        place = folder / row["folder"]
        sharp, blurred = (
            np.divide(
                read_picture(checked(place / row[kind], row[f"{kind}_sha256"])),
                255,
                dtype=np.float32,
            )
            for kind in ("sharp", "blurred")
        )
        peers = {}
        if row["psnr_ren2019"]:
            figures = (float(row["psnr_ren2019"]), float(row["ssim_ren2019"]))
            peers["Ren et al. 2019"] = figures
        yield Pair(row["blurred"], row["group"], sharp, blurred, peers=peers)


def judged_on() -> frozenset[str]:
    """Identities that the sets show, as data sets name them.

    People of LFW by their names, of CelebA as ``celeba_`` and their number, clips by their stems.
    """
    faces = (Path(row["file"]).stem for row in SETS["synthetic-faces"].rows())
    clips = (Path(row["file"]).stem for row in SETS["averaged-video"].rows())
    people = (re.sub(r"^lfw_|_\d+$", "", face).replace("celeba_id", "celeba_") for face in faces)
    return frozenset((*people, *clips))


SETS = {
    "synthetic-faces": FixedSet(
        "synthetic-faces v2", "synthetic_faces_v2.csv", "faces", "kernel size", _synthetic
    ),
    "averaged-video": FixedSet(
        "averaged-video v1", "averaged_video_v1.csv", "videos", "frames averaged", _averaged
    ),
    "published": FixedSet("published v1", "published_v1.csv", "benchmark", "source", _published),
}
