"""Batches made ahead of the steps that learn from them, so that a GPU never waits for its pairs.

Making a pair takes codecs and chance, which work on the CPU; a GPU would idle meanwhile. Threads
wait here for what `pair_makers` has processes make. On a CPU there is nothing to gain: it has one
thing to do at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from vidfacedeblur.trainers.pair_makers import Maker
from vidfacedeblur.trainers.recipe import Phase

Pairs = tuple[Tensor, Tensor]


class Feed:
    """Gives a run its batches, by the number of the step.

    Args:
        maker: Makes them.
        phase_of: What the batch of a step is to be, asked when it is begun.
    """

    def __init__(self, maker: Maker, phase_of: Callable[[int], Phase]) -> None:
        self._maker, self._phase_of = maker, phase_of
        self._begun: dict[int, Future[Pairs]] = {}
        self._own = threading.local()
        self._threads = (
            ThreadPoolExecutor(maker.lanes, thread_name_prefix="vidfacedeblur-pairs")
            if maker.device.startswith("cuda")
            else None
        )

    def batch(self, step: int) -> Pairs:
        """The pairs of a step; steps must be asked for in order."""
        if self._threads is None:
            return self._made(step, self._phase_of(step))
        for number in range(step, step + 2 * self._maker.lanes):
            if number not in self._begun:
                phase = self._phase_of(number)
                self._begun[number] = self._threads.submit(self._made_beside, number, phase)
        pairs = self._begun.pop(step).result()
        for images in pairs:
            # Its memory belongs to the stream that made it, and must not be reused too early.
            images.record_stream(torch.cuda.current_stream(images.device))
        return pairs

    def close(self) -> None:
        """Give up what was begun and end the threads."""
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
        self._begun.clear()

    def _made(self, step: int, phase: Phase) -> Pairs:
        return self._maker.batch(step, *phase.at(step))

    def _made_beside(self, step: int, phase: Phase) -> Pairs:
        """On a stream of the thread's own, beside the one that trains."""
        if not hasattr(self._own, "stream"):
            self._own.stream = torch.cuda.Stream(self._maker.device)  # type: ignore[no-untyped-call]
        with torch.cuda.stream(self._own.stream):
            pairs = self._made(step, phase)
        self._own.stream.synchronize()
        return pairs
