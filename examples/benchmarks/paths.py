"""How much the bundled models gain where camera paths curve more or less.

Faces of the fixed set ``synthetic-faces`` are blurred anew: by paths that curve as little as that
set's, and as much as Boracchi and Foi's generator as it was published. Printed are how curved the
kernels are, the mean of their shorter axis over the longer, and each model's gain in PSNR.

    python examples/benchmarks/paths.py DATA [--pairs 96] [--models NAME ...]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vidfacedeblur import FaceDeblurPipeline
from vidfacedeblur.trainers.blur import as_eight_bit, convolve
from vidfacedeblur.trainers.fixed_sets import NOISE, SETS
from vidfacedeblur.trainers.kernels import random_kernels, trajectories
from vidfacedeblur.trainers.metrics import psnr

CURVING = {"as in synthetic-faces": 1.0, "as published": 4.0}


def axes(kernel: NDArray[np.float32]) -> float:
    """Shorter axis of a kernel over its longer one."""
    rows, columns = np.indices(kernel.shape) - kernel.shape[0] // 2
    moments = np.cov(np.stack([rows.ravel(), columns.ravel()]), aweights=kernel.ravel())
    short, long = np.sqrt(np.linalg.eigvalsh(moments).clip(1e-9))
    return float(short / long)


def pairs(data: Path, count: int, curving: float) -> tuple[torch.Tensor, torch.Tensor, list[float]]:
    """Sharp and blurred faces, (N, 3, 128, 128) in [0, 1], and their kernels' axes."""
    rng = np.random.default_rng(1)
    sharp, blurred, curved = [], [], []
    for pair in SETS["synthetic-faces"].pairs(data, count):
        face = torch.from_numpy(pair.sharp).permute(2, 0, 1)[None]
        kernels = random_kernels(
            [int(pair.group)], rng, paths=trajectories(1, rng, curving=curving)
        )
        grain = torch.from_numpy(rng.normal(0, NOISE, face.shape).astype(np.float32))
        sharp.append(face)
        blurred.append(as_eight_bit(convolve(face, kernels) + grain))
        curved.append(axes(kernels[0].numpy()))
    return torch.cat(sharp), torch.cat(blurred), curved


def restored(pipeline: FaceDeblurPipeline, blurred: torch.Tensor) -> torch.Tensor:
    """The faces as a model gives them back, in the same form."""
    levels = (blurred * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    found = np.concatenate(
        [pipeline.deblur_faces(levels[i : i + 8]) for i in range(0, len(levels), 8)]
    )
    return torch.from_numpy(found).permute(0, 3, 1, 2) / 255


def main(argv: Sequence[str] | None = None) -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("data", type=Path, help="folder with faces/")
    parser.add_argument("--pairs", type=int, default=96)
    parser.add_argument("--models", nargs="*", default=["deepdeblur", "deblurgan", "deblurganv2"])
    args = parser.parse_args(argv)
    made = {name: pairs(args.data, args.pairs, curving) for name, curving in CURVING.items()}
    for name, (sharp, blurred, curved) in made.items():
        before = psnr(blurred, sharp).mean()
        print(f"{name}: axes {np.mean(curved):.2f}, blurred {before:.2f} dB")
    for model in args.models:
        with FaceDeblurPipeline(model) as pipeline:
            for name, (sharp, blurred, _) in made.items():
                gain = psnr(restored(pipeline, blurred), sharp) - psnr(blurred, sharp)
                print(f"{model}, {name}: {gain.mean():+.2f} dB")


if __name__ == "__main__":
    main()
