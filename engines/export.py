"""From a torch module to ONNX; `parity` compares what the engines make of it with torch."""

from __future__ import annotations

import contextlib
import io
import logging
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from vidfacedeblur.engines.fast_conv import with_fast_convs
from vidfacedeblur.engines.fold import folded
from vidfacedeblur.engines.spec import OPSET, NetworkSpec

_exporting = threading.Lock()
"""Held while torch exports: two exports at once spoil each other, and so does what `_quiet` does to
the whole process."""


def for_cpu(spec: NetworkSpec) -> nn.Module:
    """A network as CPUs run it best: the same function in fewer multiplications."""
    module = folded(spec.module)
    if not spec.plan_per_side:
        return module  # the detector's networks are too small to gain
    return with_fast_convs(module, spec.multiple, least=spec.least)


def for_gpu(spec: NetworkSpec, *, half: bool) -> nn.Module:
    """A network as GPUs run it best, which choose the algorithms of their convolutions themselves.

    Args:
        spec: The network.
        half: Convolutions in float16. Norms compute in float32 (see `InstanceNorm`), and so do the
            final sum and clamp of every model here.
    """
    module = folded(spec.module)
    return module.half() if half else module


def export_onnx(module: nn.Module, spec: NetworkSpec, *, side: int | None = None) -> bytes:
    """A network as ONNX, its weights included, with one input ``input`` and float32 in and out.

    Args:
        module: From `for_cpu` or `for_gpu`.
        spec: The shapes that it will be given.
        side: Fix height and width to this; None leaves them dynamic where the spec allows.
    """
    fixed = side or spec.side
    height = fixed or max(64, spec.least)
    width = fixed or max(96, spec.least)
    dynamic = torch.export.Dim.DYNAMIC
    shape = {0: dynamic} if fixed else {0: dynamic, 2: dynamic, 3: dynamic}
    sample = torch.zeros(2, 3, height, width)
    with _exporting, _quiet(), torch.inference_mode(False):
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
        return bytes(program.model_proto.SerializeToString())


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
