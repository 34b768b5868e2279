"""On a GPU: pairs are made beside the training, and a run goes on from its checkpoint."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vidfacedeblur.trainers.feed import Feed
from vidfacedeblur.trainers.makers import open_maker
from vidfacedeblur.trainers.pack import load_pack
from vidfacedeblur.trainers.pairs import PairMaker
from vidfacedeblur.trainers.recipe import Adversarial, BlurMix, Optimizer, Phase, Recipe
from vidfacedeblur.trainers.run import Run, load_checkpoint
from vidfacedeblur.trainers.train import TrainOptions, train

pytestmark = pytest.mark.gpu
TINY = Recipe(
    "deblurganv2",
    steps=40,
    phases=(Phase(0.5, 32, 4), Phase(1.0, 64, 2)),
    optimizer=Optimizer(1e-3),
    network={"channels": 8, "head_channels": 4},
)


def test_pairs_made_ahead_are_those_of_their_steps(pack: Path) -> None:
    alone = PairMaker(load_pack(pack, "train"), BlurMix(), seed=0, device="cuda")
    with (
        closing(open_maker(pack, BlurMix(), seed=0, device="cuda")) as maker,
        closing(Feed(maker, lambda step: Phase(1.0, 64, 2 + step % 2))) as feed,
    ):
        for step in range(12):
            expected = alone.batch(step, 2 + step % 2, 64)
            for ours, theirs in zip(feed.batch(step), expected, strict=True):
                # Sums of spectra come in no fixed order, so a codec may round one pixel otherwise.
                assert (ours - theirs).abs().mean() < 1e-3


# torch's compiler imports a module of torch's own that uses what torch deprecates.
@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")
@pytest.mark.parametrize("compiled", [False, True])
def test_a_run_goes_on_from_its_checkpoint(compiled: bool, pack: Path, tmp_path: Path) -> None:
    options = TrainOptions(pack, tmp_path, device="cuda", compiled=compiled)
    assert train(TINY, options, until=0.5).progress.step == 20
    run = train(TINY, options)
    assert run.progress.step == 40
    state = load_checkpoint(tmp_path / "checkpoint.pt")
    for name, value in run.average.state.items():
        assert value.is_cuda
        assert torch.equal(value.cpu(), state["average"][name])


@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")
def test_compiled_steps_lead_where_the_others_do(pack: Path) -> None:
    recipe = replace(
        TINY, precision="float32", adversarial=Adversarial("ragan-ls", 0.01, begins=0.5)
    )
    maker = PairMaker(load_pack(pack, "train"), BlurMix(), seed=0, device="cuda")
    batches = [maker.batch(n, 4 >> n % 2, 32 << n % 2) for n in range(32)]
    blurred = batches[0][0]
    outputs = [Run(recipe, device="cuda").network(blurred)]
    for compiled in (False, True):
        run = Run(recipe, device="cuda")
        run.network.train()
        if compiled:
            run.compile()
        for n, pairs in enumerate(batches):  # both sizes are recorded, then replayed
            run.step(*pairs, n / len(batches))
            if n == 20:
                with run.averaged() as network, torch.no_grad():
                    network(blurred)
        outputs.append(run.network(blurred))
    # Not the weights: the gradient of a bias before a norm is noise, which Adam makes steps of.
    first, plain, recorded = outputs
    assert (recorded - plain).norm() < 0.1 * (plain - first).norm()
