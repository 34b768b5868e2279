"""TensorRT: plans are built for real where a package is installed; running them needs a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from vidfacedeblur.engines import NetworkSpec, deblur_spec, mtcnn_specs, plans
from vidfacedeblur.engines.export import export_onnx, for_gpu
from vidfacedeblur.engines.plans import build_plan, load_tensorrt, profile_shapes
from vidfacedeblur.engines.spec import Loaded
from vidfacedeblur.errors import EngineError
from vidfacedeblur.models.bundle import bundled, find_weights
from vidfacedeblur.models.registry import MODELS, make_config, make_network

BUNDLED = [name for name in MODELS if bundled(name)]


@pytest.fixture(scope="module")
def trt() -> Any:
    try:
        return load_tensorrt()
    except ImportError:
        pytest.skip("neither tensorrt nor tensorrt-rtx is installed")


def small_spec() -> NetworkSpec:
    torch.manual_seed(0)
    config = make_config("deblurgan", {"width": 8, "blocks": 1})
    network = make_network("deblurgan", config).eval()
    loaded = Loaded(network)
    sizes = (512, 512)
    return NetworkSpec(
        "small", lambda: loaded, "one block", None, 4, 32, sizes, 4, half=True, plan_per_side=True
    )


@pytest.fixture(scope="module")
def small_onnx() -> dict[bool, bytes]:
    """The small network in float16 (True) and float32."""
    spec = small_spec()
    return {h: export_onnx(for_gpu(spec, half=h), spec, side=64) for h in (True, False)}


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_weights_become_half_precision_plans(trt: Any, name: str) -> None:
    spec = deblur_spec(find_weights(name))
    onnx = export_onnx(for_gpu(spec, half=True), spec, side=128)
    shares: list[float] = []
    plan = build_plan(trt, onnx, spec, 128, half=True, on_progress=lambda s: shares.append(s))
    weights = sum(p.numel() for p in spec.module.parameters())
    assert 2 * weights < len(plan) < 4 * weights + 2_000_000
    assert shares == sorted(shares)
    assert shares[-1] == 1


@pytest.mark.parametrize("number", range(3), ids=["pnet", "rnet", "onet"])
def test_mtcnn_plans_build(trt: Any, number: int) -> None:
    spec = mtcnn_specs()[number]
    onnx = export_onnx(for_gpu(spec, half=False), spec)
    assert build_plan(trt, onnx, spec, None, half=False)


def test_half_precision_plans_are_smaller(trt: Any, small_onnx: dict[bool, bytes]) -> None:
    half, full = (
        build_plan(trt, small_onnx[kind], small_spec(), 64, half=kind) for kind in (True, False)
    )
    assert len(half) < len(full)


def test_a_plan_that_would_lose_half_precision_is_refused(
    trt: Any, small_onnx: dict[bool, bytes]
) -> None:
    with pytest.raises(EngineError, match="small as float32, not float16"):
        build_plan(trt, small_onnx[False], small_spec(), 64, half=True)


def test_turing_gets_a_plan_of_its_own(trt: Any, small_onnx: dict[bool, bytes]) -> None:
    if trt.__name__ != "tensorrt_rtx":
        pytest.skip("TensorRT builds for the GPU that is there")
    spec = small_spec()
    plans = {
        capability: build_plan(trt, small_onnx[True], spec, 64, half=True, capability=capability)
        for capability in (None, (7, 5), (8, 6))
    }
    assert len(plans[7, 5]) != len(plans[None])
    assert len(plans[8, 6]) == len(plans[None])


def test_nonsense_is_refused(trt: Any) -> None:
    with pytest.raises(EngineError, match="cannot read small"):
        build_plan(trt, b"nonsense", small_spec(), 64, half=False)


def test_profiles_cover_every_batch_and_size() -> None:
    assert profile_shapes(small_spec(), 128) == (
        (1, 3, 128, 128),
        (4, 3, 128, 128),
        (4, 3, 128, 128),
    )
    smallest, common, largest = profile_shapes(mtcnn_specs()[0], None)
    assert smallest == (1, 3, 12, 12)
    assert all(a <= b <= c for a, b, c in zip(smallest, common, largest, strict=True))


def test_ctrl_c_during_a_build_is_not_swallowed(trt: Any, small_onnx: dict[bool, bytes]) -> None:
    def stop(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_plan(trt, small_onnx[False], small_spec(), 64, half=False, on_progress=stop)


def test_timings_that_cannot_be_kept_leave_nothing(tmp_path: Path) -> None:
    (taken := tmp_path / "timings-a.bin").mkdir()
    plans._keep(taken, b"timings")
    assert list(tmp_path.iterdir()) == [taken]
    plans._keep(tmp_path / "timings-b.bin", b"timings")
    assert (tmp_path / "timings-b.bin").read_bytes() == b"timings"
    assert len(list(tmp_path.iterdir())) == 2
