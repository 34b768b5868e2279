"""Detection: the boxes are facenet-pytorch's, and nothing that is fed in breaks it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import FakeNetwork
from numpy.typing import NDArray
from pictures import PICTURES, astronaut, crowd

from vidfacedeblur.faces import MtcnnDetector
from vidfacedeblur.types import Face

REFERENCE: dict[str, list[dict[str, Any]]] = json.loads(
    Path(__file__).with_name("reference_boxes.json").read_text()
)
TOLERANCE = 0.01
"""Pixels. Networks sum in another order than when the boxes were stored: 1e-4 was measured."""


@pytest.mark.parametrize("name", PICTURES)
def test_boxes_are_those_of_facenet_pytorch(detector: MtcnnDetector, name: str) -> None:
    make, min_face = PICTURES[name]
    faces = detector.detect(make(), min_face=min_face, min_score=0)
    expected = REFERENCE[name]
    assert len(faces) == len(expected)
    if not expected:
        return
    _assert_near([f.box for f in faces], [e["box"] for e in expected])
    _assert_near([f.landmarks for f in faces], [e["landmarks"] for e in expected])
    scores = [f.score for f in faces], [e["score"] for e in expected]
    np.testing.assert_allclose(*scores, atol=1e-4)


def test_the_stored_boxes_cover_a_crowd() -> None:
    assert len(REFERENCE["crowd"]) == 54
    assert set(REFERENCE) == set(PICTURES)


def test_faces_come_largest_first(detector: MtcnnDetector) -> None:
    areas = [f.box.width * f.box.height for f in _found(detector, crowd()[:360, :700])]
    assert len(areas) > 5
    assert areas == sorted(areas, reverse=True)


def test_min_score_only_leaves_faces_out(detector: MtcnnDetector) -> None:
    picture = crowd()[180:330, :450]
    every = detector.detect(picture, min_face=20, min_score=0)
    middle = float(np.median([f.score for f in every]))
    some = detector.detect(picture, min_face=20, min_score=middle)
    assert some == [f for f in every if f.score >= middle]
    assert 0 < len(some) < len(every)


@pytest.mark.parametrize(
    "shape",
    [(1, 1), (11, 300), (300, 11), (1, 4000), (12, 12), (12, 500), (20, 20), (21, 400), (400, 19)],
    ids=str,
)
def test_tiny_pictures_and_strips_hold_no_face(
    detector: MtcnnDetector, shape: tuple[int, int]
) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    for min_face in (12, 20):
        found = detector.detect(picture, min_face=min_face, min_score=0.9)
        assert found == []


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_flat_picture_holds_no_face(detector: MtcnnDetector, value: int) -> None:
    flat = np.full((200, 300, 3), value, np.uint8)
    assert detector.detect(flat, min_face=20, min_score=0.9) == []


def test_a_view_is_taken_like_a_copy(detector: MtcnnDetector) -> None:
    mirrored = astronaut()[:, ::-1]
    mirrored.flags.writeable = False
    assert _found(detector, mirrored) == _found(detector, mirrored.copy())


def test_too_small_a_face_is_refused(detector: MtcnnDetector) -> None:
    with pytest.raises(ValueError, match="12 or more pixels, got 11"):
        detector.detect(astronaut(), min_face=11, min_score=0.9)


def test_huge_pictures_are_searched_smaller(networks: list[FakeNetwork]) -> None:
    picture = np.zeros((4200, 4200, 3), np.uint8)
    picture[2000:3024, 2500:3524] = astronaut().repeat(2, axis=0).repeat(2, axis=1)
    pnet = FakeNetwork(networks[0])
    faces = MtcnnDetector(pnet, *networks[1:]).detect(picture, min_face=120, min_score=0.9)
    known = np.add(REFERENCE["twice the size"][0]["box"], (2500, 2000, 2500, 2000))
    assert len(faces) == 1
    np.testing.assert_allclose(faces[0].box, known, atol=12)  # 7 % of the face
    assert max(max(shape) for shape in pnet.shapes) < 600


def _everywhere(score: float) -> FakeNetwork:
    """A P-Net that sees a face, or none, in every window."""

    def run(batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        cells = [(side - 2 + 1) // 2 - 4 for side in batch.shape[2:]]
        return np.zeros((1, 4, *cells), np.float32), np.full((1, *cells), score, np.float32)

    return FakeNetwork(run)


def _judging(score: float, move: float = 0.0, device: str = "cpu") -> FakeNetwork:
    """An R- or O-Net that gives every crop the same score and moves its box."""

    def run(batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        n = len(batch)
        regression = np.full((n, 4), move, np.float32)
        points = np.zeros((n, 10), np.float32)
        scores = np.full(n, score, np.float32)
        return (regression, scores, points) if batch.shape[2] == 48 else (regression, scores)

    return FakeNetwork(run, device)


@pytest.mark.parametrize(
    ("scores", "calls"),
    [((0.0, 1.0, 1.0), (True, False, False)), ((1.0, 0.0, 1.0), (True, True, False))],
    ids=["no proposal", "all refused"],
)
def test_later_networks_rest_without_candidates(
    scores: tuple[float, float, float], calls: tuple[bool, bool, bool]
) -> None:
    nets = [_everywhere(scores[0]), _judging(scores[1]), _judging(scores[2])]
    picture = np.zeros((100, 120, 3), np.uint8)
    assert MtcnnDetector(*nets).detect(picture, min_face=30, min_score=0) == []
    assert tuple(bool(net.shapes) for net in nets) == calls


@pytest.mark.parametrize("move", [-40.0, 40.0, 1e6, -1e6])
def test_boxes_thrown_out_of_the_picture_are_dropped(move: float) -> None:
    picture = np.zeros((100, 120, 3), np.uint8)
    refine = MtcnnDetector(_everywhere(1), _judging(1, move), _judging(1))
    assert refine.detect(picture, min_face=30, min_score=0) == []
    decide = MtcnnDetector(_everywhere(1), _judging(1), _judging(1, move))
    assert decide.detect(picture, min_face=30, min_score=0) == []


def test_a_face_in_every_window_is_thinned_in_bounded_time() -> None:
    picture = np.zeros((160, 240, 3), np.uint8)
    nets = _everywhere(1), _judging(1), _judging(1)
    faces = MtcnnDetector(*nets).detect(picture, min_face=20, min_score=0)
    assert 100 < len(faces) < 1500
    assert {shape[0] for shape in nets[1].shapes} == {32}  # one shape to prepare for
    assert {shape[0] for shape in nets[2].shapes} == {8}


def test_a_gpu_gets_all_crops_at_once() -> None:
    picture = np.zeros((100, 120, 3), np.uint8)
    nets = _everywhere(1), _judging(1, device="cuda"), _judging(1, device="cuda")
    MtcnnDetector(*nets).detect(picture, min_face=30, min_score=0)
    assert len(nets[1].shapes) == len(nets[2].shapes) == 1


def _found(detector: MtcnnDetector, picture: NDArray[np.uint8]) -> list[Face]:
    return detector.detect(picture, min_face=20, min_score=0.7)


def _assert_near(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(np.array(ours), np.array(theirs), atol=TOLERANCE, rtol=0)
