"""The queue in which the newest wins."""

from __future__ import annotations

import threading
import time

from vidfacedeblur.live.newest import NewestQueue


def test_the_oldest_goes_first_and_is_counted() -> None:
    queue: NewestQueue[int] = NewestQueue(2)
    for number in range(5):
        queue.put(number)
    assert queue.dropped == 3
    assert (queue.get(0), queue.get(0), queue.get(0)) == (3, 4, None)


def test_who_waits_gets_what_comes() -> None:
    queue: NewestQueue[int] = NewestQueue()
    threading.Timer(0.05, queue.put, (7,)).start()
    assert queue.get(5) == 7


def test_closing_lets_go_and_keeps_what_is_there() -> None:
    queue: NewestQueue[int] = NewestQueue()
    queue.put(1)
    threading.Timer(0.05, queue.close).start()
    begin = time.monotonic()
    assert (queue.get(), queue.get()) == (1, None)
    assert time.monotonic() - begin < 5
    queue.put(2)
    assert queue.get(0) is None
    assert queue.closed
