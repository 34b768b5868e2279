"""Weights between two trainings of one model.

Where one training went on from the other, networks between the two work as well and may keep what
either is good at: Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022,
https://arxiv.org/abs/2109.01903.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from vidfacedeblur.errors import OptionError, OutputExistsError, WeightsError
from vidfacedeblur.models.weights import load_model, save_model
from vidfacedeblur.whole import check_place


def write_mixed(model: str, first: Path, second: Path, share: float, out: Path) -> str:
    """Write the mean of two weights files (float16); return its sha256.

    Args:
        model: Name of the model of both.
        first: A weights file.
        second: Another, of the same configuration.
        share: Of the second, 0 to 1; batch counts are the first's.
        out: The file to write.

    Raises:
        OptionError: The share is out of range.
        OutputExistsError: The output is one of the two.
        OutputError: The output cannot be written.
        WeightsError: A file cannot be read, or the two are of different configurations.
    """
    if not 0 <= share <= 1:
        raise OptionError(f"--share must lie within 0 to 1, got {share:g}")
    check_place(out)
    one, other = load_model(model, first), load_model(model, second)
    if out.exists() and any(out.samefile(path) for path in (first, second)):
        raise OutputExistsError(f"{out} is one of the two: name another output")
    if one.config != other.config:
        raise WeightsError(f"{first} and {second} are of different configurations of {model}")
    ours, theirs = one.network.state_dict(), other.network.state_dict()
    mixed = {name: _between(value, theirs[name], share) for name, value in ours.items()}
    return save_model(out, model, one.config, mixed)


def _between(one: Tensor, other: Tensor, share: float) -> Tensor:
    return one.lerp(other, share) if one.is_floating_point() else one
