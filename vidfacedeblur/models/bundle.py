"""Where the bundled weights lie. Importing this loads no torch."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

from vidfacedeblur.errors import WeightsError


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
