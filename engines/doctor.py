"""What this machine has for running networks, and what is missing."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

import torch

from vidfacedeblur.engines.before_torch import capability, cuda_problem
from vidfacedeblur.engines.cache import cache_folder, entries
from vidfacedeblur.engines.openvino import openvino_problem
from vidfacedeblur.engines.plans import tensorrt_problem
from vidfacedeblur.engines.select import choose
from vidfacedeblur.engines.threads import default_threads, usable_cores
from vidfacedeblur.provenance import processor_name

_PACKAGES = ("torch", "openvino", "tensorrt", "tensorrt-rtx", "onnx", "onnxscript", "numpy")


@dataclass(frozen=True)
class EngineState:
    """An engine on a device."""

    engine: str
    device: str
    usable: bool
    detail: str
    """What it runs on, or why it cannot be used and what would help."""


@dataclass(frozen=True)
class Findings:
    """Everything the doctor looked at; plain values."""

    processor: str
    cores: int
    """That this process may use."""
    threads: int
    """That a network gets unless told otherwise."""
    memory_gib: float
    """Of the machine; 0 if unknown."""
    gpus: tuple[str, ...]
    packages: dict[str, str | None]
    """Version of each package; None where it is not installed."""
    engines: tuple[EngineState, ...]
    chosen: str
    """What ``--engine auto --device auto`` takes."""
    passed_over: tuple[str, ...]
    """Why nothing better is taken."""
    cache: str
    cached_files: int
    cached_bytes: int


def examine() -> Findings:
    """Look at the machine. Builds nothing and asks no network."""
    choice = choose("auto", "auto")
    kept = entries()
    return Findings(
        processor=processor_name(),
        cores=usable_cores(),
        threads=default_threads(),
        memory_gib=_memory_gib(),
        gpus=gpu_names(),
        packages={name: _version(name) for name in _PACKAGES},
        engines=_engines(),
        chosen=f"{choice.engine} on {choice.device}",
        passed_over=choice.passed_over,
        cache=str(cache_folder()),
        cached_files=len(kept),
        cached_bytes=sum(entry.bytes for entry in kept),
    )


def table(found: Findings) -> str:
    """The findings for a person to read."""
    machine = [
        ("processor", f"{found.processor}, {found.cores} cores, {found.threads} threads a network"),
        ("memory", f"{found.memory_gib:.0f} GiB" if found.memory_gib else "unknown"),
        ("GPU", ", ".join(found.gpus) or "none found"),
        *((name, version or "not installed") for name, version in found.packages.items()),
        ("cache", f"{found.cache}: {found.cached_files} files, {found.cached_bytes / 1e6:.1f} MB"),
    ]
    engines = [
        (f"{e.engine} on {e.device}", ("usable: " if e.usable else "no: ") + e.detail)
        for e in found.engines
    ]
    reasons = [f"  not {reason}" for reason in found.passed_over]
    auto = [f"auto takes {found.chosen}", *reasons]
    return "\n".join([*_columns(machine), "", *_columns(engines), "", *auto])


def gpu_names() -> tuple[str, ...]:
    """Names of the GPUs that torch can use."""
    if not torch.cuda.is_available():
        return ()
    return tuple(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))


def _engines() -> tuple[EngineState, ...]:
    openvino, cuda = openvino_problem(), cuda_problem("cuda")
    tensorrt = tensorrt_problem(capability("cuda"))
    gpu = ", ".join(gpu_names())
    return (
        EngineState("tensorrt", "cuda", not (tensorrt or cuda), tensorrt or cuda or gpu),
        EngineState("torch", "cuda", cuda is None, cuda or gpu),
        EngineState("openvino", "cpu", openvino is None, openvino or processor_name()),
        EngineState("torch", "cpu", True, "the reference"),
    )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _memory_gib() -> float:
    try:
        first = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()[0]
        return int(first.split()[1]) / 2**20
    except (OSError, ValueError, IndexError):
        return 0.0


def _columns(rows: list[tuple[str, str]]) -> list[str]:
    width = max(len(name) for name, _ in rows)
    return [f"{name:<{width}}  {text}" for name, text in rows]
