"""A tiny model trains, leaves its files, resumes, and learns."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data

from vidfacedeblur.errors import InputError, OptionError
from vidfacedeblur.models.registry import MODELS
from vidfacedeblur.trainers.data import PACK_SIDE, PackedFace, load_pack, write_pack
from vidfacedeblur.trainers.pairs import PairMaker
from vidfacedeblur.trainers.recipe import Phase, Recipe, load_recipe, parse_recipe, shipped_for
from vidfacedeblur.trainers.train import Average, Run, TrainOptions, rate, train

TINY = Recipe(
    "deblurgan",
    steps=6,
    phases=(Phase(0.5, 32, 2), Phase(1.0, 64, 1)),
    learning_rate=1e-3,
    network={"width": 4, "blocks": 1},
)


@pytest.fixture(scope="session")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    photo = data.astronaut()
    faces = []
    for i in range(12):
        x, y = 120 + 8 * (i % 4), 10 + 8 * (i // 4)
        image = np.ascontiguousarray(photo[y : y + PACK_SIDE, x : x + PACK_SIDE])
        faces.append(PackedFace(image, f"{i}.jpg", f"person {i}", "val" if i % 4 == 3 else "train"))
    path = tmp_path_factory.mktemp("pack") / "faces.npz"
    write_pack(path, faces)
    return path


def options(pack: Path, out: Path) -> TrainOptions:
    return TrainOptions(pack, out, validate_every=1e9, threads=1)


def test_a_run_leaves_its_files_and_resumes(pack: Path, tmp_path: Path) -> None:
    run = train(TINY, options(pack, tmp_path), until=0.5)
    assert run.progress.step == 3
    assert (tmp_path / "checkpoint.pt").is_file()
    resumed = train(TINY, options(pack, tmp_path))
    assert resumed.progress.step == 6
    assert resumed.progress.seconds > run.progress.seconds
    with (tmp_path / "log.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["3", "6"]


def test_a_checkpoint_brings_back_weights_average_and_optimizer(pack: Path, tmp_path: Path) -> None:
    saved = train(TINY, options(pack, tmp_path), until=0.5)
    again = Run(replace(TINY), options(pack, tmp_path))
    assert again.resume()
    for key, value in saved.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[key], value)
        assert torch.equal(again.average.state[key], saved.average.state[key])
    moments, kept = (run.optimizer.state_dict()["state"] for run in (again, saved))
    assert moments.keys() == kept.keys() != set()
    assert all(torch.equal(moments[k]["exp_avg"], kept[k]["exp_avg"]) for k in kept)


def test_the_average_lags_behind_the_weights() -> None:
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(network.weight)
    average = Average(network, 0.5)
    torch.nn.init.ones_(network.weight)
    average.update(network, 1000)
    assert float(average.state["weight"]) == pytest.approx(0.5)
    average.update(network, 1000)
    assert float(average.state["weight"]) == pytest.approx(0.75)


def test_nonsense_lengths_and_devices_are_refused(pack: Path, tmp_path: Path) -> None:
    for minutes in (0, -1, float("inf")):
        with pytest.raises(OptionError, match="--minutes"):
            TrainOptions(pack, tmp_path, minutes=minutes)


def test_a_run_of_another_network_is_not_resumed(pack: Path, tmp_path: Path) -> None:
    train(TINY, options(pack, tmp_path), until=0.1)
    with pytest.raises(OptionError, match="another model or network"):
        train(replace(TINY, network={"width": 8, "blocks": 1}), options(pack, tmp_path))


def test_two_runs_with_one_seed_take_the_same_steps(pack: Path, tmp_path: Path) -> None:
    first, second = (train(TINY, options(pack, tmp_path / name)) for name in "ab")
    for key, value in first.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[key]), key


def test_training_lowers_the_loss(pack: Path, tmp_path: Path) -> None:
    longer = replace(TINY, steps=60, phases=(Phase(1.0, 32, 4),), learning_rate=3e-3)
    start = train(longer, options(pack, tmp_path), until=0.01)
    maker = PairMaker(load_pack(pack, "val"), longer, seed=9, device="cpu")
    blurred, sharp = maker.draw(8, 64)

    def error(network: torch.nn.Module) -> float:
        with torch.inference_mode():
            return float((network.eval()(blurred) - sharp).square().mean())

    before = error(start.network)
    with train(longer, options(pack, tmp_path)).averaged() as network:
        assert error(network) < before


def test_pairs_differ_by_the_blur_alone(pack: Path) -> None:
    plain = replace(TINY, largest_kernel=1, mild_share=0.0, largest_noise=0.0, jpeg_share=0.0)
    maker = PairMaker(load_pack(pack, "train"), plain, seed=0, device="cpu")
    blurred, sharp = maker.draw(4, 64)
    assert blurred.shape == sharp.shape == (4, 3, 64, 64)
    assert (blurred - sharp).abs().max() <= 2 / 255
    assert sharp.abs().max() <= 1


@pytest.mark.parametrize("crop", [32, 64, 96, 128, 160])
def test_pairs_have_the_crop_asked_for(pack: Path, crop: int) -> None:
    maker = PairMaker(load_pack(pack, "train"), TINY, seed=0, device="cpu")
    for _ in range(4):
        blurred, _ = maker.draw(2, crop)
        assert blurred.shape == (2, 3, crop, crop)


def test_a_file_that_is_no_pack_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not a pack"):
        load_pack(tmp_path / "x.npz", "train")


def test_the_rate_warms_up_and_decays() -> None:
    rates = [rate(TINY, share) for share in np.linspace(0, 1, 101)]
    assert rates[2] == pytest.approx(TINY.learning_rate, rel=0.01)
    assert rates[0] < 0.1 * TINY.learning_rate
    assert rates[-1] == pytest.approx(0.01 * TINY.learning_rate)


@pytest.mark.parametrize("model", MODELS)
def test_every_shipped_recipe_is_valid(model: str) -> None:
    assert "default" in shipped_for(model)
    for name in shipped_for(model):
        assert load_recipe(model, name).model == model


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("steps = ", "not valid TOML"),
        ("stepz = 3", "unknown recipe setting"),
        ('model = "deepdeblur"', "is for deepdeblur"),
        ("steps = 3", "does not fit"),
        (
            "steps = 3\nlearning_rate = 1\n[[phases]]\nuntil = 0.5\ncrop = 32\nbatch = 1",
            "the last at 1",
        ),
        ("steps = 3\nlearning_rate = 1\n[[phases]]\nuntil = 1\ncrop = 33\nbatch = 1", "multiple"),
    ],
)
def test_a_wrong_recipe_says_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(OptionError, match=says):
        parse_recipe(text, "deblurgan")
