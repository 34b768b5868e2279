"""A folded network computes what the original does, with fewer multiplications."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vidfacedeblur.engines.fold import FoldedUpsampledConv, folded
from vidfacedeblur.models.layers import UpsampledConv
from vidfacedeblur.models.registry import MODELS, make_config, make_network


def flops(module: nn.Module, images: torch.Tensor) -> int:
    with FlopCounterMode(display=False) as counter:
        module(images)
    return int(counter.get_total_flops())


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (6, 5), (16, 16)])
def test_an_enlarging_convolution_is_the_same_at_every_pixel(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    conv = UpsampledConv(5, 7).double()
    features = torch.randn(2, 5, *size, dtype=torch.double)
    ours = FoldedUpsampledConv(conv).double()(features)
    assert ours.shape == (2, 7, 2 * size[0], 2 * size[1])
    assert torch.allclose(ours, conv(features), atol=1e-12)


@pytest.mark.parametrize("name", [name for name in MODELS if name != "deblurganv2-inception"])
def test_whole_networks_are_the_same(name: str) -> None:
    torch.manual_seed(0)
    small = {"deblurgan": {"width": 8, "blocks": 1}, "deepdeblur": {"modules": 2}}
    network = make_network(name, make_config(name, small.get(name, {}))).eval()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -0.1, 0.1)  # type: ignore[arg-type]
            nn.init.uniform_(layer.running_var, 0.5, 2.0)  # type: ignore[arg-type]
    before = {key: value.clone() for key, value in network.state_dict().items()}
    images = torch.rand(2, 3, 64, 96) * 2 - 1
    with torch.inference_mode():
        assert torch.allclose(folded(network)(images), network(images), atol=1e-3)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert not any(isinstance(m, nn.BatchNorm2d | UpsampledConv) for m in folded(network).modules())


class Backwards(nn.Module):
    """Runs its layers otherwise than in the order in which they are named."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.conv(self.norm(features))
        return result


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.ConvTranspose2d(4, 4, 3), nn.BatchNorm2d(4)),
        nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)),
        Backwards(),
    ],
)
def test_only_a_norm_right_behind_a_convolution_is_merged(module: nn.Module) -> None:
    torch.manual_seed(0)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.running_mean, -1, 1)  # type: ignore[arg-type]
            nn.init.uniform_(norm.running_var, 0.2, 5)  # type: ignore[arg-type]
    features = torch.randn(1, 4, 8, 8)
    with torch.inference_mode():
        assert torch.equal(folded(module.eval())(features), module(features))
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in folded(module).modules())


def test_it_saves_what_it_says() -> None:
    conv = UpsampledConv(64, 32)
    features = torch.rand(1, 64, 64, 64)
    assert flops(FoldedUpsampledConv(conv), features) < 0.47 * flops(conv, features)
