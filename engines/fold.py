"""The same function in fewer multiplications: what an exported network is made of.

Enlarging by two with nearest-neighbour and then convolving with 3x3 visits each source pixel up to
four times with the same value. Summing the weights that meet the same pixel leaves, for each of
the four output positions, a 2x2 convolution of the small picture: 4 multiplications where there
were 9. The result differs from the original's by rounding alone.
"""

from __future__ import annotations

import copy
import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vidfacedeblur.models.layers import UpsampledConv


class FoldedUpsampledConv(nn.Module):
    """An `UpsampledConv` as one 2x2 convolution of the picture before it is enlarged."""

    def __init__(self, conv: UpsampledConv) -> None:
        super().__init__()
        weight = _folded(conv.weight.detach())  # (4, out, in, 2, 2)
        self.weight = nn.Parameter(weight.flatten(0, 1))
        bias = conv.bias
        self.bias = None if bias is None else nn.Parameter(bias.detach().repeat(4))

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, out, 2H, 2W)."""
        every = F.conv2d(features, self.weight, self.bias, padding=1)  # (N, 4 out, H + 1, W + 1)
        phases = every.chunk(4, dim=1)
        # An even row of the result looks at the source rows above it and at it, an odd one at it
        # and below; so for columns.
        placed = [
            phases[2 * y + x][..., y : y + features.shape[-2], x : x + features.shape[-1]]
            for y in (0, 1)
            for x in (0, 1)
        ]
        return F.pixel_shuffle(torch.stack(placed, dim=2).flatten(1, 2), 2)


def folded(module: nn.Module) -> nn.Module:
    """A copy of a network, in evaluation mode, that computes the same with less."""
    module = copy.deepcopy(module)
    for parent in list(module.modules()):
        children = list(parent.named_children())
        for name, child in children:
            if isinstance(child, UpsampledConv):
                setattr(parent, name, FoldedUpsampledConv(child))
        if isinstance(parent, nn.Sequential):
            _fold_norms(parent, children)
    return module


def _fold_norms(layers: nn.Sequential, children: list[tuple[str, nn.Module]]) -> None:
    """Merge batch norms with the convolutions right before them."""
    for (name, conv), (norm_name, norm) in itertools.pairwise(children):
        if type(conv) is nn.Conv2d and isinstance(norm, nn.BatchNorm2d):
            setattr(layers, name, fuse_conv_bn_eval(conv, norm))
            setattr(layers, norm_name, nn.Identity())


def _folded(weight: Tensor) -> Tensor:
    """2x2 kernels for each of the four output positions of a 3x3 kernel, (4, out, in, 2, 2)."""

    def fold(rows: Tensor, odd: int) -> Tensor:
        """Sum the two of three taps, along the last axis, that meet the same source pixel."""
        a, b, c = rows.unbind(-1)
        return torch.stack((a + b, c) if odd else (a, b + c), dim=-1)

    kernels = []
    for y in (0, 1):
        tall = fold(weight.transpose(-1, -2), y).transpose(-1, -2)  # (out, in, 2, 3)
        kernels += [fold(tall, x) for x in (0, 1)]
    return torch.stack(kernels)
