"""What is said of torch and GPUs without loading torch, and that it is loaded where it must be."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from vidfacedeblur.engines import before_torch
from vidfacedeblur.engines.before_torch import cuda_problem, torch_version


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The modules that are loaded from now on, torch not being there yet; it has one GPU."""
    names: list[str] = []
    cuda = SimpleNamespace(is_available=lambda: True, device_count=lambda: 1)

    def load(name: str) -> SimpleNamespace:
        names.append(name)
        return SimpleNamespace(cuda=cuda)

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
