"""Judging methods on a fixed set: fidelity, colour, time, and what face detection makes of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidfacedeblur.faces import MtcnnDetector
from vidfacedeblur.trainers.baselines import Deconvolve
from vidfacedeblur.trainers.fixed_sets import Pair
from vidfacedeblur.trainers.metrics import psnr, ssim
from vidfacedeblur.trainers.pictures import as_bytes
from vidfacedeblur.types import Face, FloatImage

BLURRED = "blurred input"

Restore = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Maps (N, H, W, 3) float32 RGB in [0, 1] to the same."""

_BATCH = 8
_TIMED = 20
"""Pictures that are restored one at a time, for the clock."""
_SHARP_EVERY = 4
"""Every so many pictures of a set, the sharp one is restored too."""
_MIN_FACE = 32


@dataclass(frozen=True)
class Result:
    """What one method did to one pair."""

    method: str
    group: str
    psnr: float
    """dB."""
    ssim: float
    shift: tuple[float, float, float]
    """Mean of restored minus sharp, by channel, in levels of 255."""
    face_score: float
    """The detector's probability of a face; 0 where it finds none."""
    landmark_error: float
    """Mean distance of the five landmarks from those of the sharp face, as a share of the eyes'
    distance; NaN where either has no face."""
    sharp_psnr: float
    """dB of the restored sharp picture against itself; NaN where that was not tried."""


@dataclass(frozen=True)
class Score:
    """Means over a set for one method."""

    method: str
    images: int
    psnr: float
    ssim: float
    milliseconds: float
    """Median time to restore one picture, given one at a time; NaN for what is not a network."""
    shift: float
    """Largest absolute mean shift of a channel over the set, in levels of 255."""
    faces: float
    """Share of the pictures in which the detector finds the face."""
    face_score: float
    landmark_error: float
    """Over the pictures in which every method's face is found: who finds more finds harder ones."""
    sharp_psnr: float
    by_group: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Mean PSNR in dB and SSIM, by group."""


class FaceJudge:
    """What detection thinks of a restored face, beside the sharp one."""

    def __init__(self, detector: MtcnnDetector) -> None:
        self._detector = detector

    def face(self, image: FloatImage) -> Face | None:
        """The likeliest face of an (H, W, 3) picture in [0, 1]."""
        faces = self._detector.detect(as_bytes(image), min_face=_MIN_FACE, min_score=0.0)
        return max(faces, key=lambda face: face.score, default=None)

    def verdict(self, restored: FloatImage, truth: Face | None) -> tuple[float, float]:
        """Score and landmark error; see `Result`."""
        found = self.face(restored)
        if found is None:
            return 0.0, float("nan")
        if truth is None or truth.landmarks is None or found.landmarks is None:
            return found.score, float("nan")
        ours, theirs = np.array(found.landmarks), np.array(truth.landmarks)
        eyes = float(np.hypot(*(theirs[1] - theirs[0])))
        return found.score, float(np.hypot(*(ours - theirs).T).mean() / max(eyes, 1e-6))


def judge(
    pairs: Iterable[Pair],
    networks: Mapping[str, Restore],
    classical: Mapping[str, Deconvolve],
    detector: MtcnnDetector,
    *,
    on_pair: Callable[[int], object] = lambda count: None,
) -> Iterator[Result]:
    """Let every method restore every pair.

    Args:
        pairs: In any order; neighbours of one size make a batch.
        networks: By name.
        classical: By name; only for pairs whose kernel is known.
        detector: Judges the faces.
        on_pair: Told how many pairs were done since the last call.
    """
    faces = FaceJudge(detector)
    count = 0
    for batch in _batches(pairs):
        truths = [faces.face(pair.sharp) for pair in batch]
        sharp_too = [i for i in range(len(batch)) if (count + i) % _SHARP_EVERY == 0]
        for name, images, kept in _restored(batch, networks, classical, sharp_too):
            yield from _results(name, batch, images, truths, faces, kept)
        for pair in batch:
            yield from _peers(pair)
        count += len(batch)
        on_pair(len(batch))


def time_each(restore: Restore, pairs: Iterable[Pair]) -> float:
    """Median milliseconds to restore one picture, given one at a time."""
    took = []
    for i, pair in enumerate(islice(pairs, _TIMED)):
        if i == 0:
            restore(pair.blurred[None])  # the first call may still prepare something
        begin = time.perf_counter()
        restore(pair.blurred[None])
        took.append(1e3 * (time.perf_counter() - begin))
    return float(np.median(took))


def summarized(results: Sequence[Result], times: dict[str, float]) -> list[Score]:
    """Means of each method's results, methods in the order in which they first come."""
    scores = []
    by_method = {result.method: list[Result]() for result in results}
    for result in results:
        by_method[result.method].append(result)
    seen = _seen_by_all(list(by_method.values()))
    for method, own in by_method.items():
        groups = dict.fromkeys(result.group for result in own)
        by_group = {g: _means([r for r in own if r.group == g]) for g in groups}
        decibels, similarity = _means(own)
        scores.append(
            Score(
                method=method,
                images=len(own),
                psnr=decibels,
                ssim=similarity,
                milliseconds=times.get(method, float("nan")),
                shift=float(np.abs(np.mean([r.shift for r in own], axis=0)).max()),
                faces=_mean_known([_found(r.face_score) for r in own]),
                face_score=_mean_known([r.face_score for r in own]),
                landmark_error=_mean_known([own[i].landmark_error for i in seen if i < len(own)]),
                sharp_psnr=_mean_known([r.sharp_psnr for r in own]),
                by_group=by_group,
            )
        )
    return scores


Restored = tuple[str, NDArray[np.float32], dict[int, NDArray[np.float32]]]
"""A method, its pictures, and what it made of some sharp ones, by place in the batch."""


def _restored(
    batch: Sequence[Pair],
    networks: Mapping[str, Restore],
    classical: Mapping[str, Deconvolve],
    sharp_too: Sequence[int],
) -> Iterator[Restored]:
    blurred = np.stack([pair.blurred for pair in batch])
    yield BLURRED, blurred, {}
    if all(pair.kernel is not None for pair in batch):
        for name, deconvolve in classical.items():
            images = [deconvolve(p.blurred, p.kernel) for p in batch if p.kernel is not None]
            yield name, np.stack(images), {}
    for name, restore in networks.items():
        kept = {}
        if sharp_too:
            sharp = np.stack([batch[i].sharp for i in sharp_too])
            kept = dict(zip(sharp_too, restore(sharp), strict=True))
        yield name, restore(blurred), kept


def _results(
    name: str,
    batch: Sequence[Pair],
    images: NDArray[np.float32],
    truths: Sequence[Face | None],
    faces: FaceJudge,
    kept: dict[int, NDArray[np.float32]],
) -> Iterator[Result]:
    sharp = np.stack([pair.sharp for pair in batch])
    decibels = psnr(_tensor(images), _tensor(sharp)).tolist()
    similarity = ssim(_tensor(images), _tensor(sharp)).tolist()
    shifts = 255 * (images - sharp).mean((1, 2))
    for i, pair in enumerate(batch):
        score, landmark_error = faces.verdict(images[i], truths[i])
        same = float("nan")
        if i in kept:
            same = float(psnr(_tensor(kept[i][None]), _tensor(pair.sharp[None])))
        red, green, blue = map(float, shifts[i])
        yield Result(
            name,
            pair.group,
            decibels[i],
            similarity[i],
            (red, green, blue),
            score,
            landmark_error,
            same,
        )


def _peers(pair: Pair) -> Iterator[Result]:
    """What others reached on a pair, as far as it is known."""
    unknown = float("nan")
    for name, (decibels, similarity) in pair.peers.items():
        shift = (unknown, unknown, unknown)
        known = (name, pair.group, decibels, similarity)
        yield Result(*known, shift, unknown, unknown, unknown)


def _batches(pairs: Iterable[Pair]) -> Iterator[list[Pair]]:
    """Neighbours of one size, a few at a time."""
    for _, same in groupby(pairs, key=lambda pair: pair.sharp.shape):
        while batch := list(islice(same, _BATCH)):
            yield batch


def _found(face_score: float) -> float:
    """Whether a face was found, 1 or 0; NaN where nobody looked."""
    return face_score if np.isnan(face_score) else float(face_score > 0)


def _seen_by_all(methods: Sequence[Sequence[Result]]) -> list[int]:
    """Places of the pictures whose landmarks were found by every method that found any."""
    errors = [np.array([result.landmark_error for result in own]) for own in methods]
    judged = [own for own in errors if not np.isnan(own).all()]
    whole = max(map(len, judged), default=0)
    known = [~np.isnan(own) for own in judged if len(own) == whole]
    return np.flatnonzero(np.logical_and.reduce(known)).tolist() if known else []


def _means(results: Sequence[Result]) -> tuple[float, float]:
    return float(np.mean([r.psnr for r in results])), float(np.mean([r.ssim for r in results]))


def _mean_known(values: Sequence[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _tensor(images: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)
