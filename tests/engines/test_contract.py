"""Every engine keeps the same promise: the numbers of the torch module, for any batch and size."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vidfacedeblur.engines import Choice, NetworkSpec, choose, deblur_spec, open_network
from vidfacedeblur.engines.spec import mtcnn_specs
from vidfacedeblur.errors import EngineError, EngineUnavailableError
from vidfacedeblur.models.registry import make_config, make_network
from vidfacedeblur.models.weights import LoadedModel
from vidfacedeblur.types import Network


def usable(engine: str, device: str) -> Choice | None:
    try:
        return choose(engine, device)
    except EngineUnavailableError:
        return None


CHOICES = [
    pytest.param(
        (engine, device),
        marks=[] if usable(engine, device) else pytest.mark.skip(f"{engine} on {device} not here"),
        id=f"{engine}-{device}",
    )
    for engine, device in (
        ("torch", "cpu"),
        ("openvino", "cpu"),
        ("torch", "cuda"),
        ("tensorrt", "cuda"),
    )
]


def small_spec() -> NetworkSpec:
    torch.manual_seed(0)
    network = make_network("deblurgan", make_config("deblurgan", {"width": 8, "blocks": 2})).eval()
    return NetworkSpec("small", network, None, 4, 32, (512, 512), 4, True, plan_per_side=True)


@pytest.fixture(params=CHOICES)
def network(request: pytest.FixtureRequest) -> Iterator[Network]:
    engine, device = request.param
    opened = open_network(small_spec(), choose(engine, device))
    yield opened
    opened.close()


def crops(count: int, side: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).uniform(-1, 1, (count, 3, side, side)).astype(np.float32)


@pytest.mark.parametrize(("count", "side"), [(1, 64), (3, 96), (9, 64), (2, 32)])
def test_numbers_are_those_of_the_module(network: Network, count: int, side: int) -> None:
    batch = crops(count, side)
    with torch.inference_mode():
        wanted = small_spec().module(torch.from_numpy(batch)).numpy()
    (output,) = network(batch)
    assert output.dtype == np.float32
    assert np.abs(output - wanted).max() < (1e-4 if network.device == "cpu" else 2e-2)


def test_results_do_not_change_with_the_next_call(network: Network) -> None:
    (first,) = network(crops(1, 64))
    kept = first.copy()
    network(-crops(1, 64))
    assert np.array_equal(first, kept)


def test_any_memory_layout_is_taken(network: Network) -> None:
    batch = crops(2, 64)
    turned = np.asfortranarray(batch)
    assert np.allclose(network(batch)[0], network(turned)[0])


def test_a_closed_network_says_so(network: Network) -> None:
    network.close()
    network.close()
    with pytest.raises(EngineError, match="closed"):
        network(crops(1, 64))


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_mtcnn_on_every_engine(engine: str) -> None:
    for spec in mtcnn_specs():
        side = (spec.side, spec.side) if spec.side else (37, 53)
        batch = np.random.default_rng(1).uniform(-1, 1, (2, 3, *side)).astype(np.float32)
        with torch.inference_mode():
            wanted = spec.module(torch.from_numpy(batch))
        opened = open_network(spec, choose(engine, "cpu"))
        for ours, theirs in zip(opened(batch), wanted, strict=True):
            assert np.abs(ours - theirs.numpy()).max() < 1e-4
        opened.close()


@pytest.mark.parametrize("name", ["deepdeblur", "deblurgan", "deblurganv2"])
def test_every_family_exports_with_any_size_and_batch(name: str) -> None:
    torch.manual_seed(0)
    config = make_config(name, {"width": 8, "blocks": 1} if name == "deblurgan" else {})
    module = make_network(name, config).eval()
    from pathlib import Path

    spec = deblur_spec(LoadedModel(name, module, config, "", Path()))
    opened = open_network(spec, choose("openvino", "cpu"))
    for count, side in ((1, 64), (3, 64), (1, 96), (8, 32)):
        batch = crops(count, side)
        with torch.inference_mode():
            wanted = module(torch.from_numpy(batch)).numpy()
        assert np.abs(opened(batch)[0] - wanted).max() < 1e-3
    opened.close()
