"""The command ``vidfacedeblur-train``: makes and judges weights.

Nothing here loads torch before there is work to do, so ``--help`` and mistakes answer at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from vidfacedeblur.console import say
from vidfacedeblur.errors import VidFaceDeblurError, exit_code, first_line
from vidfacedeblur.models.registry import MODELS
from vidfacedeblur.trainers.names import CONVERTIBLE, LAYOUTS, QUALITY, SETS


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, or another with one line on standard error."""
    args = _parser().parse_args(argv)
    try:
        module, function = args.run.split(".")
        getattr(import_module(f"vidfacedeblur.trainers.{module}"), function)(args)
    except (VidFaceDeblurError, OSError, RuntimeError) as error:  # a full disk, a missing GPU
        say(f"vidfacedeblur-train: {first_line(error)}\n")
        return exit_code(error)
    except KeyboardInterrupt:
        say("vidfacedeblur-train: stopped\n")
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vidfacedeblur-train", description="Make and judge weights."
    )
    found = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_prepare(found)
    for model in MODELS:
        _add_training(found, model)
    _add_export(found)
    _add_mix(found)
    _add_convert(found)
    _add_evaluate(found)
    _add_quantize(found)
    _add_list_set(found)
    return parser


_Commands = argparse._SubParsersAction  # its only name


def _add_prepare(found: _Commands[argparse.ArgumentParser]) -> None:
    p = found.add_parser("prepare", help="pack the faces of data sets into one file")
    p.add_argument("data", type=Path, nargs="+", help="folders, or video files")
    p.add_argument("-o", "--out", type=Path, required=True, metavar="FILE.npz")
    p.add_argument("--layout", default="auto", help=f"of the folders: auto, {', '.join(LAYOUTS)}")
    p.add_argument(
        "--average",
        type=int,
        nargs="*",
        default=[5, 7, 9, 11, 15],
        metavar="L",
        help="average so many frames of clips, each number in its turn; none: no averages",
    )
    p.add_argument("--gamma", type=float, default=1.0, help="2.2 averages light; 1: as stored")
    p.add_argument("--still-every", type=int, default=12, metavar="N", help="0: none")
    p.add_argument("--quality", type=int, default=QUALITY, help="of the packed faces, 1 to 100")
    p.add_argument("--split", type=Path, help="CSV of identity and split (train, val, test)")
    p.add_argument("--seed", type=int, default=0, help="of the 70:30 split by identity")
    p.add_argument("--background", action="store_true", help="what is no face, to compare with")
    p.set_defaults(run="prepare.make_pack")


def _add_training(found: _Commands[argparse.ArgumentParser], model: str) -> None:
    p = found.add_parser(model, help=f"train {model}; resumes what --out holds")
    p.add_argument("--data", type=Path, required=True, help="pack made by 'prepare'")
    p.add_argument("--out", type=Path, required=True, help="folder of the run")
    p.add_argument("--recipe", default="default", help="name, or a TOML file of your own")
    p.add_argument("--steps", type=int, help="length of the run, instead of the recipe's")
    p.add_argument("--max-minutes", type=float, help="of training; the run is over then")
    p.add_argument(
        "--check-every",
        type=float,
        default=120.0,
        metavar="SECONDS",
        help="validation, sample picture and checkpoint",
    )
    p.add_argument("--device", help="cpu, cuda or cuda:N; a GPU, if there is one")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--threads", type=int, help="CPU threads")
    p.add_argument("--start", type=Path, metavar="WEIGHTS", help="trained weights to start at")
    p.add_argument("--vgg", type=Path, help="VGG-19 weights, for a perceptual loss")
    p.add_argument("--compile", action="store_true", help="compile the network; pays on a GPU")
    p.add_argument(
        "--makers", type=int, help="processes that make pairs beside the run (3 for a GPU, else 0)"
    )
    p.set_defaults(run="commands.train_model", model=model)


def _add_export(found: _Commands[argparse.ArgumentParser]) -> None:
    p = found.add_parser("export", help="make weights and their card from a run")
    p.add_argument("run_folder", type=Path)
    p.add_argument("--out", type=Path, required=True, help="folder for the two files")
    p.add_argument("--trained-on", required=True, help="a sentence on the data, for the card")
    p.add_argument("--licence", required=True, help="terms of the weights, for the card")
    p.add_argument("--hardware", help="what the run was trained on, if not this machine")
    p.add_argument("--note", default="", help="a sentence for the card")
    p.set_defaults(run="judging.export")


def _add_mix(found: _Commands[argparse.ArgumentParser]) -> None:
    p = found.add_parser("mix", help="weights between two trainings, one begun at the other")
    p.add_argument("model", choices=list(MODELS))
    p.add_argument("first", type=Path, help="weights")
    p.add_argument("second", type=Path, help="weights")
    p.add_argument("--share", type=float, default=0.5, help="of the second, 0 to 1")
    p.add_argument("-o", "--out", type=Path, required=True, metavar="FILE.safetensors")
    p.set_defaults(run="commands.mix")


def _add_convert(found: _Commands[argparse.ArgumentParser]) -> None:
    p = found.add_parser("convert", help="make weights of a public DeblurGAN(-v2) checkpoint")
    p.add_argument("checkpoint", type=Path)
    p.add_argument("--model", required=True, choices=CONVERTIBLE)
    p.add_argument("-o", "--out", type=Path, required=True, metavar="FILE.safetensors")
    p.set_defaults(run="commands.convert")


def _add_evaluate(found: _Commands[argparse.ArgumentParser]) -> None:
    p = found.add_parser("evaluate", help="score models on the fixed sets")
    p.add_argument(
        "--models",
        nargs="*",
        default=[],
        metavar="MODEL[:LABEL][=FILE]",
        help="all that have bundled weights, unless named",
    )
    p.add_argument("--data", type=Path, help="folder with faces/, videos/ and benchmark/")
    p.add_argument("--sets", nargs="*", default=list(SETS), choices=SETS, metavar="SET")
    p.add_argument("--limit", type=int, help="only so many pairs, spread over each set")
    p.add_argument("--engine", default="auto")
    p.add_argument("--device", default="auto")
    p.add_argument("-o", "--out", type=Path, help="folder for the tables and pictures")
    p.add_argument("--readme", type=Path, help="file whose results section is replaced")
    p.add_argument("--cards", action="store_true", help="put the figures into the weights' cards")
    p.set_defaults(run="judging.evaluate")


def _add_quantize(found: _Commands[argparse.ArgumentParser]) -> None:
    p = found.add_parser("quantize", help="make an eight-bit network for CPUs and judge it")
    p.add_argument("model", choices=list(MODELS))
    p.add_argument("--pack", type=Path, required=True, help="faces to learn the ranges from")
    p.add_argument("--data", type=Path, help="folder with faces/, to judge it on")
    p.add_argument("--weights", type=Path, help="a safetensors file of your own")
    p.add_argument("--crops", type=int, default=300, help="to learn the ranges from")
    p.add_argument("--limit", type=int, help="judge on so many pairs, spread over the set")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("-o", "--out", type=Path, required=True, help="folder for the files")
    p.set_defaults(run="quantizing.quantize_model")


def _add_list_set(found: _Commands[argparse.ArgumentParser]) -> None:
    p = found.add_parser("list-set", help="draw up the list of a fixed set anew")
    p.add_argument("set", choices=SETS)
    p.add_argument("data", type=Path, help="the set's own folder")
    p.add_argument("-o", "--out", type=Path, required=True, metavar="FILE.csv")
    p.add_argument("--split", type=Path, help="CSV of identity and split, for averaged-video")
    p.set_defaults(run="judging.list_set")


if __name__ == "__main__":
    sys.exit(main())
