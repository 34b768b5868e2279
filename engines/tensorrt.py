"""The TensorRT engine: the fastest on NVIDIA GPUs.

Half precision is in the exported graph, with norms and the output's tail in float32. A plan is
checked against torch in float32 when it is built; one that fails is built again in float32, with a
warning. Plans are programs: only those this module built, in the user's private cache folder, are
loaded.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path

import torch

from vidfacedeblur.engines.batches import Batch, Outputs, filled_up, in_steps
from vidfacedeblur.engines.cache import cache_folder, cached, forget
from vidfacedeblur.engines.export import export_onnx, for_gpu
from vidfacedeblur.engines.parity import reference, worst_psnr
from vidfacedeblur.engines.plans import (
    LEVEL,
    WORKSPACE_BYTES,
    begun,
    build_plan,
    load_tensorrt,
    profile_shapes,
    tensorrt_problem,
)
from vidfacedeblur.engines.runner import Runner, UnreadablePlanError
from vidfacedeblur.engines.spec import OPSET, SCHEMA, NetworkSpec
from vidfacedeblur.engines.torch_ import numbered
from vidfacedeblur.errors import EngineError, EngineUnavailableError

_log = logging.getLogger(__name__)
_LEAST_PSNR = 50.0
_DRIVER = Path("/sys/module/nvidia/version")


class TensorRTNetwork:
    """A network run by TensorRT; where the spec wants it, one plan for each crop size.

    Args:
        spec: The network.
        device: ``cuda`` or ``cuda:N``.
        on_status: Told in one line when a plan is being built, and how far it is.
        graphs: Replay CUDA graphs where a plan has few shapes.
    """

    engine = "tensorrt"

    def __init__(
        self,
        spec: NetworkSpec,
        device: str,
        *,
        on_status: Callable[[str], None],
        graphs: bool = True,
    ) -> None:
        try:
            self._trt = load_tensorrt()
        except ImportError as error:
            raise EngineUnavailableError(str(tensorrt_problem())) from error
        self.device = numbered(device)
        self._spec = spec
        self._on_status = on_status
        self._graphs = graphs
        self._logger = self._trt.Logger(self._trt.Logger.ERROR)
        with torch.cuda.device(self.device):
            self._runtime = begun(self._trt.Runtime, self._logger)
        self._runners: dict[int | None, Runner] = {}
        self._closed = False
        self.device_ms = 0.0
        """Milliseconds that the last batch took on the GPU, copies aside."""
        if not spec.plan_per_side:
            self.prepare(None)

    def __call__(self, batch: Batch) -> Outputs:
        if self._closed:
            raise EngineError("the network was closed")
        if not self._within_profile(batch):
            # A picture of tens of megapixels: rare, and no reason to hold memory for it.
            return in_steps(lambda part: reference(self._spec, part), batch, self._spec.batch)
        runner = self.prepare(batch.shape[-1] if self._spec.plan_per_side else None)
        largest = self._spec.batch

        self.device_ms = 0.0

        def run(part: Batch) -> Outputs:
            outputs = runner.run(filled_up(part, largest))
            self.device_ms += runner.milliseconds
            return tuple(output[: len(part)] for output in outputs)

        return in_steps(run, batch, largest)

    def _within_profile(self, batch: Batch) -> bool:
        tall, wide = self._spec.largest
        return bool(batch.shape[2] <= tall and batch.shape[3] <= wide)

    def close(self) -> None:
        self._closed = True
        self._runners.clear()

    def prepare(self, side: int | None) -> Runner:
        """The runner for a crop size (None: every size), from the cache or built now."""
        if side not in self._runners:
            path = self._plan(side)
            try:
                self._runners[side] = self._load(path.read_bytes(), side)
            except (UnreadablePlanError, FileNotFoundError):
                forget(path)  # built under another driver, or just cleaned away: once more
                self._runners[side] = self._load(self._plan(side).read_bytes(), side)
        return self._runners[side]

    def _load(self, plan: bytes, side: int | None) -> Runner:
        # TensorRT-RTX compiles kernels and takes memory while it runs, which no recording bears;
        # the detector's networks have few kernels, and batches of all sizes.
        graphs = self._graphs and self._trt.__name__ == "tensorrt" and side is not None
        return Runner(self._trt, self._runtime, plan, self.device, graphs=graphs)

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
            "workspace": WORKSPACE_BYTES,
            "level": LEVEL,
            "gpu": torch.cuda.get_device_name(self.device),
            "sm": self._capability(),
            "driver": _driver(),
        }

        def make(path: Path) -> None:
            path.write_bytes(self._build(side))

        return cached(
            spec.name,
            ".engine",
            parts,
            make,
            on_make=lambda: self._say(side, ""),
        )

    def _capability(self) -> tuple[int, int]:
        return torch.cuda.get_device_capability(self.device)

    def _say(self, side: int | None, done: str) -> None:
        size = f"{side} px" if side else "any size"
        self._on_status(f"building {self._spec.name} for TensorRT, {size}, once ...{done}")

    def _build(self, side: int | None) -> bytes:
        """Build in half precision if the spec wants it and the result is right, else in float32."""
        if self._spec.half:
            plan = self._build_as(side, half=True)
            quality = worst_psnr(self._spec, self._load(plan, side).run, side=side)
            if quality >= _LEAST_PSNR:
                return plan
            _log.warning(
                "%s at %s px loses precision in float16 (%.1f dB); using float32",
                self._spec.name,
                side,
                quality,
            )
        plan = self._build_as(side, half=False)
        quality = worst_psnr(self._spec, self._load(plan, side).run, side=side)
        if quality < _LEAST_PSNR:
            raise EngineError(
                f"TensorRT computes {self._spec.name} wrongly ({quality:.1f} dB from torch); use"
                " --engine torch"
            )
        return plan

    def _timings(self) -> Path:
        """Where TensorRT keeps what it measured on this GPU."""
        gpu = re.sub(r"\W+", "-", torch.cuda.get_device_name(self.device))
        return cache_folder() / f"timings-{gpu}-{self._trt.__version__}.bin"

    def _build_as(self, side: int | None, *, half: bool) -> bytes:
        with torch.cuda.device(self.device):
            self._spec.module.cpu()
            return build_plan(
                self._trt,
                export_onnx(for_gpu(self._spec, half=half), self._spec, side=side),
                self._spec,
                side,
                half=half,
                capability=self._capability(),
                logger=self._logger,
                timing_cache=self._timings(),
                on_progress=_quarters(lambda text: self._say(side, text)),
            )


def _driver() -> str:
    """Major version of NVIDIA's driver; empty where the system does not tell, as under Windows."""
    try:
        return _DRIVER.read_text(encoding="ascii").partition(".")[0].strip()
    except OSError:
        return ""


def _quarters(say: Callable[[str], None]) -> Callable[[float], None]:
    """Turn a share into text, each time that another quarter is done."""
    said = 0

    def tell(share: float) -> None:
        nonlocal said
        if int(4 * share) > said and share < 1:
            said = int(4 * share)
            say(f" {25 * said} %")

    return tell
