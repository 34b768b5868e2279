"""What a run leaves to look at: its log, the curves, and the same faces at each check."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from vidfacedeblur.errors import OptionError
from vidfacedeblur.trainers.files import make_folder
from vidfacedeblur.trainers.metrics import psnr
from vidfacedeblur.trainers.pictures import save_png
from vidfacedeblur.trainers.run import Run
from vidfacedeblur.whole import whole_file, writing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SAMPLES = 4
"""Faces in the sample picture."""


@dataclass(frozen=True)
class Row:
    """One check of a run."""

    step: int
    minutes: float
    """Of training, over all resumptions."""
    learning_rate: float
    loss: float
    """Mean since the last check; NaN where there was no step."""
    psnr_blurred: float
    """dB, mean over the validation pairs as they are."""
    psnr: float
    """dB, mean over the validation pairs, restored with the averaged weights."""


class Journal:
    """Writes into a run's folder; what a killed run wrote after its checkpoint is taken out.

    Raises:
        OptionError: What draws the curves is not installed.
        OutputError: Nothing can be written there.
    """

    def __init__(self, folder: Path, *, resumed_at: int) -> None:
        _drawing()  # not after the first minutes of training
        self.folder = folder
        self.log = folder / "log.csv"
        rows = read_log(self.log) if resumed_at and self.log.exists() else []
        self._write([row for row in rows if row.step <= resumed_at])
        make_folder(folder / "samples")

    def add(
        self, run: Run, losses: Sequence[float], blurred: Tensor, sharp: Tensor, restored: Tensor
    ) -> Row:
        """Log a check, and draw the curves and the sample picture; images are in [-1, 1].

        Raises:
            OutputError: One of them cannot be written.
        """
        before, after = (psnr((x + 1) / 2, (sharp + 1) / 2).mean() for x in (blurred, restored))
        row = Row(
            step=run.progress.step,
            minutes=round(run.progress.seconds / 60, 2),
            learning_rate=run.optimizer.param_groups[0]["lr"],
            loss=float(np.mean(losses)) if losses else math.nan,
            psnr_blurred=round(float(before), 3),
            psnr=round(float(after), 3),
        )
        with writing(self.log), self.log.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(asdict(row).values())
        picture = torch.cat([x[:_SAMPLES] for x in (sharp, blurred, restored)], dim=3)
        rows = torch.cat(list(picture), dim=1).permute(1, 2, 0).cpu().numpy()
        save_png(
            self.folder / "samples" / f"{row.step:07d}.png", np.asarray((rows + 1) / 2, np.float32)
        )
        plot_rows(read_log(self.log), self.folder / "curves.png")
        return row

    def _write(self, rows: Sequence[Row]) -> None:
        with whole_file(self.log) as file:
            writer = csv.writer(file)
            writer.writerow(field.name for field in fields(Row))
            writer.writerows(asdict(row).values() for row in rows)


def plot_rows(rows: Sequence[Row], picture: Path) -> None:
    """Draw PSNR and loss over training, as the paper's figure 13 shows them.

    Raises:
        OutputError: The picture cannot be written.
    """
    figure = _drawing()(figsize=(9, 3.6), layout="constrained")
    steps = [row.step for row in rows]
    quality, loss = figure.subplots(1, 2)
    quality.plot(steps, [row.psnr for row in rows], marker=".", label="deblurred")
    quality.axhline(rows[0].psnr_blurred, color="grey", ls="--", label="blurred input")
    quality.set(xlabel="iteration", ylabel="validation PSNR (dB)", title="PSNR")
    quality.legend()
    loss.plot(steps, [row.loss for row in rows], marker=".", color="tab:red")
    loss.set(xlabel="iteration", ylabel="training loss", title="Loss")
    for axes in (quality, loss):
        axes.grid(alpha=0.3)
    with whole_file(picture, "wb") as file:  # it may be looked at meanwhile
        figure.savefig(file, format="png", dpi=110)


def _drawing() -> type[Figure]:
    """Matplotlib's figures, of which no window opens.

    Raises:
        OptionError: It is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise OptionError(
            "training draws its curves with matplotlib: pip install 'vidfacedeblur[train]'"
        ) from error
    return Figure


def read_log(path: Path) -> list[Row]:
    """Read a run's ``log.csv``; what a kill or a crash left of a last line is left out."""
    names = [field.name for field in fields(Row)]
    rows = []
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        for values in csv.DictReader(file):
            try:
                numbers = {name: float(values[name]) for name in names}
            except (KeyError, TypeError, ValueError):
                continue
            rows.append(Row(**{**numbers, "step": int(numbers["step"])}))  # type: ignore[arg-type]
    return rows
