"""On real faces and videos, where VIDFACEDEBLUR_DATA names them; skipped elsewhere."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from vidfacedeblur import FaceDeblurPipeline, VideoOptions
from vidfacedeblur.deblur import open_deblurrer
from vidfacedeblur.engines import choose
from vidfacedeblur.trainers.evaluation import evaluate, load_pair, shipped_set

LEAST_GAIN = {"deepdeblur": 0.5, "deblurgan": 0.5, "deblurganv2": 1.5}
"""dB over the blurred input."""


@pytest.mark.parametrize("name", LEAST_GAIN)
def test_bundled_weights_gain_on_the_fixed_evaluation(name: str, research_data: Path) -> None:
    from vidfacedeblur.models.weights import load_model

    items = shipped_set()[::31]  # each kernel size six times
    pairs = [load_pair(item, research_data / "faces") for item in items]
    deblurrer = open_deblurrer(load_model(name), choose("auto", "cpu"))
    base, score = evaluate(pairs, {name: deblurrer.batch})
    deblurrer.close()
    assert score.psnr > base.psnr + LEAST_GAIN[name]
    assert score.ssim > base.ssim


def test_no_test_face_was_trained_on(research_data: Path) -> None:
    from vidfacedeblur.trainers.data import read_manifest

    rows = read_manifest(research_data / "faces")
    people = {split: {r.identity for r in rows if r.split == split} for split in ("train", "test")}
    assert not people["train"] & people["test"]
    files = {r.name for r in rows if r.split == "test"}
    assert {item.file for item in shipped_set()} <= files


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
