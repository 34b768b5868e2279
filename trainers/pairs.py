"""Pairs of sharp and blurred crops, made on the fly from a pack of faces."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vidfacedeblur.trainers.blur import LARGEST_SIZE, compress, degrade, random_kernels
from vidfacedeblur.trainers.data import load_pack
from vidfacedeblur.trainers.recipe import MILD_KERNEL, Recipe

_VALIDATION_FACES = 48
_VALIDATION_SIDE = 128


class PairMaker:
    """Draws sharp crops of a set of faces and blurs them, as (blurred, sharp) in [-1, 1]."""

    def __init__(self, faces: Tensor, recipe: Recipe, *, seed: int, device: str) -> None:
        self.faces = faces.to(device)
        self.recipe = recipe
        self.rng = np.random.default_rng(seed)
        self.generator = torch.Generator(device).manual_seed(seed)

    def draw(self, batch: int, crop: int) -> tuple[Tensor, Tensor]:
        """Make one batch of (N, 3, crop, crop) pairs."""
        recipe, rng = self.recipe, self.rng
        sharp = self._zoomed_crops(batch, crop)
        sizes = rng.integers(recipe.smallest_kernel, recipe.largest_kernel + 1, batch)
        mild = rng.integers(1, MILD_KERNEL + 1, batch)
        sizes = np.where(rng.random(batch) < recipe.mild_share, mild, sizes)
        kernels = random_kernels(sizes.tolist(), rng).to(sharp.device)
        noise = torch.from_numpy(rng.uniform(0, recipe.largest_noise, batch).astype(np.float32))
        blurred = degrade(sharp, kernels, noise.to(sharp.device), self.generator)
        edge = (sharp.shape[-1] - crop) // 2
        window = slice(edge, edge + crop)
        for i in np.flatnonzero(rng.random(batch) < recipe.jpeg_share):
            blurred[i] = compress(blurred[i], int(rng.integers(recipe.lowest_quality, 96)))
        return 2 * blurred[..., window, window] - 1, 2 * sharp[..., window, window] - 1

    def _zoomed_crops(self, batch: int, crop: int) -> Tensor:
        """Random windows with room for the kernel where the faces are large enough for it."""
        side = self.faces.shape[-1]
        zooms = np.log((self.recipe.smallest_zoom, self.recipe.largest_zoom))
        zoom = float(np.exp(self.rng.uniform(*zooms)))
        wanted = crop + 2 * LARGEST_SIZE
        taken = min(side, max(round(wanted / zoom), LARGEST_SIZE + 1))
        wanted = max(crop, min(wanted, round(taken * zoom)))
        wanted -= (wanted - crop) % 2
        picks = self.rng.integers(len(self.faces), size=batch)
        corners = self.rng.integers(side - taken + 1, size=(batch, 2))
        windows = [
            self.faces[int(i), :, y : y + taken, x : x + taken]
            for i, (y, x) in zip(picks, corners.tolist(), strict=True)
        ]
        images = torch.stack(windows).float() / 255
        if self.rng.random() < 0.5:
            images = images.flip(-1)
        if wanted != taken:
            size = (wanted, wanted)
            images = F.interpolate(images, size, mode="bicubic", antialias=True).clamp(0, 1)
        return images


def validation_pairs(recipe: Recipe, pack: Path, device: str) -> tuple[Tensor, Tensor]:
    """A fixed set of pairs from the validation split, at 128 pixels and kernels 13 to 27."""
    harder = replace(
        recipe,
        smallest_kernel=13,
        largest_kernel=27,
        mild_share=0.0,
        jpeg_share=0.0,
        smallest_zoom=1.0,
        largest_zoom=1.0,
    )
    faces = load_pack(pack, "val")
    faces = faces[:: max(1, len(faces) // _VALIDATION_FACES)]
    return PairMaker(faces, harder, seed=1, device=device).draw(_VALIDATION_FACES, _VALIDATION_SIDE)
