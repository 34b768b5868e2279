"""What ``vidfacedeblur-train quantize`` does: an eight-bit network, and whether it is worth it."""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from vidfacedeblur.deblur import Deblurrer, open_deblurrer
from vidfacedeblur.engines import Choice, deblur_spec
from vidfacedeblur.engines.batches import Batch
from vidfacedeblur.engines.openvino import OpenVINONetwork, compile_graph
from vidfacedeblur.engines.quantize import quantize
from vidfacedeblur.errors import OptionError
from vidfacedeblur.models.bundle import find_weights
from vidfacedeblur.trainers.files import make_folder
from vidfacedeblur.trainers.fixed_sets import SETS, Pair
from vidfacedeblur.trainers.judging import data_folder, hardware, write_json
from vidfacedeblur.trainers.metrics import psnr
from vidfacedeblur.trainers.pack import load_pack
from vidfacedeblur.trainers.pairs import PairMaker
from vidfacedeblur.trainers.recipe_files import load_recipe
from vidfacedeblur.trainers.run import code_version
from vidfacedeblur.trainers.terminal import progress, say

MOST_LOSS = 0.2
"""dB on `synthetic-faces` that an eight-bit network may cost."""
LEAST_SPEED = 1.6
"""How many times as fast it must be."""
_SIDE, _BATCH = 128, 10


@dataclass(frozen=True)
class Verdict:
    """An eight-bit network beside the float32 one, in the same run."""

    pairs: int
    """Of `synthetic-faces`."""
    psnr_float32: float
    """dB."""
    psnr_int8: float
    ms_float32: float
    """Median for one crop of 128 pixels."""
    ms_int8: float

    @property
    def loss(self) -> float:
        """DB that eight bits cost."""
        return self.psnr_float32 - self.psnr_int8

    @property
    def speed(self) -> float:
        """How many times as fast eight bits are."""
        return self.ms_float32 / self.ms_int8

    @property
    def passes(self) -> bool:
        """Whether the network is worth shipping."""
        return self.loss <= MOST_LOSS and self.speed >= LEAST_SPEED


def quantize_model(args: argparse.Namespace) -> None:
    """Write an eight-bit network and a card with its verdict."""
    if args.crops < 1:
        raise OptionError(f"--crops must be 1 or more, got {args.crops}")
    data = data_folder(args)
    weights = find_weights(args.model, args.weights)
    spec = deblur_spec(weights)
    crops = blurred_crops(args.pack, args.model, args.crops, args.seed)
    make_folder(args.out)
    graph = args.out / f"{args.model}.int8.xml"
    say(f"quantising {args.model} on {args.crops} blurred faces ...")
    quantize(spec, crops, graph)
    full = open_deblurrer(weights, Choice("openvino", "cpu"), on_status=say)
    request = compile_graph(graph, None).create_infer_request()
    small = Deblurrer(
        OpenVINONetwork(request, batch=spec.batch), multiple=spec.multiple, sha256=weights.sha256
    )
    total = len(SETS["synthetic-faces"].rows(args.limit))
    pairs = SETS["synthetic-faces"].pairs(data, args.limit)
    verdict = compared(full, small, list(progress(pairs, total)))
    card = {
        "model": args.model,
        "weights_sha256": weights.sha256,
        "crops": args.crops,
        "seed": args.seed,
        "device": hardware("cpu"),
        "commit": code_version(),
        **asdict(verdict),
        "passes": verdict.passes,
    }
    write_json(graph.with_suffix(".json"), card)
    say(
        f"{graph}: costs {verdict.loss:.2f} dB (at most {MOST_LOSS:g}), {verdict.speed:.2f} times"
        f" as fast (at least {LEAST_SPEED:g}): "
        + ("worth shipping" if verdict.passes else "not worth shipping")
    )


def blurred_crops(pack: Path, model: str, count: int, seed: int) -> Iterator[Batch]:
    """Crops as the network sees them in training, (1, 3, 128, 128) in [-1, 1], of train faces."""
    mix = load_recipe(model, "default").blur
    maker = PairMaker(load_pack(pack, "train"), mix, seed=seed, device="cpu")

    def crops() -> Iterator[Batch]:
        for number in itertools.count():
            blurred, _ = maker.batch(number, _BATCH, _SIDE)
            yield from (crop[None].numpy() for crop in blurred)

    return itertools.islice(crops(), count)


def compared(full: Deblurrer, small: Deblurrer, pairs: Sequence[Pair]) -> Verdict:
    """Let both networks restore every pair, in turns."""
    quality: dict[Deblurrer, list[float]] = {full: [], small: []}
    taken: dict[Deblurrer, list[float]] = {full: [], small: []}
    for pair in pairs:
        sharp = torch.from_numpy(pair.sharp[None]).permute(0, 3, 1, 2)
        for network in (full, small):
            begin = time.perf_counter()
            restored = network.batch(pair.blurred[None])
            taken[network].append(1e3 * (time.perf_counter() - begin))
            images = torch.from_numpy(restored).permute(0, 3, 1, 2)
            quality[network].append(float(psnr(images, sharp)))
    return Verdict(
        pairs=len(pairs),
        psnr_float32=float(np.mean(quality[full])),
        psnr_int8=float(np.mean(quality[small])),
        ms_float32=float(np.median(taken[full])),
        ms_int8=float(np.median(taken[small])),
    )
