"""The OpenVINO engine: the fastest on CPUs. Runs the exported ONNX file in float32."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vidfacedeblur.engines.cache import cached, forget
from vidfacedeblur.engines.export import OPSET, SCHEMA, check_samples, export_onnx
from vidfacedeblur.engines.spec import NetworkSpec
from vidfacedeblur.errors import EngineError, EngineUnavailableError

_TOLERANCE = 2e-3
"""Largest difference from torch that is accepted, on outputs whose full scale is 2."""


def openvino_problem() -> str | None:
    """Why OpenVINO cannot be used, or None if it can."""
    try:
        _core()
    except (ImportError, RuntimeError) as error:
        return f"openvino cannot be used ({str(error).splitlines()[0]}); pip install openvino"
    return None


@functools.cache
def _core() -> Any:
    import openvino  # 0.3 s, and absent on some machines

    return openvino.Core()


class OpenVINONetwork:
    """A network run by OpenVINO on the CPU, any height and width from one compiled model."""

    engine = "openvino"
    device = "cpu"

    def __init__(self, spec: NetworkSpec, *, on_status: Callable[[str], None]) -> None:
        problem = openvino_problem()
        if problem:
            raise EngineUnavailableError(problem)
        self._batch = spec.batch
        try:
            self._request = _request(_onnx(spec, on_status))
        except RuntimeError:  # the cached file is damaged: once more, from a fresh export
            forget(_onnx(spec, on_status))
            self._request = _request(_onnx(spec, on_status))

    def __call__(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        if self._request is None:
            raise EngineError("the network was closed")
        step = self._batch
        parts = [_infer(self._request, batch[i : i + step]) for i in range(0, len(batch), step)]
        if len(parts) == 1:
            return parts[0]
        return tuple(np.concatenate(outputs) for outputs in zip(*parts, strict=True))

    def close(self) -> None:
        self._request = None


def _onnx(spec: NetworkSpec, on_status: Callable[[str], None]) -> Path:
    """The network's exported file; one that was just made has been compared with torch."""
    parts = {
        "kind": "onnx fp32",
        "schema": SCHEMA,
        "opset": OPSET,
        "network": spec.fingerprint(),
        "torch": torch.__version__,
        "openvino": str(_core().get_versions("CPU")["CPU"].build_number),
    }

    def make(path: Path) -> None:
        export_onnx(spec, path)
        _verify(spec, path)

    return cached(
        spec.name,
        ".onnx",
        parts,
        make,
        on_make=lambda: on_status(f"preparing {spec.name} for OpenVINO, once ..."),
    )


def _request(path: Path) -> Any:
    # float32 said explicitly: newer CPUs would otherwise compute in bfloat16.
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    # Read here, because OpenVINO goes by the suffix and the file may not have its own yet.
    model = _core().read_model(path.read_bytes(), b"")
    return _core().compile_model(model, "CPU", settings).create_infer_request()


def _infer(request: Any, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
    results = request.infer([np.ascontiguousarray(batch)])
    # Copied: the next call writes into the same memory.
    return tuple(np.array(value) for value in results.values())


def _verify(spec: NetworkSpec, path: Path) -> None:
    """Compare with torch on a few inputs."""
    request = _request(path)
    for sample in check_samples(spec, 3):
        with torch.inference_mode():
            wanted = spec.module(sample)
        wanted = wanted if isinstance(wanted, tuple) else (wanted,)
        for ours, theirs in zip(_infer(request, sample.numpy()), wanted, strict=True):
            error = float(np.abs(ours - theirs.numpy()).max())
            if not error <= _TOLERANCE:
                raise EngineError(
                    f"OpenVINO computes {spec.name} wrongly (off by {error:.2g}); use"
                    " --engine torch"
                )
