"""Plots of PSNR and loss over training, as the paper's figure 13 shows them."""

from __future__ import annotations

import csv
from pathlib import Path

from vidfacedeblur.errors import InputError, OptionError


def plot_log(log: Path, picture: Path) -> None:
    """Draw a run's ``log.csv``: PSNR with the blurred input's as a line, and the loss.

    Raises:
        InputError: The log is missing or empty.
        OptionError: matplotlib is not installed (extra ``train``).
    """
    try:
        with log.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise InputError(f"cannot read {log}: {error.strerror}") from error
    if not rows:
        raise InputError(f"{log} has no rows yet")

    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise OptionError("plots need matplotlib: pip install 'vidfacedeblur[train]'") from error

    steps = [int(row["step"]) for row in rows]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    quality, loss = figure.subplots(1, 2)
    quality.plot(steps, [float(row["psnr"]) for row in rows], label="deblurred")
    quality.axhline(float(rows[0]["psnr_blurred"]), color="grey", ls="--", label="blurred input")
    quality.set(xlabel="step", ylabel="validation PSNR (dB)", title="PSNR")
    quality.legend()
    loss.plot(steps, [float(row["loss"]) for row in rows], color="tab:red")
    loss.set(xlabel="step", ylabel="training loss", title="Loss")
    for axes in (quality, loss):
        axes.grid(alpha=0.3)
    figure.savefig(picture, dpi=110)
