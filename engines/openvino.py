"""The OpenVINO engine: the fastest on CPUs. Runs the exported graph in float32."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vidfacedeblur.engines.batches import Batch, Outputs, in_steps
from vidfacedeblur.engines.before_torch import Threads, load_torch, torch_version
from vidfacedeblur.engines.cache import cached, forget
from vidfacedeblur.engines.spec import OPSET, SCHEMA, NetworkSpec
from vidfacedeblur.engines.threads import default_threads
from vidfacedeblur.errors import EngineError, EngineUnavailableError, first_line

_TOLERANCE = 5e-3
"""Largest difference from torch that is accepted, on outputs whose full scale is 2. Bundled weights
stay below 1e-3; instance norms of untrained ones enlarge rounding errors up to here."""
_KEPT = 256
"""Prepared operations of a network that is given pictures of any size, some ten for each size: all
levels of a video and the searches around lost faces. Else they would take 0.4 MB for each size that
ever was, in an archive or a year of a camera up to hundreds of megabytes."""
_importing = threading.RLock()
"""Held while OpenVINO or NNCF is imported: what `no_telemetry` changes is the whole process's."""


def openvino_problem() -> str | None:
    """Why OpenVINO cannot be used, or None if it can."""
    try:
        openvino_core()
    except (ImportError, RuntimeError) as error:
        return f"{first_line(error)}; pip install openvino"
    return None


def openvino_core() -> Any:
    """OpenVINO's own object, made once, whichever threads ask for it."""
    with _importing:  # a cache holds no lock while it waits for what it will keep
        return _new_core()


@functools.cache
def _new_core() -> Any:
    with no_telemetry():
        import openvino  # 0.3 s, and absent on some machines

    return openvino.Core()


@contextmanager
def no_telemetry() -> Iterator[None]:
    """Keep OpenVINO and NNCF, while they are imported, from finding what reports their use.

    It would send a message over the network from every run, and fork for it: in a process of many
    threads the fork may hang, and the exit then waits for it.
    """
    name = "openvino_telemetry"
    with _importing:
        before = sys.modules.get(name)
        sys.modules[name] = None  # type: ignore[assignment]  # an import of it fails
        try:
            yield
        finally:
            if before is not None:
                sys.modules[name] = before
            else:
                del sys.modules[name]


class OpenVINONetwork:
    """A network run by OpenVINO on the CPU, any height and width from one compiled model.

    Args:
        request: OpenVINO's own, for one compiled model.
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
        EngineError: It cannot run the network, or computes something else than torch does.
    """
    problem = openvino_problem()
    if problem:
        raise EngineUnavailableError(f"engine openvino cannot be used: {problem}")
    Threads.need("openvino")
    try:
        request = _opened(spec, threads, on_status)
    except RuntimeError as error:
        raise EngineError(
            f"OpenVINO cannot run {spec.name}: {first_line(error)}; use --engine torch"
        ) from error
    return OpenVINONetwork(request, batch=spec.batch)


def _opened(spec: NetworkSpec, threads: int | None, on_status: Callable[[str], None]) -> Any:
    path = prepared(spec, on_status)
    kept = _KEPT if spec.side is None and not spec.plan_per_side else None
    try:
        return import_graph(path, threads, kept=kept)
    except (RuntimeError, FileNotFoundError):  # unreadable, or just cleaned away: once more
        forget(path)
        return import_graph(prepared(spec, on_status), threads, kept=kept)


def prepared(spec: NetworkSpec, on_status: Callable[[str], None]) -> Path:
    """The network in OpenVINO's compiled form, in the cache; compared with torch when it was made.

    Raises:
        EngineError: OpenVINO computes something else of it than torch does.
    """
    core = openvino_core()
    parts = {
        "kind": "openvino fp32",
        "schema": SCHEMA,
        "opset": OPSET,
        "network": spec.fingerprint(),
        "torch": torch_version(),
        "openvino": str(core.get_versions("CPU")["CPU"].build_number),
        "processor": str(core.get_property("CPU", "FULL_DEVICE_NAME")),
    }

    def make(path: Path) -> None:
        content = _checked(spec).export_model()
        path.write_bytes(content if isinstance(content, bytes) else content.getvalue())

    return cached(
        spec.name,
        ".blob",
        parts,
        make,
        on_make=lambda: on_status(f"preparing {spec.name} for OpenVINO, once ..."),
    )


def _checked(spec: NetworkSpec) -> Any:
    """Compile the network by way of ONNX, and compare it with torch."""
    load_torch()  # which what is in the cache does not need, nor do the modules above
    from vidfacedeblur.engines.export import export_onnx, for_cpu
    from vidfacedeblur.engines.parity import worst_difference
    from vidfacedeblur.engines.skeleton import filled

    def difference(compiled: Any) -> float:
        request = compiled.create_infer_request()
        return worst_difference(spec, lambda batch: infer(request, batch))

    # A shipped graph may be older than the code; then the export takes its place.
    shipped = filled(spec)
    if shipped is not None:
        compiled = compile_graph(shipped, None)
        if difference(compiled) <= _TOLERANCE:
            return compiled
    compiled = compile_graph(export_onnx(for_cpu(spec), spec), None)
    error = difference(compiled)
    if not error <= _TOLERANCE:
        raise EngineError(
            f"OpenVINO computes {spec.name} wrongly (off by {error:.2g}); use --engine torch"
        )
    return compiled


def compile_graph(graph: Path | bytes, threads: int | None) -> Any:
    """Compile a graph for the CPU: a file of OpenVINO's own (``.xml``), or ONNX.

    Raises:
        RuntimeError: OpenVINO cannot read it.
    """
    core = openvino_core()
    return core.compile_model(core.read_model(graph), "CPU", _settings(threads))


def import_graph(path: Path, threads: int | None, *, kept: int | None = None) -> Any:
    """Load what `prepared` kept, in half the time of compiling it; returns what `infer` takes.

    Args:
        path: The file.
        threads: CPU threads; None: see `threads.default_threads`.
        kept: Operations that OpenVINO keeps prepared for shapes it was given; None: 5,000.

    Raises:
        RuntimeError: OpenVINO cannot read it.
    """
    settings = _settings(threads)
    if kept is not None:
        settings["CPU_RUNTIME_CACHE_CAPACITY"] = kept
    compiled = openvino_core().import_model(path.read_bytes(), "CPU", settings)
    return compiled.create_infer_request()


def _settings(threads: int | None) -> dict[str, Any]:
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads or default_threads(),
        # float32 said explicitly: newer CPUs would otherwise compute in bfloat16.
        "INFERENCE_PRECISION_HINT": "f32",
    }


def infer(request: Any, batch: Batch) -> Outputs:
    """Run one batch."""
    # The results are copies: OpenVINO shares its memory only where `share_outputs` asks for it.
    return tuple(request.infer([np.ascontiguousarray(batch)], share_inputs=True).values())
