"""Weights files: what is written is read back; what is wrong is refused in one line."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from vidfacedeblur.errors import WeightsError
from vidfacedeblur.models.bundle import bundled, read_card, weights_folder
from vidfacedeblur.models.registry import MODELS, make_config, make_network
from vidfacedeblur.models.weights import load_model, save_model

SMALL = {"width": 8, "blocks": 1}


def small(path: Path) -> torch.nn.Module:
    config = make_config("deblurgan", SMALL)
    network = make_network("deblurgan", config)
    save_model(path, "deblurgan", config, network.state_dict())
    return network


def test_configuration_and_values_come_back(tmp_path: Path) -> None:
    network = small(tmp_path / "w.safetensors")
    loaded = load_model("deblurgan", tmp_path / "w.safetensors")
    assert loaded.config.width == 8
    for key, value in network.state_dict().items():
        assert torch.allclose(loaded.network.state_dict()[key], value, atol=1e-3)
    assert not loaded.network.training


def test_the_same_weights_are_the_same_file_whatever_chance_does(tmp_path: Path) -> None:
    config = make_config("deblurgan", SMALL)
    state = make_network("deblurgan", config).state_dict()
    digests = {
        save_model(tmp_path / f"{n}.safetensors", "deblurgan", config, state) for n in range(8)
    }
    assert len(digests) == 1
    usual = tmp_path / "usual"
    usual.touch()
    assert (tmp_path / "0.safetensors").stat().st_mode == usual.stat().st_mode


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    small(tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match="weights of deblurgan, not of deepdeblur"):
        load_model("deepdeblur", tmp_path / "w.safetensors")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"nosuch\.safetensors"):
        load_model("deblurgan", tmp_path / "nosuch.safetensors")


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("the pickle ran",)


@pytest.mark.parametrize("content", [b"", b"not weights", pickle.dumps(Bomb())])
def test_what_is_no_safetensors_file_is_refused(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="not a safetensors file"):
        load_model("deblurgan", path)
    assert "pickle ran" not in capsys.readouterr().out


def test_tensors_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"encoder.1.weight": torch.zeros(3)}, path)
    with pytest.raises(WeightsError, match="does not fit model deblurgan"):
        load_model("deblurgan", path)


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    config = make_config("deblurgan", SMALL)
    state = make_network("deblurgan", config).state_dict()
    state["encoder.1.weight"][0] = float("nan")
    with pytest.raises(WeightsError, match="float16"):
        save_model(tmp_path / "w.safetensors", "deblurgan", config, state)


@pytest.mark.parametrize(
    "config",
    ["[1]", "3", "{", '{"width": "x"}', '{"blocks": 2.5}', '{"width": -4}', '{"width": 1000000}'],
)
def test_a_wrong_configuration_is_refused(tmp_path: Path, config: str) -> None:
    path = tmp_path / "w.safetensors"
    metadata = {"model": "deblurgan", "config": config}
    save_file({"encoder.1.weight": torch.zeros(3)}, path, metadata=metadata)
    with pytest.raises(WeightsError, match=r"w\.safetensors"):
        load_model("deblurgan", path)


def test_a_model_without_bundled_weights_says_so() -> None:
    assert bundled("deblurganv2-inception") is None
    with pytest.raises(WeightsError, match=r"no weights are bundled.*--weights FILE"):
        load_model("deblurganv2-inception")


@pytest.mark.parametrize("name", [name for name in MODELS if bundled(name)])
def test_bundled_weights_are_those_of_their_card(name: str) -> None:
    assert load_model(name).sha256 == read_card(name)["sha256"]


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_a_card_that_speaks_of_a_gain(name: str) -> None:
    card = read_card(name)
    assert len(card["sha256"]) == 64
    figures = card["evaluation"]["sets"]["synthetic-faces v2"]
    assert figures["images"] == 1473
    assert figures["deblurred"]["psnr"] > figures["blurred"]["psnr"] + 0.5
    assert figures["deblurred"]["ssim"] > figures["blurred"]["ssim"]
    assert card["steps"] > 0
    assert "research" in card["licence"]


def test_the_three_paper_models_have_bundled_weights() -> None:
    for name in ("deepdeblur", "deblurgan", "deblurganv2"):
        assert bundled(name), name


def test_all_weights_together_stay_small() -> None:
    assert sum(f.stat().st_size for f in weights_folder().glob("*.safetensors")) < 45e6


def test_an_altered_bundled_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(tmp_path / "deblurgan.safetensors")
    (tmp_path / "deblurgan.json").write_text('{"sha256": "0"}')
    monkeypatch.setattr("vidfacedeblur.models.bundle.weights_folder", lambda: tmp_path)
    with pytest.raises(WeightsError, match="altered"):
        load_model("deblurgan")
