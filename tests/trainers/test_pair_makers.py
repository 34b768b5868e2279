"""Processes that make pairs: what they make, and how they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest
import torch

from vidfacedeblur.errors import InputError, OptionError
from vidfacedeblur.link import Child
from vidfacedeblur.trainers.pair_makers import Maker, Makers, open_maker
from vidfacedeblur.trainers.pairs import PairMaker
from vidfacedeblur.trainers.recipe import BlurMix, Optimizer, Phase, Recipe
from vidfacedeblur.trainers.train import Pace, TrainOptions, train

TINY = Recipe(
    "deblurganv2",
    steps=4,
    phases=(Phase(1.0, 32, 2),),
    optimizer=Optimizer(1e-3),
    network={"channels": 8, "head_channels": 4},
)


def makers_of(pack: Path, processes: int) -> Makers:
    return Makers(pack, BlurMix(), seed=3, device="cpu", processes=processes)


def pids(makers: Makers) -> list[int]:
    return [child.pid for child in makers._children]


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def children_of(pid: int) -> list[int]:
    """Processes that make pairs for a process."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = line.read_bytes().split(b"\0")
            if b"vidfacedeblur.trainers.pair_process" in words and str(pid).encode() in words:
                found.append(int(line.parent.name))
    return [child for child in found if runs(child)]


@pytest.fixture
def makers(pack: Path) -> Iterator[Makers]:
    with closing(makers_of(pack, 2)) as made:
        yield made


def test_they_make_what_one_would(makers: Maker, pack: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as theirs: torch's sums depend on it
    alone = open_maker(pack, BlurMix(), seed=3, device="cpu")
    assert isinstance(alone, PairMaker)
    wishes = [(number, 2 + number % 2, 64) for number in range(5)]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda wish: makers.batch(*wish), wishes))
    for wish, pairs in zip(wishes, found, strict=True):
        for ours, theirs in zip(pairs, alone.batch(*wish), strict=True):
            assert torch.equal(ours, theirs)
            assert ours.stride() == theirs.stride()  # sums round by it
    torch.set_num_threads(threads)


def test_a_mistake_is_told_where_it_matters(pack: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with (
        closing(makers_of(pack, 1)) as makers,
        pytest.raises(RuntimeError, match="ValueError: not enough values"),
    ):
        makers.batch(0, 0, 64)
    assert "in _levels" in capfd.readouterr().err


def test_a_process_that_is_killed_is_told_of(makers: Makers) -> None:
    makers.batch(0, 1, 64)
    for pid in pids(makers):
        os.kill(pid, signal.SIGKILL)
    for _ in range(3):
        with pytest.raises(RuntimeError, match="is gone: the worker was killed by SIGKILL; if"):
            makers.batch(0, 1, 64)


def test_a_pack_that_is_gone_is_named_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no pack of faces .*faces\.npz"):
        makers_of(tmp_path / "faces.npz", 2)


def test_what_does_not_fit_says_what_would(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"error": "OutOfMemoryError", "message": "CUDA out of memory", "frames": 0}
    monkeypatch.setattr(Child, "receive", lambda child: told)
    with pytest.raises(OptionError, match=r"hold the pack 2 times.*--makers"):
        makers_of(pack, 2)


def test_who_waits_for_one_that_stalls_hears_of_the_end(makers: Makers) -> None:
    makers.batch(0, 1, 64)
    for pid in pids(makers):
        os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(makers.batch, 1, 1, 64)
        time.sleep(0.2)
        begin = time.monotonic()
        makers.close()
        with pytest.raises(RuntimeError, match="is gone"):
            waiting.result()
    assert time.monotonic() - begin < 5


def test_a_run_learns_the_same_from_them(pack: Path, tmp_path: Path) -> None:
    ends = []
    for makers in (0, 2):
        options = TrainOptions(pack, tmp_path / str(makers), threads=1, makers=makers)
        ends.append(train(TINY, options).average.state)
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_a_run_that_loses_them_ends(pack: Path, tmp_path: Path) -> None:
    def end_them(pace: Pace) -> None:
        for pid in children_of(os.getpid()):
            os.kill(pid, signal.SIGKILL)

    options = TrainOptions(pack, tmp_path, threads=1, makers=1)
    with pytest.raises(RuntimeError, match="a process that makes pairs is gone"):
        train(TINY, options, on_step=end_them)
    assert not children_of(os.getpid())


def test_they_end_with_what_asked_for_them(pack: Path) -> None:
    makers = makers_of(pack, 2)
    makers.close()
    assert not any(runs(pid) for pid in pids(makers))
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from vidfacedeblur.trainers.pair_makers import Makers\n"
        "from vidfacedeblur.trainers.recipe import BlurMix\n"
        "makers = Makers(Path(sys.argv[1]), BlurMix(), seed=0, device='cpu', processes=2)\n"
        "makers.batch(0, 1, 64)\n"
        "print(*[child.pid for child in makers._children], flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(pack)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        children = [int(pid) for pid in parent.stdout.readline().split()]
        parent.send_signal(signal.SIGKILL)
    assert len(children) == 2
    deadline = time.monotonic() + 30
    while any(runs(pid) for pid in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)
