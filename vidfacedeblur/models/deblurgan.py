"""DeblurGAN generator: a residual encoder-decoder that predicts a correction to its input.

Kupyn et al., "DeblurGAN: Blind Motion Deblurring Using Conditional Adversarial Networks", CVPR
2018, https://arxiv.org/abs/1711.07064. Differences from the published code: two convolutions in
every residual block, as in the paper (the code lost one in 2019); instance normalisation keeps no
running statistics and dropout acts in training only, so that a network gives the same answer in
training and in use; resizing and a convolution instead of transposed convolutions by default, which
leaves no checkerboard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn

from vidfacedeblur.errors import OptionError
from vidfacedeblur.models.layers import (
    InstanceNorm,
    Upsampling,
    activation,
    add_correction,
    as_weights,
    draw_normal,
    init_normal,
    upsample,
)
from vidfacedeblur.settle import settle


@dataclass(frozen=True)
class DeblurGANConfig:
    """Shape of a `DeblurGAN`. Stored beside its weights."""

    width: int = 64
    """Channels after the first convolution; doubled by each of the two downsamplings."""
    blocks: int = 9
    """Residual blocks at quarter resolution."""
    dropout: float = 0.0
    """Share of features dropped after a block's first convolution, in training only."""
    leaky: bool = False
    """Leaky ReLU (slope 0.2) in place of ReLU."""
    upsampling: Upsampling = "resize"

    def __post_init__(self) -> None:
        settle(self, str)
        if min(self.width, self.blocks) < 1:
            raise OptionError("width and blocks must be 1 or more")
        if not 0 <= self.dropout < 1:
            raise OptionError(f"dropout must be 0 or more and below 1, got {self.dropout:g}")


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with instance norm around an activation and dropout, plus the input."""

    def __init__(self, channels: int, config: DeblurGANConfig) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            InstanceNorm(),
            activation(config.leaky),
            nn.Dropout(config.dropout),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            InstanceNorm(),
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + cast(Tensor, self.body(features))


class DeblurGAN(nn.Module):
    """Sharpens a batch of face crops. Height and width must be multiples of 4, at least 16."""

    def __init__(self, config: DeblurGANConfig) -> None:
        super().__init__()
        w = config.width
        self.encoder = nn.Sequential(
            nn.ReflectionPad2d(3),
            nn.Conv2d(3, w, 7),
            InstanceNorm(),
            activation(config.leaky),
            nn.Conv2d(w, 2 * w, 3, stride=2, padding=1),
            InstanceNorm(),
            activation(config.leaky),
            nn.Conv2d(2 * w, 4 * w, 3, stride=2, padding=1),
            InstanceNorm(),
            activation(config.leaky),
        )
        self.trunk = nn.Sequential(*(ResidualBlock(4 * w, config) for _ in range(config.blocks)))
        self.decoder = nn.Sequential(
            upsample(4 * w, 2 * w, config.upsampling),
            InstanceNorm(),
            activation(config.leaky),
            upsample(2 * w, w, config.upsampling),
            InstanceNorm(),
            activation(config.leaky),
            nn.ReflectionPad2d(3),
            (last := nn.Conv2d(w, 3, 7)),
            nn.Tanh(),
        )
        init_normal(self)
        # The untrained network then leaves its input almost as it is.
        draw_normal(last.weight, 1e-3)

    def forward(self, blurred: Tensor) -> Tensor:
        """Map (N, 3, H, W) in [-1, 1] to the same shape and range."""
        features = self.encoder(as_weights(blurred, self))  # (N, 4w, H/4, W/4)
        features = self.trunk(features)
        correction = self.decoder(features)  # (N, 3, H, W)
        return add_correction(blurred, correction)
