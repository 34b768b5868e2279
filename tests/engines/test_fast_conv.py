"""Convolutions by minimal filtering: the same numbers from fewer multiplications."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vidfacedeblur.engines import deblur_spec
from vidfacedeblur.engines.export import for_cpu
from vidfacedeblur.engines.fast_conv import FastConv, with_fast_convs
from vidfacedeblur.models.bundle import bundled, find_weights
from vidfacedeblur.models.registry import MODELS

BUNDLED = [name for name in MODELS if bundled(name)]


def flops(module: nn.Module, images: torch.Tensor) -> int:
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        module(images)
    return int(counter.get_total_flops())


@pytest.mark.parametrize(("side", "padding"), [(3, 0), (3, 1), (8, 0), (14, 0), (14, 1)])
@pytest.mark.parametrize("size", [(4, 4), (8, 20), (32, 16)])
@pytest.mark.parametrize("bias", [False, True])
def test_it_computes_the_convolution(
    side: int, padding: int, size: tuple[int, int], bias: bool
) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(5, 7, side, padding=padding, bias=bias)
    edge = side - 1 - 2 * padding
    features = torch.randn(2, 5, size[0] + edge, size[1] + edge)
    with torch.inference_mode():
        ours, theirs = FastConv(conv)(features), conv(features)
    assert ours.shape == theirs.shape == (2, 7, *size)
    assert torch.allclose(ours, theirs, atol=5e-5)


def test_it_saves_what_it_says() -> None:
    features = torch.rand(1, 128, 34, 34)
    conv = nn.Conv2d(128, 128, 3)
    # A quarter, and the transforms.
    assert flops(FastConv(conv), features) < 0.45 * flops(conv, features)
    features, conv = torch.rand(1, 16, 77, 77), nn.Conv2d(16, 16, 14)
    assert flops(FastConv(conv), features) < 0.6 * flops(conv, features)


class Layers(nn.Module):
    """Convolutions of every kind that must be left as they are, or not."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 128, 3, padding=1)  # too few channels
        self.wide = nn.Conv2d(128, 128, 3, padding=1)
        self.halved = nn.Conv2d(128, 128, 3, stride=2, padding=1)
        self.mirrored = nn.Conv2d(128, 128, 3, padding=1, padding_mode="reflect")
        self.small = nn.Conv2d(128, 128, 3, padding=1)  # no whole tiles at the smallest size
        self.even = nn.Sequential(nn.ZeroPad2d((6, 7, 6, 7)), nn.Conv2d(128, 4, 14))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.mirrored(self.halved(self.wide(self.stem(images))))
        result: torch.Tensor = self.even(self.small(self.halved(features)))
        return result


def test_only_what_gains_and_fits_is_replaced() -> None:
    torch.manual_seed(0)
    module = Layers().eval()
    fast = with_fast_convs(module, 8, least=8)
    replaced = [name for name, layer in fast.named_modules() if isinstance(layer, FastConv)]
    assert replaced == ["wide", "even.1"]
    assert not any(isinstance(layer, FastConv) for layer in module.modules())
    images = torch.rand(1, 3, 24, 40)
    with torch.inference_mode():
        assert torch.allclose(fast(images), module(images), atol=1e-4)


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_networks_are_the_same_at_every_size_they_take(name: str) -> None:
    spec = deblur_spec(find_weights(name))
    fast = for_cpu(spec)
    # At a quarter of its sides deepdeblur's kernels would not always find whole tiles.
    replaced = any(isinstance(layer, FastConv) for layer in fast.modules())
    assert replaced == (name != "deepdeblur")
    for size in ((32, 32), (64, 96), (32 + spec.multiple, 64)):
        images = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0)) * 2 - 1
        with torch.inference_mode():
            assert torch.allclose(fast(images), spec.module(images), atol=1e-4)
