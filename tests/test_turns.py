"""Threads that share a network: order, fairness, common batches, errors."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from vidfacedeblur import turns
from vidfacedeblur.turns import Combiner, FairLock, OneAtATime


def in_threads(*jobs: object) -> None:
    threads = [threading.Thread(target=job) for job in jobs]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_a_lock_is_given_in_the_order_of_asking() -> None:
    lock, order, started = FairLock(), [], []

    def ask(number: int) -> None:
        started.append(number)
        with lock:
            order.append(number)

    with lock:
        threads = []
        for number in range(5):
            threads.append(threading.Thread(target=ask, args=(number,)))
            threads[-1].start()
            while len(lock._waiting) <= number:
                time.sleep(0.001)
    for thread in threads:
        thread.join(10)
    assert order == [0, 1, 2, 3, 4]
    with lock:
        pass  # free again


def test_who_gives_the_lock_back_and_asks_again_waits_behind_the_others() -> None:
    lock, order, begin = FairLock(), [], threading.Barrier(2)

    def work(name: str) -> None:
        begin.wait()
        for _ in range(20):
            with lock:
                order.append(name)
                time.sleep(0.002)

    in_threads(lambda: work("a"), lambda: work("b"))
    first = order[: order.index("b") + 1 if order[0] == "a" else order.index("a") + 1]
    middle = order[len(first) : 38]
    assert all(x != y for x, y in pairwise(middle)), order


@pytest.mark.parametrize("granted", [False, True])
def test_who_is_interrupted_at_the_lock_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch, granted: bool
) -> None:
    """While it waits, or just when its turn comes."""

    class Interrupt(BaseException):
        pass

    class Ticket:
        asked = 0

        def acquire(self) -> None:
            self.asked += 1
            if self.asked == 2:
                if granted:
                    lock.__exit__(None, None, None)
                raise Interrupt

        def release(self) -> None: ...

    lock = FairLock()
    monkeypatch.setattr(turns, "threading", SimpleNamespace(Lock=Ticket))
    lock.__enter__()
    with pytest.raises(Interrupt):
        lock.__enter__()
    if not granted:
        with pytest.raises(Interrupt):  # it is still held
            lock.__enter__()
        lock.__exit__(None, None, None)
    with lock:  # free: nothing waits, so nothing is interrupted
        pass


def test_calls_of_a_network_never_overlap() -> None:
    class Slow:
        engine, device = "torch", "cpu"
        inside = most = 0
        closed = False

        def __call__(self, batch: np.ndarray) -> tuple[np.ndarray, ...]:
            self.inside += 1
            self.most = max(self.most, self.inside)
            time.sleep(0.01)
            self.inside -= 1
            return (batch + 1,)

        def close(self) -> None:
            self.closed = True

    slow = Slow()
    network = OneAtATime(slow)
    results = []
    call = lambda: results.append(network(np.zeros((1, 3, 4, 4), np.float32))[0].sum())  # noqa: E731
    in_threads(*[call] * 6)
    assert slow.most == 1
    assert results == [48.0] * 6
    slow.engine = "another"  # which took over
    assert network.engine == "another"
    network.close()
    assert slow.closed


class Recorder:
    """Answers with ten times the item, notes the batches, and lets the first one wait."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Event()

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        if len(self.batches) == 1:
            assert self.go.wait(10)
        return [10 * item for item in items]


def waiting_for(combiner: Combiner[int, int], count: int) -> None:
    deadline = time.monotonic() + 10
    while len(combiner._waiting) < count:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_one_caller_gets_batches_of_one_key() -> None:
    run = Recorder()
    run.go.set()
    combiner = Combiner(run, key=lambda item: item % 2, most=3)
    assert combiner([0, 1, 2, 3, 4, 5, 6, 8]) == [0, 10, 20, 30, 40, 50, 60, 80]
    assert run.batches == [[0, 2, 4], [1, 3, 5], [6, 8]]
    assert combiner([]) == []


def test_fifty_items_do_not_hold_up_one() -> None:
    run = Recorder()
    combiner = Combiner(run, key=lambda item: 0, most=4)
    answers: dict[str, list[int]] = {}

    def ask(name: str, items: list[int]) -> threading.Thread:
        thread = threading.Thread(target=lambda: answers.update({name: combiner(items)}))
        thread.start()
        return thread

    threads = [ask("many", list(range(50)))]
    waiting_for(combiner, 1)
    threads += [ask("one", [100]), ask("two", [200, 201])]
    waiting_for(combiner, 3)
    run.go.set()
    for thread in threads:
        thread.join(10)
    assert answers == {
        "many": [10 * i for i in range(50)],
        "one": [1000],
        "two": [2000, 2010],
    }
    assert run.batches[0] == [0, 1, 2, 3]
    served = [batch for batch in run.batches if 100 in batch or 200 in batch]
    assert served[0] is run.batches[1], "the others wait for one batch at most"
    assert len(run.batches) == 14, "and share batches: 53 items in 14 of four"


def test_who_came_first_is_served_first() -> None:
    run = Recorder()
    combiner = Combiner(run, key=lambda item: item, most=4)  # nothing shares a batch
    threads = []
    for count, items in enumerate(([0, 1, 2], [10], [20]), 1):
        threads.append(threading.Thread(target=combiner, args=(items,)))
        threads[-1].start()
        waiting_for(combiner, count)
    run.go.set()
    for thread in threads:
        thread.join(10)
    assert run.batches == [[0], [1], [10], [20], [2]]


def test_who_was_answered_by_another_does_not_end_its_lead() -> None:
    go, done = (threading.Semaphore(0) for _ in range(2))

    def run(items: Sequence[int]) -> list[int]:
        done.release()
        assert go.acquire(timeout=10)
        return list(items)

    combiner = Combiner(run, key=lambda item: 0, most=2)
    leader = threading.Thread(target=combiner, args=(range(5),))
    leader.start()
    waiting_for(combiner, 1)
    other = threading.Thread(target=combiner, args=([100],))
    other.start()
    waiting_for(combiner, 2)
    go.release(2)  # the other's is in the second batch
    other.join(10)
    assert not other.is_alive()
    assert combiner._led, "else the next to ask would run beside it"
    go.release(1)
    leader.join(10)
    assert not leader.is_alive()


def test_who_waits_hears_of_the_end_of_a_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if the answers of the last batch were heard of before it."""

    class Counting(threading.Condition):
        waits = 0

        def wait(self, timeout: float | None = None) -> bool:
            self.waits += 1
            return super().wait(timeout)

    def work_off_a_batch() -> None:
        plain()
        deadline = time.monotonic() + 10
        while changed.waits < 2:
            assert time.monotonic() < deadline
            time.sleep(0.001)

    run = Recorder()
    combiner = Combiner(run, key=lambda item: item, most=4)
    changed, plain = Counting(), combiner._work_off_a_batch
    monkeypatch.setattr(combiner, "_changed", changed)
    monkeypatch.setattr(combiner, "_work_off_a_batch", work_off_a_batch)
    threads = []
    for item in (1, 2):
        threads.append(threading.Thread(target=combiner, args=([item],), daemon=True))
        threads[-1].start()
        waiting_for(combiner, item)
    run.go.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert run.batches == [[1], [2]]


def test_a_signal_in_one_thread_is_not_raised_in_the_others() -> None:
    inside, waiting = threading.Event(), threading.Event()
    rounds = []

    def run(items: Sequence[str]) -> list[str]:
        rounds.append(list(items))
        if len(rounds) == 1:
            inside.set()
            assert waiting.wait(5)
        if len(rounds) == 2:
            raise KeyboardInterrupt  # in the thread that leads
        return [item.upper() for item in items]

    combiner = Combiner(run, key=lambda item: 0, most=2)
    ends: dict[str, object] = {}

    def ask(name: str, *items: str) -> None:
        try:
            ends[name] = combiner(items)
        except KeyboardInterrupt:
            ends[name] = "interrupted"

    leader = threading.Thread(target=ask, args=("leader", "a", "b", "c", "d"))
    leader.start()
    assert inside.wait(5)
    other = threading.Thread(target=ask, args=("other", "x"))
    other.start()
    while len(combiner._waiting) < 2:
        time.sleep(0.001)
    waiting.set()
    for thread in (leader, other):
        thread.join(10)
        assert not thread.is_alive()
    assert "x" in rounds[1]
    assert ends == {"leader": "interrupted", "other": ["X"]}


def test_an_error_reaches_everyone_in_the_batch_and_nobody_else() -> None:
    go = threading.Event()

    def run(items: Sequence[int]) -> list[int]:
        assert go.wait(10)
        if 13 in items:
            raise ValueError("thirteen")
        return list(items)

    combiner = Combiner(run, key=lambda item: item > 50, most=8)
    outcomes: dict[int, object] = {}

    def ask(item: int) -> None:
        try:
            outcomes[item] = combiner([item])
        except ValueError as error:
            outcomes[item] = str(error)

    threads = [threading.Thread(target=ask, args=(item,)) for item in (1, 13, 12, 99)]
    for count, thread in enumerate(threads, 1):
        thread.start()
        waiting_for(combiner, count)
    go.set()
    for thread in threads:
        thread.join(10)
    assert outcomes == {1: [1], 13: "thirteen", 12: "thirteen", 99: [99]}
    assert combiner([5]) == [5]


def test_who_is_interrupted_while_waiting_gives_up_the_place() -> None:
    class Interrupt(BaseException):
        pass

    def run(items: Sequence[int]) -> list[int]:
        if 1 in items:
            raise Interrupt
        return list(items)

    combiner = Combiner(run, key=lambda item: item, most=8)
    with pytest.raises(Interrupt):
        combiner([1])
    assert not combiner._waiting
    assert combiner([2]) == [2]
