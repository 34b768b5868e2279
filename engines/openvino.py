"""The OpenVINO engine: the fastest on CPUs. Runs the exported ONNX file in float32."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vidfacedeblur.engines.batches import Batch, Outputs, in_steps
from vidfacedeblur.engines.cache import cached, forget
from vidfacedeblur.engines.export import OPSET, SCHEMA, export_onnx, for_cpu
from vidfacedeblur.engines.parity import worst_difference
from vidfacedeblur.engines.skeleton import write_filled
from vidfacedeblur.engines.spec import NetworkSpec
from vidfacedeblur.engines.threads import default_threads
from vidfacedeblur.errors import EngineError, EngineUnavailableError

_TOLERANCE = 5e-3
"""Largest difference from torch that is accepted, on outputs whose full scale is 2. Bundled weights
stay below 1e-3; instance norms of untrained ones enlarge rounding errors up to here."""


def openvino_problem() -> str | None:
    """Why OpenVINO cannot be used, or None if it can."""
    try:
        openvino_core()
    except (ImportError, RuntimeError) as error:
        return f"openvino cannot be used ({str(error).splitlines()[0]}); pip install openvino"
    return None


@functools.cache
def openvino_core() -> Any:
    """OpenVINO's own object, made once."""
    import openvino  # 0.3 s, and absent on some machines

    return openvino.Core()


class OpenVINONetwork:
    """A network run by OpenVINO on the CPU, any height and width from one compiled model.

    Args:
        request: From `open_graph`.
        batch: Larger batches are split.
    """

    engine = "openvino"
    device = "cpu"

    def __init__(self, request: Any, *, batch: int) -> None:
        self._request: Any = request
        self._batch = batch

    def __call__(self, batch: Batch) -> Outputs:
        if self._request is None:
            raise EngineError("the network was closed")
        request = self._request
        return in_steps(lambda part: infer(request, part), batch, self._batch)

    def close(self) -> None:
        self._request = None


def open_openvino(
    spec: NetworkSpec, *, threads: int | None, on_status: Callable[[str], None]
) -> OpenVINONetwork:
    """Make a network ready to run, from the cache or exported now.

    Raises:
        EngineUnavailableError: OpenVINO is not installed.
        EngineError: It computes something else than torch does.
    """
    problem = openvino_problem()
    if problem:
        raise EngineUnavailableError(problem)
    try:
        request = open_graph(exported(spec, on_status), threads)
    except RuntimeError:  # this OpenVINO cannot read the cached file: once more
        forget(exported(spec, on_status))
        request = open_graph(exported(spec, on_status), threads)
    return OpenVINONetwork(request, batch=spec.batch)


def exported(spec: NetworkSpec, on_status: Callable[[str], None]) -> Path:
    """The network's ONNX file in the cache; one that was just made has been compared with torch.

    Raises:
        EngineError: OpenVINO computes something else of it than torch does.
    """
    parts = {
        "kind": "onnx fp32",
        "schema": SCHEMA,
        "opset": OPSET,
        "network": spec.fingerprint(),
        "torch": torch.__version__,
        "openvino": str(openvino_core().get_versions("CPU")["CPU"].build_number),
    }

    def make(path: Path) -> None:
        # A shipped graph may be older than the code; then the export takes its place.
        if write_filled(spec, path) and _difference(spec, path) <= _TOLERANCE:
            return
        export_onnx(for_cpu(spec), spec, path)
        error = _difference(spec, path)
        if not error <= _TOLERANCE:
            raise EngineError(
                f"OpenVINO computes {spec.name} wrongly (off by {error:.2g}); use --engine torch"
            )

    return cached(
        spec.name,
        ".onnx",
        parts,
        make,
        on_make=lambda: on_status(f"preparing {spec.name} for OpenVINO, once ..."),
    )


def _difference(spec: NetworkSpec, path: Path) -> float:
    """How far an ONNX file is from torch, at worst."""
    request = open_graph(path, None)
    return worst_difference(spec, lambda batch: infer(request, batch))


def open_graph(path: Path, threads: int | None) -> Any:
    """Compile a graph for the CPU, ONNX or OpenVINO's own (``.xml``); returns what `infer` takes.

    Raises:
        RuntimeError: OpenVINO cannot read it.
    """
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads or default_threads(),
        # float32 said explicitly: newer CPUs would otherwise compute in bfloat16.
        "INFERENCE_PRECISION_HINT": "f32",
    }
    core = openvino_core()
    # A file that does not have its own suffix yet is read here: OpenVINO goes by the suffix.
    named = path.suffix in (".onnx", ".xml")
    model = core.read_model(path) if named else core.read_model(path.read_bytes(), b"")
    return core.compile_model(model, "CPU", settings).create_infer_request()


def infer(request: Any, batch: Batch) -> Outputs:
    """Run one batch."""
    # The results are copies: OpenVINO shares its memory only where `share_outputs` asks for it.
    return tuple(request.infer([np.ascontiguousarray(batch)], share_inputs=True).values())
