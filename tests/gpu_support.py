"""Two GPUs as torch shows them, for machines without, and stricter than real ones.

Nothing that is queued on a stream happens before somebody waits for that stream, so that whoever
reads too early reads nan. Memory that was let go is gone.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Work = Callable[[], None]


class Gpus:
    """What the module `torch` is to `runner` and `tensorrt`; two devices, the first is current."""

    __version__ = torch.__version__
    device = torch.device
    from_numpy = staticmethod(lambda array: Tensor(array))
    OutOfMemoryError = torch.OutOfMemoryError
    float32 = torch.float32

    def __init__(self) -> None:
        self.cuda = Cuda(self)
        self.current = 0
        self.streams = {0: Stream(self, 0), 1: Stream(self, 1)}
        self.memory: weakref.WeakValueDictionary[int, Tensor] = weakref.WeakValueDictionary()
        self.by_handle: weakref.WeakValueDictionary[int, Stream] = weakref.WeakValueDictionary()
        self.room = 1 << 62
        """Bytes that may still be taken."""

    def empty(self, shape: tuple[int, ...], **where: Any) -> Tensor:
        return self._new(shape, **where)

    def zeros(self, shape: tuple[int, ...], **where: Any) -> Tensor:
        made = self._new(shape, **where)
        self.stream.queue(lambda: made.values.fill(0))
        return made

    @property
    def stream(self) -> Stream:
        return self.streams[self.current]

    def _new(
        self, shape: tuple[int, ...], *, device: Any = None, pin_memory: bool = False
    ) -> Tensor:
        assert not self.stream.recorded_by, "memory is taken during a recording"
        values = np.full(shape, np.nan, np.float32)
        if device is None:
            return Tensor(values, pinned=pin_memory, gpus=self)
        self.room -= values.nbytes
        if self.room < 0:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate\nand more")
        made = Tensor(values, number=torch.device(device).index, gpus=self)
        self.memory[made.data_ptr()] = made
        return made


class Cuda:
    """`torch.cuda`."""

    def __init__(self, gpus: Gpus) -> None:
        self._gpus = gpus
        self.names = ["Fake 4090", "Fake 4090"]
        self.capability = (8, 9)

    def get_device_name(self, device: str) -> str:
        return self.names[torch.device(device).index]

    def get_device_capability(self, device: str) -> tuple[int, int]:
        return self.capability

    @contextmanager
    def device(self, device: Any) -> Iterator[None]:
        before, self._gpus.current = self._gpus.current, torch.device(device).index
        try:
            yield
        finally:
            self._gpus.current = before

    def Stream(self, device: Any = None) -> Stream:  # noqa: N802
        number = self._gpus.current if device is None else torch.device(device).index
        made = Stream(self._gpus, number)
        self._gpus.by_handle[made.cuda_stream] = made
        return made

    @contextmanager
    def stream(self, stream: Stream) -> Iterator[None]:
        streams = self._gpus.streams
        before, streams[stream.number] = streams[stream.number], stream
        with self.device(torch.device("cuda", stream.number)):
            try:
                yield
            finally:
                streams[stream.number] = before

    def current_stream(self) -> Stream:
        return self._gpus.stream

    def Event(self, *, enable_timing: bool) -> Event:  # noqa: N802
        assert enable_timing
        return Event()

    def CUDAGraph(self) -> Graph:  # noqa: N802
        return Graph(self._gpus)

    @contextmanager
    def graph(self, graph: Graph, *, stream: Stream, capture_error_mode: str) -> Iterator[None]:
        assert capture_error_mode == "thread_local"
        assert stream.number == self._gpus.current
        with self.stream(stream):
            stream.synchronize()
            stream.recorded_by = graph
            try:
                yield
            finally:
                stream.recorded_by = None
        assert graph.work, "nothing was recorded"


class Stream:
    """Work that waits."""

    handles = itertools.count(1000)

    def __init__(self, gpus: Gpus, number: int) -> None:
        self._gpus = gpus
        self.number = number
        self.waiting: list[Work] = []
        self.recorded_by: Graph | None = None
        self.cuda_stream = next(self.handles)

    def queue(self, work: Work) -> None:
        assert self._gpus.current == self.number, "another GPU is current"
        (self.waiting if self.recorded_by is None else self.recorded_by.work).append(work)

    def synchronize(self) -> None:
        assert self.recorded_by is None, "waited for during a recording"
        while self.waiting:
            self.waiting.pop(0)()


class Event:
    """A place in a stream."""

    passed = False

    def record(self, stream: Stream) -> None:
        self.passed = False

        def passes() -> None:
            self.passed = True

        stream.queue(passes)

    def elapsed_time(self, later: Event) -> float:
        assert self.passed, "asked for before it was waited for"
        assert later.passed, "asked for before it was waited for"
        return 1.5


class Graph:
    """`torch.cuda.CUDAGraph`."""

    def __init__(self, gpus: Gpus) -> None:
        self._gpus = gpus
        self.work: list[Work] = []

    def replay(self) -> None:
        for work in self.work:
            self._gpus.stream.queue(work)


class Tensor:
    """float32 values in a GPU's memory, or this machine's."""

    addresses = itertools.count(1 << 20, 256)

    def __init__(
        self,
        values: NDArray[np.float32],
        *,
        number: int | None = None,
        pinned: bool = False,
        gpus: Gpus | None = None,
    ) -> None:
        assert values.dtype == np.float32
        self.values, self.number, self._pinned, self._gpus = values, number, pinned, gpus
        self._address = next(self.addresses)

    def data_ptr(self) -> int:
        return self._address

    def numpy(self) -> NDArray[np.float32]:
        assert self.number is None
        return self.values

    def copy_(self, other: Tensor, *, non_blocking: bool = False) -> None:
        assert self.values.shape == other.values.shape
        if self.number is None and other.number is None:
            self.values[...] = other.values
            return
        host = self if self.number is None else other
        assert non_blocking, "this copy would wait"
        assert host._pinned, "a copy of memory that is not pinned does not run beside"
        assert self._gpus is not None
        self._gpus.stream.queue(lambda: np.copyto(self.values, other.values))
