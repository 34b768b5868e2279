"""The models by name. Importing this loads no torch: classes are fetched when a model is made.

To add a model: write its module beside this file, add a line to `MODELS`, train it.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, cast

from vidfacedeblur.errors import OptionError, UnknownModelError, WeightsError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class ModelEntry:
    """Where a model's classes live and what a user should know to choose it."""

    module: str
    network: str
    """Name of the `nn.Module` class in `module`."""
    config: str
    """Name of its configuration dataclass."""
    multiple: int
    """Crop sides must be a multiple of this."""
    summary: str
    """One line for ``--list-models``."""
    overrides: tuple[tuple[str, Any], ...] = ()
    """Configuration that differs from the dataclass's defaults."""


MODELS: dict[str, ModelEntry] = {
    "deepdeblur": ModelEntry(
        "vidfacedeblur.models.deepdeblur",
        "DeepDeblur",
        "DeepDeblurConfig",
        4,
        "six inception modules (Wang, Li, Wang 2017)",
    ),
    "deblurgan": ModelEntry(
        "vidfacedeblur.models.deblurgan",
        "DeblurGAN",
        "DeblurGANConfig",
        16,
        "residual encoder-decoder (Kupyn et al. 2018)",
    ),
    "deblurganv2": ModelEntry(
        "vidfacedeblur.models.deblurganv2",
        "DeblurGANv2",
        "DeblurGANv2Config",
        32,
        "feature pyramid on MobileNetV2, the fastest (Kupyn et al. 2019)",
    ),
    "deblurganv2-inception": ModelEntry(
        "vidfacedeblur.models.deblurganv2",
        "DeblurGANv2",
        "DeblurGANv2Config",
        32,
        "feature pyramid on Inception-ResNet-v2, the largest (Kupyn et al. 2019)",
        (("backbone", "inception_resnet_v2"), ("channels", 256), ("head_channels", 128)),
    ),
}


def entry(name: str) -> ModelEntry:
    """Look a model up.

    Raises:
        UnknownModelError: No model has that name.
    """
    if name not in MODELS:
        raise UnknownModelError(name, MODELS)
    return MODELS[name]


def make_config(name: str, values: dict[str, Any]) -> Any:
    """Make a model's configuration dataclass; `values` take precedence over its defaults.

    Raises:
        UnknownModelError: No model has that name.
        WeightsError: A value has an unknown name or does not fit.
    """
    found = entry(name)
    config = getattr(importlib.import_module(found.module), found.config)
    unknown = set(values) - {field.name for field in fields(config)}
    if unknown:
        raise WeightsError(f"unknown setting(s) of model {name}: {', '.join(sorted(unknown))}")
    try:
        return config(**(dict(found.overrides) | values))
    except OptionError as error:
        raise WeightsError(f"the configuration does not fit model {name}: {error}") from error


def make_network(name: str, config: Any) -> nn.Module:
    """Make a model with random weights, in training mode, on the CPU."""
    found = entry(name)
    network = getattr(importlib.import_module(found.module), found.network)
    return cast("nn.Module", network(config))
