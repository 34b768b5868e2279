"""The training loop: one model, one recipe, one pack of faces; stops and resumes at any time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from vidfacedeblur.engines.before_torch import cuda_problem
from vidfacedeblur.errors import InputError, OptionError
from vidfacedeblur.models.weights import load_model
from vidfacedeblur.trainers.features import VggFeatures
from vidfacedeblur.trainers.feed import Feed
from vidfacedeblur.trainers.files import alone_in, make_folder, sha256_of
from vidfacedeblur.trainers.journal import Journal, Row
from vidfacedeblur.trainers.pack import check_pack, load_pack
from vidfacedeblur.trainers.pair_makers import Maker, open_maker
from vidfacedeblur.trainers.pairs import validation_pairs
from vidfacedeblur.trainers.processes import Processes, one_process
from vidfacedeblur.trainers.recipe import Phase, Recipe
from vidfacedeblur.trainers.run import Run, load_checkpoint

_MOST_THREADS = 1024
_ONE_VALUE = "Expected more than 1 value per channel"
"""What torch says of a batch norm in training that is given one pixel of one crop."""

_NO_MEMORY = (
    "not enough memory",  # the CPU's allocator, by its system
    "can't allocate memory",
    "CUDA error: out of memory",  # the driver, when torch has not asked for it
    "CUDNN_STATUS_ALLOC_FAILED",
)


@dataclass(frozen=True)
class TrainOptions:
    """Where a run reads and writes, and how long it may take."""

    pack: Path
    """Faces, as `pack.write_pack` writes them."""
    out: Path
    """Folder of the run: checkpoint, log, curves and samples. A run found there is resumed."""
    device: str = "cpu"
    """``cpu``, ``cuda`` or ``cuda:N``."""
    seed: int = 0
    """Of all chance; a run that is resumed keeps the one it began with."""
    max_minutes: float | None = None
    """Training time, in minutes, at which the run is over if its steps are not done by then; the
    learning rate falls accordingly."""
    check_every: float = 120.0
    """Seconds between validations; each ends with a checkpoint."""
    threads: int | None = None
    """CPU threads; None leaves torch's choice."""
    start: Path | None = None
    """Trained weights to begin from instead of random ones. A run that is resumed began with its
    own, and takes no others."""
    vgg: Path | None = None
    """VGG-19 weights, for recipes with a perceptual loss."""
    compiled: bool = False
    """Compile the network; pays on a GPU, after two minutes."""
    makers: int | None = None
    """Processes that make pairs beside the run, each with the pack in memory of its own; 0: none.
    None: three for a GPU."""

    def __post_init__(self) -> None:
        if self.threads is not None and not 1 <= self.threads <= _MOST_THREADS:
            raise OptionError(f"--threads must lie within 1 to {_MOST_THREADS}, got {self.threads}")
        if self.makers is not None and self.makers < 0:
            raise OptionError(f"--makers must be 0 or more, got {self.makers}")
        if not self.check_every > 0:
            raise OptionError(f"--check-every must be more than 0, got {self.check_every:g}")
        if self.max_minutes is not None and not 0 < self.max_minutes < math.inf:
            raise OptionError(f"--max-minutes must be more than 0, got {self.max_minutes:g}")
        if not 0 <= self.seed < 2**63:
            raise OptionError(f"--seed must be 0 or more, and below 2^63, got {self.seed}")
        kind, _, number = self.device.partition(":")
        if self.device not in ("cpu", "cuda") and not (kind == "cuda" and number.isdecimal()):
            raise OptionError(f"--device must be cpu, cuda or cuda:N, got {self.device!r}")
        if kind == "cuda" and (problem := cuda_problem(self.device)):
            raise OptionError(f"--device {self.device}: {problem}; or use --device cpu")


@dataclass
class Pace:
    """Told to the caller after every step."""

    step: int
    share: float
    """Part of the run that is done, 0 to 1."""
    loss: float
    images: int
    """Crops that the step learnt from, on all processes."""


def train(
    recipe: Recipe,
    options: TrainOptions,
    *,
    processes: Processes | None = None,
    on_check: Callable[[Row], None] = lambda row: None,
    on_step: Callable[[Pace], None] = lambda pace: None,
    until: float = 1.0,
) -> Run:
    """Train until the run is done; resumes what `options.out` holds.

    Args:
        recipe: What to do.
        options: Where and for how long.
        processes: The GPUs that share the work; None for one.
        on_check: Called with each row of the log.
        on_step: Called after each step.
        until: Share of the run at which to stop for now.

    Raises:
        InputError: The pack is unusable, or the loss is no longer finite.
        OptionError: The folder holds a run of another recipe, another run is writing there, a batch
            is too small for the network, or memory runs out.
        WeightsError: The weights to begin from cannot be used.
    """
    processes = processes or one_process()
    with ExitStack() as stack:
        run = _set_up(recipe, options, processes, stack)
        _go(run, options, on_check=on_check, on_step=on_step, until=until)
    return run


def _go(
    run: Run,
    options: TrainOptions,
    *,
    on_check: Callable[[Row], None],
    on_step: Callable[[Pace], None],
    until: float,
) -> None:
    """Train a run that is set up; see `train`."""
    recipe, processes, minutes = run.recipe, run.processes, options.max_minutes
    # Only one process writes: two would take each other's half-written files away.
    journal = Journal(options.out, resumed_at=run.progress.step) if processes.first else None
    held_out = validation_pairs(recipe.blur, load_pack(options.pack, "val"), options.device)
    losses: list[float] = []

    def check() -> None:
        with run.averaged() as network:
            restored = validate(network, held_out[0])
        if not torch.isfinite(restored).all():
            raise InputError(f"the network no longer gives finite pictures: {run.what_is_kept()}")
        if journal is not None:
            on_check(journal.add(run, losses, *held_out, restored))
            run.save(options.out / "checkpoint.pt")
        run.kept = True  # by the first process, for all
        losses.clear()

    def phase_of(step: int) -> Phase:
        return recipe.phase_at(run.progress.at(step).share(recipe, minutes))

    run.network.train()
    maker = _maker(run, options)
    # The maker is closed first: the feed's threads may wait for it.
    with closing(Feed(maker, phase_of)) as feed, closing(maker):
        clock = time.perf_counter()
        next_check = run.progress.seconds + options.check_every
        while (share := run.progress.share(recipe, minutes)) < until:
            loss, crops = _step(run, feed, recipe.phase_at(share), share)
            losses.append(loss)
            now = time.perf_counter()
            run.progress.seconds = processes.agreed(run.progress.seconds + now - clock)
            clock = now
            on_step(Pace(run.progress.step, share, loss, crops * processes.count))
            if run.progress.seconds >= next_check:
                check()
                clock = time.perf_counter()
                next_check = run.progress.seconds + options.check_every
    if losses or run.progress.step == 0:  # else the last check was of this very state
        check()


@torch.no_grad()
def validate(network: nn.Module, blurred: Tensor) -> Tensor:
    """Restore images in [-1, 1], a few at a time."""
    return torch.cat([network(images) for images in torch.split(blurred, 8)])


def _set_up(recipe: Recipe, options: TrainOptions, processes: Processes, stack: ExitStack) -> Run:
    """A run, new or resumed; while the stack is open, no other run writes into its folder."""
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    torch.backends.cudnn.benchmark = True  # every step has the same shapes
    vgg = VggFeatures(options.vgg) if options.vgg else None
    start = load_model(recipe.model, options.start) if options.start else None
    check_pack(options.pack, "train", "val")
    sources = {"pack": sha256_of(options.pack)}
    if start is not None:
        sources["--start"] = start.sha256
    if recipe.loss.perceptual:
        sources["--vgg"] = sha256_of(options.vgg) if options.vgg else "none"
    run = Run(
        recipe,
        device=options.device,
        seed=options.seed,
        vgg=vgg,
        sources=sources,
        processes=processes,
    )
    make_folder(options.out)
    if processes.first:
        stack.enter_context(alone_in(options.out))
    path = options.out / "checkpoint.pt"
    if path.exists():
        run.restore(load_checkpoint(path), path)
    elif start is not None:
        run.warm_start(start.network.state_dict())
    else:
        run.sources["--start"] = "none"
    if options.compiled:
        run.compile()
    return run


def _maker(run: Run, options: TrainOptions) -> Maker:
    """What makes a run's pairs: others in each process that shares the work."""
    return open_maker(
        options.pack,
        run.recipe.blur,
        seed=run.seed + run.processes.rank * 7919,
        device=options.device,
        processes=options.makers,
    )


def _step(run: Run, feed: Feed, phase: Phase, share: float) -> tuple[float, int]:
    """One step of a phase: its loss, and how many crops it learnt from.

    Raises:
        OptionError: Memory runs out, and the message says what would fit; or the batch is too small
            for a network that needs more than one value to take a mean of.
    """
    try:
        blurred, sharp = feed.batch(run.progress.step)
        return run.step(blurred, sharp, share), len(blurred)
    except (RuntimeError, MemoryError, ValueError) as error:
        if _ONE_VALUE in str(error):
            raise OptionError(
                f"crops of {phase.crop} need a batch of 2 or more with {run.recipe.model}, which"
                " takes means over its smallest maps"
            ) from error
        if not _is_memory(error):
            raise
    # Out here, where the error is gone and with it all that the step had made so far.
    feed.close()  # what it holds would be missing, too
    fits = _largest_batch(run, phase, share)
    advice = f"a batch of {fits} would" if fits else "not even a batch of 1 would"
    raise OptionError(
        f"memory does not hold a batch of {phase.batch} crops of {phase.crop}: {advice}"
    )


def _largest_batch(run: Run, phase: Phase, share: float) -> int:
    """The largest half, quarter and so on of a phase's batch that a step fits in; 0 if none."""
    batch = phase.batch // 2  # the run ends here, so trial steps may spoil its weights
    run.forward = run.network  # to compile it for each would take minutes
    while batch:
        run.optimizer.zero_grad(set_to_none=True)
        if run.device.startswith("cuda"):
            torch.cuda.empty_cache()
        try:
            images = torch.zeros(batch, 3, phase.crop, phase.crop, device=run.device)
            run.step(images, images, share)
        except (RuntimeError, MemoryError, ValueError) as error:
            if not _is_memory(error) and _ONE_VALUE not in str(error):
                raise
            batch //= 2
        else:
            return batch
    return 0


def _is_memory(error: Exception) -> bool:
    """Whether torch, on a GPU or a CPU, or Python ran out of memory."""
    kinds = (torch.cuda.OutOfMemoryError, MemoryError)
    return isinstance(error, kinds) or any(word in str(error) for word in _NO_MEMORY)
