"""Finding weights: the bundled ones, or a user's own. Importing this loads no torch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from vidfacedeblur.errors import WeightsError
from vidfacedeblur.models.registry import MODELS, entry


@dataclass(frozen=True)
class WeightsFile:
    """A file that holds weights of a model, or says so."""

    model: str
    path: Path
    sha256: str
    """Of its content."""


def find_weights(name: str, path: Path | None = None) -> WeightsFile:
    """Find a model's weights; what is in them is looked at when they are loaded.

    Args:
        name: Name in the registry.
        path: A safetensors file of the user's own; None takes the bundled weights.

    Raises:
        UnknownModelError: No model has that name.
        WeightsError: The file is missing or altered, or no weights are bundled for the model.
    """
    entry(name)
    if path is not None:
        return WeightsFile(name, path, digest_of(path))
    path = bundled(name)
    if path is None:
        have = ", ".join(sorted(n for n in MODELS if bundled(n)))
        raise WeightsError(
            f"no weights are bundled for {name} yet: pass --weights FILE (vidfacedeblur-train"
            f" makes them) or choose one of {have}"
        )
    digest = digest_of(path)
    if digest != str(read_card(name).get("sha256")):
        raise WeightsError(f"the bundled weights {path} were altered: install the package again")
    return WeightsFile(name, path, digest)


def weights_folder() -> Path:
    """The folder of the bundled weights."""
    return Path(str(resources.files("vidfacedeblur.weights")))


def bundled(name: str) -> Path | None:
    """The bundled weights file of a model, or None if there is none yet."""
    path = weights_folder() / f"{name}.safetensors"
    return path if path.is_file() else None


def read_card(name: str) -> dict[str, Any]:
    """The card of a model's bundled weights.

    Raises:
        WeightsError: There is no card, or it is not readable.
    """
    path = weights_folder() / f"{name}.json"
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"the card of the bundled {name} weights is unreadable: {path}"
        ) from error
    return dict(card)


def digest_of(path: Path) -> str:
    """SHA-256 of a weights file, in hex.

    Raises:
        WeightsError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"cannot read the weights {path}: {error.strerror}") from error
