"""Which faces are wanted: by place, and the largest of them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from vidfacedeblur.config import FaceOptions
from vidfacedeblur.errors import OptionError
from vidfacedeblur.faces import Selector
from vidfacedeblur.faces.steady import Found
from vidfacedeblur.types import Box, Face


def face(track: int, x: float, size: float = 50) -> Face:
    return Face(Box(x, 100, x + size, 100 + size), 0.99, None, track)


def chosen(options: FaceOptions, *frames: list[Face]) -> list[list[int | None]]:
    select = Selector(options)
    return [[f.track for f in select(Found(faces, 0)).faces] for faces in frames]


FACES = [face(1, 0, 40), face(2, 100, 80), face(3, 300, 60)]


@pytest.mark.parametrize(
    ("wanted", "tracks"),
    [("all", [1, 2, 3]), ("largest", [2]), (2, [2, 3]), (9, [2, 3, 1]), ("none", [])],
)
def test_so_many_of_the_largest(wanted: Any, tracks: list[int]) -> None:
    assert chosen(FaceOptions(faces=wanted), FACES) == [tracks]


def test_the_largest_does_not_change_from_frame_to_frame() -> None:
    frames = [[face(1, 0, 60 + 2 * (t % 2)), face(2, 200, 62 - 2 * (t % 2))] for t in range(20)]
    first = chosen(FaceOptions(faces=1), *frames)
    assert len({tuple(tracks) for tracks in first[1:]}) == 1
    # One that comes close for good takes over.
    frames = [[face(1, 0, 60), face(2, 200, 40 + 2 * t)] for t in range(30)]
    tracks = chosen(FaceOptions(faces="largest"), *frames)
    assert (tracks[0], tracks[-1]) == ([1], [2])
    assert sum(a != b for a, b in pairwise(tracks)) == 1


def test_only_what_has_its_middle_in_a_region() -> None:
    options = FaceOptions(regions=((0, 0, 50, 300), (320, 100, 100, 100)))
    assert chosen(options, FACES) == [[1, 3]]
    assert chosen(FaceOptions(exclude=((100, 100, 100, 100),)), FACES) == [[1, 3]]
    both = FaceOptions(regions=((0, 0, 200, 300),), exclude=((0, 0, 50, 300),))
    assert chosen(both, FACES) == [[2]]
    strip = (0, 125, 400, 10)
    assert chosen(FaceOptions(regions=(strip,)), FACES) == [[3]]
    assert chosen(FaceOptions(exclude=(strip,)), FACES) == [[1, 2]]


def test_the_largest_covers_the_most() -> None:
    wide, tall = (Face(Box(0, 0, *sides), 0.99, None, sum(sides)) for sides in ((90, 40), (41, 92)))
    square = Face(Box(100, 100, 162, 162), 0.99, None, 1)
    assert chosen(FaceOptions(faces=2), [wide, tall, square]) == [[1, 133]]


@pytest.mark.parametrize(
    "options",
    [
        {"faces": 0},
        {"faces": "some"},
        {"faces": "a number"},
        {"regions": ((0, 0, 0, 10),)},
        {"exclude": ((0, 0, 10),)},
        {"exclude": ((0, 0, float("nan"), 10),)},
        {"min_track": 0},
        {"min_track": 101},
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    flag = {"faces": "--faces", "regions": "--region", "exclude": "--exclude"}
    with pytest.raises(OptionError, match=flag.get(next(iter(options)), "--min-track")):
        FaceOptions(**options)
