"""Reading recipes from TOML, with one line for whatever is wrong in them."""

from __future__ import annotations

import tomllib
from dataclasses import MISSING, fields
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from vidfacedeblur.errors import OptionError
from vidfacedeblur.trainers.recipe import Adversarial, BlurMix, Loss, Optimizer, Phase, Recipe

T = TypeVar("T")

_TABLES = {"optimizer": Optimizer, "loss": Loss, "adversarial": Adversarial, "blur": BlurMix}


def load_recipe(model: str, name: str) -> Recipe:
    """Load a shipped recipe by name, or a user's own by the path of its TOML file.

    Raises:
        OptionError: There is no such recipe, or it is not valid.
    """
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise OptionError(f"no recipe file at {path}")
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise OptionError(f"cannot read {path}: it is not text in UTF-8") from error
        return parse_recipe(text, model)
    shipped = resources.files("vidfacedeblur.trainers.recipes") / f"{model}.{name}.toml"
    if not shipped.is_file():
        raise OptionError(
            f"no recipe {name!r} for {model}; shipped: {', '.join(shipped_for(model))}"
        )
    return parse_recipe(shipped.read_text(encoding="utf-8"), model)


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
        OptionError: It is not TOML, a setting is unknown or missing, or a value does not fit.
    """
    try:
        values = tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, and Python's own for a number of 4300 digits
        raise OptionError(f"the recipe is not valid TOML: {error}") from error
    if values.setdefault("model", model) != model:
        raise OptionError(f"the recipe is for {values['model']}, not {model}")
    for name, table in _TABLES.items():
        if name in values:
            values[name] = _made(table, values[name], f"[{name}]")
    phases = values.get("phases", [])
    if not isinstance(phases, list):
        raise OptionError("phases must be tables: each begins with [[phases]]")
    values["phases"] = tuple(_made(Phase, phase, "[[phases]]") for phase in phases)
    return _made(Recipe, values, "the recipe")


def _made(kind: type[T], values: Any, where: str) -> T:
    """Make a dataclass of a table; it checks the values itself."""
    if not isinstance(values, dict):
        raise OptionError(f"{where} must be a table of settings")
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise OptionError(f"unknown setting(s) in {where}: {', '.join(unknown)}")
    missing = [
        name
        for name, f in known.items()
        if name not in values and f.default is MISSING and f.default_factory is MISSING
    ]
    if missing:
        raise OptionError(f"{where} lacks {', '.join(missing)}")
    try:
        return kind(**values)
    except OptionError as error:
        raise OptionError(f"{where}: {error}") from None
