"""Building TensorRT plans, with ``tensorrt`` 10 and 11 and ``tensorrt-rtx`` alike.

The module is a parameter, so one code serves all; with ``tensorrt-rtx`` no GPU is needed. Networks
are always strongly typed: their precision is the exported graph's.
"""

from __future__ import annotations

import importlib
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vidfacedeblur.engines.spec import NetworkSpec
from vidfacedeblur.errors import EngineError, EngineUnavailableError

_log = logging.getLogger(__name__)
_INSTALL = "pip install 'vidfacedeblur[tensorrt]'"
_TURING = (7, 5)
"""The oldest that TensorRT-RTX runs on, and only if its plan was made for that alone."""
_NO_RTX = {(8, 0), (9, 0), (10, 0), (10, 3)}
"""A100, H100 and H200, B200, B300: not in the support matrix of TensorRT-RTX, and on an H200
version 1.7 failed."""
WORKSPACE_BYTES = 2 << 30
LEVEL = 3
"""Optimisation level: TensorRT's own default; higher levels search longer for a few per cent."""


def load_tensorrt() -> Any:
    """Import ``tensorrt``, or ``tensorrt_rtx`` where only that is installed.

    Raises:
        ImportError: Neither is installed, or the one that is cannot be loaded.
    """
    try:
        return importlib.import_module("tensorrt")
    except ImportError as error:
        try:
            return importlib.import_module("tensorrt_rtx")
        except ModuleNotFoundError:
            raise error from None  # what is wrong with the one that may be there


def tensorrt_problem(capability: tuple[int, int] | None = None) -> str | None:
    """Why TensorRT cannot be used, or None if it can.

    Args:
        capability: The GPU's compute capability, if there is one.
    """
    try:
        name = load_tensorrt().__name__
    except ModuleNotFoundError:
        return f"it is not installed; {_INSTALL}"
    except ImportError as error:
        return f"it cannot be loaded ({error}); {_INSTALL}"
    if name == "tensorrt_rtx" and capability and (capability in _NO_RTX or capability < _TURING):
        return (
            "tensorrt-rtx does not run on this GPU (compute capability"
            f" {capability[0]}.{capability[1]}); {_INSTALL}"
        )
    return None


def begun(kind: Callable[[Any], Any], logger: Any) -> Any:
    """TensorRT's builder or runtime.

    Raises:
        EngineUnavailableError: It does not start, as with a driver older than its CUDA needs.
    """
    try:
        return kind(logger)
    except (TypeError, RuntimeError) as error:  # the first is what the bindings make of a null
        raise EngineUnavailableError(
            "TensorRT does not start with this GPU and driver; use --engine torch"
        ) from error


def build_plan(
    trt: Any,
    onnx: bytes,
    spec: NetworkSpec,
    side: int | None,
    *,
    half: bool,
    capability: tuple[int, int] | None = None,
    logger: Any = None,
    timing_cache: Path | None = None,
    on_progress: Callable[[float], None] = lambda share: None,
) -> bytes:
    """Build a strongly typed plan with a batch profile from an ONNX file's content.

    Args:
        trt: The ``tensorrt`` or ``tensorrt_rtx`` module.
        onnx: The exported network.
        spec: The network that was exported.
        side: Height and width of the plan, or None for a range of both.
        half: Whether its convolutions must be in float16.
        capability: The GPU's compute capability; None: of any.
        logger: TensorRT's own; None makes one that prints errors.
        timing_cache: File of measured kernels that is used and added to, so that a second build is
            faster; None, or ``tensorrt_rtx``, which has none without a GPU: not used.
        on_progress: Told now and then how much is done, 0 to 1.

    Raises:
        EngineError: The network cannot be parsed or built, or is not of the precision asked for.
    """
    logger = logger or trt.Logger(trt.Logger.ERROR)
    builder = begun(trt.Builder, logger)
    # In TensorRT 11 networks are always strongly typed; where the flag exists it is still taken.
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    network = builder.create_network(0 if flag is None else 1 << int(flag))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(onnx):
        reasons = [str(parser.get_error(i)) for i in range(parser.num_errors)]
        raise EngineError(f"TensorRT cannot read {spec.name}: {'; '.join(reasons)}")
    if half:
        _check_half(trt, network, spec)
    config = _config(trt, builder, half=half, capability=capability)
    monitor = _monitor(trt, on_progress)
    config.progress_monitor = monitor
    profile = builder.create_optimization_profile()
    profile.set_shape(network.get_input(0).name, *profile_shapes(spec, side))
    config.add_optimization_profile(profile)
    timings = _timings(trt, config, timing_cache)
    plan = builder.build_serialized_network(network, config)
    if monitor.error is not None:
        raise monitor.error
    if plan is None:
        raise EngineError(f"TensorRT cannot build {spec.name}; use --engine torch")
    if timings is not None and timing_cache is not None:
        _keep(timing_cache, bytes(timings.serialize()))
    return bytes(plan)


def _config(trt: Any, builder: Any, *, half: bool, capability: tuple[int, int] | None) -> Any:
    """How a plan is to be built, but for its shapes."""
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    config.builder_optimization_level = LEVEL
    if trt.__name__ == "tensorrt_rtx" and capability == _TURING:
        config.num_compute_capabilities = 1
        config.set_compute_capability(trt.ComputeCapability.SM75, 0)
    if not half:
        config.clear_flag(trt.BuilderFlag.TF32)  # or float32 would have float16's precision
    return config


def profile_shapes(spec: NetworkSpec, side: int | None) -> tuple[tuple[int, ...], ...]:
    """Smallest, most common and largest input shape of a plan."""
    fixed = side or spec.side
    if fixed:
        return tuple((n, 3, fixed, fixed) for n in (1, min(4, spec.batch), spec.batch))
    tall, wide = spec.largest
    common = (min(360, tall), min(640, wide))
    return (1, 3, spec.least, spec.least), (1, 3, *common), (spec.batch, 3, tall, wide)


def _check_half(trt: Any, network: Any, spec: NetworkSpec) -> None:
    """Make sure that the parser left the convolutions in float16.

    In a strongly typed network the plan has the precision that the network has here.
    """
    layers = [network.get_layer(i) for i in range(network.num_layers)]
    convolutions = [layer for layer in layers if layer.type == trt.LayerType.CONVOLUTION]
    wrong = [c.name for c in convolutions if c.get_output(0).dtype != trt.DataType.HALF]
    if wrong or not convolutions:
        raise EngineError(f"TensorRT reads {spec.name} as float32, not float16: {wrong[:1]}")


def _timings(trt: Any, config: Any, path: Path | None) -> Any:
    if path is None or trt.__name__ != "tensorrt":
        return None
    own = path.is_file() and path.lstat().st_uid == os.geteuid()
    timings = config.create_timing_cache(path.read_bytes()) if own else None
    if timings is None:  # none yet, somebody else's, or damaged
        timings = config.create_timing_cache(b"")
    return timings if config.set_timing_cache(timings, ignore_mismatch=False) else None


def _keep(path: Path, content: bytes) -> None:
    """Write the timings; a finished plan is not lost because they cannot be."""
    try:
        number, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
        os.close(number)
        part = Path(name)
        try:
            part.write_bytes(content)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        _log.info("cannot keep TensorRT's timings in %s: %s", path, error.strerror)


def _monitor(trt: Any, on_progress: Callable[[float], None]) -> Any:
    """TensorRT's progress, of its outermost phase, as a share."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.steps: dict[str, int] = {}
            self.outermost: str | None = None
            self.error: BaseException | None = None
            """What `on_progress` raised, as Ctrl-C does: TensorRT would swallow it."""

        def phase_start(self, phase: str, _: str | None, steps: int) -> None:
            if self.outermost is None:
                self.outermost = phase
            self.steps[phase] = steps

        def step_complete(self, phase: str, step: int) -> bool:
            if phase == self.outermost:
                self.tell((step + 1) / max(1, self.steps[phase]))
            return self.error is None  # False cancels the build

        def phase_finish(self, phase: str) -> None:
            if phase == self.outermost:
                self.tell(1.0)

        def tell(self, share: float) -> None:
            try:
                on_progress(min(1.0, share))
            except BaseException as error:  # noqa: BLE001 - raised again after the build
                self.error = error

    return Monitor()
