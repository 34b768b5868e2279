"""How far an archive is, and how long it will still take."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

_LEAST_SECONDS = 10.0
"""Of work, before anything is said of what is left."""


@dataclass
class Progress:
    """Counts of a run over many files.

    The time left is told by what files weigh: seconds of video, or bytes where nobody knows them.
    Files that failed count as done, but not for the speed: they fail fast.
    """

    files: int
    """That are to be done."""
    size: int
    """Bytes of their inputs."""
    weight: float
    """Of all of them; what a file weighs is told when it is begun."""
    clock: Callable[[], float] = time.monotonic
    done: int = 0
    failed: int = 0
    """With an error, quarantined, or damaged."""
    frames: int = 0
    faces: int = 0
    deblurred: int = 0
    out_size: int = 0
    """Bytes of the outputs so far."""
    _left: float = field(init=False)
    _worked: float = 0.0  # weight of files that were finished
    _running: dict[int, tuple[float, float, int, int]] = field(default_factory=dict)
    """By file: weight, the part of it that is done, frames and faces of it."""

    def __post_init__(self) -> None:
        self._left = self.weight
        self._begin = self.clock()

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return self.clock() - self._begin

    @property
    def frames_now(self) -> int:
        """Frames done, also those of files that are not."""
        return self.frames + sum(frames for _, _, frames, _ in self._running.values())

    @property
    def faces_now(self) -> int:
        return self.faces + sum(faces for _, _, _, faces in self._running.values())

    @property
    def running(self) -> int:
        """Files that are being worked on."""
        return len(self._running)

    @property
    def fps(self) -> float:
        """Frames per second, of all workers together."""
        return self.frames_now / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """None while nobody can know."""
        begun = sum(weight * part for weight, part, _, _ in self._running.values())
        worked = self._worked + begun
        if self.seconds < _LEAST_SECONDS or not worked:
            return None
        return max(0.0, self._left - begun) * self.seconds / worked

    def begin(self, file: int, weight: float) -> None:
        """A file is worked on; again, if it was lost."""
        self._running[file] = (weight, 0.0, 0, 0)

    def further(self, file: int, part: float, frames: int, faces: int) -> None:
        """So much of a file is done: a part of 1, and frames and faces."""
        if file in self._running:
            weight = self._running[file][0]
            self._running[file] = (weight, min(1.0, part), frames, faces)

    def put_back(self, file: int) -> None:
        """A file is not worked on any more, and not done."""
        self._running.pop(file, None)

    def end(self, file: int, *, failed: bool) -> None:
        """A file is done."""
        weight = self._running.pop(file, (0.0, 0.0, 0, 0))[0]
        self._left -= weight
        self._worked += 0 if failed else weight
        self.done += 1
        self.failed += failed

    def count(self, frames: int, faces: int, deblurred: int, out_size: int) -> None:
        """Figures of a file that was finished."""
        self.frames += frames
        self.faces += faces
        self.deblurred += deblurred
        self.out_size += out_size


def weights_of(sizes: Sequence[int], seconds: Sequence[float | None]) -> list[float]:
    """What files weigh: their seconds; where they are unknown, what others of so many bytes have.

    Args:
        sizes: Bytes of each file.
        seconds: How long each is, as far as that is known.
    """
    known = [(size, long) for size, long in zip(sizes, seconds, strict=True) if long]
    size, total = sum(size for size, _ in known), sum(long for _, long in known)
    of_a_byte = total / size if size else 1.0
    return [long or size * of_a_byte for size, long in zip(sizes, seconds, strict=True)]


def duration_text(seconds: float) -> str:
    """A duration for people, no more exact than it can be known."""
    minutes = seconds / 60
    if minutes < 1.5:
        return f"{seconds:.0f} s"
    if minutes < 90:
        return f"{minutes:.0f} min"
    if minutes < 48 * 60:
        return f"{minutes / 60:.1f} h"
    return f"{minutes / 60 / 24:.1f} days"
