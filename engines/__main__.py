"""The command ``vidfacedeblur-engines``: build ahead of time, list, clean, bench, doctor.

Nothing here loads torch before there is work to do.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vidfacedeblur.config import CROP_SIZES, ModelOptions
from vidfacedeblur.console import say
from vidfacedeblur.errors import (
    EngineUnavailableError,
    OptionError,
    VidFaceDeblurError,
    exit_code,
    first_line,
)
from vidfacedeblur.models.bundle import bundled, find_weights
from vidfacedeblur.models.registry import MODELS, entry

if TYPE_CHECKING:
    from vidfacedeblur.engines import Choice, NetworkSpec
    from vidfacedeblur.engines.bench import Measurement

_BENCH_SIDES = (64, 128, 256)
_BENCH_BATCHES = (1, 4)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, or another with one line on standard error."""
    args = _parser().parse_args(argv)
    try:
        args.run(args)
    # A full disk, a missing GPU, a batch that is too large.
    except (VidFaceDeblurError, OSError, RuntimeError, MemoryError) as error:
        _say(first_line(error))
        return exit_code(error)
    except KeyboardInterrupt:
        _say("stopped")
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vidfacedeblur-engines",
        description="Prepare, time and examine what runs the networks.",
    )
    found = parser.add_subparsers(required=True, metavar="COMMAND")
    p = found.add_parser("build", help="prepare networks ahead of time, for a deployment")
    _add_models(p)
    _add_choice(p)
    p.add_argument("--sizes", type=int, nargs="*", default=[128, 256], help="crop sizes (TensorRT)")
    p.set_defaults(run=_build)
    p = found.add_parser("list", help="show what the cache holds")
    p.add_argument("--json", action="store_true", help="for a machine")
    p.set_defaults(run=_list)
    p = found.add_parser("clean", help="empty the cache")
    p.set_defaults(run=_clean)
    p = found.add_parser("bench", help="time the networks on every engine that works here")
    _add_models(p)
    _add_choice(p)
    p.add_argument("--sizes", type=int, nargs="*", default=list(_BENCH_SIDES), help="crop sizes")
    p.add_argument("--batches", type=int, nargs="*", default=list(_BENCH_BATCHES))
    p.add_argument("--seconds", type=float, default=3.0, help="for each network and shape")
    p.add_argument("-o", "--out", type=Path, help="folder for engines.md and engines.csv")
    p.set_defaults(run=_bench)
    p = found.add_parser("doctor", help="show devices, versions, what works and what is missing")
    p.add_argument("--json", action="store_true", help="for a machine")
    p.set_defaults(run=_doctor)
    return parser


def _add_models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", nargs="*", metavar="MODEL", help="all bundled ones, unless named")
    parser.add_argument("--weights", type=Path, help="a safetensors file of your own for one MODEL")


def _add_choice(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--engine", default="auto", help="auto, torch, openvino or tensorrt")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--threads", type=int, help="CPU threads (by cores)")


def _build(args: argparse.Namespace) -> None:
    _check_options(args)
    from vidfacedeblur.engines import choose, open_network
    from vidfacedeblur.engines.or_torch import TensorRTOrTorch
    from vidfacedeblur.engines.tensorrt import TensorRTNetwork

    choice = choose(args.engine, args.device)
    for reason in choice.passed_over:
        _say(f"using {choice.engine} on {choice.device} ({reason})")
    for spec in _specs(args):
        begin = time.perf_counter()
        network = open_network(spec, choice, threads=args.threads, on_status=_say)
        if isinstance(network, TensorRTNetwork | TensorRTOrTorch) and spec.plan_per_side:
            for side in args.sizes:
                network.prepare(side)
        network.close()
        _say(f"{spec.name}: ready for {network.engine}, {time.perf_counter() - begin:.1f} s")


def _list(args: argparse.Namespace) -> None:
    from vidfacedeblur.engines.cache import cache_folder, entries

    found = entries()
    if args.json:
        rows = [
            {"path": str(e.path), "bytes": e.bytes, "used": e.used, "made_from": e.parts}
            for e in found
        ]
        _print(json.dumps(rows, indent=2))
        return
    for e in found:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(e.used))
        _print(f"{e.bytes / 1e6:8.1f} MB  {used}  {e.path.name}  {e.parts.get('kind', 'damaged')}")
    _print(f"{len(found)} files, {sum(e.bytes for e in found) / 1e6:.1f} MB in {cache_folder()}")


def _clean(_: argparse.Namespace) -> None:
    from vidfacedeblur.engines.cache import cache_folder, clean

    count, size = clean()
    _say(f"{count} files, {size / 1e6:.1f} MB deleted from {cache_folder()}")


def _bench(args: argparse.Namespace) -> None:
    _check_options(args)
    if not args.sizes or not args.batches or min(args.batches) < 1 or not args.seconds > 0:
        raise OptionError("bench needs --sizes, --batches of 1 or more and --seconds above 0")
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
    from vidfacedeblur.engines.bench import as_csv, markdown, measure, peak_gflops
    from vidfacedeblur.engines.doctor import examine

    before = peak_gflops(threads=args.threads)
    measured: list[Measurement] = []
    choices = _choices(args)
    for spec in _specs(args):
        _say(f"timing {spec.name} ...")
        shapes = _shapes(spec, args)
        measured += measure(
            spec, choices, shapes, peak=before, seconds=args.seconds, threads=args.threads
        )
    after = peak_gflops(threads=args.threads)
    found = examine()
    packages = ", ".join(f"{name} {v}" for name, v in found.packages.items() if v)
    machine = (
        f"{found.processor}, {args.threads or found.threads} threads;"
        f" GPU: {', '.join(found.gpus) or 'none'}; {packages}; measured peak"
        f" {before:.0f} GFLOP/s before and {after:.0f} after"
    )
    text = f"{machine}\n\n{markdown(measured)}"
    _print(text)
    if args.out is not None:
        (args.out / "engines.md").write_text(text, encoding="utf-8")
        (args.out / "engines.csv").write_text(as_csv(measured), encoding="utf-8")


def _doctor(args: argparse.Namespace) -> None:
    from vidfacedeblur.engines.doctor import examine, table

    found = examine()
    _print(json.dumps(dataclasses.asdict(found), indent=2) if args.json else table(found))


def _check_options(args: argparse.Namespace) -> None:
    ModelOptions(engine=args.engine, device=args.device, threads=args.threads)
    for name in args.models:
        entry(name)
    if args.weights and len(args.models) != 1:
        raise OptionError("--weights goes with one MODEL")
    wrong = [size for size in args.sizes if size not in CROP_SIZES]
    if wrong:
        raise OptionError(f"--sizes must be multiples of 32 from 32 to 512, got {wrong[0]}")


def _specs(args: argparse.Namespace) -> Iterator[NetworkSpec]:
    """The deblurring networks asked for, then the detector's three."""
    from vidfacedeblur.engines import deblur_spec, mtcnn_specs

    for name in args.models or [name for name in MODELS if bundled(name)]:
        yield deblur_spec(find_weights(name, args.weights))
    yield from mtcnn_specs()


def _choices(args: argparse.Namespace) -> list[Choice]:
    """What was asked for; with ``auto``, everything that works here."""
    from vidfacedeblur.engines import choose

    if args.engine != "auto":
        return [choose(args.engine, args.device)]
    gpu = args.device if args.device.startswith("cuda") else "cuda"
    found = []
    for engine, device in (
        ("torch", "cpu"),
        ("openvino", "cpu"),
        ("torch", gpu),
        ("tensorrt", gpu),
    ):
        if args.device not in ("auto", device):
            continue
        try:
            found.append(choose(engine, device))
        except EngineUnavailableError as error:
            _say(f"left out: {error}")
    if not found:
        raise OptionError(f"no engine works on --device {args.device}; use --device auto")
    return found


def _shapes(spec: NetworkSpec, args: argparse.Namespace) -> list[tuple[int, int, int]]:
    """(batch, height, width): of the detector, what it is given for a 720p picture."""
    if spec.plan_per_side:
        return [(batch, side, side) for side in args.sizes for batch in args.batches]
    if spec.side is not None:
        return [(32 if spec.side < 48 else 8, spec.side, spec.side)]
    return [(1, 320, 569), (1, 114, 202)]


def _say(line: str) -> None:
    say(f"vidfacedeblur-engines: {line}\n")


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
