"""Shipped graphs: there is one for everything bundled, and filled in it computes the same."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vidfacedeblur.engines import NetworkSpec, deblur_spec, mtcnn_specs, openvino, skeleton
from vidfacedeblur.engines.openvino import compile_graph, infer
from vidfacedeblur.engines.parity import worst_difference
from vidfacedeblur.engines.spec import Loaded
from vidfacedeblur.models.bundle import bundled, find_weights
from vidfacedeblur.models.registry import MODELS, make_config, make_network

BUNDLED = [name for name in MODELS if bundled(name)]
NAMES = [*BUNDLED, "mtcnn-pnet", "mtcnn-rnet", "mtcnn-onet"]


def spec_of(name: str) -> NetworkSpec:
    if name.startswith("mtcnn"):
        return next(spec for spec in mtcnn_specs() if spec.name == name)
    return deblur_spec(find_weights(name))


@pytest.mark.parametrize("name", NAMES)
def test_a_filled_graph_computes_what_torch_does(name: str) -> None:
    spec = spec_of(name)
    graph = skeleton.filled(spec)
    assert graph, f"no graph is shipped for {name}: run python -m vidfacedeblur.engines.skeleton"
    request = compile_graph(graph, None).create_infer_request()
    assert worst_difference(spec, lambda batch: infer(request, batch)) < 1e-3


def test_no_other_graph_is_shipped() -> None:
    folder = Path(skeleton.__file__).parent / "graphs"
    shipped = sorted(path.name.rpartition("-")[0] for path in folder.glob("*.onnx"))
    assert shipped == sorted(NAMES)
    for path in folder.glob("*.onnx"):
        assert path.stat().st_size < 400_000  # no weights in it
        assert b"/home" not in path.read_bytes()


def test_another_structure_has_no_graph(small_weights: Path) -> None:
    assert skeleton.filled(deblur_spec(find_weights("deblurgan", small_weights))) is None


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("deblurgan", {"width": 8, "blocks": 1}),
        ("deblurgan", {"width": 32, "blocks": 1}),  # wide enough for fast convolutions
        ("deepdeblur", {"modules": 1, "scale": 2}),
        ("deblurganv2", {"channels": 128, "head_channels": 32}),
    ],
)
def test_a_graph_serves_any_weights_of_its_structure(
    model: str, settings: dict[str, int], tmp_path: Path
) -> None:
    config = make_config(model, settings)

    def spec() -> NetworkSpec:
        network = make_network(model, config).eval()
        for weight in network.parameters():
            torch.nn.init.normal_(weight, std=0.05)  # no two alike: the exporter would merge them
        loaded = Loaded(network, repr(config))
        return replace(deblur_spec(find_weights(model)), load=lambda: loaded)

    made = skeleton.write_skeleton(spec(), tmp_path)
    other = spec()
    before = made.read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(skeleton.resources, "files", lambda _: tmp_path)
        graph = skeleton.filled(other)
    assert graph
    request = compile_graph(graph, None).create_infer_request()
    assert worst_difference(other, lambda batch: infer(request, batch)) < 1e-3
    assert made.read_bytes() == before
    assert np.isfinite(infer(request, np.zeros((1, 3, 32, 32), np.float32))[0]).all()


def test_a_graph_older_than_the_code_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of("mtcnn-onet")
    monkeypatch.setenv("VIDFACEDEBLUR_CACHE", str(tmp_path))
    filled: list[str] = []

    def stale(other: NetworkSpec) -> bytes | None:
        scaled = copy.deepcopy(other.module)
        for weight in scaled.parameters():
            weight.requires_grad_(False).mul_(1.1)
        filled.append(other.name)
        return right(replace(other, load=lambda: Loaded(scaled, other.settings)))

    right = skeleton.filled
    monkeypatch.setattr(skeleton, "filled", stale)
    path = openvino.prepared(spec, lambda line: None)
    assert len(filled) == 1
    request = openvino.import_graph(path, None)
    assert worst_difference(spec, lambda batch: infer(request, batch)) < 1e-3
