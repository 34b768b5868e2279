"""Several threads, one network: each in its turn, and small requests made into common batches."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from vidfacedeblur.types import Network

T = TypeVar("T")
R = TypeVar("R")


class FairLock:
    """A lock that threads get in the order in which they asked; `threading.Lock` knows no order."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._taken = False

    def __enter__(self) -> None:
        with self._guard:
            if not self._taken:
                self._taken = True
                return
            ticket = threading.Lock()
            ticket.acquire()
            self._waiting.append(ticket)
        try:
            ticket.acquire()  # the one before releases it
        except BaseException:  # as after a signal: the place is given up, or the turn passed on
            with self._guard:
                given_up = ticket in self._waiting
                if given_up:
                    self._waiting.remove(ticket)
            if not given_up:
                self._pass_on()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False


class OneAtATime:
    """A network that threads may share: its calls wait for one another, in order."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._lock = FairLock()

    @property
    def engine(self) -> str:
        return self._network.engine  # another may take over from one that fails

    @property
    def device(self) -> str:
        return self._network.device

    def __call__(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        with self._lock:
            return self._network(batch)

    def close(self) -> None:
        with self._lock:
            self._network.close()


@dataclass(eq=False)  # one is not another, whatever they ask for
class _Request(Generic[T, R]):
    """What one thread asked for, and what is known of the answer."""

    items: Sequence[T]
    keys: list[Hashable]
    pending: deque[int]
    """Places of the items that no batch has taken yet."""
    results: dict[int, R] = field(default_factory=dict)
    error: BaseException | None = None

    @property
    def done(self) -> bool:
        return self.error is not None or len(self.results) == len(self.items)


class Combiner(Generic[T, R]):
    """Makes common batches of what several threads ask for at the same time, fairly.

    There is no thread of its own: the first that asks works for all, until its own request is
    answered; then the next that waits takes over. A batch takes one item of each request in turn,
    and requests take turns in being the first: who asks for fifty items does not hold up who asks
    for one.

    Args:
        run: Answers a batch of items of one key; called by one thread at a time.
        key: Items that may not share a batch have different ones.
        most: Items of a batch at most.
    """

    def __init__(
        self,
        run: Callable[[Sequence[T]], Sequence[R]],
        *,
        key: Callable[[T], Hashable],
        most: int,
    ) -> None:
        self._run = run
        self._key = key
        self._most = most
        self._changed = threading.Condition()
        self._waiting: deque[_Request[T, R]] = deque()
        self._led = False

    def __call__(self, items: Sequence[T]) -> list[R]:
        """The answers, in the order of the items.

        Raises:
            BaseException: Whatever `run` raised on a batch with one of them in it.
        """
        keys = [self._key(item) for item in items]
        request: _Request[T, R] = _Request(items, keys, deque(range(len(items))))
        if not request.done:
            self._answer(request)
        if request.error is not None:
            raise request.error
        return [request.results[i] for i in range(len(items))]

    def _answer(self, request: _Request[T, R]) -> None:
        with self._changed:
            self._waiting.append(request)
            try:
                self._changed.wait_for(lambda: request.done or not self._led)
            except BaseException:
                self._give_up(request)
                raise
            if request.done:
                return
            self._led = True
        try:
            while not request.done:
                self._work_off_a_batch()
        finally:
            with self._changed:
                self._give_up(request)
                self._led = False
                self._changed.notify_all()

    def _work_off_a_batch(self) -> None:
        with self._changed:
            batch = self._next_batch()
        results: Sequence[R] = ()
        error: BaseException | None = None
        try:
            results = self._run([request.items[i] for request, i in batch])
        except BaseException as raised:  # noqa: BLE001 - raised again in every thread concerned
            error = raised
        with self._changed:
            for n, (request, i) in enumerate(batch):
                if error is None:
                    request.results[i] = results[n]
                elif isinstance(error, Exception):
                    request.error = error
                else:  # a signal's, meant for this thread alone: the others' items wait again
                    request.pending.append(i)
            for request in {id(r): r for r, _ in batch}.values():
                if request.done:
                    self._give_up(request)
            self._changed.notify_all()
        if error is not None and not isinstance(error, Exception):
            raise error  # a signal's: it was meant for this thread

    def _next_batch(self) -> list[tuple[_Request[T, R], int]]:
        """One item of each request in turn, all of one key, beginning with the first in line."""
        first = self._waiting[0]
        self._waiting.rotate(-1)
        in_line = [first, *(r for r in self._waiting if r is not first)]
        key = first.keys[first.pending[0]]
        batch: list[tuple[_Request[T, R], int]] = []
        while len(batch) < self._most:
            taken = [
                (request, i)
                for request in in_line
                if (i := next((i for i in request.pending if request.keys[i] == key), None))
                is not None
            ][: self._most - len(batch)]
            if not taken:
                break
            for request, i in taken:
                request.pending.remove(i)
            batch += taken
        return batch

    def _give_up(self, request: _Request[T, R]) -> None:
        if request in self._waiting:
            self._waiting.remove(request)
