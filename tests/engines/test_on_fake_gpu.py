"""TensorRT from end to end, on the GPUs that `gpu_support` stands in for."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from gpu_support import Gpus, Stream
from numpy.typing import NDArray
from tensorrt_support import RTX, TensorRT, TensorRT10
from torch import Tensor, nn

from vidfacedeblur.engines import (
    Choice,
    NetworkSpec,
    cache,
    mtcnn_specs,
    open_network,
    or_torch,
    runner,
    tensorrt,
)
from vidfacedeblur.engines.batches import Batch, Outputs
from vidfacedeblur.engines.export import export_onnx, for_gpu
from vidfacedeblur.engines.or_torch import TensorRTOrTorch
from vidfacedeblur.engines.parity import decibels, reference
from vidfacedeblur.engines.skeleton import filled
from vidfacedeblur.engines.spec import Loaded
from vidfacedeblur.engines.tensorrt import TensorRTNetwork
from vidfacedeblur.errors import EngineError, EngineUnavailableError
from vidfacedeblur.models.layers import add_correction, as_weights


@pytest.fixture
def kind() -> type[TensorRT]:
    return TensorRT


@pytest.fixture
def trt(kind: type[TensorRT], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TensorRT:
    made = kind(Gpus())
    monkeypatch.setenv("VIDFACEDEBLUR_CACHE", str(tmp_path))
    monkeypatch.setattr(runner, "torch", made.gpus)
    monkeypatch.setattr(tensorrt, "torch", made.gpus)
    monkeypatch.setattr(tensorrt, "load_tensorrt", lambda: made)
    monkeypatch.setattr(tensorrt, "for_gpu", lambda spec, half: half)
    monkeypatch.setattr(tensorrt, "export_onnx", lambda half, spec, side: exported(spec, half))
    return made


@functools.cache
def small_onnx(half: bool) -> bytes:
    spec = small_spec()
    return export_onnx(for_gpu(spec, half=half), spec)


def exported(spec: NetworkSpec, half: bool) -> bytes:
    """Of any size, and once: exporting takes seconds."""
    return small_onnx(half) if spec.name == "small" else filled(spec) or b""


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, blurred: Tensor) -> Tensor:
        return add_correction(blurred, self.conv(as_weights(blurred, self)))


def small_spec(*, half: bool = True) -> NetworkSpec:
    torch.manual_seed(0)
    loaded = Loaded(Small().eval())
    sizes = (512, 512)
    return NetworkSpec(
        "small", lambda: loaded, "one block", None, 4, 32, sizes, 4, half=half, plan_per_side=True
    )


def crops(count: int, side: int) -> NDArray[np.float32]:
    return np.random.default_rng(count).uniform(-1, 1, (count, 3, side, side)).astype(np.float32)


def opened(spec: NetworkSpec, device: str = "cuda:0", *, graphs: bool = True) -> TensorRTNetwork:
    return TensorRTNetwork(spec, device, on_status=lambda line: None, graphs=graphs)


@pytest.mark.parametrize("graphs", [False, True])
@pytest.mark.parametrize("device", ["cuda:0", "cuda:1"])
def test_every_batch_gives_torchs_numbers_and_keeps_them(
    trt: TensorRT, graphs: bool, device: str
) -> None:
    spec = small_spec()
    network = opened(spec, device, graphs=graphs)
    wanted = {n: reference(spec, crops(n, 64))[0] for n in (1, 2, 3, 4, 9)}
    results = [(n, network(crops(n, 64))[0]) for n in (1, 4, 3, 1, 9, 2, 4, 9)]
    for count, ours in results:  # after all: none is written into by the next
        assert ours.shape == (count, 3, 64, 64)
        assert decibels(ours - wanted[count]) > 50
    assert network.device_ms == 3 * 1.5
    assert trt.gpus.current == 0
    assert trt.built == 1
    network.close()


@pytest.mark.parametrize("kind", [TensorRT10, RTX])
@pytest.mark.parametrize("capability", [(7, 5), (8, 9)])
def test_other_versions_and_rtx(trt: TensorRT, capability: tuple[int, int]) -> None:
    turing = capability == (7, 5)
    rtx = trt.__name__ == "tensorrt_rtx"
    trt.targets = ["SM75"] if rtx and turing else []
    trt.gpus.cuda.capability = capability
    for spec in (small_spec(), small_spec(half=False)):
        network = opened(spec)
        for _ in range(2):
            assert decibels(network(crops(3, 64))[0] - reference(spec, crops(3, 64))[0]) > 50
    assert bool(trt.recorded) != rtx


def test_the_stand_in_notices_who_does_not_wait(
    trt: TensorRT, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = opened(small_spec())
    network(crops(1, 64))
    monkeypatch.setattr(Stream, "synchronize", lambda stream: None)
    with pytest.raises(AssertionError, match="before it was waited for"):
        network(crops(1, 64))
    stream = network.prepare(64)._stream
    stream.waiting.clear()


def test_recordings_that_are_given_up_are_made_again(
    trt: TensorRT, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_MOST_SHAPES", 1)
    spec = small_spec()
    network = opened(spec)
    for count in (1, 2, 1):
        assert decibels(network(crops(count, 64))[0] - reference(spec, crops(count, 64))[0]) > 50


def test_the_detector_records_nothing_and_takes_any_size(trt: TensorRT) -> None:
    for spec in mtcnn_specs():
        before, network = trt.contexts, opened(spec)
        for count in (1, 5, 40) if spec.side else (1, 1, 1):
            batch = crops(count, spec.side or 30 + trt.contexts % 7)
            for ours, theirs in zip(network(batch), reference(spec, batch), strict=True):
                assert np.abs(ours - theirs).max() < 1e-4
        assert trt.contexts == before + 2  # one to compare with torch, one to stay
        assert not trt.recorded
        network.close()


def test_a_picture_beyond_the_plan_goes_to_torch(trt: TensorRT) -> None:
    spec = replace(mtcnn_specs()[0], largest=(96, 96))
    network = opened(spec)
    (ours, _), (theirs, _) = network(crops(1, 130)), reference(spec, crops(1, 130))
    assert np.array_equal(ours, theirs)


def plans(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*.engine")}


def test_plans_are_kept_for_one_gpu_driver_version_and_precision(
    trt: TensorRT, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = tmp_path / "driver"
    driver.write_text("570.133.07\n")
    monkeypatch.setattr(tensorrt, "_DRIVER", driver)

    def built(spec: NetworkSpec, side: int = 64, device: str = "cuda:0") -> int:
        before = trt.built
        opened(spec, device).prepare(side)
        return trt.built - before

    assert built(small_spec()) == 1
    assert built(small_spec()) == 0
    driver.write_text("570.200\n")
    assert built(small_spec()) == 0
    assert built(small_spec(), device="cuda:1") == 0
    driver.write_text("580.65.06\n")
    assert built(small_spec()) == 1
    assert built(small_spec(), side=96) == 1
    assert built(small_spec(half=False)) == 1
    assert built(replace(small_spec(), content="other weights")) == 1
    trt.gpus.cuda.names[1] = "Fake 5090"
    assert built(small_spec(), device="cuda:1") == 1
    monkeypatch.setattr(TensorRT, "__version__", "11.5.0")
    assert built(small_spec()) == 1
    assert len(plans(tmp_path)) == 7


def test_a_plan_that_is_not_for_this_gpu_is_built_again(trt: TensorRT, tmp_path: Path) -> None:
    opened(small_spec()).prepare(64)
    (path,) = tmp_path.rglob("*.engine")
    path.write_bytes(path.read_bytes().replace(b"Fake 4090", b"Fake 3090"))
    sidecar = path.with_suffix(".json")
    said = cache._sidecar(path) | {"sha256": cache._digest(path)}
    sidecar.write_text(str(said).replace("'", '"').replace("True", "true"))
    network = opened(small_spec())
    assert np.isfinite(network(crops(1, 64))[0]).all()
    assert trt.built == 2


def test_a_driver_that_is_too_old_is_one_line(trt: TensorRT) -> None:
    trt.starts = False
    with pytest.raises(EngineUnavailableError, match=r"not start with this GPU and driver; use"):
        opened(small_spec())


def test_no_memory_is_one_line(trt: TensorRT) -> None:
    network = opened(small_spec())
    network.prepare(64)
    trt.gpus.room = 1000
    with pytest.raises(EngineError, match=r"^the GPU has not enough memory for TensorRT; use"):
        network(crops(4, 64))


class Stub:
    """In place of torch on a GPU."""

    opened: list[NetworkSpec] = []  # noqa: RUF012

    def __init__(self, spec: NetworkSpec, device: str) -> None:
        assert device == "cuda:1"
        self._spec = spec
        self.opened.append(spec)

    def __call__(self, batch: Batch) -> Outputs:
        return reference(self._spec, batch)

    def close(self) -> None:
        self.opened.remove(self._spec)


@pytest.fixture
def auto(
    trt: TensorRT, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], tuple[TensorRTOrTorch, list[str]]]:
    """Opens a network as ``--engine auto`` does."""
    monkeypatch.setattr(or_torch, "TorchNetwork", Stub)

    def open_it() -> tuple[TensorRTOrTorch, list[str]]:
        lines: list[str] = []
        choice = Choice("tensorrt", "cuda:1", or_torch=True)
        network = open_network(small_spec(), choice, on_status=lines.append)
        assert isinstance(network, TensorRTOrTorch)
        return network, lines

    return open_it


Opened = Callable[[], tuple[TensorRTOrTorch, list[str]]]


def test_auto_stays_with_tensorrt_while_it_works(trt: TensorRT, auto: Opened) -> None:
    network, lines = auto()
    network.prepare(64)
    network(crops(1, 64))
    network.close()
    with pytest.raises(EngineError, match="closed"):
        network(crops(1, 64))
    assert network.engine == "tensorrt"
    assert not [line for line in lines if "torch" in line]
    assert not Stub.opened


def test_auto_takes_torch_where_tensorrt_does_not_start(trt: TensorRT, auto: Opened) -> None:
    trt.starts = False
    network, lines = auto()
    assert network.engine == "torch"
    assert lines == ["small: TensorRT does not start with this GPU and driver; torch takes over"]
    network.prepare(64)
    network(crops(1, 64))
    network.close()
    assert not Stub.opened


@pytest.mark.parametrize("ahead", [False, True])
def test_auto_takes_torch_for_what_cannot_be_built(
    trt: TensorRT, auto: Opened, ahead: bool
) -> None:
    trt.fails = {96}
    network, lines = auto()
    network(crops(1, 64))
    held = weakref.ref(network._tensorrt.prepare(64))  # type: ignore[union-attr]
    if ahead:
        network.prepare(96)
    (ours,) = network(crops(2, 96))
    assert np.array_equal(ours, reference(small_spec(), crops(2, 96))[0])
    assert network.engine == "torch"
    assert lines[-1] == "small: TensorRT cannot build small; torch takes over"
    assert held() is None
    network.close()
    assert not Stub.opened
