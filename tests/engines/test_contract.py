"""Every engine keeps the same promise: the numbers of the torch module, for any batch and size."""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vidfacedeblur.engines import (
    Choice,
    NetworkSpec,
    cache,
    choose,
    deblur_spec,
    mtcnn_specs,
    open_network,
    openvino,
)
from vidfacedeblur.engines.export import export_onnx, for_cpu
from vidfacedeblur.engines.parity import decibels, reference
from vidfacedeblur.engines.spec import Loaded
from vidfacedeblur.errors import EngineError, EngineUnavailableError
from vidfacedeblur.models.bundle import bundled, find_weights
from vidfacedeblur.models.registry import MODELS, make_config, make_network
from vidfacedeblur.types import Network


def usable(engine: str, device: str) -> Choice | None:
    try:
        return choose(engine, device)
    except EngineUnavailableError:
        return None


def marks(engine: str, device: str) -> list[pytest.MarkDecorator]:
    if device == "cuda" and not torch.cuda.is_available():
        return [pytest.mark.gpu]
    if usable(engine, device):
        return []
    return [pytest.mark.skip(f"{engine} on {device} not here")]


CHOICES = [
    pytest.param((engine, device), marks=marks(engine, device), id=f"{engine}-{device}")
    for engine, device in (
        ("torch", "cpu"),
        ("openvino", "cpu"),
        ("torch", "cuda"),
        ("tensorrt", "cuda"),
    )
]


BUNDLED = [name for name in MODELS if bundled(name)]


def small_spec() -> NetworkSpec:
    torch.manual_seed(0)
    network = make_network("deblurgan", make_config("deblurgan", {"width": 8, "blocks": 2})).eval()
    loaded = Loaded(network)
    sizes = (512, 512)
    return NetworkSpec(
        "small", lambda: loaded, "two blocks", None, 4, 32, sizes, 4, half=True, plan_per_side=True
    )


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


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_weights_give_torchs_numbers_at_every_size_and_batch(name: str) -> None:
    spec = deblur_spec(find_weights(name))
    opened = open_network(spec, choose("openvino", "cpu"))
    for side, count in ((32, 3), (64, 1), (96, 2), (128, 1)):
        (ours,) = opened(crops(count, side))
        (theirs,) = reference(spec, crops(count, side))
        assert np.abs(ours - theirs).max() < 1e-3
        assert decibels(ours - theirs) > 60
    opened.close()


def test_a_cached_file_that_openvino_cannot_read_is_exported_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDFACEDEBLUR_CACHE", str(tmp_path))
    spec = mtcnn_specs()[2]
    path = openvino.prepared(spec, lambda line: None)
    path.write_bytes(b"nonsense")
    sidecar = path.with_suffix(".json")
    said = json.loads(sidecar.read_text())
    sidecar.write_text(json.dumps(said | {"sha256": hashlib.sha256(b"nonsense").hexdigest()}))
    lines: list[str] = []
    opened = open_network(spec, choose("openvino", "cpu"), on_status=lines.append)
    assert len(lines) == 1
    assert len(opened(crops(1, 48))) == 3
    opened.close()


def test_a_cached_file_that_was_just_cleaned_away_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDFACEDEBLUR_CACHE", str(tmp_path))
    right = openvino.prepared
    cleaned: list[tuple[int, int]] = []

    def prepared(spec: NetworkSpec, on_status: Callable[[str], None]) -> Path:
        path = right(spec, on_status)
        if not cleaned:
            cleaned.append(cache.clean())  # as another process might
        return path

    monkeypatch.setattr(openvino, "prepared", prepared)
    opened = open_network(mtcnn_specs()[2], choose("openvino", "cpu"))
    assert [count for count, _ in cleaned] == [1]
    assert len(opened(crops(1, 48))) == 3
    opened.close()


def test_no_folder_for_temporary_files_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDFACEDEBLUR_CACHE", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    for spec in (small_spec(), mtcnn_specs()[2]):  # exported, and filled into a shipped graph
        assert openvino.prepared(spec, lambda line: None).is_file()


def test_two_threads_may_export_at_once() -> None:
    specs, stdout = mtcnn_specs()[1:], sys.stdout
    with ThreadPoolExecutor(2) as pool:
        graphs = list(pool.map(lambda spec: export_onnx(for_cpu(spec), spec), specs))
    assert all(graphs)
    assert sys.stdout is stdout


def test_an_error_in_preparing_is_not_tried_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def fail(*_: object) -> Path:
        tried.append(1)
        raise RuntimeError("no")

    monkeypatch.setattr(openvino, "prepared", fail)
    with pytest.raises(EngineError, match="cannot run small: no"):
        open_network(small_spec(), choose("openvino", "cpu"))
    assert tried == [1]


def test_a_wrong_export_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDFACEDEBLUR_CACHE", str(tmp_path))
    right = openvino.infer
    monkeypatch.setattr(
        openvino, "infer", lambda *args: tuple(out + np.float32(0.01) for out in right(*args))
    )
    with pytest.raises(EngineError, match=r"computes small wrongly \(off by 0.01"):
        open_network(small_spec(), choose("openvino", "cpu"))
    assert not list(tmp_path.rglob("*.blob"))


def test_what_openvino_cannot_run_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("Check 'x' failed\nat src/plugin.cpp")

    monkeypatch.setattr(openvino, "import_graph", fail)
    with pytest.raises(
        EngineError, match=r"^OpenVINO cannot run mtcnn-onet: .*use --engine torch$"
    ):
        open_network(mtcnn_specs()[2], choose("openvino", "cpu"))


def test_other_weights_or_another_openvino_get_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDFACEDEBLUR_CACHE", str(tmp_path))
    spec = mtcnn_specs()[2]
    paths = [openvino.prepared(spec, lambda line: None)]
    assert openvino.prepared(spec, lambda line: None) == paths[0]
    spec = replace(spec, content="hash of other weights")
    paths.append(openvino.prepared(spec, lambda line: None))
    monkeypatch.setattr(openvino, "torch_version", lambda: "2.99")
    paths.append(openvino.prepared(spec, lambda line: None))
    assert len(set(paths)) == 3
    assert all(path.exists() for path in paths)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_memory_does_not_grow_with_every_size_there_ever_was() -> None:
    """As an archive, or a camera in a year, has them; it was 0.4 MB each."""
    network = open_network(mtcnn_specs()[0], choose("openvino", "cpu"), threads=1)
    rng = np.random.default_rng(0)

    def after(sizes: int) -> float:
        for height, width in rng.integers(12, 200, (sizes, 2)):
            network(np.zeros((1, 3, height, width), np.float32))
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 2**20

    before = after(100)
    assert after(600) - before < 100
    network.close()
