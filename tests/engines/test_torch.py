"""The torch engine's use of GPUs, as far as it shows without one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from vidfacedeblur.engines import NetworkSpec, mtcnn_specs, torch_
from vidfacedeblur.engines.batches import Batch, Outputs
from vidfacedeblur.engines.parity import reference
from vidfacedeblur.engines.torch_ import TorchNetwork, _float32
from vidfacedeblur.errors import EngineError


def onet() -> NetworkSpec:
    return mtcnn_specs()[2]


def crops(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).uniform(-1, 1, (count, 3, 48, 48)).astype(np.float32)


class Stream:
    def __init__(self, device: str = "default") -> None:
        self.device = device

    def wait_stream(self, stream: Stream) -> None: ...


@pytest.fixture
def recorded_on(monkeypatch: pytest.MonkeyPatch) -> list[Stream]:
    """The streams of recordings; two GPUs are there in name only."""
    streams: list[Stream] = []
    zeros = torch.zeros

    @contextmanager
    def graph(
        _: object, *, pool: object, stream: Stream, capture_error_mode: str
    ) -> Iterator[None]:
        assert pool == (0, 1)
        assert capture_error_mode == "thread_local"
        streams.append(stream)
        yield

    stands_in: dict[str, Any] = {
        "Stream": Stream,
        "current_stream": Stream,
        "stream": lambda _: nullcontext(),
        "device": lambda _: nullcontext(),
        "graph": graph,
        "graph_pool_handle": lambda: (0, 1),
        "CUDAGraph": lambda: SimpleNamespace(replay=lambda: None),
    }
    for name, value in stands_in.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(torch, "zeros", lambda shape, device: zeros(shape))
    monkeypatch.setattr(nn.Module, "to", lambda module, *_, **__: module)
    monkeypatch.setattr(torch_, "cuda_problem", lambda _: None)
    return streams


def test_what_is_recorded_for_a_gpu_is_recorded_on_a_stream_of_that_gpu(
    recorded_on: list[Stream],
) -> None:
    networks = [TorchNetwork(onet(), f"cuda:{n}") for n in (0, 1)]
    for count in (1, 2):
        for network in networks:
            network(crops(count))
    assert [stream.device for stream in recorded_on] == ["cuda:0", "cuda:1"] * 2
    assert recorded_on[0] is recorded_on[2]  # who shares a pool of memory shares a stream
    assert recorded_on[1] is recorded_on[3]


def test_without_memory_for_a_recording_there_is_none(
    recorded_on: list[Stream], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = TorchNetwork(onet(), "cuda:0")
    network(crops(1))

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch_, "_Graph", full)
    monkeypatch.setattr(network, "_run", lambda batch: reference(onet(), batch))
    network(crops(3))
    assert not network._graphs


def runs_up_to(most: int, asked: list[int]) -> Any:
    def run(batch: Batch) -> Outputs:
        asked.append(len(batch))
        if len(batch) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nGPU 0 has")
        return reference(onet(), batch)

    return run


def test_where_memory_is_short_batches_become_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    network, asked = TorchNetwork(onet(), "cpu"), list[int]()
    monkeypatch.setattr(network, "_run", runs_up_to(3, asked))
    for _ in range(2):
        for ours, theirs in zip(network(crops(9)), reference(onet(), crops(9)), strict=True):
            assert np.allclose(ours, theirs, atol=1e-5)
    assert asked == [9, 4, 2, 2, 2, 2, 1, 2, 2, 2, 2, 1]


def test_what_does_not_even_fit_alone_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    network = TorchNetwork(onet(), "cpu")
    monkeypatch.setattr(network, "_run", runs_up_to(0, []))
    with pytest.raises(EngineError, match=r"^the GPU has not enough memory for 48x48 pixels \(CUD"):
        network(crops(2))


def test_float32_is_float32_whichever_way_the_program_around_has_set_it() -> None:
    cudnn: Any = torch.backends.cudnn
    if not hasattr(cudnn, "conv"):
        pytest.skip("this torch knows one way only")
    before = cudnn.conv.fp32_precision
    cudnn.conv.fp32_precision = other = "ieee" if before == "tf32" else "tf32"
    try:
        with pytest.raises(RuntimeError):  # torch does not say any more
            _ = cudnn.allow_tf32
        with _float32():
            assert cudnn.conv.fp32_precision == "ieee"
        assert cudnn.conv.fp32_precision == other
    finally:
        cudnn.conv.fp32_precision = before
    assert isinstance(cudnn.allow_tf32, bool)
