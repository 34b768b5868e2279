"""TensorRT for those who did not ask for it by name: where it fails, torch takes over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vidfacedeblur.engines.batches import Batch, Outputs
from vidfacedeblur.engines.spec import NetworkSpec
from vidfacedeblur.engines.tensorrt import TensorRTNetwork
from vidfacedeblur.engines.torch_ import TorchNetwork, numbered
from vidfacedeblur.errors import EngineError


class TensorRTOrTorch:
    """A network run by TensorRT until that fails, from then on by torch on the same GPU.

    TensorRT fails where its package needs a newer driver or GPU than torch does, where memory is
    short, and with a crop size whose plan cannot be built.

    Args:
        spec: The network.
        device: ``cuda`` or ``cuda:N``.
        on_status: Told in one line when a plan is being built, and when torch takes over.
    """

    def __init__(self, spec: NetworkSpec, device: str, *, on_status: Callable[[str], None]) -> None:
        self.engine, self.device = "tensorrt", numbered(device)
        self._spec, self._on_status = spec, on_status
        self._closed = False
        self._tensorrt: TensorRTNetwork | None = None
        self._torch: TorchNetwork | None = None
        with self._or_torch():
            self._tensorrt = TensorRTNetwork(spec, self.device, on_status=on_status)

    def __call__(self, batch: Batch) -> Outputs:
        with self._or_torch():
            if self._tensorrt is not None:
                return self._tensorrt(batch)
        assert self._torch is not None
        return self._torch(batch)

    def prepare(self, side: int) -> None:
        """Make ready for a crop size."""
        with self._or_torch():
            if self._tensorrt is not None:
                self._tensorrt.prepare(side)

    def close(self) -> None:
        self._closed = True
        for network in (self._tensorrt, self._torch):
            if network is not None:
                network.close()

    @contextmanager
    def _or_torch(self) -> Iterator[None]:
        """Turn to torch if TensorRT fails in here."""
        failed = ""
        try:
            yield
        except EngineError as error:
            if self._closed or self._torch is not None:
                raise
            failed = str(error).partition("; use ")[0]
        # Not before: the error holds what TensorRT was at, and its memory.
        if failed:
            self._on_status(f"{self._spec.name}: {failed}; torch takes over")
            if self._tensorrt is not None:
                self._tensorrt.close()
            self._tensorrt, self.engine = None, "torch"
            self._torch = TorchNetwork(self._spec, self.device)
