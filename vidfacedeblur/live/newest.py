"""A queue in which the newest wins: who puts never waits, and what is too old is dropped."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class NewestQueue(Generic[T]):
    """Holds the last few items of what was put; for one thread that puts and one that gets."""

    def __init__(self, size: int = 2) -> None:
        self._items: deque[T] = deque()
        self._size = size
        self._changed = threading.Condition()
        self._closed = False
        self.dropped = 0
        """Items that had to go for newer ones."""

    def put(self, item: T) -> None:
        """Add an item; the oldest goes where there are too many. Nothing happens once closed."""
        with self._changed:
            if self._closed:
                return
            self._items.append(item)
            if len(self._items) > self._size:
                self._items.popleft()
                self.dropped += 1
            self._changed.notify()

    def get(self, timeout: float | None = None) -> T | None:
        """The oldest item that is left; None after so many seconds, or once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed, timeout)
            return self._items.popleft() if self._items else None

    def __len__(self) -> int:
        with self._changed:
            return len(self._items)

    def close(self) -> None:
        """Let go of whoever waits. Items that are left can still be got."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        """Whether nothing more will come; items may be left."""
        with self._changed:
            return self._closed
