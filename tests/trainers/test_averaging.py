"""Averages of moving clips: the middle frame is the sharp one, and what does not fit says why."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from numpy.typing import NDArray
from tests_support import portrait

from vidfacedeblur.errors import OptionError
from vidfacedeblur.trainers.averaging import (
    APART,
    FACELESS,
    SAME,
    STILL,
    AveragedFace,
    average,
    averaged_at,
    averaged_faces,
    middle_of,
    why_unfit,
)
from vidfacedeblur.types import Box, Region

Image = NDArray[np.uint8]
SQUARE = Box(16, 16, 144, 144)


def moving(number: int, step: int = 1) -> Image:
    """A frame of 160x160 in which the head moves, and a green dot says which frame it is."""
    frame = portrait(step * number)[30:190, 40:200].copy()
    frame[20:23, 24 + 6 * number : 27 + 6 * number] = (0, 255, 0)
    return frame


def number_in(image: NDArray[np.float32]) -> int:
    """Number of the frame that was cut at `SQUARE`."""
    green = image[..., 1] - image[..., 0] - image[..., 2]
    return round((int(green[5].argmax()) - (24 - 16 + 1)) / 6)


def unit(frames: Iterable[Image]) -> list[NDArray[np.float32]]:
    return [frame / np.float32(255) for frame in frames]


def averaged(
    frames: Iterable[Image | None], length: int, **options: float
) -> list[AveragedFace | str]:
    return list(averaged_faces(frames, lambda _: [SQUARE], length=length, side=128, **options))


def faces(found: list[AveragedFace | str]) -> list[AveragedFace]:
    kept = [face for face in found if isinstance(face, AveragedFace)]
    assert len(kept) == len(found), found
    return kept


def test_at_gamma_one_the_average_is_the_mean() -> None:
    images = unit(moving(number) for number in range(4))
    mixed = average(images)
    assert mixed.dtype == np.float32
    np.testing.assert_allclose(mixed, np.mean(images, axis=0), atol=1e-6)


def test_light_is_averaged_brighter_than_stored_values() -> None:
    black, white = np.zeros((4, 4, 3), np.float32), np.ones((4, 4, 3), np.float32)
    np.testing.assert_allclose(average([black, white]), 0.5)
    np.testing.assert_allclose(average([black, white], gamma=2.2), 0.5 ** (1 / 2.2), atol=1e-6)


@pytest.mark.parametrize("gamma", [1.0, 2.2])
def test_frames_that_are_alike_average_to_themselves(gamma: float) -> None:
    (image,) = unit([moving(0)])
    np.testing.assert_allclose(average([image] * 5, gamma=gamma), image, atol=1e-6)


def test_light_is_averaged_before_the_picture_shrinks() -> None:
    board = (np.indices((32, 32)).sum(0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, axis=2)
    region = Region(0, 0, 32, 32)
    _, blurred, shown = averaged_at([board, 255 - board], region, side=16, gamma=2.2)
    np.testing.assert_allclose(shown[0], 0.5, atol=1e-3)
    np.testing.assert_allclose(blurred, 0.5 ** (1 / 2.2), atol=1e-3)  # else it would be 0.5


@pytest.mark.parametrize("length", [4, 5, 6, 7])
def test_the_sharp_face_is_the_middle_frame(length: int) -> None:
    clip = [moving(number) for number in range(14)]
    found = faces(averaged(clip, length))
    firsts = range(0, len(clip) - length + 1, length)  # windows do not overlap
    assert [face.middle for face in found] == [first + length // 2 for first in firsts]
    for first, face in zip(firsts, found, strict=True):
        assert number_in(face.sharp) == face.middle
        cut = [frame[16:144, 16:144] / np.float32(255) for frame in clip]
        np.testing.assert_allclose(face.sharp, cut[face.middle], atol=1e-6)
        window = cut[first : first + length]
        np.testing.assert_allclose(face.blurred, np.mean(window, axis=0), atol=1e-5)
        assert face.region == Region(16, 16, 144, 144)


def test_of_an_even_number_the_later_of_the_middle_two_counts() -> None:
    assert [middle_of(length) for length in (2, 3, 4, 5, 15)] == [1, 1, 2, 2, 7]


def test_faces_are_looked_for_in_the_middle_frame_only() -> None:
    asked = []

    def find(frame: Image) -> list[Box]:
        asked.append(number_in(frame[16:144, 16:144] / np.float32(255)))
        return [SQUARE, Box(20, 10, 150, 140)]

    clip = [moving(number) for number in range(12)]
    found = faces(list(averaged_faces(clip, find, length=5, side=64)))
    assert asked == [2, 7]
    assert [face.middle for face in found] == [2, 2, 7, 7]
    assert {face.sharp.shape for face in found} == {face.blurred.shape for face in found}
    assert found[0].sharp.shape == (64, 64, 3)


def test_a_square_may_hang_over_the_edge() -> None:
    clip = [moving(number) for number in range(5)]
    square = Box(-20, 40, 100, 160)
    (face,) = faces(list(averaged_faces(clip, lambda _: [square], length=5, side=120)))
    assert face.region == Region(-20, 40, 100, 160)
    np.testing.assert_allclose(face.sharp[:, 20:], clip[2][40:160, :100] / 255, atol=1e-6)
    np.testing.assert_allclose(face.sharp[:, 19], clip[2][40:160, 1] / 255, atol=1e-6)


def test_a_change_of_size_begins_a_new_clip() -> None:
    wide = [np.pad(moving(number), ((0, 0), (0, 8), (0, 0))) for number in range(7, 13)]
    found = faces(averaged([*(moving(number) for number in range(7)), *wide], 5))
    assert [face.middle for face in found] == [2, 9]  # 5 and 6 are left over
    assert [number_in(face.sharp) for face in found] == [2, 9]


def test_a_clip_that_is_too_short_gives_nothing() -> None:
    assert averaged([moving(number) for number in range(4)], 5) == []


def test_frames_in_a_row_that_are_the_same() -> None:
    assert averaged([moving(number) for number in (0, 1, 2, 2, 3)], 5) == [SAME]
    assert faces(averaged([moving(number) for number in (0, 2, 1, 3, 4)], 5))


def test_a_picture_that_only_flickers_is_still() -> None:
    rng = np.random.default_rng(0)
    base = portrait()[30:190, 40:200]
    clip = [np.clip(base + rng.normal(0, 5, base.shape), 0, 255).astype(np.uint8) for _ in range(5)]
    assert averaged(clip, 5) == [STILL]


def test_a_cut_to_something_else_is_apart() -> None:
    clip = [moving(0), moving(1), moving(2), moving(9), moving(10)[::-1].copy()]
    assert averaged(clip, 5) == [APART]
    assert averaged([moving(number, step=9) for number in range(5)], 5) == [APART]


@pytest.mark.parametrize("shade", [0.0, 0.5])
def test_a_fade_from_or_to_one_shade_is_apart(shade: float) -> None:
    images = unit(moving(number) for number in range(5))
    plain = np.full_like(images[0], shade)
    assert why_unfit(images) is None
    assert why_unfit([plain, *images]) == APART
    assert why_unfit([*images, plain]) == APART
    assert why_unfit([plain, plain + np.float32(0.1), plain + np.float32(0.2)]) == APART


def test_nothing_is_averaged_across_a_frame_that_is_missing() -> None:
    frames = [None if number in (3, 4) else moving(number) for number in range(12)]
    found = faces(averaged(frames, 5))
    assert [face.middle for face in found] == [7]
    assert number_in(found[0].sharp) == 7


def test_no_face_is_told_for_each_window() -> None:
    clip = [moving(number) for number in range(11)]
    found = list(averaged_faces(clip, lambda _: [], length=5, side=64))
    assert found == [FACELESS, FACELESS]


@pytest.mark.parametrize(
    ("length", "gamma"),
    [(1, 1.0), (0, 1.0), (-3, 1.0), (5, 0.0), (5, 0.09), (5, 11.0), (5, -2.2), (5, float("nan"))],
)
def test_a_length_or_gamma_out_of_range_is_refused(length: int, gamma: float) -> None:
    with pytest.raises(OptionError, match="cannot average"):
        averaged([moving(0), moving(1)], length, gamma=gamma)


@pytest.mark.parametrize("gamma", [0.1, 10])
def test_the_least_and_the_most_gamma_are_taken(gamma: float) -> None:
    assert averaged([moving(0), moving(1)], 3, gamma=gamma) == []
