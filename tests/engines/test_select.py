"""Which engine is taken: what was asked for or an error; only auto falls back, and says why."""

from __future__ import annotations

import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vidfacedeblur.engines import Choice, or_torch, plans, select, tensorrt, torch_
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
    assert choice.or_torch == (asked[0] == "auto" and got[0] == "tensorrt")


@pytest.mark.usefixtures("machine")
def test_without_a_gpu_auto_falls_back_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "cuda_problem", lambda *_: "no driver")
    choice = select.choose("auto", "auto")
    assert (choice.engine, choice.device) == ("openvino", "cpu")
    assert "no driver" in choice.passed_over[0]
    for asked, help_with in (
        (("auto", "cuda"), "--device cpu or auto"),
        (("tensorrt", "auto"), "--engine auto"),
        (("torch", "cuda:0"), "--device cpu or auto"),
    ):
        with pytest.raises(EngineUnavailableError, match=f"no driver; use {help_with}$"):
            select.choose(*asked)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("asked", [("auto", "cpu"), ("torch", "cpu"), ("openvino", "auto")])
def test_who_wants_no_gpu_is_not_asked_for_one(
    asked: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(select, "cuda_problem", lambda _: pytest.fail("a GPU was looked for"))
    choice = select.choose(*asked)
    assert choice.device == "cpu"
    assert choice.passed_over == ()


@pytest.mark.usefixtures("machine")
def test_without_the_packages_auto_takes_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "tensorrt_problem", lambda _: "not installed")
    monkeypatch.setattr(select, "openvino_problem", lambda: "not installed")
    assert select.choose("auto", "auto").engine == "torch"
    assert select.choose("auto", "cpu").engine == "torch"
    with pytest.raises(EngineUnavailableError, match="openvino"):
        select.choose("openvino", "cpu")
    with pytest.raises(EngineUnavailableError, match="tensorrt"):
        select.choose("tensorrt", "cuda")


@pytest.mark.usefixtures("machine")
def test_rtx_is_passed_over_where_it_does_not_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", types.ModuleType("tensorrt_rtx"))
    monkeypatch.setattr(select, "tensorrt_problem", plans.tensorrt_problem)
    monkeypatch.setattr(select, "capability", lambda _: (9, 0))
    choice = select.choose("auto", "auto")
    assert (choice.engine, choice.device) == ("torch", "cuda")
    assert "compute capability 9.0" in choice.passed_over[0]
    with pytest.raises(EngineUnavailableError, match=r"rtx does not run .* pip install"):
        select.choose("tensorrt", "cuda")
    monkeypatch.setattr(select, "capability", lambda _: (6, 1))
    assert select.choose("auto", "auto").engine == "torch"
    for runs in ((7, 5), (8, 9)):
        monkeypatch.setattr(select, "capability", lambda _, runs=runs: runs)
        assert select.choose("auto", "auto").engine == "tensorrt"


@pytest.mark.parametrize(
    ("choice", "opened"),
    [
        (Choice("openvino", "cpu"), ("openvino", None, 3)),
        (Choice("tensorrt", "cuda:1", or_torch=True), ("tensorrt or torch", "cuda:1", None)),
        (Choice("tensorrt", "cuda:1"), ("tensorrt", "cuda:1", None)),
        (Choice("torch", "cuda"), ("torch", "cuda", 3)),
    ],
)
def test_what_was_chosen_is_opened(
    choice: Choice, opened: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def opener(name: str) -> Callable[..., tuple[Any, ...]]:
        def open_(
            spec: object,
            device: str | None = None,
            *,
            threads: int | None = None,
            on_status: object = print,
        ) -> tuple[Any, ...]:
            assert (spec, on_status) == ("spec", print)
            return name, device, threads

        return open_

    monkeypatch.setattr(select, "open_openvino", opener("openvino"))
    monkeypatch.setattr(or_torch, "TensorRTOrTorch", opener("tensorrt or torch"))
    monkeypatch.setattr(tensorrt, "TensorRTNetwork", opener("tensorrt"))
    monkeypatch.setattr(torch_, "TorchNetwork", opener("torch"))
    spec: Any = "spec"
    assert select.open_network(spec, choice, threads=3, on_status=print) == opened


def test_what_is_there_but_cannot_be_loaded_is_not_called_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tensorrt.py").write_text("raise ImportError('libnvinfer.so.10: cannot open')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    assert "cannot be loaded (libnvinfer.so.10" in str(plans.tensorrt_problem())
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert "not installed" in str(plans.tensorrt_problem())


@pytest.mark.parametrize("missing", [("tensorrt", "tensorrt_rtx"), ("openvino",)])
def test_a_machine_that_lacks_packages_still_deblurs(
    missing: tuple[str, ...], small_weights: Path
) -> None:
    code = f"""
import sys
for name in {missing!r}:
    sys.modules[name] = None
from skimage import data
from vidfacedeblur import FaceDeblurPipeline
with FaceDeblurPipeline("deblurgan", weights={str(small_weights)!r}, device="cpu") as pipeline:
    result = pipeline.process_image(data.astronaut()[:240, 100:356])
    print(pipeline.deblurrer.network.engine, len(result.faces))
"""
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, check=True, capture_output=True, text=True)
    expected = "torch" if "openvino" in missing else "openvino"
    assert said.stdout.split() == [expected, "1"]
