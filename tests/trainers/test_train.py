"""A tiny model trains, leaves its files, resumes exactly, and learns."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
import subprocess
import sys
import time
import weakref
import zipfile
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import pytest
import torch
from tests_support import portrait

from vidfacedeblur.errors import InputError, OptionError, OutputError
from vidfacedeblur.models.registry import MODELS, make_config, make_network
from vidfacedeblur.models.weights import save_model
from vidfacedeblur.trainers.__main__ import main
from vidfacedeblur.trainers.files import sha256_of
from vidfacedeblur.trainers.journal import read_log
from vidfacedeblur.trainers.optimizing import Average, load_optimizer, make_optimizer
from vidfacedeblur.trainers.pack import Faces, PackedFace, load_pack, write_pack
from vidfacedeblur.trainers.pairs import PairMaker, validation_pairs
from vidfacedeblur.trainers.processes import Processes, one_process, processes_of
from vidfacedeblur.trainers.recipe import BlurMix, Loss, Optimizer, Phase, Recipe
from vidfacedeblur.trainers.recipe_files import load_recipe
from vidfacedeblur.trainers.run import Run, code_version, computes_bfloat16, load_checkpoint
from vidfacedeblur.trainers.split import Split
from vidfacedeblur.trainers.train import (
    Pace,
    TrainOptions,
    _largest_batch,
    _maker,
    _set_up,
    train,
)

TINY = Recipe(
    "deblurgan",
    steps=6,
    phases=(Phase(0.5, 32, 2), Phase(1.0, 64, 1)),
    optimizer=Optimizer(1e-3),
    network={"width": 4, "blocks": 1},
)
SMALL: dict[str, dict[str, Any]] = {
    "deepdeblur": {
        "stem": 4,
        "modules": 1,
        "branches": [2, 2, 2, 2, 2],
        "reductions": [0, 2, 2, 2, 2],
    },
    "deblurgan": {"width": 4, "blocks": 1},
    "deblurganv2": {"channels": 8, "head_channels": 4},
    "deblurganv2-inception": {"channels": 8, "head_channels": 4},
}
"""Settings that make each network as small as it goes."""


def options(pack: Path, out: Path, **changes: Any) -> TrainOptions:
    return replace(TrainOptions(pack, out, check_every=1e9, threads=1), **changes)


def weights_of(run: Run) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in run.network.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", ["default", "paper"])
def test_every_recipe_takes_six_steps(model: str, name: str, pack: Path, tmp_path: Path) -> None:
    shipped = load_recipe(model, name)
    network = shipped.network | SMALL[model]
    recipe = replace(shipped, steps=6, phases=(Phase(1.0, 32, 2),), network=network)
    run = train(recipe, options(pack, tmp_path))
    assert run.progress.step == 6
    (row,) = read_log(tmp_path / "log.csv")
    assert row.step == 6
    assert row.loss == row.loss  # a number
    assert load_checkpoint(tmp_path / "checkpoint.pt")["progress"]["step"] == 6
    assert (tmp_path / "curves.png").stat().st_size > 1000
    assert (tmp_path / "samples" / "0000006.png").stat().st_size > 1000


@pytest.mark.parametrize(
    "recipe", [TINY, replace(TINY, network=SMALL["deblurgan"] | {"dropout": 0.5})]
)
def test_a_resumed_run_ends_as_an_uninterrupted_one(
    recipe: Recipe, pack: Path, tmp_path: Path
) -> None:
    whole = train(recipe, options(pack, tmp_path / "whole"))
    train(recipe, options(pack, tmp_path / "parts"), until=0.5)
    torch.rand(7)  # whatever the program draws meanwhile must not matter
    resumed = train(recipe, options(pack, tmp_path / "parts"))
    assert same(weights_of(whole), weights_of(resumed))
    assert same(whole.average.state, resumed.average.state)
    assert [row.step for row in read_log(tmp_path / "parts" / "log.csv")] == [3, 6]


def test_a_resumed_run_keeps_its_seed(pack: Path, tmp_path: Path) -> None:
    whole = train(TINY, options(pack, tmp_path / "whole", seed=5))
    train(TINY, options(pack, tmp_path / "parts", seed=5), until=0.5)
    resumed = train(TINY, options(pack, tmp_path / "parts"))
    assert same(weights_of(whole), weights_of(resumed))


def test_adversarial_runs_resume_exactly_too(pack: Path, tmp_path: Path) -> None:
    recipe = replace(
        load_recipe("deblurgan", "paper"),
        steps=4,
        phases=(Phase(1.0, 32, 2),),
        network=load_recipe("deblurgan", "paper").network | SMALL["deblurgan"],
    )
    whole = train(recipe, options(pack, tmp_path / "whole"))
    train(recipe, options(pack, tmp_path / "parts"), until=0.5)
    resumed = train(recipe, options(pack, tmp_path / "parts"))
    assert same(weights_of(whole), weights_of(resumed))
    assert whole.critics is not None
    assert resumed.critics is not None
    assert same(whole.critics.state_dict(), resumed.critics.state_dict())


CHILD = """
import sys, time
from pathlib import Path
import test_train as t
from vidfacedeblur.trainers.train import train
pack, out = map(Path, sys.argv[1:])
slow = lambda pace: time.sleep(0.05)
train(t.LONGER, t.options(pack, out, check_every=0.2), on_step=slow)
"""
LONGER = replace(TINY, steps=40, phases=(Phase(1.0, 32, 1),))


def test_kill_nine_in_the_middle_loses_nothing(pack: Path, tmp_path: Path) -> None:
    here = Path(__file__).parent
    command = [sys.executable, "-c", CHILD, str(pack), str(tmp_path / "killed")]
    path = os.pathsep.join(map(str, (here, here.parent)))
    child = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": path})
    checkpoint = tmp_path / "killed" / "checkpoint.pt"
    deadline = time.monotonic() + 60
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert 0 < load_checkpoint(checkpoint)["progress"]["step"] < LONGER.steps
    resumed = train(LONGER, options(pack, tmp_path / "killed"))
    whole = train(LONGER, options(pack, tmp_path / "whole"))
    assert same(weights_of(whole), weights_of(resumed))
    steps = [row.step for row in read_log(tmp_path / "killed" / "log.csv")]
    assert steps == sorted(set(steps))


def test_two_processes_train_together(pack: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(
        "steps = 4\n[network]\nwidth = 4\nblocks = 1\n[optimizer]\nlearning_rate = 1e-3\n"
        "[[phases]]\nuntil = 1\ncrop = 32\nbatch = 1\n"
    )
    arguments = ["deblurgan", "--data", str(pack), "--recipe", str(recipe), "--device", "cpu"]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    command += ["--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"]
    command += ["-m", "vidfacedeblur.trainers", *arguments, "--out", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    state = load_checkpoint(tmp_path / "run" / "checkpoint.pt")
    assert state["progress"]["step"] == 4


CRITICS = """
steps = 6
[network]
width = 4
blocks = 1
dropout = 0.5
[optimizer]
learning_rate = 1e-3
[adversarial]
kind = "wgan-gp"
weight = 1.0
critic_steps = 2
[[phases]]
until = 1
crop = 32
batch = 2
"""
TOGETHER = """
import sys
from pathlib import Path
import torch
from vidfacedeblur.trainers.processes import processes_of
from vidfacedeblur.trainers.recipe_files import load_recipe
from vidfacedeblur.trainers.train import TrainOptions, train
pack, recipe, whole, parts = sys.argv[1:]
recipe = load_recipe("deblurgan", recipe)
with processes_of("cpu") as (processes, device):
    def go(out, until=1.0):
        options = TrainOptions(Path(pack), Path(out), check_every=1e9, threads=1)
        run = train(recipe, options, processes=processes, until=until)
        torch.distributed.barrier()  # the first process has written its checkpoint
        return [*run.network.parameters(), *run.critics.parameters()]
    ours = go(whole)
    go(parts, until=0.5)
    resumed = go(parts)
    theirs = [value.detach().clone() for value in ours]
    for value in theirs:
        torch.distributed.broadcast(value, 0)
    for mine, first, again in zip(ours, theirs, resumed):
        assert torch.equal(mine, first), "the processes differ"
        assert torch.equal(mine, again), "a resumed run differs"
    names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
    assert any("gloo" in name for name in names), names
names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
assert not any("gloo" in name for name in names), "threads outlive the group"
"""


def test_critics_learn_alike_in_all_processes_and_resume(pack: Path, tmp_path: Path) -> None:
    (tmp_path / "critics.toml").write_text(CRITICS)
    (tmp_path / "together.py").write_text(TOGETHER)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    command += ["--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"]
    given = [pack, *(tmp_path / name for name in ("critics.toml", "whole", "parts"))]
    command += [str(tmp_path / "together.py"), *map(str, given)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]


def test_a_run_goes_on_with_the_faces_it_began_with(pack: Path, tmp_path: Path) -> None:
    train(TINY, options(pack, tmp_path / "run"), until=0.5)
    other = tmp_path / "other.npz"
    write_pack(other, [PackedFace(portrait()[:144, :144], str(i), str(i), s) for i, s in SIDES])
    with pytest.raises(OptionError, match="made with another pack: give the same again"):
        train(TINY, options(other, tmp_path / "run"))
    recipe = replace(TINY, loss=Loss(perceptual=1.0, face_instead=1.0))
    train(recipe, options(pack, tmp_path / "vgg"), until=0.5)
    state = torch.load(tmp_path / "vgg" / "checkpoint.pt")
    assert state["sources"]["--vgg"] == "none"
    torch.save(state | {"sources": state["sources"] | {"--vgg": "1234"}}, tmp_path / "with_vgg.pt")
    (tmp_path / "with_vgg.pt").replace(tmp_path / "vgg" / "checkpoint.pt")
    with pytest.raises(OptionError, match="made with another --vgg"):
        train(recipe, options(pack, tmp_path / "vgg"))


SIDES: list[tuple[int, Split]] = [(0, "train"), (1, "val")]


def test_a_damaged_or_foreign_checkpoint_is_refused(pack: Path, tmp_path: Path) -> None:
    train(TINY, options(pack, tmp_path), until=0.5)
    path = tmp_path / "checkpoint.pt"
    whole = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        numbers = (archive.read(name) for name in archive.namelist() if "/data/" in name)
        largest = max(numbers, key=len)
    whole[whole.index(largest) + len(largest) // 2] ^= 0x40
    path.write_bytes(whole)
    with pytest.raises(InputError, match="is damaged: its checksums"):
        train(TINY, options(pack, tmp_path))
    for foreign in ({"a": 1}, [1], {"recipe": {}}):
        torch.save(foreign, path)
        with pytest.raises(InputError, match="is not a checkpoint of this"):
            train(TINY, options(pack, tmp_path))


def test_a_finished_run_is_not_logged_again(pack: Path, tmp_path: Path) -> None:
    train(TINY, options(pack, tmp_path))
    before = (tmp_path / "log.csv").read_bytes()
    assert train(TINY, options(pack, tmp_path)).progress.step == TINY.steps
    assert (tmp_path / "log.csv").read_bytes() == before


def test_a_full_disk_is_one_line_and_keeps_the_last_checkpoint(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(TINY, options(pack, tmp_path), until=0.5)
    path = tmp_path / "checkpoint.pt"
    before = path.read_bytes()

    def full(state: object, file: IO[bytes]) -> None:
        file.write(b"half of it")
        raise RuntimeError("[enforce fail at inline_container.cc:672]")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OutputError, match=r"checkpoint.pt cannot be written: is the disk full\?"):
        run.save(path)
    assert path.read_bytes() == before
    assert not list(tmp_path.glob("*.part"))


def test_the_average_lags_behind_the_weights() -> None:
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(network.weight)
    average = Average(network, 0.5)
    torch.nn.init.ones_(network.weight)
    average.update(network, 1000)
    assert float(average.state["weight"]) == pytest.approx(0.5)
    average.update(network, 1000)
    assert float(average.state["weight"]) == pytest.approx(0.75)
    early = Average(torch.nn.Linear(1, 1, bias=False), 0.999)
    torch.nn.init.zeros_(early.state["weight"])
    early.update(network, 0)  # a tenth of what it was, at a run's first step
    assert float(early.state["weight"]) == pytest.approx(0.9)


def test_the_average_takes_counts_as_they_are() -> None:
    network = torch.nn.BatchNorm1d(1)
    average = Average(network, 0.5)
    network.running_mean, network.num_batches_tracked = torch.ones(1), torch.tensor(30)
    average.update(network, 1000)
    assert float(average.state["running_mean"]) == pytest.approx(0.5)
    assert int(average.state["num_batches_tracked"]) == 30


def test_nonsense_lengths_and_devices_are_refused(pack: Path, tmp_path: Path) -> None:
    for minutes in (0, -1, float("inf")):
        with pytest.raises(OptionError, match="--max-minutes"):
            TrainOptions(pack, tmp_path, max_minutes=minutes)
    with pytest.raises(OptionError, match="--seed must be 0 or more, and below"):
        TrainOptions(pack, tmp_path, seed=-1)
    with pytest.raises(OptionError, match="--seed must be 0 or more"):
        PairMaker(load_pack(pack, "train"), BlurMix(), seed=-1, device="cpu")
    for threads in (0, 1025, 99999999999):
        with pytest.raises(OptionError, match=f"--threads must .* 1 to 1024, got {threads}"):
            TrainOptions(pack, tmp_path, threads=threads)
    with pytest.raises(OptionError, match="--check-every must be more than 0"):
        TrainOptions(pack, tmp_path, check_every=0)
    for device in ("", "gpu", "mps", "cpu:0", "cuda:", "cuda:one", "cudax"):
        with pytest.raises(OptionError, match=f"--device must be cpu, cuda .* got '{device}'"):
            TrainOptions(pack, tmp_path, device=device)


def test_time_ends_a_run_before_its_steps(pack: Path, tmp_path: Path) -> None:
    endless = replace(TINY, steps=10**6, phases=(Phase(1.0, 32, 1),))
    run = train(endless, options(pack, tmp_path, max_minutes=0.01))
    assert 0 < run.progress.step < 10**5
    assert run.optimizer.param_groups[0]["lr"] < 0.3 * endless.optimizer.learning_rate


def test_a_run_of_another_recipe_is_not_resumed(pack: Path, tmp_path: Path) -> None:
    train(TINY, options(pack, tmp_path), until=0.1)
    with pytest.raises(OptionError, match=r"another recipe \(network differ"):
        train(replace(TINY, network={"width": 8, "blocks": 1}), options(pack, tmp_path))
    (tmp_path / "checkpoint.pt").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not a checkpoint"):
        train(TINY, options(pack, tmp_path))


def test_a_loss_that_is_not_finite_keeps_the_last_checkpoint(pack: Path, tmp_path: Path) -> None:
    train(TINY, options(pack, tmp_path), until=0.5)
    kept = (tmp_path / "checkpoint.pt").read_bytes()

    run = Run(TINY, device="cpu")
    nan = torch.full((1, 3, 32, 32), float("nan"))
    before = weights_of(run)
    with pytest.raises(InputError, match=r"no longer finite at step 0: there is no checkpoint yet"):
        run.step(nan, nan, 0.5)
    assert same(before, weights_of(run))
    wild = replace(TINY, optimizer=Optimizer(1e30, warmup=0.0, clip=0.0), steps=50)
    with pytest.raises(InputError, match=r"finite.*: there is no checkpoint yet; begin again"):
        train(wild, options(pack, tmp_path / "wild"))
    assert not (tmp_path / "wild" / "checkpoint.pt").exists()
    resumed = _set_up(TINY, options(pack, tmp_path), one_process(), ExitStack())
    with pytest.raises(InputError, match=r"finite at step 3: the last checkpoint is kept; go on"):
        resumed.step(nan, nan, 0.5)
    assert (tmp_path / "checkpoint.pt").read_bytes() == kept


def test_a_loss_that_is_read_now_and_then_is_never_unknown(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = Run.__init__

    def as_on_a_gpu(run: Run, *args: Any, **kwargs: Any) -> None:
        begin(run, *args, **kwargs)
        run._on_gpu = True

    monkeypatch.setattr(Run, "__init__", as_on_a_gpu)
    recipe = replace(TINY, steps=40, phases=(Phase(1.0, 32, 1),))
    told: list[float] = []
    train(recipe, options(pack, tmp_path), until=0.5, on_step=lambda pace: told.append(pace.loss))
    train(recipe, options(pack, tmp_path), on_step=lambda pace: told.append(pace.loss))
    assert len(told) == 40
    assert len(set(told)) == 4  # at steps 0, 16, 20 (resumed) and 32
    assert all(loss == loss for loss in told)
    assert all(row.loss == row.loss for row in read_log(tmp_path / "log.csv"))


def test_a_loss_that_is_not_read_at_once_ends_a_run_all_the_same() -> None:
    run = Run(TINY, device="cpu")
    run._on_gpu, run._loss, run.progress.step = True, 0.1, 30
    nan = torch.full((1, 3, 32, 32), float("nan"))
    run.step(nan, nan, 0.5)
    run.step(nan, nan, 0.5)
    with pytest.raises(InputError, match="no longer finite at step 32"):
        run.step(nan, nan, 0.5)


def test_each_process_draws_its_own_pairs(pack: Path, tmp_path: Path) -> None:
    batches = []
    for rank in (0, 1):
        settings = options(pack, tmp_path / str(rank))
        with ExitStack() as stack:
            run = _set_up(TINY, settings, Processes(rank, 1), stack)
            maker = stack.enter_context(closing(_maker(run, settings)))
            batches.append(maker.batch(0, 2, 32)[0])
    assert not torch.equal(*batches)


@pytest.mark.parametrize(
    "words",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    ],
)
def test_too_large_a_batch_says_which_would_fit(
    words: Exception, pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Run.step

    def small_memory(run: Run, blurred: torch.Tensor, sharp: torch.Tensor, share: float) -> float:
        if len(blurred) > 3:
            raise words
        return step(run, blurred, sharp, share)

    monkeypatch.setattr(Run, "step", small_memory)
    big = replace(TINY, phases=(Phase(1.0, 32, 16),))
    with pytest.raises(OptionError, match="batch of 16 crops of 32: a batch of 2 would"):
        train(big, options(pack, tmp_path))


def test_what_would_fit_is_looked_for_where_not_even_the_crops_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    zeros = torch.zeros

    def small_memory(batch: int, *size: int, **kind: Any) -> torch.Tensor:
        if batch > 3:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")
        return zeros(batch, *size, **kind)

    run = Run(TINY, device="cpu")
    monkeypatch.setattr(torch, "zeros", small_memory)
    assert _largest_batch(run, Phase(1.0, 32, 16), 0.5) == 2


def test_what_would_fit_is_tried_when_nothing_is_left_of_the_step(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[weakref.ref[torch.Tensor]] = []

    def step(run: Run, blurred: torch.Tensor, *_: object) -> tuple[float, int]:
        deep_inside = 2 * blurred
        made.append(weakref.ref(deep_inside))
        raise RuntimeError("CUDA error: out of memory")

    def largest(*_: object) -> int:
        assert made[0]() is None
        return 5

    monkeypatch.setattr(Run, "step", step)
    monkeypatch.setattr("vidfacedeblur.trainers.train._largest_batch", largest)
    with pytest.raises(OptionError, match="a batch of 5 would"):
        train(TINY, options(pack, tmp_path))


def test_a_run_begun_on_a_cpu_goes_on_where_steps_are_fused() -> None:
    """A GPU's fused step takes no count that lies on the CPU; `meta` stands for the GPU."""
    settings = TINY.optimizer
    network = torch.nn.Linear(2, 2)
    begun = make_optimizer(settings, network)
    network(torch.ones(1, 2)).sum().backward()
    begun.step()
    there = make_optimizer(settings, torch.nn.Linear(2, 2, device="meta"))
    there.param_groups[0]["fused"] = True
    load_optimizer(there, begun.state_dict())
    assert {state["step"].device.type for state in there.state.values()} == {"meta"}
    back = make_optimizer(settings, torch.nn.Linear(2, 2))
    load_optimizer(back, begun.state_dict())
    assert {state["step"].device.type for state in back.state.values()} == {"cpu"}
    assert not back.param_groups[0]["fused"]


@pytest.mark.parametrize(("chip", "has"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_a_gpu_before_ampere_computes_in_float32(
    chip: tuple[int, int], has: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: chip)
    assert computes_bfloat16("cuda:0") is has


def test_training_lowers_the_loss(pack: Path, tmp_path: Path) -> None:
    longer = replace(
        TINY, steps=60, phases=(Phase(1.0, 32, 4),), optimizer=Optimizer(3e-3), ema=0.9
    )
    blurred, sharp = validation_pairs(longer.blur, load_pack(pack, "val"), "cpu")

    def error(network: torch.nn.Module) -> float:
        with torch.inference_mode():
            return float((network.eval()(blurred) - sharp).square().mean())

    before = error(train(longer, options(pack, tmp_path), until=0.01).network)
    with train(longer, options(pack, tmp_path)).averaged() as network:
        assert error(network) < before


def test_the_command_trains_and_exports(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(
        "steps = 3\n[network]\nwidth = 4\nblocks = 1\n[optimizer]\nlearning_rate = 1e-3\n"
        "[[phases]]\nuntil = 1\ncrop = 32\nbatch = 1\n"
    )
    run, out = tmp_path / "run", tmp_path / "weights"
    arguments = ["deblurgan", "--data", str(pack), "--out", str(run), "--device", "cpu"]
    assert main([*arguments, "--recipe", str(recipe)]) == 0
    facts = ["--trained-on", "a photo", "--licence", "none"]
    assert main(["export", str(run), "--out", str(out), *facts]) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "deblurgan.json",
        "deblurgan.safetensors",
    ]
    start = ["--start", str(out / "deblurgan.safetensors"), "--recipe", str(recipe)]
    assert main([*arguments[:-4], "--out", str(tmp_path / "on"), "--device", "cpu", *start]) == 0
    capsys.readouterr()
    assert main([*arguments, "--recipe", "papre"]) == 2
    assert "shipped: default, paper" in capsys.readouterr().err
    assert main(["deblurgan", "--data", str(recipe), "--out", str(run), "--device", "cpu"]) == 3
    assert "not a pack of faces" in capsys.readouterr().err


def test_what_draws_the_curves_is_missed_before_the_first_step(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    steps: list[object] = []
    with pytest.raises(OptionError, match=r"matplotlib: pip install 'vidfacedeblur\[train\]'"):
        train(TINY, options(pack, tmp_path / "run"), on_step=steps.append)
    assert not steps


@pytest.mark.parametrize("error", ["2>&-", "2>/dev/full"])
def test_nobody_need_read_what_the_command_says(tmp_path: Path, error: str) -> None:
    command = [sys.executable, "-m", "vidfacedeblur.trainers", "mix", "deblurgan", "no", "no"]
    command += ["-o", str(tmp_path / "out.safetensors")]
    done = subprocess.run(["sh", "-c", f'exec "$@" {error}', "sh", *command], check=False)
    assert done.returncode == 2


def weights_file(path: Path) -> Path:
    """New weights of a tiny network."""
    config = make_config("deblurgan", TINY.network)
    save_model(path, "deblurgan", config, make_network("deblurgan", config).state_dict())
    return path


def test_a_run_starts_at_weights_of_its_own_structure_only(pack: Path, tmp_path: Path) -> None:
    weights = weights_file(tmp_path / "w.safetensors")
    for network, part in (({"width": 8, "blocks": 1}, "decoder.0"), ({"width": 4}, "trunk.1")):
        other = replace(TINY, network=network)
        with pytest.raises(OptionError, match=f"another structure .*{part}"):
            train(other, options(pack, tmp_path / part, start=weights))


def test_a_run_says_what_it_started_at_and_takes_no_other_start(pack: Path, tmp_path: Path) -> None:
    one, other = (weights_file(tmp_path / f"{name}.safetensors") for name in ("one", "other"))

    def go(out: str, until: float, start: Path | None = None) -> dict[str, str]:
        train(TINY, options(pack, tmp_path / out, start=start), until=until)
        sources: dict[str, str] = load_checkpoint(tmp_path / out / "checkpoint.pt")["sources"]
        return sources

    begun = go("started", 0.3, one)
    assert begun["--start"] == sha256_of(one)
    assert go("started", 0.5, one) == go("started", 0.8) == begun
    with pytest.raises(OptionError, match=r"made with another --start: .* goes on without --start"):
        go("started", 1.0, other)
    assert go("plain", 0.5)["--start"] == "none"
    with pytest.raises(OptionError, match="made with another --start"):
        go("plain", 1.0, one)


def test_a_checkpoint_that_does_not_say_what_it_started_at_goes_on(
    pack: Path, tmp_path: Path
) -> None:
    train(TINY, options(pack, tmp_path), until=0.5)
    path = tmp_path / "checkpoint.pt"
    state = load_checkpoint(path)
    del state["sources"]["--start"]
    torch.save(state, path)
    weights = weights_file(tmp_path / "w.safetensors")
    with pytest.raises(OptionError, match="made with another --start"):
        train(TINY, options(pack, tmp_path, start=weights))
    assert train(TINY, options(pack, tmp_path)).progress.step == TINY.steps


def test_two_runs_do_not_write_into_one_folder(pack: Path, tmp_path: Path) -> None:
    refused = []

    def begin_another(pace: Pace) -> None:
        before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
        with pytest.raises(OptionError, match=f"another run is writing to {tmp_path}") as caught:
            train(TINY, options(pack, tmp_path))
        refused.append(str(caught.value))
        assert before == sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))

    train(TINY, options(pack, tmp_path), until=0.3, on_step=begin_another)
    assert refused
    assert not any("\n" in line for line in refused)
    assert train(TINY, options(pack, tmp_path)).progress.step == TINY.steps


def test_a_file_system_without_locks_serves(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(file: object, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    assert train(TINY, options(pack, tmp_path)).progress.step == TINY.steps


def test_a_pack_without_faces_to_validate_with_leaves_no_folder(pack: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.npz"
    write_pack(alone, [PackedFace(portrait()[:144, :144], "1", "ann", "train")])
    with pytest.raises(InputError, match="no face of the split 'val'"):
        train(TINY, options(alone, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("model", ["deblurganv2", "deblurganv2-inception"])
def test_one_crop_that_leaves_one_value_to_a_norm_is_refused(
    model: str, pack: Path, tmp_path: Path
) -> None:
    recipe = replace(TINY, model=model, phases=(Phase(1.0, 32, 1),), network=SMALL[model], steps=1)
    with pytest.raises(OptionError, match="crops of 32 need a batch of 2 or more") as caught:
        train(recipe, options(pack, tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "count"),
    [
        ({"WORLD_SIZE": ""}, 1),
        ({"WORLD_SIZE": "2"}, 1),
        ({"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}, 1),
    ],
)
def test_a_cluster_that_sets_some_of_torchruns_variables_is_not_torchrun(
    given: dict[str, str], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with processes_of("cpu") as (processes, device):
        assert (processes.count, processes.first, device) == (count, True, "cpu")


def test_a_log_that_ends_in_no_text_is_read(pack: Path, tmp_path: Path) -> None:
    train(TINY, options(pack, tmp_path), until=0.5)
    with (tmp_path / "log.csv").open("ab") as file:
        file.write(b"4,0.01,\xff\xfe\x00")  # as a crash of the machine leaves it
    train(TINY, options(pack, tmp_path))
    assert [row.step for row in read_log(tmp_path / "log.csv")] == [3, 6]


def test_the_version_of_an_installed_package_is_not_that_of_what_surrounds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", "-C", str(tmp_path), *who, *words], check=True, capture_output=True)

    package = tmp_path / "venv" / "trainers"
    package.mkdir(parents=True)
    (package / "run.py").write_text("")
    (tmp_path / "theirs.txt").write_text("")
    git("init")
    git("add", "theirs.txt")
    git("commit", "-m", "theirs")
    monkeypatch.setattr("vidfacedeblur.trainers.run.__file__", str(package / "run.py"))
    assert code_version() == "unknown"
    git("add", "venv")
    git("commit", "-m", "ours")
    assert re.fullmatch("[0-9a-f]{40}", code_version())


PLAIN = BlurMix(
    averaged_share=0.0,
    largest_kernel=1,
    mild_share=0.0,
    moved_share=0.0,
    largest_noise=0.0,
    jpeg_share=0.0,
    h264_share=0.0,
)


def test_pairs_differ_by_the_blur_alone(pack: Path) -> None:
    maker = PairMaker(load_pack(pack, "train"), PLAIN, seed=0, device="cpu")
    blurred, sharp = maker.batch(0, 4, 64)
    assert blurred.shape == sharp.shape == (4, 3, 64, 64)
    assert (blurred - sharp).abs().max() <= 2 / 255
    assert sharp.abs().max() <= 1


def test_averaged_faces_come_with_their_own_partner(pack: Path) -> None:
    faces = load_pack(pack, "train")
    only = replace(PLAIN, averaged_share=1.0, smallest_zoom=1.0, largest_zoom=1.0)
    blurred, sharp = PairMaker(faces, only, seed=0, device="cpu").batch(0, 6, 128)
    rows = sharp.unfold(3, 7, 1).mean(-1)  # the pack's were blurred by seven columns
    assert (blurred[..., 3:-3] - rows).abs().mean() < 0.01
    assert (blurred - sharp).abs().mean() > 0.01


def test_a_pack_of_averaged_faces_alone_trains(pack: Path) -> None:
    faces = load_pack(pack, "train")
    alone = Faces(faces.stills[:0], faces.sharp, faces.blurred)
    blurred, _ = PairMaker(alone, BlurMix(), seed=0, device="cpu").batch(0, 3, 64)
    assert blurred.shape == (3, 3, 64, 64)


@pytest.mark.parametrize("crop", [32, 64, 96, 128, 160])
def test_pairs_have_the_crop_asked_for(pack: Path, crop: int) -> None:
    maker = PairMaker(load_pack(pack, "train"), BlurMix(), seed=0, device="cpu")
    for number in range(4):
        blurred, sharp = maker.batch(number, 2, crop)
        assert blurred.shape == sharp.shape == (2, 3, crop, crop)


def test_the_mix_decides_whether_moved_faces_bend_and_whether_all_around_moves(pack: Path) -> None:
    whole = replace(PLAIN, smallest_zoom=1.0, largest_zoom=1.0)
    moved = replace(whole, largest_kernel=29, smallest_kernel=21, moved_share=1.0)
    batches = [
        PairMaker(load_pack(pack, "train"), mix, seed=0, device="cpu").batch(0, 4, 128)
        for mix in (moved, replace(moved, largest_bend=0.0), replace(moved, still_share=0.0))
    ]
    for blurred, sharp in batches[1:]:
        assert torch.equal(sharp, batches[0][1])
        assert (blurred - batches[0][0]).abs().mean() > 1e-3
    for bend in (-0.1, 1.1, float("nan")):
        with pytest.raises(OptionError, match="largest_bend"):
            replace(moved, largest_bend=bend)


def test_a_batch_depends_on_seed_and_number_alone(pack: Path) -> None:
    faces = load_pack(pack, "train")
    maker = PairMaker(faces, BlurMix(), seed=0, device="cpu")
    first, second = maker.batch(0, 4, 64), maker.batch(1, 4, 64)
    again = PairMaker(faces, BlurMix(), seed=0, device="cpu").batch(1, 4, 64)
    other = PairMaker(faces, BlurMix(), seed=1, device="cpu").batch(1, 4, 64)
    assert all(map(torch.equal, second, again))
    assert not torch.equal(second[0], first[0])
    assert not torch.equal(second[0], other[0])


def test_loss_weights_alone_decide_the_loss() -> None:
    with pytest.raises(OptionError, match="one of them above 0"):
        Loss(charbonnier=0, frequency=0)
