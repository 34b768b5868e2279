"""TensorRT: plans are built for real where a package is installed; running them needs a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from vidfacedeblur.engines.export import export_onnx
from vidfacedeblur.engines.plans import build_plan, load_tensorrt, profile_shapes
from vidfacedeblur.engines.spec import NetworkSpec, mtcnn_specs
from vidfacedeblur.errors import EngineError
from vidfacedeblur.models.registry import make_config, make_network


@pytest.fixture(scope="module")
def trt() -> Any:
    try:
        return load_tensorrt()
    except ImportError:
        pytest.skip("neither tensorrt nor tensorrt-rtx is installed")


def spec(name: str) -> NetworkSpec:
    torch.manual_seed(0)
    values = {"width": 8, "blocks": 1} if name == "deblurgan" else {}
    network = make_network(name, make_config(name, values)).eval()
    return NetworkSpec(name, network, None, 32, 32, (512, 512), 4, half=True)


@pytest.mark.parametrize("name", ["deepdeblur", "deblurgan", "deblurganv2"])
def test_half_precision_plans_are_smaller(trt: Any, name: str, tmp_path: Path) -> None:
    sizes = []
    for half in (False, True):
        path = tmp_path / "network.onnx"
        export_onnx(spec(name), path, half=half, side=64)
        sizes.append(len(build_plan(trt, path.read_bytes(), spec(name), 64, half=half)))
    assert sizes[1] < sizes[0]


def test_mtcnn_plans_build(trt: Any, tmp_path: Path) -> None:
    for network in mtcnn_specs():
        path = tmp_path / "network.onnx"
        export_onnx(network, path)
        assert build_plan(trt, path.read_bytes(), network, None, half=False)


def test_nonsense_is_refused(trt: Any) -> None:
    with pytest.raises(EngineError, match="cannot read deblurgan"):
        build_plan(trt, b"nonsense", spec("deblurgan"), 64, half=False)


def test_profiles_cover_every_batch_and_size() -> None:
    assert profile_shapes(spec("deblurgan"), 128) == (
        (1, 3, 128, 128),
        (4, 3, 128, 128),
        (4, 3, 128, 128),
    )
    smallest, common, largest = profile_shapes(mtcnn_specs()[0], None)
    assert smallest == (1, 3, 12, 12)
    assert all(a <= b <= c for a, b, c in zip(smallest, common, largest, strict=True))
