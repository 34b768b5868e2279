"""The torch engine: the reference that the others are checked against; runs on any device."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vidfacedeblur.engines.batches import Batch, Outputs, filled_up, in_steps
from vidfacedeblur.engines.before_torch import Threads, cuda_problem
from vidfacedeblur.engines.spec import NetworkSpec
from vidfacedeblur.engines.threads import default_threads
from vidfacedeblur.errors import EngineError, EngineUnavailableError, first_line

_log = logging.getLogger(__name__)
_MOST_GRAPHS = 24
"""CUDA graphs that are kept, one for each batch bucket and crop size; each holds memory."""
_setting = threading.RLock()


def numbered(device: str) -> str:
    """The device with its number: which GPU ``cuda`` means may differ between threads."""
    return f"cuda:{torch.cuda.current_device()}" if device == "cuda" else device


class TorchNetwork:
    """A network run by torch in float32.

    On a GPU, networks of few shapes replay CUDA graphs, which spares the cost of launching each of
    hundreds of small kernels; batches are filled up to a bucket so that few graphs serve all.
    """

    engine = "torch"

    def __init__(
        self, spec: NetworkSpec, device: str, *, threads: int | None = None, graphs: bool = True
    ) -> None:
        problem = None if device == "cpu" else cuda_problem(device)
        if problem:
            raise EngineUnavailableError(f"device {device} cannot be used: {problem}")
        if device == "cpu" and threads is None:  # torch itself knows of no container's quota
            threads = min(torch.get_num_threads(), default_threads())
        if threads:
            torch.set_num_threads(threads)
        self.device = numbered(device)
        self._batch = spec.batch
        self._module: nn.Module | None = spec.module.to(self.device)
        self._module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        few_shapes = spec.side is not None or spec.plan_per_side
        self._graphed = graphs and few_shapes and device != "cpu"
        self._graphs: OrderedDict[tuple[int, ...], _Graph] = OrderedDict()
        # Graphs never run at once, so that one pool of memory serves all; with it goes one stream.
        # Torch's own would be that of the first GPU that anything was recorded on.
        self._pool = torch.cuda.graph_pool_handle() if self._graphed else None
        self._aside: Any = None
        if self._graphed:
            self._aside = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]

    def __call__(self, batch: Batch) -> Outputs:
        if self._module is None:
            raise EngineError("the network was closed")
        Threads.need("torch")
        while True:
            try:
                return in_steps(self._replayed if self._graphed else self._run, batch, self._batch)
            except torch.OutOfMemoryError as error:
                reason = first_line(error)
            self._make_room(batch, reason)

    def _make_room(self, batch: Batch, reason: str) -> None:
        """Do without recordings, then with smaller batches: a GPU may have other users.

        Raises:
            EngineError: There is nothing left to do without.
        """
        if self._graphs or self._graphed:
            self._graphed = False
            self._graphs.clear()
        else:
            tried = min(len(batch), self._batch)
            if tried == 1:
                height, width = batch.shape[2:]
                raise EngineError(
                    f"the GPU has not enough memory for {width}x{height} pixels ({reason}); use"
                    " --device cpu"
                )
            self._batch = tried // 2
        torch.cuda.empty_cache()
        _log.info("less at once: %s", reason)

    @torch.inference_mode()
    def _run(self, batch: Batch) -> Outputs:
        assert self._module is not None
        images = torch.from_numpy(np.ascontiguousarray(batch)).to(self.device)
        with contextlib.nullcontext() if self.device == "cpu" else _float32():
            outputs = as_tuple(self._module(images.to(memory_format=torch.channels_last)))
        return tuple(output.float().contiguous().cpu().numpy() for output in outputs)

    @torch.inference_mode()
    def _replayed(self, batch: Batch) -> Outputs:
        full = filled_up(np.ascontiguousarray(batch), self._batch)
        if full.shape not in self._graphs:
            assert self._module is not None
            try:
                self._graphs[full.shape] = _Graph(
                    self._module, full.shape, self.device, self._aside, self._pool
                )
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                _log.info("no CUDA graph: %s", error)
                self._graphed = False
                return self._run(batch)
            if len(self._graphs) > _MOST_GRAPHS:
                self._graphs.popitem(last=False)
        self._graphs.move_to_end(full.shape)
        outputs = self._graphs[full.shape](torch.from_numpy(full))
        return tuple(output[: len(batch)].float().contiguous().cpu().numpy() for output in outputs)

    def close(self) -> None:
        self._module = None
        self._graphs.clear()


@contextlib.contextmanager
def _float32() -> Iterator[None]:
    """Keep convolutions on GPUs from rounding float32 to ten bits, as they do by default."""
    # The setting is the whole process's: a thread must not restore what another has set.
    with _setting, _no_tf32():
        yield


def _no_tf32() -> AbstractContextManager[None]:
    cudnn: Any = torch.backends.cudnn
    try:
        _ = cudnn.allow_tf32
    except RuntimeError:  # the program around has set it for each kind of operation, the new way
        return _by_operation(cudnn.conv)
    flags: AbstractContextManager[None] = cudnn.flags(enabled=True, allow_tf32=False)
    return flags


@contextlib.contextmanager
def _by_operation(convolutions: Any) -> Iterator[None]:
    before = convolutions.fp32_precision
    convolutions.fp32_precision = "ieee"
    try:
        yield
    finally:
        convolutions.fp32_precision = before


def as_tuple(outputs: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """A module's outputs, one or more, as a tuple."""
    return outputs if isinstance(outputs, tuple) else (outputs,)


class _Graph:
    """A network's kernels for one shape of input, recorded once and replayed."""

    def __init__(
        self, module: nn.Module, shape: tuple[int, ...], device: str, aside: Any, pool: Any
    ) -> None:
        self._device = torch.device(device)
        with torch.cuda.device(self._device), _float32():
            images = torch.zeros(shape, device=self._device)
            self._input = images.to(memory_format=torch.channels_last)
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(3):  # libraries choose their kernels in the first runs
                    module(self._input)
            torch.cuda.current_stream().wait_stream(aside)
            self._graph = torch.cuda.CUDAGraph()
            # Other threads may allocate meanwhile: theirs is not recorded, and no error.
            with torch.cuda.graph(
                self._graph, pool=pool, stream=aside, capture_error_mode="thread_local"
            ):
                self._outputs = as_tuple(module(self._input))

    def __call__(self, batch: Tensor) -> tuple[Tensor, ...]:
        with torch.cuda.device(self._device):
            self._input.copy_(batch)
            self._graph.replay()
        return self._outputs
