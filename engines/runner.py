"""Running a TensorRT plan: contexts, streams, pinned memory, CUDA graphs."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Any

import numpy as np
import torch

from vidfacedeblur.engines.batches import Batch, Outputs
from vidfacedeblur.errors import EngineError

_log = logging.getLogger(__name__)


_NO_MEMORY = "the GPU has not enough memory for TensorRT; use --engine torch"
_MOST_SHAPES = 4
"""Recorded shapes that a plan keeps, each with a context and its scratch memory."""


class UnreadablePlanError(EngineError):
    """A plan that was built under another driver or for another GPU."""


class Runner:
    """One plan on one device, with a stream of its own; one thread may use it at a time.

    Args:
        trt: The ``tensorrt`` or ``tensorrt_rtx`` module.
        runtime: Its runtime, made on that device.
        plan: What `plans.build_plan` made.
        device: ``cuda`` or ``cuda:N``.
        graphs: Record a CUDA graph for each shape and replay it: for plans of few shapes.
    """

    def __init__(
        self, trt: Any, runtime: Any, plan: bytes, device: str, *, graphs: bool = False
    ) -> None:
        self._device = torch.device(device)
        self._graphs = graphs
        with torch.cuda.device(self._device):
            engine = runtime.deserialize_cuda_engine(plan)
            if engine is None:
                raise UnreadablePlanError(
                    "TensorRT cannot load its plan on this GPU; use --engine torch"
                )
            self._runtime = runtime  # must outlive its engines
            self._engine = engine
            self._any = None if graphs else self._context()
            self._stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        inputs = [n for n in names if engine.get_tensor_mode(n) == trt.TensorIOMode.INPUT]
        self._input = inputs[0]
        self._outputs = [name for name in names if name not in inputs]
        self._shapes: OrderedDict[tuple[int, ...], _Shape] = OrderedDict()
        self.milliseconds = 0.0
        """Time that the last batch took on the GPU, copies aside."""

    @torch.inference_mode()
    def run(self, batch: Batch) -> Outputs:
        """Run one batch that is within the plan's profile.

        Raises:
            EngineError: It is not, or TensorRT fails.
        """
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            try:
                shape = self._shape(batch.shape)
            except torch.OutOfMemoryError as error:
                raise EngineError(_NO_MEMORY) from error
            shape.staged.copy_(torch.from_numpy(np.ascontiguousarray(batch)))
            shape.images.copy_(shape.staged, non_blocking=True)
            shape.begun.record(self._stream)
            shape.run(self._stream)
            shape.ended.record(self._stream)
            for there, here in zip(shape.outputs, shape.received, strict=True):
                here.copy_(there, non_blocking=True)
            self._stream.synchronize()
            self.milliseconds = shape.begun.elapsed_time(shape.ended)
        # Copied: the next batch of this shape writes into the same memory.
        return tuple(output.numpy().copy() for output in shape.received)

    def _shape(self, wanted: tuple[int, ...]) -> _Shape:
        """Memory and context for a shape; kept where the plan has few."""
        if wanted in self._shapes:
            self._shapes.move_to_end(wanted)
            return self._shapes[wanted]
        if len(self._shapes) >= _MOST_SHAPES:
            self._shapes.popitem(last=False)
        # A graph holds its context's state, so each has a context of its own.
        context = self._any or self._context()
        made = _Shape(context, self._input, self._outputs, wanted, self._device)
        if self._graphs:
            made.record(self._stream)
            self._shapes[wanted] = made
        return made

    def _context(self) -> Any:
        context = self._engine.create_execution_context()
        if context is None:
            raise EngineError(_NO_MEMORY)
        return context


class _Shape:
    """A context made ready for one shape of input, with pinned and device memory."""

    def __init__(
        self,
        context: Any,
        name: str,
        outputs: list[str],
        shape: tuple[int, ...],
        device: torch.device,
    ) -> None:
        self._context = context
        self._graph: torch.cuda.CUDAGraph | None = None
        if not context.set_input_shape(name, shape):
            raise EngineError(f"TensorRT's plan does not take the shape {shape}")
        self.staged = torch.empty(shape, pin_memory=True)
        self.images = torch.zeros(shape, device=device)
        self._bind(name, self.images)
        self.outputs, self.received = [], []
        for output in outputs:
            size = tuple(context.get_tensor_shape(output))
            self.outputs.append(torch.empty(size, device=device))
            self.received.append(torch.empty(size, pin_memory=True))
            self._bind(output, self.outputs[-1])
        self.begun = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        self.ended = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]

    def _bind(self, name: str, tensor: torch.Tensor) -> None:
        if not self._context.set_tensor_address(name, tensor.data_ptr()):
            raise EngineError(f"TensorRT's plan does not take memory for {name}")

    def run(self, stream: torch.cuda.Stream) -> None:
        """Queue the network on a stream."""
        if self._graph is not None:
            self._graph.replay()
        elif not self._context.execute_async_v3(stream.cuda_stream):
            raise EngineError("TensorRT failed to run; use --engine torch")

    def record(self, stream: torch.cuda.Stream) -> None:
        """Record the network's kernels, to be replayed from now on; without, it runs as it did."""
        self.run(stream)  # what is prepared in a first run must not be recorded
        stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        try:
            # Other threads may allocate meanwhile: theirs is not recorded, and no error.
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                self.run(torch.cuda.current_stream())
        except (RuntimeError, EngineError) as error:
            _log.info("no CUDA graph: %s", error)
        else:
            self._graph = graph
