"""What an engine needs to know of a network to run it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from vidfacedeblur import models
from vidfacedeblur.models.mtcnn import load_mtcnn
from vidfacedeblur.models.registry import entry
from vidfacedeblur.models.weights import LoadedModel


@dataclass(frozen=True)
class NetworkSpec:
    """A network and the shapes it will be given."""

    name: str
    """For messages and file names."""
    module: nn.Module
    """In evaluation mode, float32, on the CPU; one (N, 3, H, W) input, one or more outputs."""
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
    settings: str = ""
    """The network's configuration, as text: what its weights do not tell."""

    def fingerprint(self) -> str:
        """A hash of the weights and of the code that runs them, for cache keys."""
        digest = hashlib.sha256()
        for key, value in self.module.state_dict().items():
            digest.update(f"{key} {tuple(value.shape)} {value.dtype}".encode())
            digest.update(value.contiguous().numpy().tobytes())
        for source in sorted(Path(models.__file__).parent.glob("*.py")):
            digest.update(source.read_bytes())
        digest.update(f"{self.settings} {self.module!r}".encode())
        return digest.hexdigest()


def deblur_spec(model: LoadedModel) -> NetworkSpec:
    """Describe a deblurring network."""
    multiple = max(4, entry(model.name).multiple)
    return NetworkSpec(
        model.name,
        model.network,
        side=None,
        multiple=multiple,
        least=32,
        largest=(512, 512),
        batch=8,
        half=True,
        plan_per_side=True,
        settings=repr(model.config),
    )


def mtcnn_specs() -> tuple[NetworkSpec, NetworkSpec, NetworkSpec]:
    """Describe P-, R- and O-Net. They cost too little for half precision to matter."""
    pnet, rnet, onet = load_mtcnn()
    return (
        NetworkSpec("mtcnn-pnet", pnet, None, 1, 12, (4096, 4096), 1, half=False),
        NetworkSpec("mtcnn-rnet", rnet, 24, 24, 24, (24, 24), 512, half=False),
        NetworkSpec("mtcnn-onet", onet, 48, 48, 48, (48, 48), 128, half=False),
    )
