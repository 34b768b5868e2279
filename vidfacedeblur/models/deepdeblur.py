"""DeepDeblur: a one-step network of stacked inception modules for blurred faces.

Wang, Li, Wang, "DeepDeblur: Fast one-step blurry face images restoration", 2017,
https://arxiv.org/abs/1711.09515 (not the multi-scale "DeepDeblur" of Nah et al.). Known from the
paper: a 3x3 convolution to 64 channels, six inception modules of five kernel scales from 1 to 14,
1x1 convolutions that limit parameters, and a 1x1 convolution to the picture. Our reading where it
is silent, all of it in the configuration: kernels 1, 3, 5, 7, 14; 32, 32, 32, 16, 16 channels a
branch; 1x1 reduction before each larger kernel; batch norm and ReLU after each convolution; and, in
what we ship, a correction added to the input instead of the picture itself, blocks of 4x4 pixels
folded into channels, and twice the channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidfacedeblur.errors import OptionError
from vidfacedeblur.models.layers import add_correction, as_weights, draw_normal
from vidfacedeblur.settle import settle


@dataclass(frozen=True)
class DeepDeblurConfig:
    """Shape of a `DeepDeblur`. Stored beside its weights."""

    stem: int = 64
    """Channels after the first convolution."""
    kernels: tuple[int, ...] = (1, 3, 5, 7, 14)
    """Kernel side of each branch of a module."""
    branches: tuple[int, ...] = (32, 32, 32, 16, 16)
    """Output channels of each branch."""
    reductions: tuple[int, ...] = (0, 32, 32, 16, 16)
    """Channels of each branch's leading 1x1 convolution; 0 for none."""
    modules: int = 6
    """Inception modules, one after the other."""
    norm: bool = True
    """Batch norm after every convolution but the last; it folds into the convolution in use."""
    scale: int = 1
    """Side of the square blocks of pixels that are folded into channels before the first
    convolution and unfolded after the last, as in sub-pixel convolution (Shi et al., CVPR 2016);
    1, as published, works at full resolution. Height and width must be multiples of it."""
    residual: bool = True
    """Whether the network predicts a correction to its input, or the picture itself."""

    def __post_init__(self) -> None:
        settle(self, str)
        if not len(self.kernels) == len(self.branches) == len(self.reductions):
            raise OptionError("kernels, branches and reductions must have the same length")
        if not self.kernels:
            raise OptionError("a module needs a branch or more")
        if min(*self.kernels, *self.branches, self.stem, self.modules) < 1:
            raise OptionError("stem, kernels, branches and modules must be 1 or more")
        if min(self.reductions) < 0:
            raise OptionError("reductions must be 0 or more")
        if self.scale not in (1, 2, 4):
            raise OptionError(f"scale must be 1, 2 or 4, got {self.scale}")


def _conv(channels_in: int, channels_out: int, kernel: int, *, lead: bool, norm: bool) -> nn.Module:
    """A same-size convolution with batch norm and ReLU.

    An even kernel has no centre: it takes one row and column more after the pixel than before, or
    the other way round with `lead`. Alternating the two keeps a stack from drifting.
    """
    before, after = (kernel - 1) // 2, kernel // 2
    if lead:
        before, after = after, before
    layers: list[nn.Module] = []
    if before != after:
        layers.append(nn.ZeroPad2d((before, after, before, after)))
        before = 0
    layers.append(nn.Conv2d(channels_in, channels_out, kernel, padding=before, bias=not norm))
    if norm:
        layers.append(nn.BatchNorm2d(channels_out))
    layers.append(nn.ReLU())
    return nn.Sequential(*layers)


class InceptionModule(nn.Module):
    """Several kernel scales side by side on the same features, concatenated."""

    def __init__(self, channels: int, config: DeepDeblurConfig, *, lead: bool) -> None:
        super().__init__()
        self.branches = nn.ModuleList()
        settings = zip(config.kernels, config.branches, config.reductions, strict=True)
        for kernel, width, reduction in settings:
            branch = nn.Sequential()
            if reduction:
                branch.append(_conv(channels, reduction, 1, lead=False, norm=config.norm))
            branch.append(_conv(reduction or channels, width, kernel, lead=lead, norm=config.norm))
            self.branches.append(branch)

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([branch(features) for branch in self.branches], dim=1)


class DeepDeblur(nn.Module):
    """Sharpens a batch of face crops. Height and width must be multiples of the scale."""

    def __init__(self, config: DeepDeblurConfig) -> None:
        super().__init__()
        self.residual, self.scale = config.residual, config.scale
        channels = sum(config.branches)
        pixels = 3 * config.scale**2
        self.stem = _conv(pixels, config.stem, 3, lead=False, norm=config.norm)
        self.body = nn.Sequential(
            *(
                InceptionModule(channels if i else config.stem, config, lead=i % 2 == 1)
                for i in range(config.modules)
            )
        )
        self.head = nn.Conv2d(channels, pixels, 1)
        nn.init.zeros_(cast(Tensor, self.head.bias))
        if config.residual:
            # The untrained network then leaves its input almost as it is.
            draw_normal(self.head.weight, 1e-3)

    def forward(self, blurred: Tensor) -> Tensor:
        """Map (N, 3, H, W) in [-1, 1] to the same shape and range."""
        images = as_weights(blurred, self)
        folded = F.pixel_unshuffle(images, self.scale)  # (N, 3 * scale^2, H / scale, W / scale)
        output = F.pixel_shuffle(self.head(self.body(self.stem(folded))), self.scale)
        if self.residual:
            return add_correction(blurred, output)
        return torch.clamp(output.float(), -1.0, 1.0)
