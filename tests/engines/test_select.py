"""Which engine is taken: what was asked for or an error; only auto falls back, and says why."""

from __future__ import annotations

import pytest

from vidfacedeblur.engines import select
from vidfacedeblur.errors import EngineUnavailableError


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a GPU, TensorRT and OpenVINO."""
    for name in ("cuda_problem", "tensorrt_problem", "openvino_problem"):
        monkeypatch.setattr(select, name, lambda *_: None)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("asked", "got"),
    [
        (("auto", "auto"), ("tensorrt", "cuda")),
        (("auto", "cuda:1"), ("tensorrt", "cuda:1")),
        (("torch", "auto"), ("torch", "cuda")),
        (("auto", "cpu"), ("openvino", "cpu")),
        (("openvino", "auto"), ("openvino", "cpu")),
        (("torch", "cpu"), ("torch", "cpu")),
        (("tensorrt", "auto"), ("tensorrt", "cuda")),
    ],
)
def test_the_best_is_taken(asked: tuple[str, str], got: tuple[str, str]) -> None:
    choice = select.choose(*asked)
    assert (choice.engine, choice.device) == got
    assert choice.passed_over == ()


@pytest.mark.usefixtures("machine")
def test_without_a_gpu_auto_falls_back_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "cuda_problem", lambda *_: "no driver")
    choice = select.choose("auto", "auto")
    assert (choice.engine, choice.device) == ("openvino", "cpu")
    assert "no driver" in choice.passed_over[0]
    for asked in (("auto", "cuda"), ("tensorrt", "auto"), ("torch", "cuda:0")):
        with pytest.raises(EngineUnavailableError, match=r"no driver.*; use --"):
            select.choose(*asked)


@pytest.mark.usefixtures("machine")
def test_without_the_packages_auto_takes_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "tensorrt_problem", lambda: "not installed")
    monkeypatch.setattr(select, "openvino_problem", lambda: "not installed")
    assert select.choose("auto", "auto").engine == "torch"
    assert select.choose("auto", "cpu").engine == "torch"
    with pytest.raises(EngineUnavailableError, match="openvino"):
        select.choose("openvino", "cpu")
    with pytest.raises(EngineUnavailableError, match="tensorrt"):
        select.choose("tensorrt", "cuda")
