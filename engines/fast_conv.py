"""Convolutions in fewer multiplications, for CPUs: Winograd's minimal filtering, in two dimensions.

F(m, r) gives m results of a filter with r taps from m + r - 1 multiplications instead of m * r. A
3x3 convolution goes by F(4, 3): 36 multiplications for 16 pixels instead of 144 (Lavin and Gray,
"Fast Algorithms for Convolutional Neural Networks", CVPR 2016). An even kernel is two filters, of
its even and its odd taps, and goes by F(2, 2), each multiplication being a convolution with half
the kernel ("fast FIR", Parhi, "VLSI Digital Signal Processing Systems", 1999, chapter 9): 9 instead
of 16. The result differs from the direct one by rounding, some 1e-5 of its size in float32.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_LEAST_CHANNELS = 128 * 128
"""Input times output channels from which a 3x3 convolution gains more than moving data costs."""
_LEAST_EVEN = 8
"""Side of an even kernel from which it gains."""


@dataclass(frozen=True)
class _Filter:
    """F(m, r) as three matrices: outputs = results @ ((weights @ taps) * (inputs @ samples))."""

    m: int
    r: int
    inputs: tuple[tuple[float, ...], ...]
    """(m + r - 1, m + r - 1)."""
    weights: tuple[tuple[float, ...], ...]
    """(m + r - 1, r)."""
    results: tuple[tuple[float, ...], ...]
    """(m, m + r - 1)."""


_F43 = _Filter(
    4,
    3,
    (
        (4, 0, -5, 0, 1, 0),
        (0, -4, -4, 1, 1, 0),
        (0, 4, -4, -1, 1, 0),
        (0, -2, -1, 2, 1, 0),
        (0, 2, -1, -2, 1, 0),
        (0, 4, 0, -5, 0, 1),
    ),
    (
        (1 / 4, 0, 0),
        (-1 / 6, -1 / 6, -1 / 6),
        (-1 / 6, 1 / 6, -1 / 6),
        (1 / 24, 1 / 12, 1 / 6),
        (1 / 24, -1 / 12, 1 / 6),
        (0, 0, 1),
    ),
    ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1)),
)
_F22 = _Filter(
    2, 2, ((1, -1, 0), (0, 1, 0), (0, -1, 1)), ((1, 0), (1, 1), (0, 1)), ((1, 1, 0), (0, 1, 1))
)


class FastConv(nn.Module):
    """A `Conv2d` of stride 1 by minimal filtering.

    The height and width of its output must be multiples of 4 (3x3 kernels) or 2 (even ones).
    """

    inputs: Tensor
    results: Tensor

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        side = conv.kernel_size[0]
        by = _filter_for(side)
        self.m, self.r, self.parts = by.m, by.r, side // by.r
        before = int(conv.padding[0])
        after = before + self.m * self.parts - side + 1  # to whole tiles
        self.edges = (before, after, before, after)
        weights, inputs, results = (
            torch.tensor(matrix, dtype=torch.double)
            for matrix in (by.weights, by.inputs, by.results)
        )
        # Taps of the kernel by their place among r, and what is left of the kernel for each.
        split = (self.parts, self.r)
        taps = conv.weight.detach().double().reshape(*conv.weight.shape[:2], *split, *split)
        kernels = torch.einsum("aq,ocjqls,bs->abocjl", weights, taps, weights).flatten(0, 1).float()
        if self.parts == 1:
            kernels = kernels[..., 0, 0]  # (tile^2, out, in): a matrix for each place
        self.weight = nn.Parameter(kernels.contiguous())
        self.bias = None if conv.bias is None else nn.Parameter(conv.bias.detach().clone())
        # Not among the weights: they are the same in every network.
        square = torch.kron(inputs, inputs).float()
        self.register_buffer("inputs", square, persistent=False)
        self.register_buffer("results", torch.kron(results, results).float(), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, in, H, W) to (N, out, H, W) but for the kernel's edge, as the original."""
        planes = self._planes(F.pad(features, self.edges))  # (N, tile, tile, in, h, w)
        count, tile, _, channels, height, width = planes.shape
        places = tile * tile
        mixed = torch.matmul(self.inputs, planes.reshape(count, places, -1))
        if self.parts == 1:
            products = torch.matmul(self.weight, mixed.reshape(count, places, channels, -1))
        else:
            stacked = mixed.reshape(count, places * channels, height, width)
            products = F.conv2d(stacked, self.weight.flatten(0, 1), groups=places)
            height, width = height - self.parts + 1, width - self.parts + 1
        outputs = torch.matmul(self.results, products.reshape(count, places, -1))
        result = self._joined(outputs, height, width)
        return result if self.bias is None else result + self.bias[:, None, None]

    def _planes(self, images: Tensor) -> Tensor:
        """Every m-th sample from each of the tile's m + r - 1 places, for rows and columns."""
        m, more = self.m, self.r - 1
        # Not by `height // m`: the exporter could not tell that nothing is left over.
        columns = torch.unflatten(images, 3, (-1, m))
        blocks = torch.unflatten(columns, 2, (-1, m))  # (N, C, h, m, w, m)
        split = blocks.permute(0, 3, 5, 1, 2, 4)
        split = torch.cat((split[..., :-1, :], split[:, :more, ..., 1:, :]), 1)
        return torch.cat((split[..., :-1], split[:, :, :more, ..., 1:]), 2)

    def _joined(self, outputs: Tensor, height: int, width: int) -> Tensor:
        """(N, C, m h, m w) of the m x m results for each tile."""
        m, channels = self.m, self.weight.shape[1]
        tiles = outputs.reshape(len(outputs), m, m, channels, height, width)
        return tiles.permute(0, 3, 4, 1, 5, 2).flatten(4, 5).flatten(2, 3)


def with_fast_convs(module: nn.Module, multiple: int, *, least: int) -> nn.Module:
    """A copy of a network in which the convolutions that gain by it are `FastConv`.

    Args:
        module: In evaluation mode; one (N, 3, H, W) input.
        multiple: Heights and widths that it will be given are multiples of this.
        least: The smallest of them.
    """
    module = copy.deepcopy(module)
    fitting = _fitting(module, multiple, least)
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if child in fitting:
                setattr(parent, name, FastConv(child))  # type: ignore[arg-type]
    return module


def _fitting(module: nn.Module, multiple: int, least: int) -> set[nn.Module]:
    """Convolutions that gain, and whose outputs are whole tiles for every size to come."""
    found: set[nn.Module] = set()

    def look(layer: nn.Module, _: object, output: Tensor) -> None:
        assert isinstance(layer, nn.Conv2d)
        if not any(side % _filter_for(layer.kernel_size[0]).m for side in output.shape[2:]):
            found.add(layer)

    hooks = [layer.register_forward_hook(look) for layer in module.modules() if _gains(layer)]
    with torch.inference_mode():
        # Two sizes in a row: what is whole tiles for both is so for every one.
        side = -(-least // multiple) * multiple
        module(torch.zeros(1, 3, side, side + multiple))
    for hook in hooks:
        hook.remove()
    return found


def _gains(layer: nn.Module) -> bool:
    if type(layer) is not nn.Conv2d or layer.kernel_size[0] != layer.kernel_size[1]:
        return False
    plain = layer.stride == layer.dilation == (1, 1) and layer.groups == 1
    zeros = layer.padding_mode == "zeros" and layer.padding in ((0, 0), (1, 1))
    side = layer.kernel_size[0]
    large = layer.in_channels * layer.out_channels >= _LEAST_CHANNELS
    return plain and zeros and ((side == 3 and large) or (side % 2 == 0 and side >= _LEAST_EVEN))


def _filter_for(side: int) -> _Filter:
    return _F43 if side == 3 else _F22
