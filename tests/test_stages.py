"""Hand-over between threads: order, errors, early stops, and no thread left behind."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

import pytest

from vidfacedeblur.stages import grouped, prefetch


def threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("vidfacedeblur-")]


def test_everything_arrives_in_order() -> None:
    assert list(prefetch(range(100), ahead=3, name="t")) == list(range(100))
    assert threads() == []


def test_the_producer_is_never_far_ahead() -> None:
    made = []

    def numbers() -> Iterator[int]:
        for i in range(100):
            made.append(i)
            yield i

    stream = prefetch(numbers(), ahead=2, name="t")
    next(stream)
    time.sleep(0.2)
    assert len(made) <= 5
    stream.close()


def test_an_error_in_the_producer_is_raised_in_the_consumer() -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    stream = prefetch(failing(), ahead=2, name="t")
    assert next(stream) == 1
    with pytest.raises(ValueError, match="broken"):
        next(stream)
    assert threads() == []


@pytest.mark.parametrize("ahead", [1, 5])
def test_a_consumer_that_fails_stops_a_producer_that_is_waiting(ahead: int) -> None:
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    begin = time.monotonic()
    stream = prefetch(prefetch(endless(), ahead=ahead, name="a"), ahead=ahead, name="b")
    next(stream)
    stream.close()
    assert closed.wait(5)
    assert time.monotonic() - begin < 5
    assert threads() == []


def test_groups_are_full_but_for_the_last() -> None:
    assert list(grouped(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(grouped([], 3)) == []


@pytest.mark.parametrize("late", [False, True])
def test_a_signal_while_the_thread_starts_leaves_nothing_running(
    monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    begin = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        if late:
            begin(thread)
            time.sleep(0.1)
        raise KeyboardInterrupt

    def endless() -> Iterator[int]:
        while True:
            yield 0

    source = endless()
    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(prefetch(source, ahead=1, name="t"))
    assert threads() == []
    source.close()  # nobody is in it


def test_a_thread_that_waits_is_woken_when_the_consumer_stops() -> None:
    woken = threading.Event()

    def waiting() -> Iterator[int]:
        yield 0
        assert woken.wait(10)

    stream = prefetch(waiting(), ahead=1, name="t", wake=woken.set)
    next(stream)
    stream.close()
    assert woken.is_set()
    assert threads() == []
    quiet = threading.Event()
    assert list(prefetch(range(3), ahead=1, name="t", wake=quiet.set)) == [0, 1, 2]
    assert not quiet.is_set()  # it came to its end by itself


def test_a_second_signal_does_not_end_the_wait_for_the_thread() -> None:
    busy, done = threading.Event(), threading.Event()

    def slow() -> Iterator[int]:
        yield 0
        busy.set()
        time.sleep(1)  # as in a decoder that must not lose its file meanwhile
        done.set()

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    stream = prefetch(slow(), ahead=1, name="t")
    try:
        next(stream)
        assert busy.wait(5)
        signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)
        with pytest.raises(KeyboardInterrupt):
            stream.close()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert done.is_set()
