"""The TensorRT engine: the fastest on NVIDIA GPUs.

One code for ``tensorrt`` 10 and 11 and for ``tensorrt-rtx``: the module is a parameter. Networks
are always strongly typed; half precision is in the exported graph, with norms and the output's tail
in float32. A plan is checked against torch in float32 when it is built; one that fails is built
again in float32, with a warning. Plans are programs: only those this module built, in the user's
private cache folder, are loaded.
"""

from __future__ import annotations

import importlib
import logging
import math
import tempfile
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

_log = logging.getLogger(__name__)
_LEAST_PSNR = 50.0
_WORKSPACE_BYTES = 2 << 30


def load_tensorrt() -> Any:
    """Import ``tensorrt``, or ``tensorrt_rtx`` where only that is installed.

    Raises:
        ImportError: Neither is installed.
    """
    try:
        return importlib.import_module("tensorrt")
    except ImportError:
        return importlib.import_module("tensorrt_rtx")


def tensorrt_problem() -> str | None:
    """Why TensorRT cannot be used, or None if it can."""
    try:
        load_tensorrt()
    except ImportError:
        return "it is not installed; pip install 'vidfacedeblur[tensorrt]'"
    return None


def build_plan(
    trt: Any, onnx: bytes, spec: NetworkSpec, side: int | None, *, logger: Any = None
) -> bytes:
    """Build a strongly typed plan with a batch profile from an ONNX file's content.

    Needs no GPU with ``tensorrt-rtx``.

    Args:
        trt: The ``tensorrt`` or ``tensorrt_rtx`` module.
        onnx: The exported network.
        spec: The network that was exported.
        side: Height and width of the plan, or None for a range of both.
        logger: TensorRT's own; None makes one that prints errors.

    Raises:
        EngineError: The network cannot be parsed or built.
    """
    logger = logger or trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    # In TensorRT 11 networks are always strongly typed; where the flag exists it is still taken.
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    network = builder.create_network(0 if flag is None else 1 << int(flag))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(onnx):
        reasons = [str(parser.get_error(i)) for i in range(parser.num_errors)]
        raise EngineError(f"TensorRT cannot read {spec.name}: {'; '.join(reasons)}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, _WORKSPACE_BYTES)
    profile = builder.create_optimization_profile()
    profile.set_shape(network.get_input(0).name, *profile_shapes(spec, side))
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineError(f"TensorRT cannot build {spec.name}; use --engine torch")
    return bytes(plan)


def profile_shapes(spec: NetworkSpec, side: int | None) -> tuple[tuple[int, ...], ...]:
    """Smallest, most common and largest input shape of a plan."""
    fixed = side or spec.side
    if fixed:
        return tuple((n, 3, fixed, fixed) for n in (1, min(4, spec.batch), spec.batch))
    tall, wide = spec.largest
    common = (min(360, tall), min(640, wide))
    return (1, 3, spec.least, spec.least), (1, 3, *common), (spec.batch, 3, tall, wide)


class TensorRTNetwork:
    """A network run by TensorRT: one plan for each crop size, built when first needed."""

    engine = "tensorrt"

    def __init__(self, spec: NetworkSpec, device: str, *, on_status: Callable[[str], None]) -> None:
        try:
            self._trt = load_tensorrt()
        except ImportError as error:
            raise EngineUnavailableError(str(tensorrt_problem())) from error
        self.device = device
        self._spec = spec
        self._on_status = on_status
        self._logger = self._trt.Logger(self._trt.Logger.ERROR)
        self._runners: dict[int | None, _Runner] = {}
        self._per_side = spec.half  # deblurring networks: a plan a crop size
        if not self._per_side:
            self._runner(None)

    def __call__(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        runner = self._runner(batch.shape[-1] if self._per_side else None)
        step = self._spec.batch
        parts = [runner.run(batch[i : i + step]) for i in range(0, len(batch), step)]
        if len(parts) == 1:
            return parts[0]
        return tuple(np.concatenate(outputs) for outputs in zip(*parts, strict=True))

    def close(self) -> None:
        self._runners.clear()

    def _runner(self, side: int | None) -> _Runner:
        if side not in self._runners:
            self._runners[side] = self._open(side)
        return self._runners[side]

    def _open(self, side: int | None) -> _Runner:
        if not self._spec.half:
            return self._load(side, half=False)
        runner = self._load(side, half=True)
        quality = self._quality(runner, side)
        if quality >= _LEAST_PSNR:
            return runner
        _log.warning(
            "%s at %s px loses precision in float16 (%.1f dB); using float32",
            self._spec.name,
            side,
            quality,
        )
        return self._load(side, half=False)

    def _load(self, side: int | None, *, half: bool) -> _Runner:
        path = self._plan(side, half=half)
        try:
            return _Runner(self._trt, self._logger, path.read_bytes(), self.device)
        except EngineError:
            forget(path)  # built by another driver, or damaged: once more
            return _Runner(
                self._trt, self._logger, self._plan(side, half=half).read_bytes(), self.device
            )

    def _plan(self, side: int | None, *, half: bool) -> Path:
        spec, trt = self._spec, self._trt
        size = f"{side} px" if side else "any size"
        parts = {
            "kind": "tensorrt plan",
            "schema": SCHEMA,
            "opset": OPSET,
            "network": spec.fingerprint(),
            "torch": torch.__version__,
            "package": trt.__name__,
            "version": trt.__version__,
            "precision": "fp16" if half else "fp32",
            "profile": profile_shapes(spec, side),
            "workspace": _WORKSPACE_BYTES,
            "gpu": torch.cuda.get_device_name(self.device),
            "sm": torch.cuda.get_device_capability(self.device),
        }

        def make(path: Path) -> None:
            with tempfile.TemporaryDirectory() as folder:
                onnx = Path(folder) / "network.onnx"
                export_onnx(spec, onnx, half=half, side=side)
                path.write_bytes(
                    build_plan(trt, onnx.read_bytes(), spec, side, logger=self._logger)
                )

        return cached(
            spec.name,
            ".plan",
            parts,
            make,
            on_make=lambda: self._on_status(f"building {spec.name} for TensorRT, {size}, once ..."),
        )

    def _quality(self, runner: _Runner, side: int | None) -> float:
        """Worst PSNR in dB against torch in float32, over smooth, flat and noisy crops."""
        worst = math.inf
        for sample in check_samples(self._spec, 2):
            size = side or sample.shape[-1]
            crops = torch.nn.functional.interpolate(sample, (size, size))
            with torch.inference_mode():
                wanted = self._spec.module.cpu()(crops).numpy()
            error = float(np.mean((runner.run(crops.numpy())[0] - wanted) ** 2))
            if not math.isfinite(error):
                return -math.inf
            worst = min(worst, 10 * math.log10(4 / max(error, 1e-12)))
        return worst


class _Runner:
    """One plan, one execution context and one stream."""

    def __init__(self, trt: Any, logger: Any, plan: bytes, device: str) -> None:
        self._runtime = trt.Runtime(logger)
        engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise EngineError("TensorRT cannot load its plan on this GPU; use --engine torch")
        self._engine = engine
        self._context = engine.create_execution_context()
        self._device = torch.device(device)
        self._stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        inputs = [n for n in names if engine.get_tensor_mode(n) == trt.TensorIOMode.INPUT]
        self._input = inputs[0]
        self._outputs = [name for name in names if name not in inputs]

    def run(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        with torch.cuda.stream(self._stream):
            images = torch.from_numpy(np.ascontiguousarray(batch)).pin_memory()
            images = images.to(self._device, non_blocking=True)
            self._context.set_input_shape(self._input, tuple(images.shape))
            self._context.set_tensor_address(self._input, images.data_ptr())
            outputs = [self._allocate(name) for name in self._outputs]
            if not self._context.execute_async_v3(self._stream.cuda_stream):
                raise EngineError("TensorRT failed to run; use --engine torch")
            results = [output.to("cpu", non_blocking=True) for output in outputs]
            self._stream.synchronize()
        return tuple(result.numpy() for result in results)

    def _allocate(self, name: str) -> torch.Tensor:
        shape = tuple(self._context.get_tensor_shape(name))
        output = torch.empty(shape, dtype=torch.float32, device=self._device)
        self._context.set_tensor_address(name, output.data_ptr())
        return output
