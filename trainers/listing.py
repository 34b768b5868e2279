"""Drawing up the lists of the fixed evaluation sets from a data folder."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from vidfacedeblur.engines import choose
from vidfacedeblur.errors import InputError
from vidfacedeblur.faces import MARGIN, open_detector
from vidfacedeblur.trainers.averaging import AveragedFace, averaged_faces
from vidfacedeblur.trainers.datasets import read_dataset
from vidfacedeblur.trainers.files import sha256_of
from vidfacedeblur.trainers.finding import all_faces, main_face
from vidfacedeblur.trainers.fixed_sets import KERNEL_SIZES, LENGTHS, SIDE
from vidfacedeblur.trainers.media import read_frames, read_picture
from vidfacedeblur.trainers.split import read_split, read_table
from vidfacedeblur.whole import whole_file

Row = dict[str, str | int]

_PER_CLIP = 6
"""Pairs of one clip and one length, spread evenly over the clip."""
_PUBLISHED = ("set", "blurred", "sharp", "psnr_ren2019", "ssim_ren2019")
"""Columns of the published pictures' manifest."""


def list_synthetic_faces(folder: Path, _: Path | None) -> Iterator[Row]:
    """A row for each picture of the test split in which there is a face."""
    find = main_face(open_detector(choose("auto", "cpu")), MARGIN)
    seed = 0
    for picture in read_dataset(folder).pictures:
        if picture.split != "test":
            continue
        for square in find(read_picture(picture.path)):
            yield {
                "file": picture.name,
                "sha256": sha256_of(picture.path),
                "x0": round(square.x0),
                "y0": round(square.y0),
                "side": round(square.width),
                "kernel_size": KERNEL_SIZES[seed % len(KERNEL_SIZES)],
                "seed": seed,
            }
            seed += 1


def list_averaged_video(folder: Path, split: Path | None) -> Iterator[Row]:
    """Rows for the clips that the split keeps for testing."""
    sides = read_split(split) if split else {}
    find = all_faces(open_detector(choose("auto", "cpu")), MARGIN)
    for clip in read_dataset(folder, "videos").clips:
        if sides.get(clip.identity, "test") != "test":
            continue
        digest = sha256_of(clip.files[0])
        for length in LENGTHS:
            frames = read_frames(clip.files[0])
            found = averaged_faces(frames, find, length=length, side=SIDE)
            faces = [face for face in found if isinstance(face, AveragedFace)]
            picks = np.linspace(0, len(faces) - 1, min(_PER_CLIP, len(faces))).round().astype(int)
            for face in (faces[i] for i in picks):
                yield {
                    "file": clip.name,
                    "sha256": digest,
                    "middle": face.middle,
                    "length": length,
                    "x0": face.region.x0,
                    "y0": face.region.y0,
                    "side": face.region.width,
                }


def list_published(folder: Path, _: Path | None) -> Iterator[Row]:
    """Rows of the folder's manifest that have a sharp picture."""
    rows = (row for _, row in read_table(folder / "manifest.csv", _PUBLISHED))
    for row in filter(lambda row: row["sharp"], rows):
        place = folder / row["set"].split("/")[0]
        yield {
            "group": row["set"].split("/")[-1],
            "folder": row["set"].split("/")[0],
            "blurred": row["blurred"],
            "blurred_sha256": sha256_of(place / row["blurred"]),
            "sharp": row["sharp"],
            "sharp_sha256": sha256_of(place / row["sharp"]),
            "psnr_ren2019": row["psnr_ren2019"],
            "ssim_ren2019": row["ssim_ren2019"],
        }


LISTERS: dict[str, Callable[[Path, Path | None], Iterator[Row]]] = {
    "synthetic-faces": list_synthetic_faces,
    "averaged-video": list_averaged_video,
    "published": list_published,
}


def write_list(path: Path, rows: Sequence[Row]) -> None:
    """Write a list as CSV.

    Raises:
        InputError: It has no rows.
        OutputError: It cannot be written.
    """
    if not rows:
        raise InputError(f"nothing to list: no {path} was written")
    with whole_file(path) as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def counted(rows: Sequence[Row], key: str) -> str:
    """How many rows there are of each value of a column."""
    return ", ".join(f"{value}: {count}" for value, count in Counter(r[key] for r in rows).items())
