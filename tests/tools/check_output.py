"""Does an output keep what its input promised: time, sound, size, colour, tags, all but the faces?

    check_output.py IN OUT [--min-psnr DB [--exclude x,y,w,h ...]] [--allow CODE ...] [--json]

Prints a line per violated promise, ``VIOLATION code: detail``. Exit code 0: none; 1: some; 2: wrong
usage, or an input that cannot be read or has no video. Needs ``ffprobe`` on the path.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

import av
from check_facts import load
from check_pixels import Box, worst_psnr
from check_rules import Violation, judge


class UnreadableInputError(Exception):
    """The input cannot be read, or has no video."""


def check(
    before: Path,
    after: Path,
    *,
    allow: Collection[str] = (),
    min_psnr: float | None = None,
    exclude: Sequence[Box] = (),
) -> list[Violation]:
    """Compare an output with its input.

    Args:
        before: The input.
        after: The output.
        allow: Codes of promises that need not be kept.
        min_psnr: Least PSNR of every frame's luma, in dB; None, or 0, not to look at pixels.
        exclude: Boxes in which pixels may differ.

    Returns:
        The promises that were not kept, without the allowed ones.

    Raises:
        UnreadableInputError: The input cannot be read, or has no video.
    """
    try:
        old = load(before)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise UnreadableInputError(f"unreadable input: {error}") from error
    try:
        new = load(after)
    except (av.FFmpegError, OSError, ValueError) as error:
        return [Violation("playable", f"output cannot be opened: {error}")]
    if old is None:
        raise UnreadableInputError(f"no video in {before}")
    if new is None:
        found = [Violation("playable", "output has no decodable video stream")]
    else:
        found = list(judge(old, new))
        worst = worst_psnr(old, new, exclude) if min_psnr else None
        if min_psnr and worst is not None and worst < min_psnr:
            detail = f"worst frame luma PSNR {worst:.2f} dB < {min_psnr}"
            found.append(Violation("untouched_pixels", detail))
    return [violation for violation in found if violation.code not in allow]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    options = _parser().parse_args(argv)
    try:
        found = check(
            options.input,
            options.output,
            allow=options.allow,
            min_psnr=options.min_psnr,
            exclude=options.exclude,
        )
    except UnreadableInputError as error:
        print(error, file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps([violation._asdict() for violation in found], ensure_ascii=False))
    else:
        for violation in found:
            print(f"VIOLATION {violation.code}: {violation.detail}")
    return 1 if found else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--min-psnr", type=float, metavar="DB", help="look at pixels, too")
    parser.add_argument(
        "--exclude", action="append", default=[], type=_box, metavar="x,y,w,h", help="may differ"
    )
    parser.add_argument(
        "--allow", action="append", default=[], metavar="CODE", help="a promise not to look at"
    )
    parser.add_argument("--json", action="store_true", help="print a list of objects")
    return parser


def _box(text: str) -> Box:
    try:
        x, y, width, height = map(int, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not x,y,w,h") from None
    return x, y, width, height


if __name__ == "__main__":
    sys.exit(main())
