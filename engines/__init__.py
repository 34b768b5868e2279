"""The engines: run a network fast, on what the machine has, and prove that it computes the same.

Importing the package loads no torch; the names below are fetched on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vidfacedeblur.engines.select import Choice, choose, open_network
    from vidfacedeblur.engines.spec import NetworkSpec, deblur_spec, mtcnn_specs

_HOMES = {
    "Choice": "select",
    "choose": "select",
    "open_network": "select",
    "NetworkSpec": "spec",
    "deblur_spec": "spec",
    "mtcnn_specs": "spec",
}

__all__ = ["Choice", "NetworkSpec", "choose", "deblur_spec", "mtcnn_specs", "open_network"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
