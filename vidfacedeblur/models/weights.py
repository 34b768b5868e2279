"""Weights files: safetensors that carry their model's name and configuration; checked when loaded.

The bundled files lie in the package ``vidfacedeblur.weights``, each with a card (JSON) that holds
its sha256, how it was made and what it measured. Nothing here unpickles anything.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from vidfacedeblur.errors import WeightsError
from vidfacedeblur.models.bundle import WeightsFile, digest_of, find_weights
from vidfacedeblur.models.registry import make_config, make_network
from vidfacedeblur.whole import whole_file

_FORMAT = "vidfacedeblur 1"


@dataclass(frozen=True)
class LoadedModel:
    """A network with its trained weights."""

    name: str
    network: nn.Module
    """In evaluation mode, float32, on the CPU."""
    config: Any
    """Its configuration dataclass."""
    sha256: str
    """Of the weights file."""
    path: Path


def load_model(name: str, path: Path | None = None) -> LoadedModel:
    """Make a model and load its weights.

    Args:
        name: Name in the registry.
        path: A safetensors file of the user's own; None takes the bundled weights.

    Raises:
        UnknownModelError: No model has that name.
        WeightsError: As `find_weights` and `load_weights` say.
    """
    return load_weights(find_weights(name, path))


def load_weights(weights: WeightsFile) -> LoadedModel:
    """Make a model and load the weights that were found for it.

    Raises:
        WeightsError: The file is no safetensors, of another model, or not what it was any more.
    """
    name, path = weights.model, weights.path
    metadata, state = _read(path)
    if metadata.get("format", _FORMAT) != _FORMAT:
        raise WeightsError(f"{path} has the format {metadata['format']!r}, not {_FORMAT!r}")
    if metadata.get("model", name) != name:
        raise WeightsError(f"{path} holds weights of {metadata['model']}, not of {name}")
    config = _config(name, metadata, path)
    network = _make(name, config, state, path)
    _fill(network, state, path)
    if digest_of(path) != weights.sha256:
        raise WeightsError(f"{path} was changed while it was read")
    return LoadedModel(name, network.eval(), config, weights.sha256, path)


def save_model(path: Path, name: str, config: Any, state: dict[str, Tensor]) -> str:
    """Write weights as float16 safetensors with the model's name and configuration; return sha256.

    The same weights give the same file, byte by byte.

    Raises:
        WeightsError: A value is not finite in float16.
        OutputError: The file cannot be written.
    """
    half = {}
    for key, value in state.items():
        value = value.detach().cpu()
        half[key] = value.half().contiguous() if value.is_floating_point() else value.contiguous()
        if value.is_floating_point() and not torch.isfinite(half[key]).all():
            raise WeightsError(f"{key} of {name} does not fit float16")
    metadata = {"format": _FORMAT, "model": name, "config": json.dumps(asdict(config))}
    with whole_file(path, "wb") as file:
        file.write(_in_order(save(half, metadata)))
    return digest_of(path)


def _in_order(content: bytes) -> bytes:
    """A safetensors file with its header sorted, which is written in an order left to chance."""
    size = int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8 : 8 + size]), sort_keys=True).encode()
    header += b" " * (-len(header) % 8)  # so that the values behind it stay aligned
    return len(header).to_bytes(8, "little") + header + content[8 + size :]


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            return dict(file.metadata() or {}), state
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(
            f"{path} is not a safetensors file; weights are taken in that format only"
        ) from error


def _config(name: str, metadata: dict[str, str], path: Path) -> Any:
    try:
        values = json.loads(metadata.get("config", "{}"))
    except ValueError as error:
        raise WeightsError(f"the configuration inside {path} is not valid JSON") from error
    if not isinstance(values, dict):
        raise WeightsError(f"the configuration inside {path} is not a table of settings")
    try:
        return make_config(name, values)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error


def _make(name: str, config: Any, state: dict[str, Tensor], path: Path) -> nn.Module:
    """Make the network without memory, after a check that the weights fit it."""
    try:
        with torch.device("meta"):
            network = make_network(name, config)
        _check_fit(network, state, path, name)
    except (TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"the configuration inside {path} does not fit {name}") from error
    return network


def _check_fit(network: nn.Module, state: dict[str, Tensor], path: Path, name: str) -> None:
    wanted = network.state_dict()
    wrong = set(wanted) ^ set(state)
    wrong |= {key for key in set(wanted) & set(state) if wanted[key].shape != state[key].shape}
    if wrong:
        raise WeightsError(
            f"{path} does not fit model {name}: {len(wrong)} tensors are missing, unknown or of"
            f" another shape, {min(wrong)} among them"
        )


def _fill(network: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    wanted = network.state_dict()
    filled = {key: value.to(wanted[key].dtype) for key, value in state.items()}
    network.load_state_dict(filled, assign=True)
    if not all(torch.isfinite(v).all() for v in network.state_dict().values()):
        raise WeightsError(f"{path} holds values that are not finite")
