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
    """A network run by TensorRT; where the spec wants it, one plan for each crop size."""

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
        self._closed = False
        if not spec.plan_per_side:
            self._runner(None)

    def __call__(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        if self._closed:
            raise EngineError("the network was closed")
        runner = self._runner(batch.shape[-1] if self._spec.plan_per_side else None)
        step = self._spec.batch
        parts = [runner.run(batch[i : i + step]) for i in range(0, len(batch), step)]
        if len(parts) == 1:
            return parts[0]
        return tuple(np.concatenate(outputs) for outputs in zip(*parts, strict=True))

    def close(self) -> None:
        self._closed = True
        self._runners.clear()

    def _runner(self, side: int | None) -> _Runner:
        if side not in self._runners:
            path = self._plan(side)
            try:
                self._runners[side] = self._load(path.read_bytes())
            except EngineError:
                forget(path)  # built under another driver, or damaged: once more
                self._runners[side] = self._load(self._plan(side).read_bytes())
        return self._runners[side]

    def _load(self, plan: bytes) -> _Runner:
        return _Runner(self._trt, self._logger, plan, self.device)

    def _plan(self, side: int | None) -> Path:
        """The cached plan for a size; one that was just built has been compared with torch."""
        spec, trt = self._spec, self._trt
        parts = {
            "kind": "tensorrt plan",
            "schema": SCHEMA,
            "opset": OPSET,
            "network": spec.fingerprint(),
            "torch": torch.__version__,
            "package": trt.__name__,
            "version": trt.__version__,
            "half": spec.half,
            "profile": profile_shapes(spec, side),
            "workspace": _WORKSPACE_BYTES,
            "gpu": torch.cuda.get_device_name(self.device),
            "sm": torch.cuda.get_device_capability(self.device),
        }

        def make(path: Path) -> None:
            path.write_bytes(self._build(side))

        size = f"{side} px" if side else "any size"
        return cached(
            spec.name,
            ".plan",
            parts,
            make,
            on_make=lambda: self._on_status(f"building {spec.name} for TensorRT, {size}, once ..."),
        )

    def _build(self, side: int | None) -> bytes:
        """Build in half precision if the spec wants it and the result is right, else in float32."""
        if self._spec.half:
            plan = self._build_as(side, half=True)
            quality = self._quality(plan, side)
            if quality >= _LEAST_PSNR:
                return plan
            _log.warning(
                "%s at %s px loses precision in float16 (%.1f dB); using float32",
                self._spec.name,
                side,
                quality,
            )
        return self._build_as(side, half=False)

    def _build_as(self, side: int | None, *, half: bool) -> bytes:
        with tempfile.TemporaryDirectory() as folder, torch.cuda.device(self.device):
            onnx = Path(folder) / "network.onnx"
            export_onnx(self._spec, onnx, half=half, side=side)
            return build_plan(self._trt, onnx.read_bytes(), self._spec, side, logger=self._logger)

    def _quality(self, plan: bytes, side: int | None) -> float:
        """Worst PSNR in dB against torch in float32, over smooth, nearly flat and noisy crops."""
        runner = self._load(plan)
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
    """One plan, one execution context and one stream, all on one device."""

    def __init__(self, trt: Any, logger: Any, plan: bytes, device: str) -> None:
        self._device = torch.device(device)
        with torch.cuda.device(self._device):
            self._runtime = trt.Runtime(logger)
            engine = self._runtime.deserialize_cuda_engine(plan)
            if engine is None:
                raise EngineError("TensorRT cannot load its plan on this GPU; use --engine torch")
            self._engine = engine
            self._context = engine.create_execution_context()
            self._stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        inputs = [n for n in names if engine.get_tensor_mode(n) == trt.TensorIOMode.INPUT]
        self._input = inputs[0]
        self._outputs = [name for name in names if name not in inputs]

    def run(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Run one batch that is within the plan's profile.

        Raises:
            EngineError: It is not, or TensorRT fails.
        """
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            images = torch.from_numpy(np.ascontiguousarray(batch)).pin_memory()
            images = images.to(self._device, non_blocking=True)
            if not self._context.set_input_shape(self._input, tuple(images.shape)):
                raise EngineError(f"TensorRT's plan does not take the shape {tuple(images.shape)}")
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
