"""Which engine runs a network on which device: what was asked for, or the best that works here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vidfacedeblur.config import check_engine
from vidfacedeblur.engines.before_torch import capability, cuda_problem, load_torch
from vidfacedeblur.engines.openvino import open_openvino, openvino_problem
from vidfacedeblur.engines.plans import tensorrt_problem
from vidfacedeblur.engines.spec import NetworkSpec
from vidfacedeblur.errors import EngineUnavailableError
from vidfacedeblur.types import Network


@dataclass(frozen=True)
class Choice:
    """An engine and a device that can be used here."""

    engine: str
    device: str
    passed_over: tuple[str, ...] = ()
    """Better choices that cannot be used, each with the reason, in one line."""
    or_torch: bool = False
    """Whether torch takes over where the engine fails, because nobody asked for it by name."""


def choose(engine: str, device: str) -> Choice:
    """Settle ``auto`` and check what was asked for.

    Only ``auto`` falls back. In order: TensorRT, then torch, on a GPU; OpenVINO, then torch, on the
    CPU.

    Raises:
        OptionError: There is no such engine or device.
        EngineUnavailableError: The engine or device asked for cannot be used; says what would help.
    """
    check_engine(engine, device)
    wants_gpu = device.startswith("cuda") or engine == "tensorrt"
    gpu = device if device.startswith("cuda") else "cuda"
    no_gpu = None if device == "cpu" or engine == "openvino" else cuda_problem(gpu)
    if wants_gpu:
        if no_gpu:
            help_with = "--engine auto" if device == "auto" else "--device cpu or auto"
            raise EngineUnavailableError(f"device {gpu} cannot be used: {no_gpu}; use {help_with}")
        return _on_gpu(engine, gpu)
    if device == "auto" and engine in ("auto", "torch") and no_gpu is None:
        return _on_gpu(engine, gpu)
    passed = (f"cuda: {no_gpu}",) if no_gpu and device == "auto" else ()
    return _on_cpu(engine, passed)


def _on_gpu(engine: str, device: str) -> Choice:
    if engine == "torch":
        return Choice("torch", device)
    problem = tensorrt_problem(capability(device))
    if problem is None:
        return Choice("tensorrt", device, or_torch=engine == "auto")
    if engine == "tensorrt":
        raise EngineUnavailableError(f"engine tensorrt cannot be used: {problem}")
    return Choice("torch", device, (f"tensorrt: {problem}",))


def _on_cpu(engine: str, passed: tuple[str, ...]) -> Choice:
    if engine == "torch":
        return Choice("torch", "cpu", passed)
    problem = openvino_problem()
    if problem is None:
        return Choice("openvino", "cpu", passed)
    if engine == "openvino":
        raise EngineUnavailableError(f"engine openvino cannot be used: {problem}")
    return Choice("torch", "cpu", (*passed, f"openvino: {problem}"))


def open_network(
    spec: NetworkSpec,
    choice: Choice,
    *,
    threads: int | None = None,
    on_status: Callable[[str], None] = lambda line: None,
) -> Network:
    """Make a network ready to run.

    Args:
        spec: The network.
        choice: What runs it; see `choose`.
        threads: CPU threads; None: see `threads.default_threads`.
        on_status: Told in one line when something slow begins.

    Raises:
        WeightsError: What holds the network's weights does not fit it.
        EngineError: The engine computes something else than torch does, or cannot be opened; also
            in a process that was forked from one that has opened a network.
    """
    if choice.engine == "openvino":
        return open_openvino(spec, threads=threads, on_status=on_status)
    load_torch()
    if choice.engine == "tensorrt" and choice.or_torch:
        from vidfacedeblur.engines.or_torch import TensorRTOrTorch

        return TensorRTOrTorch(spec, choice.device, on_status=on_status)
    if choice.engine == "tensorrt":
        from vidfacedeblur.engines.tensorrt import TensorRTNetwork

        return TensorRTNetwork(spec, choice.device, on_status=on_status)
    from vidfacedeblur.engines.torch_ import TorchNetwork

    return TorchNetwork(spec, choice.device, threads=threads)
