"""What the sub-commands of ``vidfacedeblur-train`` that judge weights do."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vidfacedeblur.deblur import Deblurrer, open_deblurrer
from vidfacedeblur.engines import choose
from vidfacedeblur.engines.threads import usable_cores
from vidfacedeblur.errors import OptionError
from vidfacedeblur.faces import open_detector
from vidfacedeblur.models.bundle import WeightsFile, bundled, find_weights
from vidfacedeblur.models.registry import MODELS, make_config
from vidfacedeblur.models.weights import save_model
from vidfacedeblur.provenance import processor_name
from vidfacedeblur.trainers import report
from vidfacedeblur.trainers.baselines import BASELINES
from vidfacedeblur.trainers.evaluation import Score, judge, summarized, time_each
from vidfacedeblur.trainers.files import make_folder
from vidfacedeblur.trainers.fixed_sets import SETS, FixedSet
from vidfacedeblur.trainers.listing import LISTERS, counted, write_list
from vidfacedeblur.trainers.pictures import save_png
from vidfacedeblur.trainers.run import code_version, load_checkpoint
from vidfacedeblur.trainers.terminal import progress, say
from vidfacedeblur.whole import check_place, whole_file, writing

_PICTURE_ROWS = 4


@dataclass(frozen=True)
class _Candidate:
    """Weights to be judged, and the name of their row."""

    label: str
    weights: WeightsFile
    deblurrer: Deblurrer


def export(args: argparse.Namespace) -> None:
    """Make weights and their card of a run's averaged network."""
    path = args.run_folder / "checkpoint.pt"
    state = load_checkpoint(path)
    recipe: dict[str, Any] = state["recipe"]
    name = recipe["model"]
    config = make_config(name, recipe["network"])
    make_folder(args.out)
    with writing(args.out), tempfile.TemporaryDirectory(dir=args.out) as folder:
        draft = Path(folder) / f"{name}.safetensors"
        digest = save_model(draft, name, config, state["average"])
        card = {
            "model": name,
            "file": draft.name,
            "sha256": digest,
            "licence": args.licence,
            "config": dataclasses.asdict(config),
            "recipe": recipe,
            "data": args.trained_on,
            "sources": state["sources"],
            "steps": state["progress"]["step"],
            "hours": round(state["progress"]["seconds"] / 3600, 3),
            "device": args.hardware or hardware(state["device"]),
            "commit": state["commit"],
            "note": args.note,
            "evaluation": {},
        }
        write_json(draft.with_suffix(".json"), card)
        # Both files together, and only now: weights without their card are of no use.
        for file in (draft, draft.with_suffix(".json")):
            file.replace(args.out / file.name)
    say(f"{args.out / name}.safetensors and its card; 'evaluate --cards' fills in the figures")


def evaluate(args: argparse.Namespace) -> None:
    """Score models on fixed sets; print the tables and write what was asked for."""
    data = data_folder(args)
    if args.limit is not None and (args.cards or args.readme):
        raise OptionError("--cards and --readme take whole sets only: leave --limit out")
    if not args.sets:
        raise OptionError(f"--sets needs one of {', '.join(SETS)}")
    _check_outputs(args)
    commit = code_version()  # of what runs here; what is written below changes the checkout
    with ExitStack() as stack:
        candidates = _candidates(args, stack)
        for card in filter(Path.is_file, map(_card_of, candidates if args.cards else ())):
            check_place(card)
        texts, scores = [], {}
        for name in args.sets:
            chosen = SETS[name]
            scores[chosen.name] = _scores(chosen, data, candidates, args.limit)
            texts.append(_section(chosen, scores[chosen.name]))
            sys.stdout.write(texts[-1] + "\n\n")
            if args.out:
                _picture(args.out, chosen, data, candidates)
    text = "\n\n".join([_weights_section(candidates, commit), *texts])
    if args.out:
        with whole_file(args.out / "results.md") as file:
            file.write(text + "\n")
        report.write_csv(args.out / "results.csv", scores)
    if args.readme:
        report.insert(args.readme, text)
    if args.cards:
        for candidate in candidates:
            _fill_card(candidate, scores, commit)


def _check_outputs(args: argparse.Namespace) -> None:
    """Before minutes of work rather than after them."""
    if args.out:
        make_folder(args.out)
        check_place(args.out / "results.md")
    if args.readme:
        report.check(args.readme)
        check_place(args.readme)


def list_set(args: argparse.Namespace) -> None:
    """Draw up the list of a fixed evaluation set anew."""
    check_place(args.out)
    lister = LISTERS[args.set]
    rows = list(progress(lister(args.data, args.split)))
    write_list(args.out, rows)
    by = {"synthetic-faces": "kernel_size", "averaged-video": "length", "published": "group"}
    say(f"{args.out}: {len(rows)} pairs ({counted(rows, by[args.set])})")


def data_folder(args: argparse.Namespace) -> Path:
    """Where the data lies.

    Raises:
        OptionError: Nobody said so, or ``--limit`` is below 1.
    """
    data = args.data or os.environ.get("VIDFACEDEBLUR_DATA")
    if not data:
        raise OptionError("say where the data lies: --data FOLDER, or VIDFACEDEBLUR_DATA")
    if args.limit is not None and args.limit < 1:
        raise OptionError(f"--limit must be 1 or more, got {args.limit}")
    return Path(data)


def _candidates(args: argparse.Namespace, stack: ExitStack) -> list[_Candidate]:
    """The models named as MODEL, MODEL=FILE or MODEL:LABEL=FILE; all bundled ones by default."""
    names = args.models or [name for name in MODELS if bundled(name)]
    choice = choose(args.engine, args.device)
    candidates = []
    for text in names:
        label, named, file = text.partition("=")
        name = label.partition(":")[0]
        if named and not file:  # as of a shell's variable that is not set
            raise OptionError(f"{text} names no file; leave the = out for the bundled weights")
        if name in MODELS and not (file or bundled(name)):
            raise OptionError(f"no weights are bundled for {name}: name yours as {label}=FILE")
        weights = find_weights(name, Path(file) if file else None)
        deblurrer = open_deblurrer(weights, choice, on_status=say)
        stack.callback(deblurrer.close)
        candidates.append(_Candidate(label, weights, deblurrer))
    if not candidates:
        raise OptionError("no model has bundled weights; name one as MODEL=FILE")
    if len({candidate.label for candidate in candidates}) < len(candidates):
        raise OptionError("two models have the same name; tell them apart as MODEL:LABEL=FILE")
    return candidates


def _scores(
    chosen: FixedSet, data: Path, candidates: Sequence[_Candidate], limit: int | None
) -> list[Score]:
    networks = {c.label: c.deblurrer.batch for c in candidates}
    times = {name: time_each(net, chosen.pairs(data, limit)) for name, net in networks.items()}
    pairs = chosen.pairs(data, limit)
    total = len(chosen.rows(limit))
    detector = open_detector(choose("auto", "cpu"))
    with tqdm(total=total, desc=chosen.name, disable=None, leave=False) as bar:
        results = list(judge(pairs, networks, BASELINES, detector, on_pair=bar.update))
    return summarized(results, times)


def _section(chosen: FixedSet, scores: Sequence[Score]) -> str:
    title = f"**{chosen.name}**, {scores[0].images} pairs"
    groups = report.group_table(scores, chosen.broken_down_by)
    return f"{title}\n\n{report.main_table(scores)}\n\n{groups}"


def _weights_section(candidates: Sequence[_Candidate], commit: str) -> str:
    network = candidates[0].deblurrer.network
    weights = ", ".join(f"{c.label} `{c.weights.sha256[:12]}`" for c in candidates)
    return (
        f"Weights (sha256): {weights}. Engine {network.engine} on {hardware(network.device)};"
        f" commit {commit[:12]}. `vidfacedeblur-train evaluate` wrote this."
    )


def _picture(out: Path, chosen: FixedSet, data: Path, candidates: Sequence[_Candidate]) -> None:
    pairs = list(islice(chosen.pairs(data, _PICTURE_ROWS), _PICTURE_ROWS))
    networks = {c.label: c.deblurrer.batch for c in candidates}
    save_png(out / f"{chosen.name.replace(' ', '-')}.png", report.picture(pairs, networks))


def _card_of(candidate: _Candidate) -> Path:
    """Where the card of some weights lies, if there is one."""
    return candidate.weights.path.with_suffix(".json")


def _fill_card(candidate: _Candidate, scores: dict[str, list[Score]], commit: str) -> None:
    """Put the figures into the card beside a weights file, if it has one."""
    path = _card_of(candidate)
    if not path.is_file():
        say(f"{candidate.label}: no card beside {candidate.weights.path}")
        return
    card = json.loads(path.read_text(encoding="utf-8"))
    network = candidate.deblurrer.network
    card["evaluation"] = {
        "engine": network.engine,
        "device": hardware(network.device),
        "commit": commit,
        "sets": {name: report.figures(own, candidate.label) for name, own in scores.items()},
    }
    write_json(path, card)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON; the file appears whole or not at all."""
    with whole_file(path) as file:
        file.write(json.dumps(content, indent=2) + "\n")


def hardware(device: str) -> str:
    """A device as a person names it."""
    if device.startswith("cuda"):
        import torch

        if not torch.cuda.is_available():
            raise OptionError("this run was made on a GPU of another machine: say --hardware which")
        return torch.cuda.get_device_name(device)
    return f"{processor_name()}, {usable_cores()} cores"
