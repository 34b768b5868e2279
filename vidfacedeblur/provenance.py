"""What was done to a file, from what, with what: a restored face is evidence only with that."""

from __future__ import annotations

import hashlib
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from vidfacedeblur import __version__

_PACKAGES = (
    *("av", "facenet-pytorch", "numpy", "opencv-python-headless", "openvino", "safetensors"),
    *("tensorrt", "tensorrt-rtx", "torch"),
)
"""Packages whose version may show in the output; facenet-pytorch has the detector's weights."""


def file_sha256(path: Path) -> str | None:
    """The SHA-256 of a regular file, in hex; None of anything else, as of a pipe.

    Raises:
        OSError: It cannot be read.
    """
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def provenance(
    *, model: str | None, weights: str | None, options: str, source: str | None
) -> dict[str, str | None]:
    """What was done, with what; in this order, as one line of JSON, it is the tag of an output.

    Args:
        model: Name of the deblurring model; None where no face may change.
        weights: SHA-256 of its weights file.
        options: Hash of the options; see `config.options_sha256`.
        source: SHA-256 of the input; None where it came through a pipe.
    """
    return {
        "version": __version__,
        "model": model,
        "weights_sha256": weights,
        "options_sha256": options,
        "input_sha256": source,
    }


def made_with() -> dict[str, str]:
    """What else a run depends on: who has the same, and the same input and options, gets its bits.

    Returns:
        Names and versions: Python, FFmpeg, each of our packages that is installed, the system; the
        processor, for which an engine chooses its arithmetic, and how many of its cores the system
        lets us use, by which the encoder shares out its work; an engine's threads may be fewer.
    """
    import av  # also --help reads this file's neighbours, and needs no FFmpeg

    found = {"python": platform.python_version(), "ffmpeg": av.ffmpeg_version_info}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    system = {"system": platform.platform(), "processor": processor_name(), "cores": str(cores)}
    return found | system


def processor_name() -> str:
    """The processor's name, as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
