"""What the sub-commands of ``vidfacedeblur-train`` that make weights do."""

from __future__ import annotations

import argparse
import dataclasses

import torch
from tqdm import tqdm

from vidfacedeblur.trainers.convert import write_converted
from vidfacedeblur.trainers.journal import Row
from vidfacedeblur.trainers.mixing import write_mixed
from vidfacedeblur.trainers.processes import processes_of
from vidfacedeblur.trainers.recipe_files import load_recipe
from vidfacedeblur.trainers.terminal import say
from vidfacedeblur.trainers.train import Pace, TrainOptions, train


def train_model(args: argparse.Namespace) -> None:
    """Train one model by a recipe."""
    recipe = load_recipe(args.model, args.recipe)
    if args.steps is not None:
        recipe = dataclasses.replace(recipe, steps=args.steps)
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    with processes_of(device) as (processes, device):
        options = TrainOptions(
            pack=args.data,
            out=args.out,
            device=device,
            seed=args.seed,
            max_minutes=args.max_minutes,
            check_every=args.check_every,
            threads=args.threads,
            start=args.start,
            vgg=args.vgg,
            compiled=args.compile,
            makers=args.makers,
        )
        if recipe.loss.perceptual and args.vgg is None and processes.first:
            say("no --vgg: features of the face detector's O-Net stand in for VGG-19's")
        quiet = None if processes.first else True
        with tqdm(total=1.0, disable=quiet, leave=False, bar_format=_BAR) as bar:
            line = _ProgressLine(bar)
            train(
                recipe,
                options,
                processes=processes,
                on_check=line.check,
                on_step=line.step,
            )
        if processes.first:
            say(f"{args.out}: done; 'export' makes weights of it")


_BAR = "{percentage:5.1f}% |{bar:20}| {remaining} left{postfix}"


class _ProgressLine:
    """The line that a terminal shows during training."""

    def __init__(self, bar: tqdm[float]) -> None:
        self.bar = bar
        self.images = 0
        self.first = True

    def step(self, pace: Pace) -> None:
        if self.first:
            self.bar.initial = self.bar.n = pace.share  # a resumed run was not that fast
            self.first = False
        self.images += pace.images
        elapsed = self.bar.format_dict["elapsed"] or 1e-9
        text = f"step {pace.step}, {self.images / elapsed:.1f} images/s, loss {pace.loss:.4f}"
        self.bar.set_postfix_str(text, refresh=False)
        self.bar.update(pace.share - self.bar.n)

    def check(self, row: Row) -> None:
        gain = row.psnr - row.psnr_blurred
        self.bar.clear()
        say(
            f"step {row.step}, {row.minutes:.1f} min: loss {row.loss:.5f},"
            f" PSNR {row.psnr:.2f} dB ({gain:+.2f})"
        )


def mix(args: argparse.Namespace) -> None:
    """Write weights between two trainings of one model."""
    digest = write_mixed(args.model, args.first, args.second, args.share, args.out)
    say(f"{args.out}: {args.model}, sha256 {digest}")


def convert(args: argparse.Namespace) -> None:
    """Turn a public checkpoint into weights."""
    digest = write_converted(args.checkpoint, args.model, args.out)
    say(f"{args.out}: {args.model}, sha256 {digest}")
