"""Pairs of sharp and blurred crops, made on the fly from a pack of faces."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from vidfacedeblur.trainers.blur import as_eight_bit, averaged_while_moving, convolve
from vidfacedeblur.trainers.compression import h264, jpeg
from vidfacedeblur.trainers.kernels import KINDS, LARGEST_SIZE, random_kernels
from vidfacedeblur.trainers.pack import Faces
from vidfacedeblur.trainers.recipe import BlurMix

_VALIDATION_FACES = 48
_VALIDATION_SIDE = 128


class PairMaker:
    """Draws crops of a set of faces with their blurred partners, as (blurred, sharp) in [-1, 1].

    A batch is drawn at one scale: some of it are faces that the pack holds blurred (averaged from
    frames), the others are blurred here.
    """

    def __init__(self, faces: Faces, mix: BlurMix, *, seed: int, device: str) -> None:
        self.stills = faces.stills.to(device)
        self.averaged = torch.stack((faces.blurred, faces.sharp), 1).to(device)
        self.mix = mix
        self.rng = np.random.default_rng(seed)
        self.generator = torch.Generator(device).manual_seed(seed)
        self._averaged_share = mix.averaged_share if len(self.averaged) else 0.0
        if not len(self.stills):
            self._averaged_share = 1.0

    def state(self) -> dict[str, Any]:
        """Where chance stands; `restore` takes it back."""
        return {"numpy": self.rng.bit_generator.state, "torch": self.generator.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on exactly where a `state` was taken."""
        self.rng.bit_generator.state = state["numpy"]
        self.generator.set_state(state["torch"].cpu())

    def draw(self, batch: int, crop: int) -> tuple[Tensor, Tensor]:
        """Make one batch of (N, 3, crop, crop) pairs."""
        zooms = np.log((self.mix.smallest_zoom, self.mix.largest_zoom))
        zoom = float(np.exp(self.rng.uniform(*zooms)))
        averaged = int((self.rng.random(batch) < self._averaged_share).sum())
        parts = []
        if batch > averaged:
            parts.append(self._blurred_here(batch - averaged, crop, zoom))
        if averaged:
            parts.append(self._blurred_before(averaged, crop, zoom))
        blurred, sharp = (torch.cat(images) for images in zip(*parts, strict=True))
        blurred = self._compressed(self._noisy(blurred))
        if self.rng.random() < 0.5:
            blurred, sharp = blurred.flip(-1), sharp.flip(-1)
        return 2 * blurred - 1, 2 * sharp - 1

    def _blurred_here(self, batch: int, crop: int, zoom: float) -> tuple[Tensor, Tensor]:
        wanted = crop + 2 * LARGEST_SIZE  # room for the kernel, where the face is large enough
        sharp = self._windows(self.stills[:, None], batch, crop, wanted, zoom)[:, 0]
        sizes = self._sizes(batch, zoom)
        moved = int((self.rng.random(batch) < self.mix.moved_share).sum())
        parts = []
        if moved:
            parts.append(averaged_while_moving(sharp[:moved], sizes[:moved].tolist(), self.rng))
        if batch > moved:
            kernels = self._kernels(sizes[moved:]).to(sharp.device)
            parts.append(convolve(sharp[moved:], kernels))
        return _middle(torch.cat(parts), crop), _middle(sharp, crop)

    def _blurred_before(self, batch: int, crop: int, zoom: float) -> tuple[Tensor, Tensor]:
        pairs = self._windows(self.averaged, batch, crop, crop, zoom)
        return pairs[:, 0], pairs[:, 1]

    def _windows(self, faces: Tensor, batch: int, crop: int, wanted: int, zoom: float) -> Tensor:
        """Random windows of (M, K, 3, side, side) faces, `crop` to `wanted` pixels after a zoom."""
        side = faces.shape[-1]
        taken = min(side, max(round(wanted / zoom), LARGEST_SIZE + 1))
        size = max(crop, min(wanted, round(taken * zoom)))
        size -= (size - crop) % 2
        picks = self.rng.integers(len(faces), size=batch)
        corners = self.rng.integers(side - taken + 1, size=(batch, 2))
        windows = [
            faces[int(i), ..., y : y + taken, x : x + taken]
            for i, (y, x) in zip(picks, corners.tolist(), strict=True)
        ]
        images = torch.stack(windows).float() / 255  # (N, K, 3, taken, taken)
        if size == taken:
            return images
        flat = F.interpolate(images.flatten(0, 1), (size, size), mode="bicubic", antialias=True)
        return flat.clamp(0, 1).reshape(*images.shape[:2], *flat.shape[1:])

    def _sizes(self, batch: int, zoom: float) -> NDArray[np.int64]:
        """How far the blur reaches, in pixels; less on faces that were made smaller."""
        mix, rng = self.mix, self.rng
        sizes = rng.integers(mix.smallest_kernel, mix.largest_kernel + 1, batch)
        mild = rng.integers(1, mix.mild_kernel + 1, batch)
        sizes = np.where(rng.random(batch) < mix.mild_share, mild, sizes)
        return np.asarray(np.maximum(1, np.rint(sizes * min(1.0, zoom))), np.int64)

    def _kernels(self, sizes: NDArray[np.int64]) -> Tensor:
        mix = self.mix
        shares = (1 - mix.defocus_share - mix.mixed_share, mix.defocus_share, mix.mixed_share)
        kinds = self.rng.choice(len(KINDS), len(sizes), p=shares)
        # A disc takes away far more than a path of its length.
        sizes = np.where(kinds == KINDS.index("defocus"), np.maximum(1, sizes // 2), sizes)
        return random_kernels(sizes.tolist(), self.rng, kinds=[KINDS[k] for k in kinds])

    def _noisy(self, blurred: Tensor) -> Tensor:
        amounts = self.rng.uniform(0, self.mix.largest_noise, len(blurred)).astype(np.float32)
        scale = torch.from_numpy(amounts)[:, None, None, None].to(blurred.device)
        grain = torch.randn(blurred.shape, generator=self.generator, device=blurred.device)
        return as_eight_bit(blurred + scale * grain)

    def _compressed(self, blurred: Tensor) -> Tensor:
        mix, rng = self.mix, self.rng
        how = rng.random(len(blurred))
        for i in np.flatnonzero(how < mix.jpeg_share):
            blurred[i] = jpeg(blurred[i], int(rng.integers(mix.lowest_quality, 96)))
        videos = np.flatnonzero((how >= mix.jpeg_share) & (how < mix.jpeg_share + mix.h264_share))
        if len(videos):
            crf = int(rng.integers(16, mix.largest_crf + 1))
            picks = torch.from_numpy(videos).to(blurred.device)
            blurred[picks] = h264(blurred[picks], crf)
        return blurred


def validation_pairs(mix: BlurMix, faces: Faces, device: str) -> tuple[Tensor, Tensor]:
    """A fixed set of pairs of a split: 128 pixels, random camera paths of 13 to 27 pixels."""
    picks = slice(None, None, max(1, len(faces.stills) // _VALIDATION_FACES))
    harder = replace(
        mix,
        smallest_kernel=13,
        largest_kernel=27,
        averaged_share=0.0,
        mild_share=0.0,
        moved_share=0.0,
        defocus_share=0.0,
        mixed_share=0.0,
        jpeg_share=0.0,
        h264_share=0.0,
        smallest_zoom=1.0,
        largest_zoom=1.0,
    )
    chosen = replace(faces, stills=faces.stills[picks])
    return PairMaker(chosen, harder, seed=1, device=device).draw(
        _VALIDATION_FACES, _VALIDATION_SIDE
    )


def _middle(images: Tensor, crop: int) -> Tensor:
    edge = (images.shape[-1] - crop) // 2
    return images[..., edge : edge + crop, edge : edge + crop]
