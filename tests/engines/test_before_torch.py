"""What is said of torch and GPUs without loading torch, and that it is loaded where it must be."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vidfacedeblur.engines import before_torch
from vidfacedeblur.engines.before_torch import cuda_problem, torch_version


class Number:
    def sum(self) -> Number:
        return self

    def item(self) -> float:
        return 1.0


def gpu(**changed: Any) -> SimpleNamespace:
    """torch, with a GPU that works but for what is changed."""
    is_available = changed.pop("is_available", lambda: True)
    cuda = SimpleNamespace(is_available=is_available, device_count=lambda: 1)
    values = {"ones": lambda _, device: Number(), "version": SimpleNamespace(cuda="13.0")}
    return SimpleNamespace(cuda=cuda, **(values | changed))


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The modules that are loaded from now on, torch not being there yet; it has one GPU."""
    names: list[str] = []

    def load(name: str) -> SimpleNamespace:
        names.append(name)
        return gpu()

    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(before_torch, "import_module", load)
    monkeypatch.setattr(sys, "platform", "linux")
    return names


@pytest.mark.parametrize(
    ("version", "drivers", "says"),
    [
        ("2.13.0+cpu", True, "torch 2.13.0+cpu has no CUDA support"),
        ("2.13.0", False, "torch 2.13.0 finds no GPU or driver"),
    ],
)
def test_where_there_can_be_no_gpu_torch_is_not_loaded(
    version: str, drivers: bool, says: str, loaded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(before_torch, "torch_version", lambda: version)
    monkeypatch.setattr(before_torch, "_has_driver", lambda: drivers)
    assert cuda_problem("cuda") == says
    assert loaded == []


def test_where_there_may_be_one_torch_is_asked(
    loaded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(before_torch, "torch_version", lambda: "2.13.0")
    monkeypatch.setattr(before_torch, "_has_driver", lambda: True)
    assert cuda_problem("cuda") is None
    assert cuda_problem("cuda:1") == "there are 1 GPUs, numbered from 0"
    assert set(loaded) == {"torch"}
    monkeypatch.setattr(before_torch, "_has_driver", lambda: False)
    monkeypatch.setattr(sys, "platform", "win32")  # where no folder of devices tells
    assert cuda_problem("cuda") is None


def test_a_driver_that_is_too_old_is_called_that_every_time_and_nothing_else_is_said(
    loaded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def is_available() -> bool:
        if not told:  # torch says it once
            told.append(
                "CUDA initialization: The NVIDIA driver on your system is too old (found version"
                " 12040). Please update your GPU driver by downloading and installing a new"
                " version from the URL: http://www.nvidia.com/Download/index.aspx Alternatively, go"
            )
            warnings.warn(told[0], stacklevel=1)
        return False

    monkeypatch.setattr(before_torch, "_reasons", [])
    monkeypatch.setattr(before_torch, "torch_version", lambda: "2.13.0")
    monkeypatch.setattr(before_torch, "_has_driver", lambda: True)
    monkeypatch.setattr(before_torch, "import_module", lambda _: gpu(is_available=is_available))
    for _ in range(2):
        assert cuda_problem("cuda") == (
            "torch 2.13.0 finds no GPU or driver: The NVIDIA driver on your system is too old"
            " (found version 12040)"
        )


def test_a_gpu_that_is_there_but_cannot_be_used_is_a_problem(
    loaded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def ones(_: int, device: str) -> None:
        asked.append(device)
        warnings.warn("Found GPU0 which is of cuda capability 6.1.", stacklevel=1)
        raise RuntimeError("CUDA error: no kernel image is available for execution\nCUDA kernel")

    monkeypatch.setattr(before_torch, "torch_version", lambda: "2.13.0")
    monkeypatch.setattr(before_torch, "_has_driver", lambda: True)
    monkeypatch.setattr(before_torch, "import_module", lambda _: gpu(ones=ones))
    said = "CUDA error: no kernel image is available for execution"
    assert cuda_problem("cuda:0") == said
    assert before_torch.capability("cuda") is None
    assert asked == ["cuda:0", "cuda"]


@pytest.mark.parametrize(
    ("device", "expected"),
    [("nvidia0", True), ("dxg", True), ("kfd", True), ("nvme0n1", False), ("null", False)],
)
def test_which_devices_are_gpus(
    device: str, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / device).touch()
    monkeypatch.setattr(before_torch, "_DEVICES", tmp_path)
    assert before_torch._has_driver() == expected


def test_the_version_is_torchs_own() -> None:
    import torch

    assert torch_version() == torch.__version__
