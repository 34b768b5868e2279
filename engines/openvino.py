"""The OpenVINO engine: the fastest on CPUs. Runs the exported ONNX file in float32."""

from __future__ import annotations

import functools
from collections.abc import Callable
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
        self._request: Any = None
        parts = {
            "kind": "onnx fp32",
            "schema": SCHEMA,
            "opset": OPSET,
            "network": spec.fingerprint(),
            "torch": torch.__version__,
        }
        fresh: list[bool] = []

        def announce() -> None:
            fresh.append(True)
            on_status(f"preparing {spec.name} for OpenVINO, once ...")

        def build() -> Any:
            path = cached(
                spec.name, ".onnx", parts, lambda p: export_onnx(spec, p), on_make=announce
            )
            try:
                return path, self._compile(path)
            except RuntimeError:
                forget(path)
                raise

        try:
            path, compiled = build()
        except RuntimeError:
            path, compiled = build()  # once more, from a fresh export
        self._request = compiled.create_infer_request()
        if fresh:
            try:
                self._verify(spec)
            except EngineError:
                forget(path)
                raise

    @staticmethod
    def _compile(path: Any) -> Any:
        # float32 said explicitly: newer CPUs would otherwise compute in bfloat16.
        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        return _core().compile_model(_core().read_model(str(path)), "CPU", settings)

    def _verify(self, spec: NetworkSpec) -> None:
        """Compare with torch on a few inputs; done once, when the file was just made."""
        for sample in check_samples(spec, 3):
            with torch.inference_mode():
                wanted = spec.module(sample)
            wanted = wanted if isinstance(wanted, tuple) else (wanted,)
            for ours, theirs in zip(self(sample.numpy()), wanted, strict=True):
                error = float(np.abs(ours - theirs.numpy()).max())
                if not error <= _TOLERANCE:
                    raise EngineError(
                        f"OpenVINO computes {spec.name} wrongly (off by {error:.2g}); use"
                        " --engine torch"
                    )

    def __call__(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        if self._request is None:
            raise EngineError("the network was closed")
        parts = [self._run(batch[i : i + self._batch]) for i in range(0, len(batch), self._batch)]
        if len(parts) == 1:
            return parts[0]
        return tuple(np.concatenate(outputs) for outputs in zip(*parts, strict=True))

    def _run(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        results = self._request.infer([np.ascontiguousarray(batch)])
        # Copied: the next call writes into the same memory.
        return tuple(np.array(value) for value in results.values())

    def close(self) -> None:
        self._request = None
