"""Plots of PSNR and loss over training, as the paper's figure 13 shows them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vidfacedeblur.errors import OptionError

if TYPE_CHECKING:
    from vidfacedeblur.trainers.journal import Row


def plot_rows(rows: Sequence[Row], picture: Path) -> None:
    """Draw a run's checks: PSNR with the blurred input's as a line, and the loss.

    Raises:
        OptionError: matplotlib is not installed (extra ``train``).
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise OptionError("plots need matplotlib: pip install 'vidfacedeblur[train]'") from error

    steps = [row.step for row in rows]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    quality, loss = figure.subplots(1, 2)
    quality.plot(steps, [row.psnr for row in rows], label="deblurred")
    quality.axhline(rows[0].psnr_blurred, color="grey", ls="--", label="blurred input")
    quality.set(xlabel="iteration", ylabel="validation PSNR (dB)", title="PSNR")
    quality.legend()
    loss.plot(steps, [row.loss for row in rows], color="tab:red")
    loss.set(xlabel="iteration", ylabel="training loss", title="Loss")
    for axes in (quality, loss):
        axes.grid(alpha=0.3)
    figure.savefig(picture, dpi=110)
