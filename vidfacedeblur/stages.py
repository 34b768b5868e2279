"""Running generator stages side by side: a bounded hand-over from one thread to the next."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

_POLL_SECONDS = 0.1


class _End:
    """Marks the end of a stage's output."""


@dataclass(frozen=True)
class _Failure:
    """Carries a stage's error to the consumer's thread."""

    error: BaseException


class _HandOver(Generic[T]):
    """A thread that iterates, and the bounded queue in which it leaves what it gets."""

    def __init__(
        self, items: Iterable[T], *, ahead: int, name: str, wake: Callable[[], None]
    ) -> None:
        self._items, self._wake = items, wake
        self._queue: queue.Queue[T | _End | _Failure] = queue.Queue(maxsize=ahead)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._produce, name=f"vidfacedeblur-{name}")
        self._thread.daemon = True
        self._lock = threading.Lock()
        self._begun = self._exhausted = False
        self._ended = threading.Event()

    def start(self) -> None:
        """Let the thread begin. An exception may end this early, as after a signal; then close."""
        self._thread.start()

    def get(self) -> T | _End | _Failure:
        return self._queue.get()

    def close(self) -> None:
        """Stop the thread and wait for it; may be called however far `start` has come."""
        with self._lock:
            self._stop.set()
            begun = self._begun
        if not self._exhausted:
            self._wake()
        with suppress(queue.Empty):
            while True:
                self._queue.get_nowait()
        if begun:
            self._join()

    def _join(self) -> None:
        """Wait for the thread whatever a signal raises meanwhile: what it uses is closed next."""
        raised: BaseException | None = None
        # In Python 3.11 a `join` that was interrupted takes a thread that runs for one that ended.
        while not self._ended.is_set():
            try:
                self._ended.wait()
            except BaseException as error:  # noqa: BLE001 - raised when the thread has ended
                raised = error
        if raised is not None:
            raise raised
        self._thread.join()

    def _put(self, item: T | _End | _Failure) -> None:
        while not self._stop.is_set():
            with suppress(queue.Full):
                self._queue.put(item, timeout=_POLL_SECONDS)
                return

    def _produce(self) -> None:
        with self._lock:
            if self._stop.is_set():
                return
            self._begun = True
        last: _End | _Failure = _End()
        try:
            self._iterate()
        except BaseException as error:  # noqa: BLE001 - raised again in the consumer
            last = _Failure(error)
        self._exhausted = True
        self._put(last)
        self._ended.set()

    def _iterate(self) -> None:
        with ExitStack() as stack:
            source = iter(self._items)
            if isinstance(source, Generator):
                stack.enter_context(closing(source))  # in the thread that ran it
            for item in source:
                self._put(item)
                if self._stop.is_set():
                    return


def prefetch(
    items: Iterable[T], *, ahead: int, name: str, wake: Callable[[], None] = lambda: None
) -> Generator[T, None, None]:
    """Iterate `items` in a thread of its own, at most `ahead` items before the consumer.

    The first error in `items` is raised in the consumer. When the consumer stops early (it raises,
    or closes the generator), the thread is told, a generator `items` is closed in the thread that
    ran it, and the thread is joined.

    Args:
        items: What to iterate.
        ahead: Items that wait at most.
        name: Of the thread.
        wake: Called when the consumer stops early; ends whatever the thread may wait for.
    """
    hand_over = _HandOver(items, ahead=ahead, name=name, wake=wake)
    try:
        hand_over.start()
        while not isinstance(item := hand_over.get(), _End):
            if isinstance(item, _Failure):
                raise item.error
            yield item
    finally:
        hand_over.close()


def grouped(items: Iterable[T], size: int) -> Generator[list[T], None, None]:
    """Collect items into lists of `size`; the last may be shorter."""
    group: list[T] = []
    for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
