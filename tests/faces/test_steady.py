"""Steady faces: trembling goes, motion stays, and a face comes and goes softly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from vidfacedeblur.faces import Steadier
from vidfacedeblur.faces.steady import REACH, Found
from vidfacedeblur.types import Box, Face

WIDTH = 100


def face(x: float, *, track: int = 1, size: float = WIDTH) -> Face:
    box = Box(x - size / 2, 50, x + size / 2, 50 + 1.2 * size)
    points = tuple((x + dx, 50 + dy) for dx, dy in ((-20, 40), (20, 40), (0, 60), (-15, 80)))
    return Face(box, 0.99, points, track)


def go(
    frames: list[list[Face]],
    *,
    ahead: int = REACH,
    scenes: list[int] | None = None,
    min_track: int = 1,
) -> list:
    steadier = Steadier(ahead=ahead, min_track=min_track)
    settled: list[list[Face]] = []
    for number, faces in enumerate(frames):
        settled += steadier.push(Found(faces, (scenes or [0] * len(frames))[number]))
    return settled + steadier.flush()


def middles(settled: list[list[Face]]) -> np.ndarray:
    return np.array([(faces[0].box.x0 + faces[0].box.x1) / 2 for faces in settled])


def trembling(values: np.ndarray) -> float:
    return float(np.abs(np.diff(values, 2)).mean())


@pytest.mark.parametrize("ahead", [REACH, 1])
def test_a_trembling_box_becomes_steady(ahead: int) -> None:
    noise = np.random.default_rng(0).normal(0, 0.015 * WIDTH, 60)
    frames = [[face(200 + shift, size=WIDTH + 2 * shift)] for shift in noise]
    settled = go(frames, ahead=ahead)
    assert trembling(middles(settled)) < 0.5 * trembling(middles(frames))
    sizes = np.array([faces[0].box.width for faces in settled])
    assert trembling(sizes) < 0.5 * trembling(np.array([f[0].box.width for f in frames]))
    points = np.array([faces[0].landmarks[0][0] for faces in settled])
    assert trembling(points) < 0.5 * trembling(np.array([f[0].landmarks[0][0] for f in frames]))


@pytest.mark.parametrize(
    "path",
    [
        lambda t: 200 + 12 * t,
        lambda t: 200 + 0.5 * t**2,
        lambda t: 400 + 60 * np.sin(t / 5),
        lambda t: 200 + 300 * (t >= 15),
        lambda t: 200 + 40 * np.abs(t - 15),
    ],
    ids=["steady", "faster and faster", "to and fro", "a leap", "a sudden turn"],
)
def test_a_moving_face_is_not_lagged_behind(path: Callable[[float], float]) -> None:
    truth = np.array([path(t) for t in range(30)])
    settled = go([[face(x)] for x in truth])
    assert np.abs(middles(settled) - truth).max() < 0.05 * WIDTH


def test_a_face_that_goes_evenly_keeps_its_box_and_its_landmarks() -> None:
    frames = []
    for t in range(12):
        plain = face(200 + 3 * t)
        points = tuple((x, y + 2 * t) for x, y in plain.landmarks or ())
        x0, y0, x1, y1 = plain.box
        frames.append([replace(plain, box=Box(x0, y0 + 2 * t, x1, y1 + 2 * t), landmarks=points)])
    for (steady,), (found,) in zip(go(frames), frames, strict=True):
        assert steady.box == pytest.approx(found.box)
        assert np.ravel(steady.landmarks) == pytest.approx(np.ravel(found.landmarks))


def test_nothing_waits_longer_than_it_must() -> None:
    steadier = Steadier(ahead=1)
    counts = [len(steadier.push(Found([face(200)], 0))) for _ in range(5)]
    assert counts == [0, 1, 1, 1, 1]
    assert len(steadier.flush()) == 1
    assert steadier.flush() == []


def test_a_face_comes_and_goes_softly() -> None:
    frames = [[face(200)] if 10 <= t < 20 else [] for t in range(30)]
    weights = [faces[0].weight for faces in go(frames) if faces]
    assert weights == [0.25, 0.5, 0.75, 1, 1, 1, 1, 0.75, 0.5, 0.25]


def test_a_face_that_is_there_from_cut_to_cut_has_its_full_weight() -> None:
    scenes = [0] * 8 + [8] * 8
    frames = [[face(200, track=1 + (t >= 8))] for t in range(16)]
    settled = go(frames, scenes=scenes)
    assert [faces[0].weight for faces in settled] == [1] * 16
    # Nor does the box before the cut draw the one after it.
    frames = [[face(200 + 9 * (t >= 8))] for t in range(16)]
    np.testing.assert_allclose(middles(go(frames, scenes=scenes)), middles(frames))


def test_every_face_is_steadied_by_its_own_past() -> None:
    frames = [
        [face(100 + t, track=1), face(500 - t, track=2)][:: 1 - 2 * (t % 2)] for t in range(9)
    ]
    for t, faces in enumerate(go(frames)):
        found = {f.track: (f.box.x0 + f.box.x1) / 2 for f in faces}
        assert found == pytest.approx({1: 100 + t, 2: 500 - t})


def test_faces_without_landmarks_and_single_frames_pass() -> None:
    plain = Face(Box(0, 0, 50, 60), 0.9, None, 1)
    assert go([[plain]]) == [[plain]]
    assert [faces[0].landmarks for faces in go([[plain]] * 12)] == [None] * 12
    assert go([]) == []
    assert go([[], []]) == [[], []]


def test_faces_seen_too_rarely_are_left_out() -> None:
    frames = [[face(100, track=1)] + ([face(400, track=2)] if t < 5 else []) for t in range(20)]
    settled = go(frames, min_track=6, ahead=6)
    assert [[f.track for f in faces] for faces in settled] == [[1]] * 20
    assert [len(faces) for faces in go(frames, min_track=5, ahead=5)] == [2] * 5 + [1] * 15
    # Nor does one pass that comes when the scene has gone on for long.
    late = [
        [face(100, track=1)] + ([face(400, track=2)] if 40 <= t < 43 else []) for t in range(60)
    ]
    assert [len(faces) for faces in go(late, min_track=4)] == [1] * 60
    # A scene that is shorter shows its faces all the same.
    assert [len(faces) for faces in go(frames[:3], min_track=50, ahead=50)] == [2] * 3


def test_what_a_blurred_frame_needs_rises_and_falls_around_it() -> None:
    sharp, blurred = replace(face(200), sharpness=0.6), replace(face(200), sharpness=0.2)
    frames = [[blurred if t == 10 else sharp] for t in range(20)]
    steadier = Steadier(gated=True)
    settled = [s for f in frames for s in steadier.push(Found(f, 0))] + steadier.flush()
    weights = [faces[0].weight for faces in settled]
    assert weights[6:15] == [0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25, 0]
    assert sum(weights) == 4


def test_a_face_whose_sharpness_is_not_known_is_corrected_in_full() -> None:
    steadier = Steadier(gated=True)
    settled = [s for _ in range(9) for s in steadier.push(Found([face(200)], 0))]
    settled += steadier.flush()
    assert [faces[0].weight for faces in settled] == [1] * 9


def test_memory_of_faces_does_not_grow() -> None:
    steadier = Steadier(ahead=1)
    for number in range(5000):
        steadier.push(Found([face(200, track=number)], number // 10))
    kept = [value for value in vars(steadier).values() if isinstance(value, (list, dict))]
    assert max(map(len, kept)) < 20
    assert len(steadier._sightings._values) <= 2000
