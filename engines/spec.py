"""What an engine needs to know of a network to run it. Importing this loads no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from vidfacedeblur import models
from vidfacedeblur.engines.before_torch import Threads, load_torch
from vidfacedeblur.models.bundle import WeightsFile
from vidfacedeblur.models.detector_files import SHA256, detector_file
from vidfacedeblur.models.registry import entry

if TYPE_CHECKING:
    from torch import nn

OPSET = 18
"""Of the ONNX graphs."""
SCHEMA = 3
"""Raised when what `export` makes of a network changes, so that older cached files are not used."""


@dataclass(frozen=True)
class Loaded:
    """A network as a torch module, and its configuration as text."""

    module: nn.Module
    settings: str = ""


@dataclass(frozen=True)
class NetworkSpec:
    """A network and the shapes it will be given."""

    name: str
    """For messages and file names."""
    load: Callable[[], Loaded]
    """Makes it, when it is first needed: an engine that has prepared it before loads no torch."""
    content: str
    """A hash of its weights and configuration."""
    side: int | None
    """Side of its square input, or None where height and width vary."""
    multiple: int
    """Height and width are multiples of this."""
    least: int
    """Smallest height and width."""
    largest: tuple[int, int]
    """Largest height and width that will be asked for."""
    batch: int
    """Largest batch that is worth preparing for; larger ones are split."""
    half: bool
    """Whether half precision is worth trying on a GPU."""
    plan_per_side: bool = False
    """Whether the network is given few square sizes: TensorRT then gets a plan for each, rather
    than one for all sizes, and GPUs replay a recording for each."""

    @cached_property
    def _loaded(self) -> Loaded:
        Threads.need("torch")
        # Weights that are made in inference mode, within which this may be called, serve no other.
        with load_torch().inference_mode(False):
            return self.load()

    @property
    def module(self) -> nn.Module:
        """In evaluation mode, float32, on the CPU; one (N, 3, H, W) input, one or more outputs."""
        return self._loaded.module

    @property
    def settings(self) -> str:
        """The network's configuration, as text: what its weights do not tell."""
        return self._loaded.settings

    def fingerprint(self) -> str:
        """A hash of the weights and of the code that runs them, for cache keys."""
        digest = hashlib.sha256(f"{self.name} {self.content}".encode())
        for source in sorted(Path(models.__file__).parent.glob("*.py")):
            digest.update(source.read_bytes())
        return digest.hexdigest()


def deblur_spec(weights: WeightsFile) -> NetworkSpec:
    """Describe a deblurring network."""

    def load() -> Loaded:
        from vidfacedeblur.models.weights import load_weights

        model = load_weights(weights)
        return Loaded(model.network, repr(model.config))

    multiple = max(4, entry(weights.model).multiple)
    return NetworkSpec(
        weights.model,
        load,
        weights.sha256,
        side=None,
        multiple=multiple,
        least=32,
        largest=(512, 512),
        batch=8,
        half=True,
        plan_per_side=True,
    )


def mtcnn_specs() -> tuple[NetworkSpec, NetworkSpec, NetworkSpec]:
    """Describe P-, R- and O-Net. They cost too little for half precision to matter.

    Raises:
        WeightsError: facenet-pytorch is not installed, or a file of it is missing or altered.
    """
    for name in SHA256:
        detector_file(name)
    return (
        _detector_spec("pnet", side=None, least=12, largest=4096, batch=1),
        _detector_spec("rnet", side=24, least=24, largest=24, batch=512),
        _detector_spec("onet", side=48, least=48, largest=48, batch=128),
    )


def _detector_spec(
    name: str, *, side: int | None, least: int, largest: int, batch: int
) -> NetworkSpec:
    def load() -> Loaded:
        from vidfacedeblur.models.mtcnn import DETECTORS, load_detector

        return Loaded(load_detector(DETECTORS[name]))

    sizes = (largest, largest)
    content = SHA256[name]
    return NetworkSpec(f"mtcnn-{name}", load, content, side, 1, least, sizes, batch, half=False)
