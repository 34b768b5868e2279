"""Backbones of DeblurGAN-v2, each cut into the five stages that its pyramid taps.

MobileNetV2: Sandler et al., CVPR 2018, https://arxiv.org/abs/1801.04381. Inception-ResNet-v2:
Szegedy et al., AAAI 2017, https://arxiv.org/abs/1602.07261, with every convolution padded "same"
(the published stem is unpadded, which fits no pyramid and no picture below 128 pixels). As in
DeblurGAN-v2 the trunk ends with its second reduction: the last ten residual blocks are left out.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project; plus the input where the shapes allow."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = channels_in * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers += [nn.Conv2d(channels_in, hidden, 1, bias=False), nn.BatchNorm2d(hidden)]
            layers += [nn.ReLU6()]
        layers += [
            nn.Conv2d(hidden, hidden, 3, stride, padding=1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(),
            nn.Conv2d(hidden, channels_out, 1, bias=False),
            nn.BatchNorm2d(channels_out),
        ]
        self.body = nn.Sequential(*layers)
        self.skip = stride == 1 and channels_in == channels_out

    def forward(self, features: Tensor) -> Tensor:
        output: Tensor = self.body(features)
        return features + output if self.skip else output


def mobilenet_v2_stages() -> tuple[list[nn.Module], list[int]]:
    """Return the stages at 1/2 to 1/32 of the picture, and their output channels."""
    stem = nn.Sequential(
        nn.Conv2d(3, 32, 3, 2, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU6()
    )
    # (expansion, channels, repeats, stride), as the paper's Table 2, without its last two rows.
    settings = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)]
    blocks: list[nn.Module] = [stem]
    width = 32
    stages: list[nn.Module] = []
    for expansion, channels, repeats, stride in settings:
        for i in range(repeats):
            blocks.append(InvertedResidual(width, channels, stride if i == 0 else 1, expansion))
            width = channels
        stages.append(nn.Sequential(*blocks))
        blocks = []
    last = [(6, 96, 3, 1), (6, 160, 2, 2)]
    for expansion, channels, repeats, stride in last:
        for i in range(repeats):
            blocks.append(InvertedResidual(width, channels, stride if i == 0 else 1, expansion))
            width = channels
    stages.append(nn.Sequential(*blocks))
    return stages, [16, 24, 32, 64, 160]


def _conv(
    channels_in: int, channels_out: int, kernel: int | tuple[int, int], stride: int = 1
) -> nn.Sequential:
    sides = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (sides[0] // 2, sides[1] // 2)
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, sides, stride, padding=padding, bias=False),
        nn.BatchNorm2d(channels_out, eps=1e-3),
        nn.ReLU(),
    )


class Branches(nn.Module):
    """Several ways through the same features, concatenated."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([branch(features) for branch in self.branches], dim=1)


class ScaledResidual(nn.Module):
    """Branches, projected by a 1x1 convolution, scaled and added to the input, then ReLU."""

    def __init__(self, channels: int, branches: Branches, width: int, scale: float) -> None:
        super().__init__()
        self.branches = branches
        self.project = nn.Conv2d(width, channels, 1)
        self.scale = scale

    def forward(self, features: Tensor) -> Tensor:
        return torch.relu(features + self.scale * self.project(self.branches(features)))


def _block35() -> ScaledResidual:
    c = 320
    branches = Branches(
        _conv(c, 32, 1),
        nn.Sequential(_conv(c, 32, 1), _conv(32, 32, 3)),
        nn.Sequential(_conv(c, 32, 1), _conv(32, 48, 3), _conv(48, 64, 3)),
    )
    return ScaledResidual(c, branches, 128, 0.17)


def _block17() -> ScaledResidual:
    c = 1088
    branches = Branches(
        _conv(c, 192, 1),
        nn.Sequential(_conv(c, 128, 1), _conv(128, 160, (1, 7)), _conv(160, 192, (7, 1))),
    )
    return ScaledResidual(c, branches, 384, 0.10)


def _repeat(make: Callable[[], nn.Module], times: int) -> list[nn.Module]:
    return [make() for _ in range(times)]


def inception_resnet_v2_stages() -> tuple[list[nn.Module], list[int]]:
    """Return the stages at 1/2 to 1/32 of the picture, and their output channels."""
    pool = nn.AvgPool2d(3, 1, padding=1, count_include_pad=False)
    mixed_5b = Branches(
        _conv(192, 96, 1),
        nn.Sequential(_conv(192, 48, 1), _conv(48, 64, 5)),
        nn.Sequential(_conv(192, 64, 1), _conv(64, 96, 3), _conv(96, 96, 3)),
        nn.Sequential(pool, _conv(192, 64, 1)),
    )
    mixed_6a = Branches(
        _conv(320, 384, 3, 2),
        nn.Sequential(_conv(320, 256, 1), _conv(256, 256, 3), _conv(256, 384, 3, 2)),
        nn.MaxPool2d(3, 2, padding=1),
    )
    mixed_7a = Branches(
        nn.Sequential(_conv(1088, 256, 1), _conv(256, 384, 3, 2)),
        nn.Sequential(_conv(1088, 256, 1), _conv(256, 288, 3, 2)),
        nn.Sequential(_conv(1088, 256, 1), _conv(256, 288, 3), _conv(288, 320, 3, 2)),
        nn.MaxPool2d(3, 2, padding=1),
    )
    stages: list[nn.Module] = [
        _conv(3, 32, 3, 2),
        nn.Sequential(_conv(32, 32, 3), _conv(32, 64, 3), nn.MaxPool2d(3, 2, padding=1)),
        nn.Sequential(_conv(64, 80, 1), _conv(80, 192, 3), nn.MaxPool2d(3, 2, padding=1)),
        nn.Sequential(mixed_5b, *_repeat(_block35, 10), mixed_6a),
        nn.Sequential(*_repeat(_block17, 20), mixed_7a),
    ]
    return stages, [32, 64, 192, 1088, 2080]
