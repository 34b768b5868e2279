"""Timing networks: outputs are checked first, and all engines take turns in one run."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from vidfacedeblur.engines.batches import Batch, Outputs
from vidfacedeblur.engines.parity import decibels, reference
from vidfacedeblur.engines.select import Choice, open_network
from vidfacedeblur.engines.spec import NetworkSpec
from vidfacedeblur.engines.threads import default_threads
from vidfacedeblur.errors import EngineError

EAGER = "eager PyTorch"
"""The line that the others are compared with: the module as it is, on the CPU."""
_LEAST_PSNR = 50.0
_LEAST_ROUNDS, _CALLS = 3, 3
_SETTLE = 0.05
"""Seconds that a network runs before its calls count."""


@dataclass(frozen=True)
class Measurement:
    """One network on one engine, for one shape of input."""

    network: str
    engine: str
    device: str
    side: str
    """Height x width."""
    batch: int
    median_ms: float
    """For each crop."""
    p95_ms: float
    """For each crop."""
    device_ms: float
    """On the GPU alone, for each crop, copies aside, the last time; NaN where no engine tells."""
    crops_per_second: float
    gflop: float
    """Of one crop, as the module is written: a multiplication and an addition are two."""
    gflops: float
    """Achieved, counting that."""
    peak_share: float
    """Of the machine's measured peak; an engine that multiplies less may exceed 1. NaN on GPUs."""
    against_eager: float
    """How many times as fast as eager PyTorch on the CPU, in the same run."""
    psnr: float
    """dB of its output against eager PyTorch's, on a scale of 2; at most 120."""
    memory_mib: int
    """Largest resident memory of the process until then."""


def peak_gflops(*, threads: int | None = None, seconds: float = 1.5) -> float:
    """The most that this CPU reaches, in GFLOP/s: the best of many large matrix products."""
    torch.set_num_threads(threads or default_threads())
    a, b = torch.randn(1536, 1536), torch.randn(1536, 1536)
    best, end = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.perf_counter()
        torch.mm(a, b)
        best = max(best, 2 * 1536**3 / (time.perf_counter() - begin) / 1e9)
    return best


def measure(
    spec: NetworkSpec,
    choices: Sequence[Choice],
    shapes: Sequence[tuple[int, int, int]],
    *,
    peak: float,
    seconds: float = 3.0,
    threads: int | None = None,
) -> Iterator[Measurement]:
    """Time a network on several engines.

    Args:
        spec: The network.
        choices: What runs it; eager PyTorch is always measured beside them.
        shapes: (batch, height, width) of the inputs.
        peak: From `peak_gflops`.
        seconds: For each shape, all engines together.
        threads: CPU threads; None: see `threads.default_threads`.

    Raises:
        EngineError: An engine's output is not eager PyTorch's.
    """
    torch.set_num_threads(threads or default_threads())
    networks = {}
    for choice in choices:
        # Each its own copy: engines may move the module, or turn its memory round.
        own = dataclasses.replace(spec)
        networks[(choice.engine, choice.device)] = open_network(own, choice, threads=threads)
    try:
        for count, height, width in shapes:
            shape = (count, 3, height, width)
            batch = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
            runs: dict[tuple[str, str], Callable[[Batch], Outputs]] = {
                (EAGER, "cpu"): lambda images: reference(spec, images),
                **networks,
            }
            quality = {key: _checked(spec, key, run, batch) for key, run in runs.items()}
            taken = _in_turns(runs, batch, seconds)
            eager = float(np.median(taken[(EAGER, "cpu")]))
            gflop = _gflop(spec, batch[:1])
            for key, times in taken.items():
                on_device = getattr(networks.get(key), "device_ms", math.nan)
                yield _measurement(
                    spec, key, batch, times, eager, gflop, peak, quality[key], on_device
                )
    finally:
        for network in networks.values():
            network.close()


def markdown(measurements: Sequence[Measurement]) -> str:
    """A table for people."""
    lines = [
        "| network | engine | size | batch | ms a crop, median | p95 | on the GPU | crops/s"
        " | GFLOP/s | of peak | x eager | PSNR dB | memory MiB |",
        "|---" * 13 + "|",
    ]
    for m in measurements:
        share = "" if np.isnan(m.peak_share) else f"{m.peak_share:.0%}"
        alone = "" if np.isnan(m.device_ms) else f"{m.device_ms:.2f}"
        lines.append(
            f"| {m.network} | {m.engine}, {m.device} | {m.side} | {m.batch} | {m.median_ms:.2f}"
            f" | {m.p95_ms:.2f} | {alone} | {m.crops_per_second:.1f} | {m.gflops:.1f} | {share}"
            f" | {m.against_eager:.2f} | {m.psnr:.0f} | {m.memory_mib} |"
        )
    return "\n".join(lines) + "\n"


def as_csv(measurements: Sequence[Measurement]) -> str:
    """The same for machines."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [f.name for f in fields(Measurement)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(m) for m in measurements)
    return text.getvalue()


def _checked(
    spec: NetworkSpec, key: tuple[str, str], run: Callable[[Batch], Outputs], batch: Batch
) -> float:
    """PSNR against torch; this also warms the network up."""
    quality = decibels(run(batch)[0] - reference(spec, batch)[0])
    if quality < _LEAST_PSNR:
        raise EngineError(f"{key[0]} computes {spec.name} wrongly: {quality:.1f} dB from torch")
    return quality


def _in_turns(
    runs: dict[tuple[str, str], Callable[[Batch], Outputs]], batch: Batch, seconds: float
) -> dict[tuple[str, str], list[float]]:
    """Seconds that each call took, a few calls of each network at a time, round and round.

    A turn's first calls do not count: the threads of the network before are still spinning on the
    cores, waiting for more work. They do so for several milliseconds, more than one call of a small
    network.
    """
    taken: dict[tuple[str, str], list[float]] = {key: [] for key in runs}
    end, rounds = time.perf_counter() + seconds, 0
    while rounds < _LEAST_ROUNDS or time.perf_counter() < end:
        for key, run in runs.items():
            settled = time.perf_counter() + _SETTLE
            while time.perf_counter() < settled:
                run(batch)
            for _ in range(_CALLS):
                begin = time.perf_counter()
                run(batch)
                taken[key].append(time.perf_counter() - begin)
        rounds += 1
    return taken


def _gflop(spec: NetworkSpec, crop: Batch) -> float:
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        spec.module.cpu()(torch.from_numpy(crop))
    return float(counter.get_total_flops()) / 1e9


def _measurement(
    spec: NetworkSpec,
    key: tuple[str, str],
    batch: Batch,
    times: list[float],
    eager: float,
    gflop: float,
    peak: float,
    quality: float,
    on_device: float,
) -> Measurement:
    count = len(batch)
    median = float(np.median(times))
    rate = gflop * count / median
    return Measurement(
        network=spec.name,
        engine=key[0],
        device=key[1],
        side=f"{batch.shape[2]}x{batch.shape[3]}",
        batch=count,
        median_ms=1e3 * median / count,
        p95_ms=1e3 * float(np.percentile(times, 95)) / count,
        device_ms=on_device / count,
        crops_per_second=count / median,
        gflop=gflop,
        gflops=rate,
        peak_share=rate / peak if key[1] == "cpu" else float("nan"),
        against_eager=eager / median,
        psnr=quality,
        memory_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    )
