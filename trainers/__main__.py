"""The command ``vidfacedeblur-train``: prepare faces, train, export and evaluate weights."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from tqdm import tqdm

from vidfacedeblur.deblur import open_deblurrer
from vidfacedeblur.engines import choose
from vidfacedeblur.errors import InputError, OptionError, VidFaceDeblurError
from vidfacedeblur.faces import MARGIN
from vidfacedeblur.models.bundle import bundled
from vidfacedeblur.models.registry import MODELS, make_config
from vidfacedeblur.models.weights import load_model, save_model
from vidfacedeblur.trainers import evaluation
from vidfacedeblur.trainers.curves import plot_log
from vidfacedeblur.trainers.data import (
    PACK_MARGIN,
    PackedFace,
    pack_faces,
    read_manifest,
    write_pack,
)
from vidfacedeblur.trainers.finding import square_finder
from vidfacedeblur.trainers.recipe import load_recipe
from vidfacedeblur.trainers.train import TrainOptions, train

T = TypeVar("T")

_PICTURE_ROWS = 6


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, or 2 with one line on standard error."""
    args = _parser().parse_args(argv)
    try:
        args.run(args)
    except VidFaceDeblurError as error:
        sys.stderr.write(f"vidfacedeblur-train: {error}\n")
        return 3 if isinstance(error, InputError) else 2
    except (OSError, RuntimeError) as error:  # a full disk, a full or missing GPU
        sys.stderr.write(f"vidfacedeblur-train: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("vidfacedeblur-train: stopped\n")
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vidfacedeblur-train", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    prepare = commands.add_parser("prepare", help="pack the faces of a data folder into one file")
    prepare.add_argument("data", type=Path, help="folder with manifest.csv (file, identity, split)")
    prepare.add_argument("-o", "--out", type=Path, required=True, metavar="FILE.npz")
    prepare.set_defaults(run=_prepare)

    for model in MODELS:
        one = commands.add_parser(model, help=f"train {model}; resumes what --out holds")
        one.add_argument("--data", type=Path, required=True, help="pack made by 'prepare'")
        one.add_argument("--out", type=Path, required=True, help="folder of the run")
        one.add_argument("--recipe", default="default", help="name, or a TOML file of your own")
        one.add_argument("--minutes", type=float, help="length of the run, instead of its steps")
        one.add_argument("--steps", type=int, help="length of the run in steps")
        one.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
        one.add_argument("--seed", type=int, default=0)
        one.add_argument("--threads", type=int, help="CPU threads")
        one.add_argument(
            "--start", type=Path, metavar="WEIGHTS", help="trained weights to start at"
        )
        one.set_defaults(run=_train, model=model)

    export = commands.add_parser("export", help="make weights and their card from a run")
    export.add_argument("run_folder", type=Path)
    export.add_argument("--out", type=Path, required=True, help="folder for the two files")
    export.add_argument("--data", type=Path, required=True, help="data folder, to evaluate on")
    export.add_argument("--trained-on", required=True, help="a sentence on the data, for the card")
    export.add_argument("--licence", required=True, help="terms of the weights, for the card")
    export.add_argument("--limit", type=int, help="evaluate on so many faces only")
    export.add_argument("--note", default="", help="a sentence for the card")
    export.set_defaults(run=_export)

    judge = commands.add_parser("evaluate", help=f"score models on {evaluation.NAME}")
    judge.add_argument("data", type=Path, help="data folder")
    judge.add_argument("models", nargs="*", help="models (all that have weights), or NAME=FILE")
    judge.add_argument("--limit", type=int, help="only so many faces, spread over the set")
    judge.add_argument("--engine", default="auto")
    judge.add_argument("--device", default="auto")
    judge.add_argument("--picture", type=Path, help="PNG of sharp | blurred | each model")
    judge.add_argument("--json", type=Path, help="the figures as JSON")
    judge.set_defaults(run=_evaluate)

    listing = commands.add_parser("list-set", help="draw up the fixed evaluation anew")
    listing.add_argument("data", type=Path)
    listing.add_argument("-o", "--out", type=Path, required=True, metavar="FILE.csv")
    listing.set_defaults(run=_list_set)
    return parser


def _prepare(args: argparse.Namespace) -> None:
    rows = read_manifest(args.data)
    find = square_finder(PACK_MARGIN)
    faces: list[PackedFace] = []
    missed = 0
    for face in _progress(pack_faces(rows, find), len(rows)):
        if face is None:
            missed += 1
        else:
            faces.append(face)
    write_pack(args.out, faces)
    _say(f"{args.out}: {len(faces)} faces; {missed} pictures without a face left out")


def _train(args: argparse.Namespace) -> None:
    recipe = load_recipe(args.model, args.recipe)
    if args.steps is not None:
        recipe = dataclasses.replace(recipe, steps=args.steps)
    options = TrainOptions(
        pack=args.data,
        out=args.out,
        device=args.device,
        seed=args.seed,
        minutes=args.minutes,
        threads=args.threads,
    )
    start = None
    if args.start is not None:
        start = load_model(args.model, args.start).network.state_dict()
    train(recipe, options, start=start, on_log=lambda row: _say(_log_line(row)))
    plot_log(args.out / "log.csv", args.out / "curves.png")
    _say(f"{args.out}: done; 'export' makes weights of it")


def _log_line(row: dict[str, Any]) -> str:
    gain = row["psnr"] - row["psnr_blurred"]
    return (
        f"step {row['step']}, {row['minutes']:.1f} min, {row['progress']:.0%}: loss {row['loss']},"
        f" PSNR {row['psnr']:.2f} dB ({gain:+.2f})"
    )


def _export(args: argparse.Namespace) -> None:
    path = args.run_folder / "checkpoint.pt"
    if not path.is_file():
        raise InputError(f"no checkpoint at {path}")
    state = torch.load(path, map_location="cpu", weights_only=True)
    pairs = _pairs(args.data, args.limit)
    recipe: dict[str, Any] = state["recipe"]
    name = recipe["model"]
    config = make_config(name, recipe["network"])
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.out) as folder:
        draft = Path(folder) / f"{name}.safetensors"
        digest = save_model(draft, name, config, state["average"])
        choice = choose("auto", "auto")
        deblurrer = open_deblurrer(load_model(name, draft), choice, on_status=_say)
        methods: dict[str, evaluation.Restore] = {name: deblurrer.batch}
        base, score = _scores(pairs, methods)
        card = {
            "model": name,
            "file": draft.name,
            "sha256": digest,
            "licence": args.licence,
            "config": dataclasses.asdict(config),
            "recipe": recipe,
            "data": args.trained_on,
            "steps": state["progress"]["step"],
            "hours": round(state["progress"]["seconds"] / 3600, 3),
            "device": state.get("device", "cpu"),
            "commit": state.get("commit", "unknown"),
            "note": args.note,
            "evaluation": {
                "set": evaluation.NAME,
                "faces": len(pairs),
                "blurred": _figures(base),
                "deblurred": _figures(score),
            },
        }
        text = json.dumps(card, indent=2) + "\n"
        draft.with_suffix(".json").write_text(text, encoding="utf-8")
        # Both files together, and only now: weights without their card are of no use.
        for file in (draft, draft.with_suffix(".json")):
            file.chmod(0o644)
            file.replace(args.out / file.name)
    _say(evaluation.table([base, score]))


def _evaluate(args: argparse.Namespace) -> None:
    chosen = args.models or [name for name in MODELS if bundled(name)]
    choice = choose(args.engine, args.device)
    methods: dict[str, evaluation.Restore] = {}
    for text in chosen:
        name, _, file = text.partition("=")
        loaded = load_model(name, Path(file) if file else None)
        methods[text] = open_deblurrer(loaded, choice, on_status=_say).batch
    if not methods:
        raise OptionError("no model has bundled weights; name one as NAME=FILE")
    pairs = _pairs(args.data, args.limit)
    scores = _scores(pairs, methods)
    sys.stdout.write(f"{evaluation.NAME}, {len(pairs)} faces\n\n{evaluation.table(scores)}\n")
    if args.json:
        figures = {score.method: _figures(score) for score in scores}
        args.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    if args.picture:
        rows = pairs[:: max(1, len(pairs) // _PICTURE_ROWS)][:_PICTURE_ROWS]
        evaluation.save_png(args.picture, evaluation.picture(rows, methods))


def _list_set(args: argparse.Namespace) -> None:
    rows = [row for row in read_manifest(args.data) if row.split == "test"]
    items = evaluation.list_set(_progress(rows, len(rows)), square_finder(MARGIN))
    evaluation.write_set(args.out, items)
    _say(f"{args.out}: {len(items)} faces of {len(rows)} pictures")


def _pairs(folder: Path, limit: int | None) -> list[evaluation.Pair]:
    items = evaluation.shipped_set()
    if limit is not None:
        if limit < 1:
            raise OptionError(f"--limit must be 1 or more, got {limit}")
        picks = np.linspace(0, len(items) - 1, min(limit, len(items))).round().astype(int)
        items = [items[i] for i in picks]
    return [evaluation.load_pair(item, folder) for item in _progress(items, len(items))]


def _scores(
    pairs: Sequence[evaluation.Pair], methods: dict[str, evaluation.Restore]
) -> list[evaluation.Score]:
    with tqdm(total=len(pairs) * len(methods), disable=None, leave=False) as bar:
        return list(evaluation.evaluate(pairs, methods, on_item=bar.update))


def _figures(score: evaluation.Score) -> dict[str, Any]:
    return {
        "psnr": round(score.psnr, 3),
        "ssim": round(score.ssim, 4),
        "ms_per_face": None if np.isnan(score.milliseconds) else round(score.milliseconds, 2),
        "psnr_by_kernel_size": {str(k): round(v, 3) for k, v in score.by_kernel.items()},
    }


def _progress(items: Iterable[T], total: int) -> Iterable[T]:
    yield from tqdm(items, total=total, disable=None, leave=False)


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
