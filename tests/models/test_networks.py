"""The three families and their variant: size, shapes, behaviour in training and in use."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vidfacedeblur.errors import UnknownModelError, WeightsError
from vidfacedeblur.models.deblurgan import DeblurGAN, DeblurGANConfig
from vidfacedeblur.models.deepdeblur import DeepDeblur, DeepDeblurConfig
from vidfacedeblur.models.registry import MODELS, make_config, make_network

PARAMETERS = {
    "deepdeblur": 680_259,
    "deblurgan": 11_378_179,
    "deblurganv2": 2_106_627,
    "deblurganv2-inception": 35_840_099,
}


def crops(side: int, count: int = 2) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("name", MODELS)
def test_parameter_count(name: str) -> None:
    network = make_network(name, make_config(name, {}))
    assert sum(p.numel() for p in network.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("deblurgan", {"wide": 8}, "unknown setting.*wide"),
        ("deblurgan", {"width": "big"}, "width must be a whole number, got 'big'"),
        ("deblurgan", {"width": True}, "width must be a whole number, got True"),
        ("deblurgan", {"blocks": 0}, "width and blocks must be 1 or more"),
        ("deblurgan", {"dropout": [1]}, r"dropout must be a number, got \[1\]"),
        ("deblurgan", {"dropout": 1.0}, "dropout must be 0 or more and below 1, got 1"),
        ("deblurgan", {"dropout": float("nan")}, "dropout must be a finite number, got nan"),
        ("deblurgan", {"leaky": 1}, "leaky must be True or False, got 1"),
        ("deblurgan", {"upsampling": "cubic"}, "upsampling must be one of resize, transposed, got"),
        ("deblurganv2", {"channels": 1}, "channels must be 2 or more"),
        ("deepdeblur", {"kernels": 3}, "kernels must be a list, got 3"),
        ("deepdeblur", {"kernels": [3.5]}, "each of kernels must be a whole number, got 3.5"),
        ("deepdeblur", {"kernels": [3]}, "must have the same length"),
        ("deepdeblur", {"kernels": [], "branches": [], "reductions": []}, "a branch or more"),
        ("deepdeblur", {"kernels": [0, 3, 5, 7, 14]}, "must be 1 or more"),
        ("deepdeblur", {"scale": 3}, "scale must be 1, 2 or 4, got 3"),
    ],
)
def test_a_value_that_does_not_fit_is_named(
    name: str, values: dict[str, object], message: str
) -> None:
    with pytest.raises(WeightsError, match=message):
        make_config(name, values)


@pytest.mark.parametrize("upsampling", ["resize", "transposed"])
def test_deblurgan_has_two_convolutions_a_block(upsampling: str) -> None:
    network = DeblurGAN(DeblurGANConfig(upsampling=upsampling))  # type: ignore[arg-type]
    assert sum(p.numel() for p in network.parameters()) == 11_378_179


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("side", [32, 64, 96])
def test_output_has_the_shape_and_range_of_the_input(name: str, side: int) -> None:
    torch.manual_seed(0)
    network = make_network(name, make_config(name, {})).eval()
    with torch.inference_mode():
        output = network(crops(side))
    assert output.shape == (2, 3, side, side)
    assert output.dtype == torch.float32
    assert output.abs().max() <= 1


@pytest.mark.parametrize("name", ["deblurgan", "deepdeblur"])
def test_an_untrained_network_leaves_its_input_almost_alone(name: str) -> None:
    torch.manual_seed(0)
    network = make_network(name, make_config(name, {})).eval()
    with torch.inference_mode():
        assert (network(crops(64)) - crops(64)).abs().mean() < 0.05


def test_a_crop_is_deblurred_the_same_alone_and_in_a_batch() -> None:
    torch.manual_seed(0)
    network = make_network("deblurgan", make_config("deblurgan", {"width": 8, "blocks": 2})).eval()
    batch = crops(64, 3)
    with torch.inference_mode():
        assert torch.allclose(network(batch)[1:2], network(batch[1:2]), atol=1e-5)


def test_deblurgan_answers_the_same_in_training_and_in_use() -> None:
    torch.manual_seed(0)
    network = make_network("deblurgan", make_config("deblurgan", {"width": 8, "blocks": 2}))
    trained, used = network.train()(crops(64)), network.eval()(crops(64))
    assert torch.equal(trained, used)


def test_dropout_acts_in_training_only() -> None:
    config = make_config("deblurgan", {"width": 8, "blocks": 2, "dropout": 0.5})
    network = make_network("deblurgan", config)
    torch.nn.init.normal_(network.decoder[-2].weight, 0, 0.1)  # type: ignore[index,arg-type,union-attr]
    network.train()
    assert not torch.equal(network(crops(64)), network(crops(64)))
    network.eval()
    assert torch.equal(network(crops(64)), network(crops(64)))


def test_even_kernels_do_not_make_deepdeblur_drift() -> None:
    """An averaging network must move a dot's centroid by less than the half pixel of one layer."""
    config = DeepDeblurConfig(
        stem=4, kernels=(14,), branches=(4,), reductions=(0,), norm=False, residual=False
    )
    network = DeepDeblur(config).eval()
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, torch.nn.Conv2d):
                torch.nn.init.constant_(layer.weight, 1 / layer.weight[0].numel())
                assert layer.bias is not None
                torch.nn.init.zeros_(layer.bias)
        dot = torch.zeros(1, 3, 129, 129)
        dot[..., 64, 64] = 1
        drawn = network(dot)[0, 0].double()
    places = torch.arange(129, dtype=torch.double)
    for axis in (0, 1):
        centre = (drawn.sum(1 - axis) * places).sum() / drawn.sum()
        assert abs(centre - 64) < 0.25


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_deepdeblur_gives_the_size_it_is_given_at_every_scale(scale: int) -> None:
    torch.manual_seed(0)
    network = make_network("deepdeblur", make_config("deepdeblur", {"scale": scale})).eval()
    images = torch.rand(1, 3, 32, 48) * 2 - 1
    with torch.inference_mode():
        output = network(images)
    assert output.shape == images.shape
    assert (output - images).abs().mean() < 0.05


def test_deepdeblur_refuses_other_scales() -> None:
    with pytest.raises(WeightsError, match="scale must be 1, 2 or 4, got 3"):
        make_config("deepdeblur", {"scale": 3})


def test_a_half_precision_copy_takes_and_gives_float32() -> None:
    network = make_network("deblurganv2", make_config("deblurganv2", {})).eval().half()
    with torch.inference_mode():
        output = network(crops(64))
    assert output.dtype == torch.float32


def test_unknown_model_and_setting_are_named() -> None:
    with pytest.raises(UnknownModelError, match=r"'nosuch'.*deblurgan"):
        make_config("nosuch", {})
    with pytest.raises(WeightsError, match="blocsk"):
        make_config("deblurgan", {"blocsk": 3})
