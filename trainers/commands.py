"""What the sub-commands of ``vidfacedeblur-train`` that make weights do."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from tqdm import tqdm

from vidfacedeblur import console
from vidfacedeblur.errors import InputError, OptionError
from vidfacedeblur.trainers.convert import write_converted
from vidfacedeblur.trainers.datasets import DataSet, read_dataset
from vidfacedeblur.trainers.finding import Find, all_faces, backgrounds, main_face, open_detector
from vidfacedeblur.trainers.fixed_sets import judged_on
from vidfacedeblur.trainers.journal import Row
from vidfacedeblur.trainers.mixing import write_mixed
from vidfacedeblur.trainers.pack import PACK_MARGIN, PACK_SIDE, Contents, PackedFace, write_pack
from vidfacedeblur.trainers.prepare import PrepareOptions, Tally, packed_clips, packed_pictures
from vidfacedeblur.trainers.processes import processes_of
from vidfacedeblur.trainers.recipe_files import load_recipe
from vidfacedeblur.trainers.split import SPLITS, Split, read_split, splitted
from vidfacedeblur.trainers.train import Pace, TrainOptions, train
from vidfacedeblur.whole import check_place

T = TypeVar("T")

_NAMED = 3
"""Of what is left out, in one line."""


def say(line: str) -> None:
    """Tell the user something, on standard error."""
    console.say(line + "\n")


def progress(items: Iterable[T], total: int) -> Iterable[T]:
    """The items, with a bar on a terminal while they are used."""
    yield from tqdm(items, total=total, disable=None, leave=False)


def prepare(args: argparse.Namespace) -> None:
    """Pack the faces of data sets into one file."""
    options = PrepareOptions(tuple(args.average), args.gamma, args.still_every)
    if not 1 <= args.quality <= 100:
        raise OptionError(f"--quality must lie within 1 to 100, got {args.quality}")
    check_place(args.out)
    given = read_split(args.split) if args.split else None
    sets = [read_dataset(path, args.layout) for path in args.data]
    # Dealt together: who is in two data sets is on one side.
    data = splitted(_joined(sets), seed=args.seed, given=given)
    tally = Tally(broken=[*data.problems, *_strangers(data, given or {}, args.split)])
    detector = open_detector()
    if args.background:
        of_pictures = of_clips = backgrounds(detector, PACK_SIDE)
    else:
        of_pictures = main_face(detector, PACK_MARGIN)
        of_clips = all_faces(detector, PACK_MARGIN)
    faces = _faces(data, of_pictures, of_clips, options, tally)
    try:
        contents = write_pack(args.out, _some(faces, args.data), quality=args.quality)
    finally:
        for line in tally.broken:
            say(f"left out: {line}")
        for reason, count in tally.reasons.most_common():
            say(f"left out: {count} x {reason}")
    say(f"{args.out}: {_told(contents)}")
    for doubt in (*data.doubts, *_judged(data)):
        say(doubt)
    if "val" not in contents.splits:
        say(
            "no face is left to validate with, so nothing can be trained: it takes several people;"
            " in a folder of folders, each of these is taken for one"
        )


def _strangers(data: DataSet, given: dict[str, Split], path: Path) -> list[str]:
    """A line if a split names identities that the data does not have.

    Raises:
        InputError: It names no other.
    """
    known = {entry.identity for entry in data.entries}
    strangers = sorted(given.keys() - known)
    if not strangers:
        return []
    if len(strangers) == len(given):
        raise InputError(
            f"{path} names nobody who is in the data, where identities are such as {min(known)};"
            f" it has {strangers[0]}"
        )
    return [
        f"{len(strangers)} of the identities in {path} are not in the data: {_some_of(strangers)}"
    ]


def _judged(data: DataSet) -> list[str]:
    """A line if some of what is trained on is what models are judged on."""
    trained = {entry.identity for entry in data.entries if entry.split == "train"}
    if "celeba" in data.layout:
        trained |= {f"celeba_{who}" for who in trained}
    both = sorted(trained & judged_on())
    if not both:
        return []
    return [
        f"{_some_of(both)}: trained on here, but in the sets of 'evaluate', which will flatter"
        f" what learns from them; --split can put these {len(both)} on the side test"
    ]


def _some_of(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


def _joined(sets: Sequence[DataSet]) -> DataSet:
    """What several data sets hold, as one."""
    return DataSet(
        ", ".join(data.layout for data in sets),
        tuple(picture for data in sets for picture in data.pictures),
        tuple(clip for data in sets for clip in data.clips),
        tuple(problem for data in sets for problem in data.problems),
        tuple(doubt for data in sets for doubt in data.doubts),
    )


def _faces(
    data: DataSet, of_pictures: Find, of_clips: Find, options: PrepareOptions, tally: Tally
) -> Iterator[PackedFace]:
    pictures = packed_pictures(data.pictures, of_pictures, tally)
    clips = packed_clips(data.clips, of_clips, options, tally)
    for part in progress(pictures, len(data.pictures)):
        yield from part
    for part in progress(clips, len(data.clips)):
        yield from part


def _some(faces: Iterator[PackedFace], data: Sequence[Path]) -> Iterator[PackedFace]:
    """The faces; an InputError if there is none."""
    first = next(faces, None)
    if first is None:
        raise InputError(f"nothing to pack in {', '.join(map(str, data))}")
    yield first
    yield from faces


def _told(contents: Contents) -> str:
    total = len(contents.names)
    sides = ", ".join(f"{contents.splits.count(side)} {side}" for side in SPLITS)
    return (
        f"{total - contents.averaged} sharp and {contents.averaged} averaged faces of"
        f" {len(set(contents.identities))} identities ({sides})"
    )


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
