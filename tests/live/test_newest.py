"""The queue in which the newest wins."""

from __future__ import annotations

import threading
import time

from vidfacedeblur.live.newest import NewestQueue


def test_the_oldest_goes_first_and_is_counted() -> None:
    queue: NewestQueue[int] = NewestQueue()
    for number in range(5):
        queue.put(number)
    assert len(queue) == 2
    assert queue.dropped == 3
    assert (queue.get(0), queue.get(0), queue.get(0)) == (3, 4, None)


def test_who_waits_gets_what_comes() -> None:
    queue: NewestQueue[int] = NewestQueue()
    found: list[int | None] = []
    waiting = threading.Thread(target=lambda: found.append(queue.get()), daemon=True)
    waiting.start()
    queue.put(7)
    waiting.join(10)
    assert found == [7], "at once: there is no end to the wait but this"


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
