"""What can be known before torch is loaded, which takes seconds and hundreds of megabytes."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, ClassVar

from vidfacedeblur.errors import EngineError, first_line

_DEVICES = Path("/dev")
_DRIVERS = ("nvidia*", "dxg", "kfd", "nvhost*", "nvgpu*", "nvmap")
"""Devices of which one is there where Linux has a driver for a GPU that torch can use: NVIDIA's,
also under Windows and on a Jetson, and AMD's."""

_reasons: list[str] = []
"""Why torch finds no GPU, which it says once in a process."""

loading: Callable[[], AbstractContextManager[object]] = nullcontext
"""Surrounds the loading. For programs whose handlers of signals raise errors: one that is raised
inside of torch's C++ ends the process."""


def load_torch() -> Any:
    """The module ``torch``."""
    with loading():
        return import_module("torch")


def torch_version() -> str:
    """Version of the torch that is installed."""
    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:  # built by hand
        return str(load_torch().__version__)


def cuda_problem(device: str) -> str | None:
    """Why a CUDA device cannot be used, or None if it can."""
    version = torch_version()
    if "torch" not in sys.modules:
        if version.endswith("+cpu"):
            return f"torch {version} has no CUDA support"
        if sys.platform == "linux" and not _has_driver():
            return f"torch {version} finds no GPU or driver"
    torch = load_torch()
    if not _available(torch):
        if torch.version.cuda is None:
            return f"torch {version} has no CUDA support"
        return ": ".join([f"torch {version} finds no GPU or driver", *_reasons])
    number = int(device.partition(":")[2] or 0)
    if number >= torch.cuda.device_count():
        return f"there are {torch.cuda.device_count()} GPUs, numbered from 0"
    return _failure(torch, device)


def _available(torch: Any) -> bool:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        available = bool(torch.cuda.is_available())
    # As "CUDA initialization: The NVIDIA driver on your system is too old (found version 12040).
    # Please update your GPU driver by ..."
    said = [str(one.message).removeprefix("CUDA initialization: ") for one in told]
    _reasons.extend(text.partition(". ")[0] for text in said[:1])
    return available


def _failure(torch: Any, device: str) -> str | None:
    """What goes wrong in the least that a GPU can do.

    torch counts GPUs that it has no kernels for, and those that another process keeps to itself or
    has filled; it also counts them in a forked process, where it can use none.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the same
        try:
            torch.ones(1, device=device).sum().item()
        except RuntimeError as error:
            return first_line(error)
    return None


def capability(device: str) -> tuple[int, int] | None:
    """Compute capability of a CUDA device, or None if it cannot be used."""
    if cuda_problem(device):
        return None
    major, minor = load_torch().cuda.get_device_capability(device)
    return major, minor


def _has_driver() -> bool:
    return any(any(_DEVICES.glob(name)) for name in _DRIVERS)


class Threads:
    """Of torch and OpenVINO: they do not go through a fork, and a child would wait for them."""

    begun: ClassVar[set[str]] = set()
    """Whose there are in this process."""
    lost: ClassVar[frozenset[str]] = frozenset()
    """Whose were left behind."""

    @classmethod
    def after_fork(cls) -> None:
        """What a forked process has to know."""
        cls.lost = frozenset(cls.begun)

    @classmethod
    def need(cls, engine: str) -> None:
        """Say that threads of ``torch`` or ``openvino`` will be waited for.

        Raises:
            EngineError: They were left behind.
        """
        cls.begun.add(engine)
        if engine not in cls.lost or (engine == "torch" and _one_thread()):
            return
        or_else = ", or call torch.set_num_threads(1) in them first" if engine == "torch" else ""
        raise EngineError(
            f"{engine} worked before this process was forked, and its threads were left behind:"
            f" start processes by 'spawn'{or_else}"
        )


def _one_thread() -> bool:
    return bool(load_torch().get_num_threads() == 1)


os.register_at_fork(after_in_child=Threads.after_fork)
