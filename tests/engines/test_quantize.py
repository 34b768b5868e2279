"""Eight-bit networks: smaller, nearly the same picture."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from vidfacedeblur.engines import NetworkSpec, deblur_spec
from vidfacedeblur.engines.export import export_onnx
from vidfacedeblur.engines.openvino import OpenVINONetwork, compile_graph
from vidfacedeblur.engines.parity import decibels, reference, samples
from vidfacedeblur.engines.quantize import quantize
from vidfacedeblur.errors import EngineUnavailableError, OptionError
from vidfacedeblur.models.bundle import find_weights


@pytest.fixture
def spec(small_weights: Path) -> NetworkSpec:
    return deblur_spec(find_weights("deblurgan", small_weights))


@pytest.mark.filterwarnings("ignore")
def test_eight_bits_are_smaller_and_nearly_the_same(spec: NetworkSpec, tmp_path: Path) -> None:
    smooth = [sample[:1] for sample in samples(spec)][:1]
    rng = np.random.default_rng(0)
    crops = [np.clip(crop + rng.normal(0, 0.05, crop.shape), -1, 1) for crop in smooth * 10]
    path = tmp_path / "small.int8.xml"
    quantize(spec, (crop.astype(np.float32) for crop in crops), path)
    network = OpenVINONetwork(compile_graph(path, None).create_infer_request(), batch=4)
    quality = decibels(network(smooth[0])[0] - reference(spec, smooth[0])[0])
    assert 30 < quality < 80  # neither another picture nor float32
    weights = path.with_suffix(".bin").stat().st_size
    assert weights < 0.5 * len(export_onnx(spec.module, spec))
    assert network(samples_of_another_size(spec))[0].shape == (2, 3, 96, 96)


def samples_of_another_size(spec: NetworkSpec) -> np.ndarray:
    return next(s for s in samples(spec) if s.shape[0] == 2 and s.shape[-1] == 96)


def test_without_crops_or_nncf_it_says_so(
    spec: NetworkSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OptionError, match="one crop or more"):
        quantize(spec, [], tmp_path / "x.xml")
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(EngineUnavailableError, match=r"vidfacedeblur\[train\]"):
        quantize(spec, [], tmp_path / "x.xml")
