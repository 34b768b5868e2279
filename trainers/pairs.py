"""Pairs of sharp and blurred crops, made on the fly from a pack of faces."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from vidfacedeblur.errors import OptionError
from vidfacedeblur.trainers.blur import as_eight_bit, averaged_while_moving, convolve
from vidfacedeblur.trainers.compression import h264, jpeg
from vidfacedeblur.trainers.kernels import KINDS, LARGEST_SIZE, random_kernels, trajectories
from vidfacedeblur.trainers.pack import Faces
from vidfacedeblur.trainers.recipe import BlurMix

_PATHS = 4096
"""Camera paths in stock: drawing them takes longer than all else about a kernel."""
_VALIDATION_FACES = 48
_VALIDATION_SIDE = 128


class PairMaker:
    """Makes crops of a set of faces with their blurred partners, as (blurred, sharp) in [-1, 1].

    Both have the 256 levels that a video stores.

    A batch is drawn at one scale: some of it are faces that the pack holds blurred (averaged from
    frames), the others are blurred here. What a batch holds depends on the seed and its number
    alone: a resumed run gets the pairs it would have had, and threads may make several batches.
    """

    lanes = 3
    """How many threads may as well ask for batches at once; more have too little Python."""

    def __init__(self, faces: Faces, mix: BlurMix, *, seed: int, device: str) -> None:
        if seed < 0:
            raise OptionError(f"--seed must be 0 or more, got {seed}")
        self.stills = faces.stills.to(device)
        self.averaged = torch.stack((faces.blurred, faces.sharp), 1).to(device)
        self.mix, self.seed, self.device = mix, seed, device
        self._stock = trajectories(_PATHS, np.random.default_rng(seed))
        self._averaged_share = mix.averaged_share if len(self.averaged) else 0.0
        if not len(self.stills):
            self._averaged_share = 1.0

    def batch(self, number: int, count: int, crop: int) -> tuple[Tensor, Tensor]:
        """Make one batch of (count, 3, crop, crop) pairs, as they come from other processes, too.

        Sums round by the order in which the values lie in memory, so that is always the same.
        """
        rng = np.random.default_rng((self.seed, number))
        zoom = float(np.exp(rng.uniform(*np.log((self.mix.smallest_zoom, self.mix.largest_zoom)))))
        averaged = int((rng.random(count) < self._averaged_share).sum())
        parts = []
        if count > averaged:
            parts.append(self._blurred_here(rng, count - averaged, crop, zoom))
        if averaged:
            both, _ = self._windows(rng, self.averaged, averaged, crop=crop, wanted=crop, zoom=zoom)
            parts.append((both[:, 0], both[:, 1]))
        blurred, sharp = (torch.cat(images) for images in zip(*parts, strict=True))
        blurred = self._compressed(rng, self._noisy(rng, blurred))
        if rng.random() < 0.5:
            blurred, sharp = blurred.flip(-1), sharp.flip(-1)
        return (2 * blurred - 1).contiguous(), (2 * as_eight_bit(sharp) - 1).contiguous()

    def close(self) -> None:
        """Nothing that is held needs it."""

    def _blurred_here(
        self, rng: np.random.Generator, count: int, crop: int, zoom: float
    ) -> tuple[Tensor, Tensor]:
        wanted = crop + 2 * LARGEST_SIZE  # room for the kernel, where the face is large enough
        stills = self.stills[:, None]
        cut, zoomed = self._windows(rng, stills, count, crop=crop, wanted=wanted, zoom=zoom)
        sharp = cut[:, 0]
        sizes = self._sizes(rng, count, zoomed)
        paths = self._paths(rng, count)
        moved = int((rng.random(count) < self.mix.moved_share).sum())
        parts = []
        if moved:
            chosen = (sharp[:moved], paths[:moved], sizes[:moved])
            whole = round(wanted / zoom) >= self.stills.shape[-1]
            still = self.mix.still_share if whole else 0.0  # an oval would cut through a part
            bend = self.mix.largest_bend
            parts.append(averaged_while_moving(*chosen, rng, still_share=still, bend=bend))
        if count > moved:
            kernels = self._kernels(rng, sizes[moved:], paths[moved:]).to(sharp.device)
            parts.append(convolve(sharp[moved:], kernels))
        return _middle(torch.cat(parts), crop), _middle(sharp, crop)

    def _windows(
        self,
        rng: np.random.Generator,
        faces: Tensor,
        count: int,
        *,
        crop: int,
        wanted: int,
        zoom: float,
    ) -> tuple[Tensor, float]:
        """Random windows of (M, K, 3, side, side) faces, `crop` to `wanted` pixels after a zoom.

        The zoom there was comes with them: a face is not made smaller than a crop.
        """
        side = faces.shape[-1]
        taken = min(side, max(round(wanted / zoom), LARGEST_SIZE + 1))
        size = max(crop, min(wanted, round(taken * zoom)))
        size -= (size - crop) % 2
        picks = torch.from_numpy(rng.integers(len(faces), size=count)).to(faces.device)
        corners = torch.from_numpy(rng.integers(side - taken + 1, size=(2, count, 1)))
        rows, columns = (corners + torch.arange(taken)).to(faces.device)
        windows = faces[picks[:, None, None], ..., rows[:, :, None], columns[:, None, :]]
        # Indexed so, the picture's sides come before its channels: (N, taken, taken, K, 3).
        images = windows.permute(0, 3, 4, 1, 2).float() / 255
        if size == taken:
            return images, 1.0
        flat = F.interpolate(images.flatten(0, 1), (size, size), mode="bicubic", antialias=True)
        return flat.clamp(0, 1).reshape(*images.shape[:3], size, size), size / taken

    def _paths(self, rng: np.random.Generator, count: int) -> NDArray[np.complex128]:
        """Camera paths of the stock, each turned by an angle of its own."""
        turns = np.exp(2j * np.pi * rng.random((count, 1)))
        return np.asarray(self._stock[rng.integers(len(self._stock), size=count)] * turns)

    def _sizes(self, rng: np.random.Generator, count: int, zoom: float) -> NDArray[np.int64]:
        """How far the blur reaches, in pixels; less on faces that were made smaller."""
        mix = self.mix
        sizes = rng.integers(mix.smallest_kernel, mix.largest_kernel + 1, count)
        mild = rng.integers(1, mix.mild_kernel + 1, count)
        sizes = np.where(rng.random(count) < mix.mild_share, mild, sizes)
        return np.asarray(np.maximum(1, np.rint(sizes * min(1.0, zoom))), np.int64)

    def _kernels(
        self, rng: np.random.Generator, sizes: NDArray[np.int64], paths: NDArray[np.complex128]
    ) -> Tensor:
        mix = self.mix
        shares = (1 - mix.defocus_share - mix.mixed_share, mix.defocus_share, mix.mixed_share)
        kinds = rng.choice(len(KINDS), len(sizes), p=shares)
        # A disc takes away far more than a path of its length.
        sizes = np.where(kinds == KINDS.index("defocus"), np.maximum(1, sizes // 2), sizes)
        return random_kernels(sizes.tolist(), rng, kinds=[KINDS[k] for k in kinds], paths=paths)

    def _noisy(self, rng: np.random.Generator, blurred: Tensor) -> Tensor:
        amounts = rng.uniform(0, self.mix.largest_noise, len(blurred)).astype(np.float32)
        scale = torch.from_numpy(amounts)[:, None, None, None].to(blurred.device)
        generator = torch.Generator(self.device).manual_seed(int(rng.integers(2**62)))
        grain = torch.randn(blurred.shape, generator=generator, device=blurred.device)
        return as_eight_bit(blurred + scale * grain)

    def _compressed(self, rng: np.random.Generator, blurred: Tensor) -> Tensor:
        """Some of the images as codecs leave them, which work on the CPU."""
        mix = self.mix
        how = rng.random(len(blurred))
        stills = np.flatnonzero(how < mix.jpeg_share)
        videos = np.flatnonzero((how >= mix.jpeg_share) & (how < mix.jpeg_share + mix.h264_share))
        qualities = rng.integers(mix.lowest_quality, 96, len(stills))
        crf = int(rng.integers(16, mix.largest_crf + 1))
        if not len(stills) + len(videos):
            return blurred
        picks = torch.from_numpy(np.concatenate((stills, videos))).to(blurred.device)
        images = blurred[picks].cpu()
        for i, quality in enumerate(qualities.tolist()):
            images[i] = jpeg(images[i], quality)
        if len(videos):
            images[len(stills) :] = h264(images[len(stills) :], crf)
        blurred[picks] = images.to(blurred.device)
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
    maker = PairMaker(chosen, harder, seed=1, device=device)
    return maker.batch(0, _VALIDATION_FACES, _VALIDATION_SIDE)


def _middle(images: Tensor, crop: int) -> Tensor:
    edge = (images.shape[-1] - crop) // 2
    return images[..., edge : edge + crop, edge : edge + crop]
