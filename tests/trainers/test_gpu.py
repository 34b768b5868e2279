"""On a GPU: pairs are made beside the training, and a run goes on from its checkpoint."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vidfacedeblur.trainers.feed import Feed
from vidfacedeblur.trainers.pack import load_pack
from vidfacedeblur.trainers.pair_makers import open_maker
from vidfacedeblur.trainers.pairs import PairMaker
from vidfacedeblur.trainers.recipe import BlurMix, Optimizer, Phase, Recipe
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


def gradient(run: Run, pairs: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """What the next step of a run goes by."""
    run.step(*pairs, 0.0)
    return torch.cat([p.grad.flatten() for p in run.network.parameters() if p.grad is not None])


@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")
def test_compiled_steps_go_by_the_same_gradients(pack: Path) -> None:
    recipe = replace(TINY, precision="float32")
    maker = PairMaker(load_pack(pack, "train"), BlurMix(), seed=0, device="cuda")
    batches = [maker.batch(n, 4 >> n % 2, 32 << n % 2) for n in range(8)]
    run = Run(recipe, device="cuda")
    run.network.train()
    run.compile()
    for pairs in batches:  # both sizes are recorded here, and replayed
        run.step(*pairs, 0.0)
    with run.averaged() as network, torch.no_grad():
        network(batches[0][0])
    for pairs in batches[:2]:
        alone = Run(recipe, device="cuda")
        alone.network.train()
        alone.network.load_state_dict(run.network.state_dict())
        alone.progress.step = run.progress.step
        expected = gradient(alone, pairs)
        assert (gradient(run, pairs) - expected).norm() < 0.01 * expected.norm()
