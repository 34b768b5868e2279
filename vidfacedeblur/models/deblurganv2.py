"""DeblurGAN-v2 generator: a feature pyramid over an image-classification backbone.

Kupyn et al., "DeblurGAN-v2: Deblurring (Orders-of-Magnitude) Faster and Better", ICCV 2019,
https://arxiv.org/abs/1908.03826. Five feature maps, at 1/2 to 1/32 of the picture; a top-down
pathway; four of the maps brought to 1/4 and concatenated, the fifth added at 1/2, as the published
code does. Differences: instance norm without running statistics; the Inception backbone is padded
"same", so that its maps need no repair, works for every multiple of 32, and keeps the weights'
shapes; sides must be multiples of 32 (`deblur.Deblurrer` extends others).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidfacedeblur.errors import OptionError
from vidfacedeblur.models.backbones import inception_resnet_v2_stages, mobilenet_v2_stages
from vidfacedeblur.models.layers import (
    InstanceNorm,
    UpsampledConv,
    add_correction,
    as_weights,
    draw_normal,
)
from vidfacedeblur.settle import settle


@dataclass(frozen=True)
class DeblurGANv2Config:
    """Shape of a `DeblurGANv2`. Stored beside its weights."""

    backbone: Literal["mobilenet_v2", "inception_resnet_v2"] = "mobilenet_v2"
    channels: int = 128
    """Channels of the pyramid's maps; the finest has half as many."""
    head_channels: int = 64
    """Channels that each pyramid level brings to the concatenation."""

    def __post_init__(self) -> None:
        settle(self, str)
        if self.channels < 2 or self.head_channels < 1:
            raise OptionError("channels must be 2 or more, head_channels 1 or more")


def _conv_norm_relu(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, padding=1), InstanceNorm(), nn.ReLU()
    )


def _head(channels: int, head_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, head_channels, 3, padding=1, bias=False),
        nn.ReLU(),
        nn.Conv2d(head_channels, head_channels, 3, padding=1, bias=False),
        nn.ReLU(),
    )


def _grow(features: Tensor, factor: int) -> Tensor:
    if factor == 1:
        return features
    return F.interpolate(features, scale_factor=float(factor), mode="nearest")


class FeaturePyramid(nn.Module):
    """Five maps of one picture, the four coarser ones mixed from the top down."""

    def __init__(self, config: DeblurGANv2Config) -> None:
        super().__init__()
        stages, widths = (
            mobilenet_v2_stages()
            if config.backbone == "mobilenet_v2"
            else inception_resnet_v2_stages()
        )
        self.stages = nn.ModuleList(stages)
        outputs = [config.channels // 2] + [config.channels] * 4
        self.laterals = nn.ModuleList(
            nn.Conv2d(width, out, 1, bias=False) for width, out in zip(widths, outputs, strict=True)
        )
        self.top_down = nn.ModuleList(
            _conv_norm_relu(config.channels, config.channels) for _ in range(3)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map (N, 3, H, W) to five maps at 1/2, 1/4, 1/8, 1/16 and 1/32 of its sides."""
        maps = []
        features = images
        for stage, lateral in zip(self.stages, self.laterals, strict=True):
            features = stage(features)
            maps.append(lateral(features))
        for level, mix in zip((3, 2, 1), self.top_down, strict=True):
            maps[level] = mix(maps[level] + _grow(maps[level + 1], 2))
        return maps


class DeblurGANv2(nn.Module):
    """Sharpens a batch of face crops. Height and width must be multiples of 32."""

    def __init__(self, config: DeblurGANv2Config) -> None:
        super().__init__()
        c, h = config.channels, config.head_channels
        self.pyramid = FeaturePyramid(config)
        self.heads = nn.ModuleList(_head(c, h) for _ in range(4))
        self.smooth = _conv_norm_relu(4 * h, c // 2)
        self.smooth2 = _conv_norm_relu(c // 2, c // 4)
        self.final = UpsampledConv(c // 4, 3)
        # The untrained network then leaves its input almost as it is.
        draw_normal(self.final.weight, 1e-3)

    def forward(self, blurred: Tensor) -> Tensor:
        """Map (N, 3, H, W) in [-1, 1] to the same shape and range."""
        half, *coarser = self.pyramid(as_weights(blurred, self))
        levels = [
            _grow(head(features), 2**n)  # each (N, h, H/4, W/4)
            for n, (head, features) in enumerate(zip(self.heads, coarser, strict=True))
        ]
        features = self.smooth(torch.cat(levels, dim=1))  # (N, c/2, H/4, W/4)
        features = self.smooth2(_grow(features, 2) + half)  # (N, c/4, H/2, W/2)
        correction = torch.tanh(self.final(features))  # (N, 3, H, W)
        return add_correction(blurred, correction)
