"""Recipes: how a model is trained, as validated TOML files beside this module."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any

from vidfacedeblur.errors import OptionError

MILD_KERNEL = 5
"""Largest size, in pixels, of a kernel that counts as mild."""


@dataclass(frozen=True)
class Phase:
    """A stretch of a run with one crop size and batch."""

    until: float
    """Share of the whole run at which the phase ends, above 0 to 1."""
    crop: int
    """Side of the training crops in pixels."""
    batch: int
    """Crops per step."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what training does, beside the data and the seed."""

    model: str
    """Name in the registry."""
    steps: int
    """Optimizer steps of a whole run, unless a time budget is given instead."""
    phases: tuple[Phase, ...]
    """In order; the last ends at 1."""
    learning_rate: float
    """Peak rate of AdamW; linear warm-up before it, cosine decay after."""
    network: dict[str, Any] = field(default_factory=dict)
    """Settings of the model's configuration that differ from its defaults."""
    warmup: float = 0.02
    """Share of the run before the peak rate is reached."""
    weight_decay: float = 1e-4
    clip: float = 1.0
    """Largest norm of the gradient."""
    ema: float = 0.999
    """Decay per step of the averaged weights, which are the ones that ship."""
    frequency_weight: float = 0.1
    """Weight of the frequency loss beside the Charbonnier loss."""
    smallest_kernel: int = 1
    """Kernel sizes are drawn evenly between these, in pixels; 1 leaves a face sharp."""
    largest_kernel: int = 29
    mild_share: float = 0.25
    """Share of the faces whose kernel is at most `MILD_KERNEL`: a face that is hardly blurred must
    stay as it is."""
    largest_noise: float = 0.02
    """Noise is drawn evenly from 0 to this standard deviation, where white is 1."""
    jpeg_share: float = 0.5
    """Share of the faces that are compressed after the blur, as video is."""
    lowest_quality: int = 40
    """JPEG quality is drawn evenly from here to 95."""
    smallest_zoom: float = 0.6
    """Faces are resized by a factor drawn from here to `largest_zoom`, evenly in its logarithm,
    before they are blurred, as far as they have the pixels for the crop. Enlarged faces are soft
    without being blurred by motion, as large faces in videos are; the network must not take the one
    for the other."""
    largest_zoom: float = 2.2

    def __post_init__(self) -> None:
        ends = [phase.until for phase in self.phases]
        if not ends or ends != sorted(set(ends)) or ends[-1] != 1 or ends[0] <= 0:
            raise OptionError(f"phases must end in rising order, the last at 1, got {ends}")
        if any(phase.crop % 32 or phase.batch < 1 for phase in self.phases):
            raise OptionError("a phase needs a crop of a multiple of 32 and a batch of 1 or more")
        if not 1 <= self.smallest_kernel <= self.largest_kernel <= 29:
            raise OptionError("kernel sizes must lie within 1 to 29")
        if self.steps < 1 or self.learning_rate <= 0:
            raise OptionError("steps and learning_rate must be above 0")

    def phase_at(self, progress: float) -> Phase:
        """The phase at a share of the run, 0 to 1."""
        return next((p for p in self.phases if progress < p.until), self.phases[-1])


def load_recipe(model: str, name: str) -> Recipe:
    """Load a shipped recipe by name, or a user's own by the path of its TOML file.

    Raises:
        OptionError: There is no such recipe, or it is not valid.
    """
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise OptionError(f"no recipe file at {path}")
        text = path.read_text(encoding="utf-8")
    else:
        shipped = resources.files("vidfacedeblur.trainers.recipes") / f"{model}.{name}.toml"
        if not shipped.is_file():
            raise OptionError(
                f"no recipe {name!r} for {model}; shipped: {', '.join(shipped_for(model))}"
            )
        text = shipped.read_text(encoding="utf-8")
    return parse_recipe(text, model)


def shipped_for(model: str) -> list[str]:
    """Names of the recipes that ship for a model."""
    files = resources.files("vidfacedeblur.trainers.recipes").iterdir()
    return sorted(
        f.name.removeprefix(f"{model}.").removesuffix(".toml")
        for f in files
        if f.name.startswith(f"{model}.") and f.name.endswith(".toml")
    )


def parse_recipe(text: str, model: str) -> Recipe:
    """Read a recipe from TOML.

    Raises:
        OptionError: It is not TOML, names an unknown setting, or a value does not fit.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise OptionError(f"the recipe is not valid TOML: {error}") from error
    unknown = set(values) - {f.name for f in fields(Recipe)}
    if unknown:
        raise OptionError(f"unknown recipe setting(s): {', '.join(sorted(unknown))}")
    if values.setdefault("model", model) != model:
        raise OptionError(f"the recipe is for {values['model']}, not {model}")
    try:
        values["phases"] = tuple(Phase(**phase) for phase in values.get("phases", ()))
        return Recipe(**values)
    except TypeError as error:
        raise OptionError(f"the recipe does not fit: {error}") from error
