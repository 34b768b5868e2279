"""An archive on many nodes, played through event by event, without the nodes.

One driver hands out files, and pieces of long ones; it takes a while for each and does one thing at
a time. A node has one worker, which is away while it starts.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

_NEWS_PER_SECOND = 100
"""As in `vidfacedeblur.archive.ray_executor`."""


@dataclass(frozen=True)
class Cost:
    """Of one file, in seconds of one worker."""

    seconds: float
    """To work on it in one."""
    length: float
    """Of the video."""
    survey: float = 0.45
    """Share of the work that is to find its faces, from its first frame to its last."""
    again: float = 0.02
    """Share that is done twice if it is done in pieces: reading, and putting together."""


@dataclass(frozen=True)
class Rules:
    """How the run is driven."""

    nodes: int
    per_file: float
    """Seconds that the driver spends on a file."""
    per_task: float
    """And on a piece, or on news of how far one is."""
    turn: float
    """Seconds from the end of a task to the next, at the worker, if the driver has time."""
    start: float
    """Seconds until a worker is ready."""
    chunk: float = 0.0
    """Length of pieces in seconds; 0: files are done in one."""
    longest_first: bool = True


@dataclass(frozen=True)
class Ran:
    """What came of it."""

    seconds: float
    """From the start to the end of the last file."""
    efficiency: float
    """Of all nodes' time until then, how much went into work that one worker would need too."""
    driver: float
    """Of the driver's time, how much it was busy."""


@dataclass
class _File:
    cost: Cost
    pieces: int
    left: int


@dataclass(frozen=True)
class _Step:
    """A task of one worker."""

    file: _File
    kind: str

    @property
    def seconds(self) -> float:
        cost = self.file.cost
        if self.kind == "file":
            return cost.seconds
        if self.kind == "survey":
            return cost.seconds * cost.survey
        if self.kind == "join":
            return cost.seconds * cost.again / 2
        return cost.seconds * (1 - cost.survey + cost.again / 2) / self.file.pieces


def play(costs: Sequence[Cost], rules: Rules) -> Ran:
    """Run them all."""
    run = _Run(costs, rules)
    work = sum(cost.seconds for cost in costs)
    end = run.play()
    return Ran(end, work / (rules.nodes * end), run.busy / end)


class _Run:
    def __init__(self, costs: Sequence[Cost], rules: Rules) -> None:
        self._rules = rules
        ordered = sorted(costs, key=lambda cost: -cost.seconds) if rules.longest_first else costs
        self._files = deque(self._file(cost) for cost in ordered)
        self._steps: deque[_Step] = deque()
        self._idle = 0
        self._events: list[tuple[float, int, str, _Step | None]] = []
        self._number = 0
        self._driver_free = 0.0
        self.busy = 0.0
        # News of how far tasks are come all the time, and slow down all that the driver does.
        news = min(rules.nodes, _NEWS_PER_SECOND) * rules.per_task
        self._slower = 1 / (1 - news)

    def play(self) -> float:
        """Seconds until the last file is done."""
        for _ in range(self._rules.nodes):
            self._later(self._rules.start, "free", None)
        now = 0.0
        while self._events:
            now, _, what, step = heapq.heappop(self._events)
            if what == "piece":
                assert step is not None
                self._steps.append(step)
                self._hand_out(self._take(now, self._rules.per_task))
            elif what == "free":
                self._idle += 1
                self._hand_out(self._done(now, step))
        return max(now, self._driver_free)

    def _file(self, cost: Cost) -> _File:
        chunk = self._rules.chunk
        pieces = max(1, int(cost.length // chunk)) if chunk and cost.length >= 2 * chunk else 1
        return _File(cost, pieces, pieces)

    def _done(self, now: float, step: _Step | None) -> float:
        """The driver hears of it; the time at which it is done with that."""
        if step is None:
            return max(now, self._driver_free)
        whole = step.kind in ("file", "join")
        now = self._take(now, self._rules.per_file if whole else self._rules.per_task)
        if step.kind == "piece":
            step.file.left -= 1
            if not step.file.left:
                self._steps.appendleft(_Step(step.file, "join"))
        return now

    def _take(self, now: float, seconds: float) -> float:
        begin = max(now, self._driver_free)
        self._driver_free = begin + seconds * self._slower
        self.busy += seconds * self._slower
        return self._driver_free

    def _hand_out(self, now: float) -> None:
        while self._idle and (self._steps or self._files):
            step = self._steps.popleft() if self._steps else self._begin()
            self._idle -= 1
            begin = now + self._rules.turn
            self._later(begin + step.seconds, "free", step)
            if step.kind == "survey":
                each = step.seconds / step.file.pieces
                for number in range(1, step.file.pieces + 1):
                    self._later(begin + number * each, "piece", _Step(step.file, "piece"))

    def _begin(self) -> _Step:
        file = self._files.popleft()
        return _Step(file, "survey" if file.pieces > 1 else "file")

    def _later(self, when: float, what: str, step: _Step | None) -> None:
        self._number += 1
        heapq.heappush(self._events, (when, self._number, what, step))
