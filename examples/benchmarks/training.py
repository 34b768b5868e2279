"""How fast networks train: steps and crops a second, and whether pairs are made fast enough.

First checks that a batch made ahead is the one its step would have got, and that the network, as it
is and compiled, starts from the same loss; then times.

    python examples/benchmarks/training.py PACK [--models deblurgan ...] [--device cuda] [--compile]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import torch

from vidfacedeblur.models.registry import MODELS
from vidfacedeblur.trainers.feed import Feed
from vidfacedeblur.trainers.judging import hardware
from vidfacedeblur.trainers.pack import load_pack
from vidfacedeblur.trainers.pair_makers import Maker, open_maker
from vidfacedeblur.trainers.pairs import PairMaker
from vidfacedeblur.trainers.recipe import Phase, Recipe
from vidfacedeblur.trainers.recipe_files import load_recipe
from vidfacedeblur.trainers.run import Run, code_version

SETTLE = 8
"""Steps before the clock starts: compilers and libraries choose their ways then."""
STRETCHES = 3


def rate(work: Callable[[int], object], steps: int, device: str) -> float:
    """Times a second that some work is done, all of it finished: the median of stretches."""
    for step in range(SETTLE):
        work(step)
    rates = []
    for stretch in range(STRETCHES):
        wait(device)
        begin = time.perf_counter()
        for step in range(steps):
            work(SETTLE + stretch * steps + step)
        wait(device)
        rates.append(steps / (time.perf_counter() - begin))
    return statistics.median(rates)


def wait(device: str) -> None:
    """Until a GPU has done what it was told."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def check_feed(maker: Maker, alone: PairMaker, phase: Phase) -> None:
    """Stop unless pairs made ahead, and by other processes, are those of their steps."""
    with closing(Feed(maker, lambda step: phase)) as feed:
        for step in range(3):
            expected = alone.batch(step, phase.batch, phase.crop)
            apart = [(a - b).abs().mean() for a, b in zip(feed.batch(step), expected, strict=True)]
            if max(apart) > 1e-3:
                sys.exit("pairs made ahead are not those of their steps")


def measure(recipe: Recipe, maker: Maker, phase: Phase, steps: int, compiled: bool) -> str:
    """One row of the table."""
    torch.backends.cudnn.benchmark = True
    run = Run(recipe, device=maker.device)
    run.network.train()
    blurred, sharp = maker.batch(0, phase.batch, phase.crop)
    if compiled:
        before = Run(recipe, device=maker.device).step(blurred, sharp, 0.0)
        run.compile()
        if not abs(run.step(blurred, sharp, 0.0) - before) < 0.02 * before:
            sys.exit(f"{recipe.model}: compiled, it starts from another loss")
    same = rate(lambda step: run.step(blurred, sharp, 0.5), steps, maker.device)
    with closing(Feed(maker, lambda step: phase)) as feed:
        fed = rate(lambda step: run.step(*feed.batch(step), 0.5), steps, maker.device)
    return (
        f"| {recipe.model} | {'compiled' if compiled else 'eager'} | {phase.batch} of {phase.crop}"
        f" | {same:.2f} | {fed:.2f} | {fed * phase.batch:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("pack", type=Path)
    parser.add_argument("--models", nargs="*", default=list(MODELS))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--steps", type=int, default=10, help="in each of three stretches")
    parser.add_argument("--batch", type=int, help="instead of the recipe's")
    parser.add_argument("--crop", type=int, help="instead of the recipe's")
    parser.add_argument("--compile", action="store_true", help="time compiled networks too")
    parser.add_argument("--makers", type=int, help="processes that make pairs")
    args = parser.parse_args()
    faces = load_pack(args.pack, "train")
    print(f"{hardware(args.device)}, torch {torch.__version__}, commit {code_version()}")
    print("| model | network | crops | steps/s, one batch | steps/s, fed | crops/s, fed |")
    print("|---|---|---|---|---|---|")
    for model in args.models:
        recipe = load_recipe(model, "default")
        last = recipe.phases[-1]
        phase = Phase(1.0, args.crop or last.crop, args.batch or last.batch)
        opened = open_maker(
            args.pack, recipe.blur, seed=0, device=args.device, processes=args.makers
        )
        with closing(opened) as maker:
            check_feed(maker, PairMaker(faces, recipe.blur, seed=0, device=args.device), phase)
            for compiled in (False, True)[: 1 + args.compile]:
                print(measure(recipe, maker, phase, args.steps, compiled), flush=True)


if __name__ == "__main__":
    main()
