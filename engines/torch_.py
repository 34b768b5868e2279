"""The torch engine: the reference that the others are checked against; runs on any device."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vidfacedeblur.engines.spec import NetworkSpec
from vidfacedeblur.errors import EngineError, EngineUnavailableError


def cuda_problem(device: str) -> str | None:
    """Why a CUDA device cannot be used, or None if it can."""
    if not torch.cuda.is_available():
        built = "has no CUDA support" if torch.version.cuda is None else "finds no GPU or driver"
        return f"torch {torch.__version__} {built}"
    number = int(device.partition(":")[2] or 0)
    if number >= torch.cuda.device_count():
        return f"there are {torch.cuda.device_count()} GPUs, numbered from 0"
    return None


class TorchNetwork:
    """A network run by torch in float32."""

    engine = "torch"

    def __init__(self, spec: NetworkSpec, device: str) -> None:
        problem = None if device == "cpu" else cuda_problem(device)
        if problem:
            raise EngineUnavailableError(f"device {device} cannot be used: {problem}")
        self.device = device
        self._batch = spec.batch
        self._module: nn.Module | None = spec.module.to(device)
        self._module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        if self._module is None:
            raise EngineError("the network was closed")
        parts = [self._run(batch[i : i + self._batch]) for i in range(0, len(batch), self._batch)]
        if len(parts) == 1:
            return parts[0]
        return tuple(np.concatenate(outputs) for outputs in zip(*parts, strict=True))

    @torch.inference_mode()
    def _run(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        assert self._module is not None
        images = torch.from_numpy(np.ascontiguousarray(batch)).to(self.device)
        output = self._module(images.to(memory_format=torch.channels_last))
        outputs = output if isinstance(output, tuple) else (output,)
        return tuple(o.float().contiguous().cpu().numpy() for o in outputs)

    def close(self) -> None:
        self._module = None
