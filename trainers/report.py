"""What an evaluation leaves: tables as Markdown and CSV, and the picture sharp | blurred | each."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vidfacedeblur.errors import InputError
from vidfacedeblur.trainers.evaluation import BLURRED, Restore, Score
from vidfacedeblur.trainers.fixed_sets import Pair
from vidfacedeblur.types import FloatImage
from vidfacedeblur.whole import whole_file

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
"""Between these lines of a README, `insert` puts the results."""


def main_table(scores: Sequence[Score]) -> str:
    """The paper's Table II, as Markdown: the gain over the blurred input first."""
    base = _base(scores)
    lines = [
        "| method | gain dB | PSNR dB | gain | SSIM | ms an image | face found | score"
        " | landmarks off | colour shift | sharp kept dB |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for score in scores:
        if score.images < base.images:
            continue  # what others reached on a part of the set: in the other table only
        own = score is base
        cells = [
            score.method,
            "" if own else f"{score.psnr - base.psnr:+.2f}",
            f"{score.psnr:.2f}",
            "" if own else f"{score.ssim - base.ssim:+.3f}",
            f"{score.ssim:.3f}",
            _number(score.milliseconds, ".0f"),
            _number(score.faces, ".0%"),
            _number(score.face_score, ".3f"),
            _number(score.landmark_error, ".1%"),
            _number(score.shift, ".2f"),
            _number(score.sharp_psnr, ".1f"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def group_table(scores: Sequence[Score], broken_down_by: str) -> str:
    """PSNR of the blurred input, and each method's gain over it, for each group."""
    base = _base(scores)
    groups = sorted(base.by_group, key=lambda group: (len(group), group))
    lines = [
        f"| {broken_down_by} | {' | '.join(groups)} |",
        f"|---|{'---|' * len(groups)}",
        f"| {base.method} | {' | '.join(f'{base.by_group[g][0]:.2f}' for g in groups)} |",
    ]
    for score in scores:
        if score is not base:
            gains = [
                f"{score.by_group[g][0] - base.by_group[g][0]:+.2f}" if g in score.by_group else ""
                for g in groups
            ]
            lines.append(f"| {score.method} | {' | '.join(gains)} |")
    return "\n".join(lines)


def write_csv(path: Path, scores: Mapping[str, Sequence[Score]]) -> None:
    """Write the scores of some sets, a line for each method on each set and each group of it.

    Raises:
        OutputError: The file cannot be written.
    """
    with whole_file(path) as file:
        writer = csv.writer(file)
        names = [name for name in Score.__dataclass_fields__ if name != "by_group"]
        writer.writerow(["set", "group", *names])
        for name, own in scores.items():
            for score in own:
                writer.writerow([name, "all", *(_cell(getattr(score, n)) for n in names)])
                for group, (decibels, similarity) in score.by_group.items():
                    row = {"method": score.method, "psnr": decibels, "ssim": similarity}
                    writer.writerow([name, group, *(_cell(row.get(n, "")) for n in names)])


def figures(scores: Sequence[Score], method: str) -> dict[str, Any]:
    """One method's scores beside the blurred input's, for a card."""
    chosen = {score.method: score for score in scores}
    return {
        "images": chosen[method].images,
        "blurred": _card_entry(chosen[BLURRED]),
        "deblurred": _card_entry(chosen[method]),
    }


def picture(
    pairs: Sequence[Pair], networks: Mapping[str, Restore], *, side: int = 256
) -> FloatImage:
    """Rows of sharp | blurred | each network, each cell `side` pixels, as one (H, W, 3) image."""
    rows = []
    for pair in pairs:
        cells = [pair.sharp, pair.blurred]
        cells += [restore(pair.blurred[None])[0] for restore in networks.values()]
        rows.append(np.hstack([_cell_picture(cell, side) for cell in cells]))
    return np.clip(np.vstack(rows), 0, 1)


def insert(path: Path, text: str) -> None:
    """Put a text between the two marks of a file.

    Raises:
        InputError: The file is missing, or does not have the marks.
        OutputError: It cannot be written; it stays as it was.
    """
    before, after = check(path)
    with whole_file(path) as file:
        file.write(f"{before}{BEGIN}\n{text}\n{END}{after}")


def check(path: Path) -> tuple[str, str]:
    """What lies before and behind the two marks of a file.

    Raises:
        InputError: The file is missing, or does not have the marks.
    """
    try:
        old = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    before, begin, rest = old.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(f"{path} lacks the lines {BEGIN} and {END}")
    return before, after


def _base(scores: Sequence[Score]) -> Score:
    return next(score for score in scores if score.method == BLURRED)


def _card_entry(score: Score) -> dict[str, Any]:
    values = {k: v for k, v in asdict(score).items() if k not in ("method", "images")}
    groups = values.pop("by_group")
    rounded = {key: None if math.isnan(v) else round(v, 4) for key, v in values.items()}
    by_group = {g: [round(p, 3), round(s, 4)] for g, (p, s) in groups.items()}
    return rounded | {"psnr_and_ssim_by_group": by_group}


def _cell_picture(image: FloatImage, side: int) -> FloatImage:
    height, width = image.shape[:2]
    scale = side / max(height, width)
    size = (round(width * scale), round(height * scale))
    resized = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), np.float32)
    right, bottom = side - size[0], side - size[1]
    return np.pad(resized, ((0, bottom), (0, right), (0, 0)), constant_values=1.0)


def _number(value: float, form: str) -> str:
    return "" if math.isnan(value) else format(value, form)


def _cell(value: Any) -> Any:
    return f"{value:.5g}" if isinstance(value, float) else value
