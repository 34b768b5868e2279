"""On real faces and videos, where VIDFACEDEBLUR_DATA names them; skipped elsewhere."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import torch
from checkerboard import grid_ratio
from numpy.typing import NDArray

from vidfacedeblur import FaceDeblurPipeline, VideoOptions
from vidfacedeblur.deblur import open_deblurrer
from vidfacedeblur.engines import choose
from vidfacedeblur.models.bundle import find_weights
from vidfacedeblur.trainers.datasets import read_dataset
from vidfacedeblur.trainers.fixed_sets import SETS
from vidfacedeblur.trainers.metrics import psnr, ssim
from vidfacedeblur.types import FloatImage

LEAST_GAIN = {"deepdeblur": 2.5, "deblurgan": 4.5, "deblurganv2": 2.7}
"""dB over the blurred input."""


def restored(name: str, images: list[FloatImage]) -> NDArray[np.float32]:
    deblurrer = open_deblurrer(find_weights(name), choose("auto", "cpu"))
    parts = [deblurrer.batch(np.stack(images[i : i + 8])) for i in range(0, len(images), 8)]
    deblurrer.close()
    return np.concatenate(parts)


def tensor(images: NDArray[np.float32]) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2)


@pytest.mark.parametrize("name", LEAST_GAIN)
def test_bundled_weights_on_the_fixed_faces(name: str, research_data: Path) -> None:
    pairs = list(SETS["synthetic-faces"].pairs(research_data, 48))  # each kernel size six times
    sharp = tensor(np.stack([pair.sharp for pair in pairs]))
    blurred = tensor(np.stack([pair.blurred for pair in pairs]))
    output = tensor(restored(name, [pair.blurred for pair in pairs]))
    gain = psnr(output, sharp).mean() - psnr(blurred, sharp).mean()
    assert gain > LEAST_GAIN[name]
    assert ssim(output, sharp).mean() > ssim(blurred, sharp).mean()
    shift = 255 * (output - sharp).mean((0, 2, 3))
    assert shift.abs().max() < 1.0  # 48 faces; under 0.5 over the whole set, see the card
    assert grid_ratio(output - sharp) < 2  # no checkerboard


@pytest.mark.parametrize("name", LEAST_GAIN)
def test_a_sharp_face_stays_sharp(name: str, research_data: Path) -> None:
    faces = [pair.sharp for pair in SETS["synthetic-faces"].pairs(research_data, 16)]
    kept = psnr(tensor(restored(name, faces)), tensor(np.stack(faces)))
    assert float(kept.mean()) > 38


def test_no_test_face_was_trained_on(research_data: Path) -> None:
    pictures = read_dataset(research_data / "faces").pictures
    sides = ("train", "test")
    people = {side: {p.identity for p in pictures if p.split == side} for side in sides}
    assert not people["train"] & people["test"]
    files = {picture.name for picture in pictures if picture.split == "test"}
    assert {row["file"] for row in SETS["synthetic-faces"].rows()} <= files


@pytest.mark.parametrize(
    "clip",
    ["suit_22fps_700_audio.mp4", "sign_language_yuvj_640x480.mkv", "talk_mpeg4_512_audio.mp4"],
)
def test_real_clips_come_through(clip: str, research_data: Path, tmp_path: Path) -> None:
    source, target = research_data / "videos" / clip, tmp_path / clip
    options = VideoOptions(duration=0.6)
    with FaceDeblurPipeline("deblurganv2", device="cpu", video=options) as pipeline:
        summary = pipeline.run(source, target)
    assert summary.faces >= 0.9 * summary.frames
    with av.open(source) as a, av.open(target) as b:
        one, two = a.decode(video=0), b.decode(video=0)
        differences = [
            (
                abs(float(f.pts * f.time_base) - float(g.pts * g.time_base)),
                np.abs(
                    f.to_ndarray(format="gray")[:24].astype(int) - g.to_ndarray(format="gray")[:24]
                ),
            )
            for g, f in zip(two, one, strict=False)
        ]
    assert len(differences) == summary.frames
    offsets = [time for time, _ in differences]
    assert max(offsets) - min(offsets) < 1e-3
    assert max(float(edge.mean()) for _, edge in differences) < 2  # encoder noise only
