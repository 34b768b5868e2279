"""Small building blocks that the deblurring models share."""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Upsampling = Literal["resize", "transposed"]


class InstanceNorm(nn.Module):
    """Instance normalisation without learned scale and without running statistics.

    One behaviour in training and inference; computed in float32 whatever the features are, because
    the variance of half-precision features overflows or vanishes on real pictures.
    """

    def __init__(self, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, H, W) to zero mean and unit variance for each sample and channel."""
        return F.instance_norm(features.float(), eps=self.eps).to(features.dtype)


class UpsampledConv(nn.Conv2d):
    """Nearest-neighbour resizing to twice the height and width, and a 3x3 convolution of that."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(F.interpolate(features, scale_factor=2.0, mode="nearest"))


def activation(leaky: bool) -> nn.Module:
    """ReLU, or leaky ReLU with slope 0.2."""
    return nn.LeakyReLU(0.2) if leaky else nn.ReLU()


def upsample(channels_in: int, channels_out: int, how: Upsampling) -> nn.Module:
    """Double height and width.

    ``transposed`` is the published 3x3 transposed convolution; ``resize`` is nearest-neighbour
    resizing and a 3x3 convolution of the same size, which leaves no checkerboard.
    """
    if how == "transposed":
        return nn.ConvTranspose2d(channels_in, channels_out, 3, 2, padding=1, output_padding=1)
    # Named "1", its place behind a resizing layer in weights that exist.
    return nn.Sequential(OrderedDict({"1": UpsampledConv(channels_in, channels_out)}))


def draw_normal(weight: Tensor, deviation: float) -> None:
    """Fill a weight from N(0, deviation), unless it has no memory because weights will be loaded.

    Torch would import its compiler for that, which takes two seconds.
    """
    if not weight.is_meta:
        nn.init.normal_(weight, 0.0, deviation)


def init_normal(module: nn.Module) -> None:
    """Draw convolution weights from N(0, 0.02) and zero their biases, as the GAN papers do."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            draw_normal(layer.weight, 0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def as_weights(images: Tensor, network: nn.Module) -> Tensor:
    """Cast images to the type of the network's weights, so that a half-precision copy just runs."""
    return images.to(next(network.parameters()).dtype)


def add_correction(blurred: Tensor, correction: Tensor) -> Tensor:
    """Blurred plus correction, both in [-1, 1] units, clamped to [-1, 1] and in float32."""
    return torch.clamp(blurred.float() + correction.float(), -1.0, 1.0)
