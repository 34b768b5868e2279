"""What is checked before workers of a Ray cluster are asked for, and said of the lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vidfacedeblur.archive.tasks import Setup, Task
from vidfacedeblur.engines.threads import usable_cores
from vidfacedeblur.errors import OptionError, first_line


def check(
    setup: Setup, workers: int | None, cores: int, gpus: float | None, *, local: bool
) -> None:
    """Refuse what cannot be served.

    Raises:
        OptionError: A number is out of range, or contradicts another option.
    """
    device = setup.model.device
    if workers is not None and workers < 1:
        raise OptionError(f"--workers must be 1 or more, got {workers}")
    here = usable_cores()
    if cores < 1:
        raise OptionError(f"--ray-cores must be 1 or more, got {cores}")
    if local and (workers or 1) * cores > here:
        raise OptionError(
            f"--ray-cores {cores} for {workers or 1} workers: this machine has {here}"
        )
    if gpus is not None and not 0 <= gpus <= 64:
        raise OptionError(f"--ray-gpus must be 0 to 64, got {gpus:g}")
    if gpus is not None and gpus > 1 and gpus != int(gpus):
        raise OptionError(f"--ray-gpus must be a share of one, or whole, got {gpus:g}")
    if gpus and device == "cpu":
        raise OptionError(f"--ray-gpus {gpus:g} contradicts --device cpu")
    if gpus == 0 and device.startswith("cuda"):
        raise OptionError(f"--ray-gpus 0 contradicts --device {device}")
    if ":" in device:
        raise OptionError(f"--device {device}: Ray hands out the GPUs; use --device cuda")


def setup_for(setup: Setup, gpus: float) -> Setup:
    """What workers are given, that have so many GPUs: without one, they look for none."""
    device = setup.model.device if gpus else "cpu"
    return replace(setup, model=replace(setup.model, device=device))


def folders(task: Task) -> list[str]:
    """Folders that a worker must see: the input's, and the one below which it writes."""
    below = Path(task.target).parent
    while not below.is_dir() and below != below.parent:
        below = below.parent
    source = Path(task.source).parent
    # Where it is missing here too, the file's own error says it best.
    return [str(folder) for folder in (source, below) if folder.is_dir()]


def reason(error: Exception, host: str) -> str:
    """Why a worker is gone, in a line."""
    text = str(error)
    if "No module named" in text:
        missing = next(line for line in text.splitlines() if "No module named" in line)
        return f"vidfacedeblur cannot be loaded on a node ({missing.strip()}); install it there"
    if node_died(error):
        return f"the node {host} is gone"
    if "memory" in text:
        return f"the worker at {host} was ended, since its node ran out of memory"
    if "actor" in text:
        return f"the worker at {host} ended without a word"
    return f"the worker at {host}: {first_line(error)}"


def node_died(error: Exception) -> bool:
    """Whether a worker is gone since its whole node is."""
    return "node has died" in str(error)
