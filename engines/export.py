"""From a torch module to an ONNX file; the engines compare what they make of it with torch."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vidfacedeblur.engines.spec import NetworkSpec

OPSET = 18
SCHEMA = 1
"""Raised when this module's output changes, so that older cached files are not used."""


def export_onnx(
    spec: NetworkSpec, path: Path, *, half: bool = False, side: int | None = None
) -> None:
    """Write a network as ONNX with one input ``input`` and float32 in and out.

    Args:
        spec: The network.
        path: Where to write.
        half: Convolutions in float16; norms and the output's tail stay float32.
        side: Fix height and width to this; None leaves them dynamic where the spec allows.
    """
    module = half_precision(spec.module) if half else spec.module
    fixed = side or spec.side
    height = fixed or max(64, spec.least)
    width = fixed or max(96, spec.least)
    dynamic = torch.export.Dim.DYNAMIC
    shape = {0: dynamic} if fixed else {0: dynamic, 2: dynamic, 3: dynamic}
    sample = torch.zeros(2, 3, height, width)
    with _quiet(), torch.inference_mode(False):
        program = torch.onnx.export(
            module,
            (sample,),
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes=(shape,),
            input_names=["input"],
            verbose=False,
        )
        assert program is not None
        program.save(str(path), external_data=False)


def half_precision(module: nn.Module) -> nn.Module:
    """A copy with float16 weights whose inputs and outputs are float32.

    Norms compute in float32 (see `InstanceNorm`) and so does the final sum and clamp of every model
    here; what is left in float16 are the convolutions.
    """
    return copy.deepcopy(module).half()


def check_samples(spec: NetworkSpec, batch: int) -> list[Tensor]:
    """Inputs to compare engines on: smooth, nearly flat and noisy crops in the network's own range.

    Not exactly flat: instance norm of a constant divides rounding errors by almost nothing, so that
    two correct engines differ there, and no camera makes such a crop.
    """
    side = spec.side or max(64, spec.least)
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(batch, 3, 8, 8, generator=generator) * 2 - 1
    size = (side, side)
    smooth = nn.functional.interpolate(coarse, size, mode="bicubic", align_corners=False)
    noise = torch.rand(batch, 3, side, side, generator=generator) * 2 - 1
    return [smooth.clamp(-1, 1), 0.1 + 0.02 * noise, noise]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress lines and notes about libraries we do not use to itself."""
    logger: Any = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
