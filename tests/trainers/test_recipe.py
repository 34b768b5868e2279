"""Shipped recipes are valid and say what the paper says; wrong ones are refused in one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import Linear

from vidfacedeblur.errors import OptionError
from vidfacedeblur.models.registry import MODELS, make_config
from vidfacedeblur.trainers.optimizing import make_optimizer, rate
from vidfacedeblur.trainers.recipe import Optimizer, Phase
from vidfacedeblur.trainers.recipe_files import load_recipe, parse_recipe, shipped_for

PHASE = "\n[[phases]]\nuntil = 1\ncrop = 32\nbatch = 1"
GOOD = "steps = 3\n[optimizer]\nlearning_rate = 1e-3\n[loss]\ncharbonnier = 1\n{}" + PHASE


@pytest.mark.parametrize("model", MODELS)
def test_every_shipped_recipe_is_valid(model: str) -> None:
    assert shipped_for(model) == ["default", "paper"]
    for name in shipped_for(model):
        recipe = load_recipe(model, name)
        assert recipe.model == model
        make_config(model, recipe.network)


def test_the_paper_recipes_say_what_the_paper_says() -> None:
    deep, gan, two = (
        load_recipe(m, "paper") for m in ("deepdeblur", "deblurgan", "deblurganv2-inception")
    )
    assert (deep.optimizer.kind, deep.optimizer.learning_rate) == ("rmsprop", 1e-3)
    assert deep.network == {"residual": False}
    assert (gan.optimizer.kind, gan.optimizer.learning_rate) == ("adam", 1e-4)
    assert gan.adversarial is not None
    assert (gan.adversarial.kind, gan.adversarial.critic_steps) == ("wgan-gp", 5)
    assert gan.loss.perceptual > 0 == gan.loss.charbonnier
    assert gan.network == {"dropout": 0.5, "leaky": True, "upsampling": "transposed"}
    assert (two.optimizer.kind, two.optimizer.learning_rate) == ("adam", 1e-4)
    assert two.adversarial is not None
    assert (two.adversarial.kind, len(two.adversarial.layers)) == ("ragan-ls", 2)
    for model in MODELS:
        blur = load_recipe(model, "paper").blur
        assert 0 < blur.averaged_share < 1  # the paper's mixture of both kinds of blur
        assert (blur.smallest_kernel, blur.largest_kernel) == (1, 29)


def test_a_recipe_of_ones_own_is_read_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.format(""))
    assert load_recipe("deblurgan", str(path)).steps == 3
    with pytest.raises(OptionError, match="no recipe file"):
        load_recipe("deblurgan", str(tmp_path / "other.toml"))
    with pytest.raises(OptionError, match="shipped: default, paper"):
        load_recipe("deblurgan", "defualt")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("steps = ", "not valid TOML"),
        ("stepz = 3", "unknown setting.*stepz"),
        (GOOD.format("chabonnier = 1"), r"unknown setting\(s\) in \[loss\]: chabonnier"),
        ('model = "deepdeblur"', "is for deepdeblur"),
        ("steps = 3" + PHASE, "lacks optimizer"),
        ("steps = 3\n[optimizer]" + PHASE, r"\[optimizer\] lacks learning_rate"),
        (
            "steps = 3\n[optimizer]\nlearning_rate = 1\n" + PHASE.replace("= 1\nc", "= 0.5\nc"),
            "at 1",
        ),
        (GOOD.format("").replace("crop = 32", "crop = 33"), "multiple of 32"),
        (GOOD.format("").replace("crop = 32", "crop = 4128"), "of 32 to 4096"),
        (GOOD.format("").replace("batch = 1", "batch = 65537"), "batch must lie within 1 to 65536"),
        (GOOD.format("").replace("batch = 1", "batch = 0"), "batch must lie within 1 to 65536"),
        (
            GOOD.format("").replace("1e-3", "1" + 400 * "0"),
            r"\[optimizer\]: learning_rate must be a finite number, got inf",
        ),
        (GOOD.format("").replace("1e-3", "1" + 5000 * "0"), "not valid TOML: .*4300 digits"),
        (GOOD.format("").replace("steps = 3", "steps = 0"), "steps must be 1 or more, got 0"),
        (
            GOOD.format("").replace("steps = 3", 'steps = "3"'),
            "the recipe: steps must be a whole number, got '3'",
        ),
        (GOOD.format('[adversarial]\nkind = "gan"\nweight = 1'), "one of wgan-gp, ragan-ls"),
        (GOOD.format("[blur]\nlargest_kernel = 31"), "1 to 29"),
        (GOOD.format("[blur]\nmild_kernel = 45"), "mild_kernel must lie within 1 to 29, got 45"),
        (GOOD.format("[blur]\njpeg_share = 0.6\nh264_share = 0.6"), "at most 1"),
        (GOOD.format("").replace("charbonnier = 1", "charbonnier = -1"), "0 or more"),
        ("loss = 3" + PHASE, "must be a table"),
    ],
)
def test_a_wrong_recipe_says_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(OptionError, match=says) as caught:
        parse_recipe(text, "deblurgan")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("[optimizer]\nlearning_rate = 1e-3\nclip = -1.0", "clip must be 0 or more"),
        ("[optimizer]\nlearning_rate = 1e-3\nweight_decay = -1.0", "weight_decay"),
        ("[optimizer]\nlearning_rate = 1e-3\nbeta1 = 5.0", "beta1 and beta2"),
        (
            "[optimizer]\nlearning_rate = nan",
            r"\[optimizer\]: learning_rate must be a finite number",
        ),
        ("[optimizer]\nlearning_rate = 1e39", "learning_rate must be above 0, and at most 1e\\+38"),
        ("[blur]\njpeg_share = nan", "jpeg_share must be a finite number"),
        ("[blur]\nlargest_noise = -0.1", "largest_noise must lie"),
        ('[adversarial]\nkind = "wgan-gp"\nweight = 1\nlayers = 3', "layers must be a list, got 3"),
        (
            '[adversarial]\nkind = "wgan-gp"\nweight = 1\nlayers = ["3"]',
            "each of layers must be a whole",
        ),
        ('[adversarial]\nkind = "wgan-gp"\nweight = 1\npenalty = -1', "penalty must be 0"),
    ],
)
def test_values_that_would_turn_training_wrong_are_refused(line: str, says: str) -> None:
    rest = "" if "[optimizer]" in line else "[optimizer]\nlearning_rate = 1e-3\n"
    with pytest.raises(OptionError, match=says):
        parse_recipe(f"steps = 3\n{rest}{line}{PHASE}", "deblurgan")


def test_whole_numbers_may_stand_for_others() -> None:
    text = GOOD.format("").replace("1e-3", "1\nbeta1 = 0\nclip = 2")
    recipe = parse_recipe(text, "deblurgan")
    values = (recipe.optimizer.beta1, recipe.optimizer.clip, recipe.phases[0].until)
    assert [(type(value), value) for value in values] == [(float, 0.0), (float, 2.0), (float, 1.0)]
    make_optimizer(recipe.optimizer, Linear(1, 1))  # torch takes no mixture of both types


@pytest.mark.parametrize("line", ["phases = 5", "network = 5"])
def test_a_value_in_place_of_a_table_is_refused(line: str) -> None:
    text = f"{line}\nsteps = 3\n[optimizer]\nlearning_rate = 1e-3\n"
    with pytest.raises(OptionError, match="must be"):
        parse_recipe(text + ("" if "phases" in line else PHASE), "deblurgan")


def test_a_recipe_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(OptionError, match="not text in UTF-8"):
        load_recipe("deblurgan", str(path))


def test_a_short_warmup_never_exceeds_the_peak() -> None:
    settings = replace(load_recipe("deblurgan", "default").optimizer, warmup=2e-4)
    assert rate(settings, 0.0) == settings.learning_rate


def test_rates_follow_their_schedules() -> None:
    cosine = load_recipe("deblurgan", "default").optimizer
    peak = cosine.learning_rate
    assert rate(cosine, 0) < 0.1 * peak
    assert rate(cosine, cosine.warmup) == pytest.approx(peak)
    assert rate(cosine, cosine.warmup / 2) == pytest.approx(peak / 2)
    assert rate(cosine, (1 + cosine.warmup) / 2) == pytest.approx(0.505 * peak)
    assert rate(cosine, 1) == pytest.approx(0.01 * peak)
    linear = load_recipe("deblurgan", "paper").optimizer
    assert [rate(linear, share) for share in (0, 0.5, 0.75, 1)] == pytest.approx(
        [1e-4, 1e-4, 0.5e-4, 0]
    )
    constant = load_recipe("deepdeblur", "paper").optimizer
    assert rate(constant, 0) == rate(constant, 1) == 1e-3


def test_the_optimizer_that_is_named_is_made() -> None:
    settings = Optimizer(2e-4, beta1=0.5, beta2=0.9, weight_decay=0.03)
    layer = Linear(2, 1)
    made = {
        kind: make_optimizer(replace(settings, kind=kind), layer)
        for kind in ("adamw", "adam", "rmsprop")
    }
    kinds = [torch.optim.AdamW, torch.optim.Adam, torch.optim.RMSprop]
    assert [type(optimizer) for optimizer in made.values()] == kinds
    groups = {kind: optimizer.param_groups[0] for kind, optimizer in made.items()}
    assert [group["lr"] for group in groups.values()] == [2e-4] * 3
    assert [group["weight_decay"] for group in groups.values()] == [0.03, 0, 0]
    assert groups["adamw"]["betas"] == groups["adam"]["betas"] == (0.5, 0.9)
    assert all(group["params"] == [layer.weight, layer.bias] for group in groups.values())


def test_phases_come_in_their_order() -> None:
    recipe = load_recipe("deblurgan", "default")
    recipe = replace(recipe, phases=(Phase(0.5, 32, 2), Phase(1.0, 64, 1)))
    assert [recipe.phase_at(share).crop for share in (0, 0.49, 0.5, 1)] == [32, 32, 64, 64]


def test_small_crops_come_now_and_then_and_cover_as_many_pixels() -> None:
    phase = Phase(1.0, 128, 2, small_every=3)
    assert [phase.at(step) for step in range(4)] == [(8, 64), (2, 128), (2, 128), (8, 64)]
    assert {Phase(1.0, 96, 2).at(step) for step in range(4)} == {(2, 96)}
    for crop, every in ((96, 3), (128, -1)):
        with pytest.raises(OptionError, match="small_every"):
            Phase(1.0, crop, 2, small_every=every)
