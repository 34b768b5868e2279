"""A run: what a training step changes, saved and brought back exactly.

A checkpoint holds the network, its average, optimizers and critics, and appears under its name
whole or not at all. What a step draws by chance depends on the seed and its number alone. So a run
that was killed goes on from its last checkpoint and, step for step, ends with the weights it would
have had.
"""

from __future__ import annotations

import math
import subprocess
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vidfacedeblur.errors import InputError, OptionError, OutputError
from vidfacedeblur.models.registry import make_config, make_network
from vidfacedeblur.trainers.adversarial import Critics
from vidfacedeblur.trainers.losses import ContentLoss
from vidfacedeblur.trainers.optimizing import Average, load_optimizer, make_optimizer, rate
from vidfacedeblur.trainers.processes import Processes, one_process
from vidfacedeblur.trainers.recipe import Recipe
from vidfacedeblur.whole import whole_file

_KEYS = {
    "recipe",
    "network",
    "average",
    "optimizer",
    "critics",
    "critic_optimizer",
    "progress",
    "seed",
    "sources",
    "device",
    "commit",
}
"""What a checkpoint holds."""
_READ_EVERY = 16
"""Steps after which a GPU's loss is read."""


@dataclass
class Progress:
    """How far a run has come."""

    step: int = 0
    seconds: float = 0.0
    """Training time so far, over all resumptions."""

    def share(self, recipe: Recipe, max_minutes: float | None) -> float:
        """Part of the run that is done, 0 to 1: by its steps, or by time if that runs out first."""
        by_time = 0.0 if max_minutes is None else self.seconds / (60 * max_minutes)
        return min(1.0, max(self.step / recipe.steps, by_time))

    def at(self, step: int) -> Progress:
        """The same at another step, near in time."""
        return Progress(step, self.seconds)


class Run:
    """A network in training, with all that its steps need.

    Args:
        recipe: What to do.
        device: Where, as torch names it.
        seed: Of the first weights, of dropout and of the pairs; a resumed run keeps its own.
        vgg: For recipes with a perceptual loss; see `losses.ContentLoss`.
        sources: sha256 of what a run learns from beside its recipe, by name; it goes on from a
            checkpoint of the same only, and takes on what else that was made of.
        processes: Those that share the work; None for one.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        device: str,
        seed: int = 0,
        vgg: nn.Module | None = None,
        sources: Mapping[str, str] | None = None,
        processes: Processes | None = None,
    ) -> None:
        torch.manual_seed(seed)
        self.recipe, self.device, self.seed = recipe, device, seed
        self.sources, self.processes = dict(sources or {}), processes or one_process()
        self.config = make_config(recipe.model, recipe.network)
        self.network = make_network(recipe.model, self.config).to(device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = make_optimizer(recipe.optimizer, self.network)
        self.average = Average(self.network, recipe.ema)
        self.content = ContentLoss(recipe.loss, vgg=vgg).to(device)
        self.critics = Critics(recipe.adversarial).to(device) if recipe.adversarial else None
        self.critic_optimizer = (
            make_optimizer(recipe.optimizer, self.critics) if self.critics is not None else None
        )
        self.progress = Progress()
        self._low = recipe.precision == "bfloat16" and computes_bfloat16(device)
        self._on_gpu = device.startswith("cuda")
        self._loss = math.nan
        self.kept = False
        """Whether a checkpoint of this run is on the disk."""
        self.forward: Callable[[Tensor], Tensor] = self.network
        """The network, wrapped where it is compiled."""

    def compile(self) -> None:
        """Have the steps' network compiled when it is first used; on a GPU, recorded too.

        A recording (CUDA graph) is replayed by one call, and Python has less to do for a step.
        """
        mode = "reduce-overhead" if self._on_gpu else None
        # A wrapper, so that validation does not have the network compiled once more.
        self.forward = torch.compile(self.network, dynamic=False, mode=mode)

    def step(self, blurred: Tensor, sharp: Tensor, share: float) -> float:
        """Update the network once (and its critics as often as the recipe says); return its loss.

        Args:
            blurred: (N, 3, H, W) in [-1, 1].
            sharp: The same shape and range.
            share: Part of the run that is done.

        Returns:
            The loss; on a GPU that of a step not long ago.

        Raises:
            InputError: The loss is not finite. On a CPU the weights are as they were.
        """
        torch.manual_seed(self._draw())
        restored = self._restored(blurred)
        loss = self.content(restored, sharp)
        settings = self.recipe.adversarial
        if self.critics is not None and settings and share >= settings.begins:
            self._teach_critics(restored, sharp, share)
            loss = loss + settings.weight * self.critics.generator_loss(restored, sharp)
        self._watch(loss)
        self._descend(self.network, self.optimizer, loss, share)
        self.progress.step += 1
        self.average.update(self.network, self.progress.step)
        return self._loss

    def _draw(self) -> int:
        """A seed for the next step, other in each process."""
        parts = (self.seed, self.processes.rank, self.progress.step)
        return int(np.random.SeedSequence(parts).generate_state(1)[0])

    def _watch(self, loss: Tensor) -> None:
        """Read a loss; on a GPU now and then only, because reading waits for all work there."""
        known = not math.isnan(self._loss)
        if self._on_gpu and known and self.progress.step % _READ_EVERY:
            return
        self._loss = float(loss.item())
        if not math.isfinite(self._loss):
            raise InputError(
                f"the loss is no longer finite at step {self.progress.step}: {self.what_is_kept()}"
            )

    def what_is_kept(self) -> str:
        """What is left of a run whose numbers are no longer finite, and what to do then."""
        if self.kept:
            return "the last checkpoint is kept; go on from it with a lower learning_rate"
        return "there is no checkpoint yet; begin again with a lower learning_rate"

    def _restored(self, blurred: Tensor) -> Tensor:
        with torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self._low):
            restored = self.forward(blurred.to(memory_format=torch.channels_last))
        return restored.float()

    def _teach_critics(self, restored: Tensor, sharp: Tensor, share: float) -> None:
        assert self.critics is not None
        assert self.critic_optimizer is not None
        assert self.recipe.adversarial is not None
        for _ in range(self.recipe.adversarial.critic_steps):
            loss = self.critics.critic_loss(restored, sharp)
            self._descend(self.critics, self.critic_optimizer, loss, share)

    def _descend(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor, share: float
    ) -> None:
        for group in optimizer.param_groups:
            group["lr"] = rate(self.recipe.optimizer, share)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.processes.average_gradients(network)
        if self.recipe.optimizer.clip:
            nn.utils.clip_grad_norm_(network.parameters(), self.recipe.optimizer.clip)
        optimizer.step()

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

    def warm_start(self, weights: dict[str, Tensor]) -> None:
        """Begin from trained weights instead of random ones.

        Raises:
            OptionError: They are of another structure.
        """
        ours = self.network.state_dict()
        differ = ours.keys() ^ weights.keys()
        differ |= {k for k in ours.keys() & weights.keys() if ours[k].shape != weights[k].shape}
        if differ:
            raise OptionError(
                f"the weights to start at have another structure than the recipe's network"
                f" ({min(differ)}): its [network] must say what theirs was"
            )
        self.network.load_state_dict(weights)
        self.average = Average(self.network, self.recipe.ema)

    def save(self, path: Path) -> None:
        """Write a checkpoint."""
        state = {
            "recipe": asdict(self.recipe),
            "network": self.network.state_dict(),
            "average": self.average.state,
            "optimizer": self.optimizer.state_dict(),
            "critics": None if self.critics is None else self.critics.state_dict(),
            "critic_optimizer": None
            if self.critic_optimizer is None
            else self.critic_optimizer.state_dict(),
            "progress": asdict(self.progress),
            "seed": self.seed,
            "sources": self.sources,
            "device": self.device,
            "commit": code_version(),
        }
        with whole_file(path, "wb") as file:
            try:
                torch.save(state, file)
            except RuntimeError as error:  # what torch makes of a full disk
                raise OutputError(f"{path} cannot be written: is the disk full?") from error

    def restore(self, state: dict[str, Any], path: Path) -> None:
        """Go on from what `save` wrote.

        Raises:
            OptionError: It was made with another recipe, or from other sources.
        """
        theirs, ours = state["recipe"], asdict(self.recipe)
        differ = sorted(key for key in ours if key != "steps" and theirs.get(key) != ours[key])
        if differ:
            raise OptionError(
                f"{path} was made with another recipe ({', '.join(differ)} differ): choose another"
                " --out, or begin there with --start WEIGHTS"
            )
        sources = state["sources"]  # of an old one, without --start
        others = [name for name in self.sources if sources.get(name) != self.sources[name]]
        if others:
            without = "; it goes on without --start" if others == ["--start"] else ""
            raise OptionError(
                f"{path} was made with another {' and '.join(others)}: give the same again, or"
                f" choose another --out{without}"
            )
        self.sources = dict(sources)
        self.network.load_state_dict(state["network"])
        self.average.state = {k: v.to(self.device) for k, v in state["average"].items()}
        load_optimizer(self.optimizer, state["optimizer"])
        if self.critics is not None and self.critic_optimizer is not None:
            self.critics.load_state_dict(state["critics"])
            load_optimizer(self.critic_optimizer, state["critic_optimizer"])
        self.progress, self.seed = Progress(**state["progress"]), state["seed"]
        self.kept = True


def computes_bfloat16(device: str) -> bool:
    """Whether a device has instructions for bfloat16.

    A CPU without them takes eight times as long over bfloat16 as over float32; cuDNN has no
    convolutions for them on a GPU without (before Ampere), though torch says that it has.
    """
    if torch.device(device).type != "cpu":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    # Newer than torch 2.6.
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `Run.save` wrote, onto the CPU.

    Raises:
        InputError: It is missing, unreadable, damaged, or not of this version of the trainer.
    """
    if not path.is_file():
        raise InputError(f"no checkpoint at {path}")
    try:
        with zipfile.ZipFile(path) as archive:  # torch does not compare the checksums in it
            damaged = archive.testzip()
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        missing = _KEYS - state.keys()
    except Exception as error:
        raise InputError(f"{path} is not a checkpoint of this trainer") from error
    if damaged:
        raise InputError(f"{path} is damaged: its checksums do not fit")
    if missing:
        raise InputError(
            f"{path} is not a checkpoint of this version of the trainer (no {min(missing)})"
        )
    return state


def code_version() -> str:
    """The commit of the checkout that this runs from, or "unknown" for an installed package."""
    try:
        # An installed package may lie within a checkout of something else.
        _git("ls-files", "--error-unmatch", Path(__file__).name)
        return _git("describe", "--always", "--dirty", "--abbrev=40")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*words: str) -> str:
    """What git says of the folder of this file."""
    command = ["git", "-C", str(Path(__file__).parent), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
