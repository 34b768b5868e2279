"""The training loop: one model, one recipe, one pack of faces; stops and resumes at any time."""

from __future__ import annotations

import csv
import math
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vidfacedeblur.errors import InputError, OptionError
from vidfacedeblur.models.registry import make_config, make_network
from vidfacedeblur.trainers.data import load_pack
from vidfacedeblur.trainers.losses import restoration
from vidfacedeblur.trainers.metrics import psnr
from vidfacedeblur.trainers.pairs import PairMaker, validation_pairs
from vidfacedeblur.trainers.recipe import Recipe

LOG_COLUMNS = ("step", "minutes", "progress", "learning_rate", "loss", "psnr_blurred", "psnr")


@dataclass(frozen=True)
class TrainOptions:
    """Where a run reads and writes, and how long it may take."""

    pack: Path
    """Faces, as `data.write_pack` writes them."""
    out: Path
    """Folder of the run: checkpoint, log and curves. A run found there is resumed."""
    device: str = "cpu"
    seed: int = 0
    minutes: float | None = None
    """Length of the whole run in minutes of training time; None: the recipe's steps."""
    checkpoint_every: float = 120.0
    """Seconds between checkpoints."""
    validate_every: float = 120.0
    """Seconds between validations."""
    threads: int | None = None
    """CPU threads; None leaves torch's choice."""

    def __post_init__(self) -> None:
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            raise OptionError(f"--minutes must be more than 0, got {self.minutes:g}")
        if self.device.startswith("cuda") and not torch.cuda.is_available():
            raise OptionError(f"--device {self.device}: torch finds no GPU; use --device cpu")


@dataclass
class Progress:
    """How far a run has come."""

    step: int = 0
    seconds: float = 0.0
    """Training time so far, over all resumptions."""

    def share(self, recipe: Recipe, options: TrainOptions) -> float:
        """Part of the run that is done, 0 to 1."""
        if options.minutes is not None:
            return min(1.0, self.seconds / (60 * options.minutes))
        return min(1.0, self.step / recipe.steps)


def rate(recipe: Recipe, share: float) -> float:
    """Learning rate at a share of the run: linear warm-up, then half a cosine down to 1 %."""
    if share < recipe.warmup:
        return recipe.learning_rate * max(share, 1e-3) / recipe.warmup
    along = (share - recipe.warmup) / (1 - recipe.warmup)
    return recipe.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * along)))


class Average:
    """Exponential moving average of a network's weights and running statistics."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {k: v.detach().clone() for k, v in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move towards the network's weights; faster at the beginning of a run."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                self.state[name].lerp_(value.detach(), 1 - decay)
            else:
                self.state[name].copy_(value)


class Run:
    """Everything that a checkpoint holds, and the loop over it."""

    def __init__(self, recipe: Recipe, options: TrainOptions) -> None:
        torch.manual_seed(options.seed)
        self.recipe, self.options = recipe, options
        self.config = make_config(recipe.model, recipe.network)
        self.network = make_network(recipe.model, self.config).to(options.device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self.average = Average(self.network, recipe.ema)
        self.progress = Progress()
        self.checkpoint = options.out / "checkpoint.pt"

    def save(self) -> None:
        """Write the checkpoint; a kill at any moment leaves the old or the new one whole."""
        state = {
            "recipe": asdict(self.recipe),
            "network": self.network.state_dict(),
            "average": self.average.state,
            "optimizer": self.optimizer.state_dict(),
            "progress": asdict(self.progress),
            "device": self.options.device,
            "commit": code_version(),
        }
        temporary = self.checkpoint.with_suffix(".part")
        torch.save(state, temporary)
        temporary.replace(self.checkpoint)

    def resume(self) -> bool:
        """Continue from the checkpoint, if there is one.

        Raises:
            OptionError: The checkpoint was made for another model or network. Other settings may
                change from one session to the next; the card names the last.
        """
        if not self.checkpoint.exists():
            return False
        state = torch.load(self.checkpoint, map_location=self.options.device, weights_only=True)
        if state["recipe"]["model"] != self.recipe.model or state["recipe"]["network"] != dict(
            self.recipe.network
        ):
            raise OptionError(
                f"{self.checkpoint} was made for another model or network; choose another --out"
            )
        self.network.load_state_dict(state["network"])
        self.average.state = state["average"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.progress = Progress(**state["progress"])
        return True

    def warm_start(self, weights: dict[str, Tensor]) -> None:
        """Begin from trained weights instead of random ones."""
        self.network.load_state_dict(weights)
        self.average = Average(self.network, self.recipe.ema)

    def step(self, blurred: Tensor, sharp: Tensor, share: float) -> float:
        """Take one optimizer step; the loss comes back."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate(self.recipe, share)
        kind = torch.device(self.options.device).type
        with torch.autocast(kind, torch.bfloat16):
            restored = self.network(blurred.to(memory_format=torch.channels_last))
        loss = restoration(restored, sharp, frequency_weight=self.recipe.frequency_weight)
        if not torch.isfinite(loss):
            raise InputError(f"the loss is no longer finite at step {self.progress.step}")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
        self.optimizer.step()
        self.progress.step += 1
        self.average.update(self.network, self.progress.step)
        return loss.item()

    @contextmanager
    def averaged(self) -> Iterator[nn.Module]:
        """The network with the averaged weights, in evaluation mode."""
        own = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        self.network.load_state_dict(self.average.state)
        self.network.eval()
        try:
            yield self.network
        finally:
            self.network.load_state_dict(own)
            self.network.train()


@torch.no_grad()
def validate(network: nn.Module, blurred: Tensor, sharp: Tensor) -> float:
    """Mean PSNR in dB over pairs in [-1, 1], a few at a time."""
    values = [
        psnr((network(b) + 1) / 2, (s + 1) / 2)
        for b, s in zip(torch.split(blurred, 8), torch.split(sharp, 8), strict=True)
    ]
    return float(torch.cat(values).mean())


def train(
    recipe: Recipe,
    options: TrainOptions,
    *,
    start: dict[str, Tensor] | None = None,
    on_log: Callable[[dict[str, Any]], None] = lambda row: None,
    until: float = 1.0,
) -> Run:
    """Train until the run is done; resumes what `options.out` holds.

    Args:
        recipe: What to do.
        options: Where and for how long.
        start: Trained weights to begin from when nothing is resumed.
        on_log: Called with each row of the log.
        until: Share of the run at which to stop for now.

    Raises:
        InputError: The pack is unusable, or the loss is no longer finite.
        OptionError: The folder holds a run of another model.
    """
    if options.threads:
        torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    run = Run(recipe, options)
    if not run.resume() and start is not None:
        run.warm_start(start)
    faces = load_pack(options.pack, "train")
    maker = PairMaker(
        faces, recipe, seed=options.seed + 7919 * run.progress.step, device=options.device
    )
    held_out = validation_pairs(recipe, options.pack, options.device)
    identity = float(psnr((held_out[0] + 1) / 2, (held_out[1] + 1) / 2).mean())
    log = _Log(options.out / "log.csv")
    clock, losses = time.perf_counter(), []
    next_save = run.progress.seconds + options.checkpoint_every
    next_check = run.progress.seconds + options.validate_every
    run.network.train()
    while (share := run.progress.share(recipe, options)) < until:
        phase = recipe.phase_at(share)
        losses.append(run.step(*maker.draw(phase.batch, phase.crop), share))
        now = time.perf_counter()
        run.progress.seconds += now - clock
        clock = now
        if run.progress.seconds >= next_check:
            on_log(log.add(run, losses, identity, held_out))
            losses = []
            next_check = run.progress.seconds + options.validate_every
        if run.progress.seconds >= next_save:
            run.save()
            next_save = run.progress.seconds + options.checkpoint_every
    on_log(log.add(run, losses, identity, held_out))
    run.save()
    return run


def code_version() -> str:
    """The commit of the checkout that this runs from, or "unknown" for an installed package."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        found = subprocess.run(
            [*command, "--abbrev=40"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()


class _Log:
    """The run's CSV log; a resumed run appends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            with path.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerow(LOG_COLUMNS)

    def add(
        self, run: Run, losses: list[float], identity: float, held_out: tuple[Tensor, Tensor]
    ) -> dict[str, Any]:
        with run.averaged() as network:
            quality = validate(network, *held_out)
        share = run.progress.share(run.recipe, run.options)
        row = {
            "step": run.progress.step,
            "minutes": round(run.progress.seconds / 60, 2),
            "progress": round(share, 4),
            "learning_rate": f"{rate(run.recipe, share):.3g}",
            "loss": round(float(np.mean(losses)), 5) if losses else float("nan"),
            "psnr_blurred": round(identity, 3),
            "psnr": round(quality, 3),
        }
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, LOG_COLUMNS).writerow(row)
        return row
