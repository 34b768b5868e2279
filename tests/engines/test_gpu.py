"""On a GPU: every engine gives the CPU's numbers, with and without recordings, at every batch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vidfacedeblur.engines import NetworkSpec, deblur_spec, mtcnn_specs
from vidfacedeblur.engines.batches import Batch
from vidfacedeblur.engines.before_torch import capability
from vidfacedeblur.engines.parity import decibels, reference
from vidfacedeblur.engines.plans import tensorrt_problem
from vidfacedeblur.engines.tensorrt import TensorRTNetwork
from vidfacedeblur.engines.torch_ import TorchNetwork
from vidfacedeblur.models.bundle import bundled, find_weights
from vidfacedeblur.models.registry import MODELS

pytestmark = pytest.mark.gpu
BUNDLED = [name for name in MODELS if bundled(name)]


def crops(count: int, side: int) -> Batch:
    return np.random.default_rng(count).uniform(-1, 1, (count, 3, side, side)).astype(np.float32)


def own(spec: NetworkSpec) -> NetworkSpec:
    """With a module of its own, for an engine to move."""
    return replace(spec)


def tensorrt(spec: NetworkSpec, **options: Any) -> TensorRTNetwork:
    if problem := tensorrt_problem(capability("cuda")):
        pytest.skip(problem)
    return TensorRTNetwork(own(spec), "cuda", on_status=lambda line: None, **options)


@pytest.mark.parametrize("name", BUNDLED)
@pytest.mark.parametrize("graphs", [False, True])
def test_torch_gives_the_cpus_numbers(name: str, graphs: bool) -> None:
    spec = deblur_spec(find_weights(name))
    network = TorchNetwork(own(spec), "cuda", graphs=graphs)
    for count in (1, 2, 3, 8, 16):
        for _ in range(2):
            (ours,) = network(crops(count, 64))
            assert decibels(ours - reference(spec, crops(count, 64))[0]) > 60
    network.close()


@pytest.mark.parametrize("name", BUNDLED)
@pytest.mark.parametrize("graphs", [False, True])
def test_tensorrt_in_half_precision_gives_the_cpus_pictures(name: str, graphs: bool) -> None:
    spec = deblur_spec(find_weights(name))
    network = tensorrt(spec, graphs=graphs)
    for count in (1, 2, 3, 8, 16):
        for _ in range(2):
            (ours,) = network(crops(count, 64))
            assert decibels(ours - reference(spec, crops(count, 64))[0]) > 50
    network.close()


def test_tensorrt_in_float32_is_closer() -> None:
    spec = replace(deblur_spec(find_weights("deblurganv2")), half=False)
    network = tensorrt(spec)
    (ours,) = network(crops(2, 64))
    assert decibels(ours - reference(spec, crops(2, 64))[0]) > 60
    network.close()


def test_mtcnn_on_tensorrt() -> None:
    for spec in mtcnn_specs():
        network = tensorrt(spec)
        for side in (spec.side,) if spec.side else (37, 300):
            batch = crops(spec.batch if spec.side else 1, side)
            for ours, theirs in zip(network(batch), reference(spec, batch), strict=True):
                assert np.abs(ours - theirs).max() < 1e-2
        network.close()
