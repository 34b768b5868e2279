"""MTCNN's networks: their size, their shapes, and where their weights may come from."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from vidfacedeblur.errors import WeightsError
from vidfacedeblur.models.mtcnn import ONet, PNet, RNet, load_mtcnn


@pytest.fixture(scope="module")
def nets() -> tuple[PNet, RNet, ONet]:
    return load_mtcnn()


@pytest.fixture
def copied_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that passes for facenet-pytorch's, with copies of its weights."""
    real = importlib.util.find_spec("facenet_pytorch")
    assert real is not None
    assert real.submodule_search_locations is not None
    (tmp_path / "data").mkdir()
    for name in ("pnet.pt", "rnet.pt", "onet.pt"):
        content = (Path(real.submodule_search_locations[0]) / "data" / name).read_bytes()
        (tmp_path / "data" / name).write_bytes(content)
    fake = ModuleSpec("facenet_pytorch", None, is_package=True)
    fake.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: fake)
    return tmp_path / "data"


def test_parameter_counts(nets: tuple[nn.Module, ...]) -> None:
    counts = [sum(p.numel() for p in net.parameters()) for net in nets]
    assert counts == [6_632, 100_178, 389_040]


def test_loading_imports_neither_facenet_pytorch_nor_torchvision(
    nets: tuple[nn.Module, ...],
) -> None:
    assert not any(net.training for net in nets)
    assert "facenet_pytorch" not in sys.modules
    assert "torchvision" not in sys.modules


@pytest.mark.parametrize(
    ("height", "width", "cells"), [(12, 12, (1, 1)), (13, 47, (2, 19)), (48, 12, (19, 1))]
)
def test_pnet_judges_windows_two_pixels_apart(
    nets: tuple[PNet, RNet, ONet], height: int, width: int, cells: tuple[int, int]
) -> None:
    with torch.inference_mode():
        regression, score = nets[0](torch.zeros(2, 3, height, width))
    assert regression.shape == (2, 4, *cells)
    assert score.shape == (2, *cells)


def test_pnet_cell_sees_its_own_window_only(nets: tuple[PNet, RNet, ONet]) -> None:
    image = torch.rand(1, 3, 40, 50, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        whole = nets[0](image)[1][0, 5, 7]
        alone = nets[0](image[:, :, 10:22, 14:26])[1][0, 0, 0]
    torch.testing.assert_close(whole, alone, rtol=0, atol=1e-6)


def test_refining_nets_give_one_row_for_each_crop(nets: tuple[PNet, RNet, ONet]) -> None:
    _, rnet, onet = nets
    with torch.inference_mode():
        assert [tuple(o.shape) for o in rnet(torch.zeros(5, 3, 24, 24))] == [(5, 4), (5,)]
        assert [tuple(o.shape) for o in onet(torch.zeros(3, 3, 48, 48))] == [(3, 4), (3,), (3, 10)]


@pytest.mark.parametrize("number", [0, 1, 2], ids=["pnet", "rnet", "onet"])
def test_exports_with_varying_batch_and_picture_size(
    nets: tuple[nn.Module, ...], number: int
) -> None:
    dynamic = torch.export.Dim.DYNAMIC
    side = (24, 24, 48)[number]
    axes = {0: dynamic, 2: dynamic, 3: dynamic} if number == 0 else {0: dynamic}
    sample = torch.zeros(2, 3, side, side + (10 if number == 0 else 0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        exported = torch.export.export(nets[number], (sample,), dynamic_shapes=(axes,))
        other = torch.randn(7, 3, side, side) if number else torch.randn(3, 3, 31, 57)
        ours, theirs = nets[number](other), exported.module()(other)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.detach(), b.detach(), atol=1e-5)


def test_an_altered_file_is_refused(copied_weights: Path) -> None:
    content = bytearray((copied_weights / "rnet.pt").read_bytes())
    content[-100] ^= 1
    (copied_weights / "rnet.pt").write_bytes(content)
    with pytest.raises(WeightsError, match=r"rnet\.pt is not the file .* pip install"):
        load_mtcnn()


def test_a_missing_file_is_named(copied_weights: Path) -> None:
    (copied_weights / "onet.pt").unlink()
    with pytest.raises(WeightsError, match=r"onet\.pt cannot be read .* pip install"):
        load_mtcnn()


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match=r"not installed: pip install .*facenet-pytorch==2\.5"):
        load_mtcnn()
