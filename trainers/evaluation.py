"""The fixed evaluation ``synthetic-faces`` v1, and the table and picture that it gives.

The set is a list of file names with their sha256, the square that is cut from each, and the size
and seed of its blur (``synthetic_faces_v1.csv``, test split only); the pixels stay where they are.
Each face is cut to 128 pixels, convolved with a random-trajectory kernel of odd size 13 to 27,
centred on its centroid, given noise of 0.01, and rounded to 8 bits.
"""

from __future__ import annotations

import csv
import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vidfacedeblur.errors import InputError
from vidfacedeblur.trainers.blur import as_eight_bit, convolve, random_kernels
from vidfacedeblur.trainers.data import ManifestRow, cut_square, read_picture
from vidfacedeblur.trainers.metrics import psnr, ssim
from vidfacedeblur.types import Box, ByteImage

NAME = "synthetic-faces v1"
SIDE = 128
KERNEL_SIZES = tuple(range(13, 28, 2))
NOISE = 0.01
COLUMNS = ("file", "sha256", "x0", "y0", "side", "kernel_size", "seed")

Restore = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Maps (N, S, S, 3) float32 RGB in [0, 1] to the same."""


@dataclass(frozen=True)
class Item:
    """One face of the set."""

    file: str
    sha256: str
    square: Box
    kernel_size: int
    seed: int


@dataclass(frozen=True)
class Pair:
    """A sharp face and its blurred partner, (128, 128, 3) float32 RGB in [0, 1]."""

    item: Item
    sharp: NDArray[np.float32]
    blurred: NDArray[np.float32]


@dataclass(frozen=True)
class Score:
    """Means over the set for one method."""

    method: str
    psnr: float
    """dB."""
    ssim: float
    milliseconds: float
    """Time to deblur one face, when given one at a time; NaN for the blurred input."""
    by_kernel: dict[int, float]
    """Mean PSNR in dB by kernel size."""


def list_set(rows: Iterable[ManifestRow], find: Callable[[ByteImage], Box | None]) -> list[Item]:
    """Draw up the set from the test rows of a manifest.

    Args:
        rows: The pictures.
        find: Returns the square around the face, or None where there is none.
    """
    items: list[Item] = []
    for row in rows:
        if row.split != "test":
            continue
        square = find(read_picture(row.path))
        if square is None:
            continue
        x0, y0, side = round(square.x0), round(square.y0), round(square.width)
        whole = Box(x0, y0, x0 + side, y0 + side)
        seed = len(items)
        size = KERNEL_SIZES[seed % len(KERNEL_SIZES)]
        digest = hashlib.sha256(row.path.read_bytes()).hexdigest()
        items.append(Item(row.name, digest, whole, size, seed))
    return items


def write_set(path: Path, items: Iterable[Item]) -> None:
    """Write the list of the set as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for i in items:
            corner = (int(i.square.x0), int(i.square.y0), int(i.square.width))
            writer.writerow((i.file, i.sha256, *corner, i.kernel_size, i.seed))


def shipped_set() -> list[Item]:
    """The list that ships with the package."""
    text = (resources.files("vidfacedeblur.trainers") / "synthetic_faces_v1.csv").read_text("utf-8")
    items = []
    for row in csv.DictReader(text.splitlines()):
        x0, y0, side = int(row["x0"]), int(row["y0"]), int(row["side"])
        square = Box(x0, y0, x0 + side, y0 + side)
        items.append(
            Item(row["file"], row["sha256"], square, int(row["kernel_size"]), int(row["seed"]))
        )
    return items


def load_pair(item: Item, folder: Path) -> Pair:
    """Read one face and blur it as the set says.

    Raises:
        InputError: The file is missing, or is not the one that the set names.
    """
    path = folder / item.file
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    if digest != item.sha256:
        raise InputError(f"{path} is not the picture that {NAME} was made from")
    sharp = cut_square(read_picture(path), item.square, SIDE).astype(np.float32) / np.float32(255)
    rng = np.random.default_rng(item.seed)
    image = torch.from_numpy(sharp).permute(2, 0, 1)[None]
    blurred = convolve(image, random_kernels([item.kernel_size], rng))
    noise = rng.normal(0, NOISE, blurred.shape).astype(np.float32)
    eight_bit = as_eight_bit(blurred + torch.from_numpy(noise))
    return Pair(item, sharp, eight_bit[0].permute(1, 2, 0).numpy())


def evaluate(
    pairs: Sequence[Pair],
    methods: dict[str, Restore],
    *,
    on_item: Callable[[], None] = lambda: None,
) -> Iterator[Score]:
    """Score the blurred input, then each method, over the pairs."""
    yield _score("blurred input", pairs, [pair.blurred for pair in pairs], float("nan"))
    for name, restore in methods.items():
        restored, times = [], []
        restore(pairs[0].blurred[None])  # the first call may still prepare something
        for pair in pairs:
            begin = time.perf_counter()
            restored.append(restore(pair.blurred[None])[0])
            times.append(time.perf_counter() - begin)
            on_item()
        yield _score(name, pairs, restored, 1e3 * float(np.median(times)))


def _score(
    name: str, pairs: Sequence[Pair], restored: list[NDArray[np.float32]], milliseconds: float
) -> Score:
    a = torch.from_numpy(np.stack(restored)).permute(0, 3, 1, 2)
    b = torch.from_numpy(np.stack([pair.sharp for pair in pairs])).permute(0, 3, 1, 2)
    decibels = psnr(a, b)
    parts = zip(torch.split(a, 64), torch.split(b, 64), strict=True)
    similarity = torch.cat([ssim(x, y) for x, y in parts])
    sizes = torch.tensor([pair.item.kernel_size for pair in pairs])
    by_kernel = {int(k): float(decibels[sizes == k].mean()) for k in sorted(set(sizes.tolist()))}
    return Score(name, float(decibels.mean()), float(similarity.mean()), milliseconds, by_kernel)


def table(scores: Sequence[Score]) -> str:
    """The scores as a Markdown table, the gain over the blurred input beside each figure."""
    base = scores[0]
    lines = [
        "| method | PSNR dB | gain | SSIM | gain | ms a face |",
        "|---|---|---|---|---|---|",
    ]
    for score in scores:
        own = score is base
        gains = (
            ("", "")
            if own
            else (
                f"{score.psnr - base.psnr:+.2f}",
                f"{score.ssim - base.ssim:+.3f}",
            )
        )
        took = "" if own else f"{score.milliseconds:.1f}"
        lines.append(
            f"| {score.method} | {score.psnr:.2f} | {gains[0]} | {score.ssim:.3f} | {gains[1]}"
            f" | {took} |"
        )
    return "\n".join(lines)


def picture(pairs: Sequence[Pair], methods: dict[str, Restore], *, zoom: int = 2) -> ByteImage:
    """Rows of sharp | blurred | each method, as one (H, W, 3) uint8 RGB image."""
    rows = []
    for pair in pairs:
        columns = [pair.sharp, pair.blurred]
        columns += [restore(pair.blurred[None])[0] for restore in methods.values()]
        rows.append(np.hstack(columns))
    sheet = np.clip(np.rint(255 * np.vstack(rows)), 0, 255).astype(np.uint8)
    size = (sheet.shape[1] * zoom, sheet.shape[0] * zoom)
    return np.asarray(cv2.resize(sheet, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def save_png(path: Path, image: ByteImage) -> None:
    """Write an (H, W, 3) RGB image as PNG."""
    _, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    path.write_bytes(data.tobytes())
