"""Published checkpoints of DeblurGAN and DeblurGAN-v2, turned into this package's weights files.

Read are ``latest_net_G.pth`` of github.com/KupynOrest/DeblurGAN, and ``fpn_mobilenet.h5`` and
``fpn_inception.h5`` of github.com/VITA-Group/DeblurGANv2 (PyTorch pickles in spite of the name),
as plain tensors only: nothing that a pickle could run is run.

What the converted networks compute, beside the published ones (all take pictures in [-1, 1]):

- DeblurGAN and the MobileNet pyramid hold every weight and compute the same function. The published
  programs however leave their networks in training mode: DeblurGAN drops features at random, and
  the pyramid's backbone normalises by the picture at hand. Here dropout is off in use and the
  backbone normalises by the statistics that were stored in training.
- The Inception pyramid holds every weight too, but is NOT the same function: the published backbone
  leaves its strided convolutions, its poolings and two convolutions of its stem unpadded and
  extends its maps by reflection afterwards; this package's pads each of them. Every halving samples
  its features a pixel aside, so measure before use, and train on if need be.
- The running statistics of instance norms are left out: training mode never reads them.
- The four maps that DeblurGAN-v2 concatenates come coarsest first there and finest first here; the
  input channels of the convolution that follows are put in that order.
"""

from __future__ import annotations

import pickle
import re
import struct
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vidfacedeblur.errors import OptionError, OutputExistsError, WeightsError
from vidfacedeblur.models.registry import entry, make_config, make_network
from vidfacedeblur.models.weights import save_model
from vidfacedeblur.trainers.names import CONVERTIBLE
from vidfacedeblur.whole import check_place

Rules = list[tuple[str, str]]
"""Patterns and what replaces them, applied one after the other to a published key."""

_STATISTICS = r"\.(running_mean|running_var|num_batches_tracked)$"
_BLOCK = re.compile(r"model\.(\d+)\.conv_block\.(\d+)\.weight")
_FIRST_BLOCK = 10
"""Place of DeblurGAN's first residual block in its list of layers."""

_MOBILENET_CUTS = (0, 2, 4, 7, 11, 16)
"""Where the published code cuts MobileNetV2's list of blocks into five stages."""

_INCEPTION_PARTS = {
    "conv2d_1a": "enc0",
    "conv2d_2a": "enc1.0",
    "conv2d_2b": "enc1.1",
    "conv2d_3b": "enc2.0",
    "conv2d_4a": "enc2.1",
    "mixed_5b": "enc3.0",
    "repeat": "enc3.1",
    "mixed_6a": "enc3.2",
    "repeat_1": "enc4.0",
    "mixed_7a": "enc4.1",
}
"""Each backbone part has two names in the file: its own, and its place in the five stages."""

_V2_UNUSED = (
    rf"^(fpn\.td\d|smooth2?)\.1{_STATISTICS}"
    r"|^fpn\.features\.1[678]\."
    r"|^fpn\.inception\.(repeat_2|block8|conv2d_7b|last_linear)\."
)
"""Instance norms' statistics, and layers of the classifiers that the pyramids do not run."""

_V2_RULES: Rules = [
    (r"^fpn\.lateral", "pyramid.laterals."),
    *((rf"^fpn\.td{n}\.", f"pyramid.top_down.{n - 1}.") for n in (1, 2, 3)),
    *((rf"^head{n}\.", f"heads.{n - 1}.") for n in (1, 2, 3, 4)),
    (r"^(heads\.\d)\.block0\.", r"\1.0."),
    (r"^(heads\.\d)\.block1\.", r"\1.2."),  # an activation lies between
]

_MOBILENET_RULES: Rules = [
    *(
        (rf"^fpn\.features\.{n}\.", f"fpn.enc{stage}.{n - start}.")
        for stage, (start, end) in enumerate(pairwise(_MOBILENET_CUTS))
        for n in range(start, end)
    ),
    (r"^(fpn\.enc\d\.\d)\.conv\.", r"\1.body."),
    (r"^fpn\.enc", "pyramid.stages."),
]

_INCEPTION_RULES: Rules = [
    *((rf"^fpn\.inception\.{name}\.", f"fpn.{place}.") for name, place in _INCEPTION_PARTS.items()),
    (r"^(fpn\.enc3\.1\.\d|fpn\.enc4\.0\.\d+)\.branch", r"\1.branches.branch"),
    (r"^(fpn\.enc\d.*)\.branch(\d)\.", r"\1.branches.\2."),
    (r"^(fpn\.enc\d.*)\.conv2d\.", r"\1.project."),
    (r"^(fpn\.enc\d.*)\.conv\.", r"\1.0."),
    (r"^(fpn\.enc\d.*)\.bn\.", r"\1.1."),
    *((rf"^fpn\.enc3\.1\.{n}\.", f"pyramid.stages.3.{n + 1}.") for n in range(10)),
    (r"^fpn\.enc3\.2\.", "pyramid.stages.3.11."),
    (r"^fpn\.enc4\.0\.", "pyramid.stages.4."),
    (r"^fpn\.enc4\.1\.", "pyramid.stages.4.20."),
    (r"^fpn\.enc", "pyramid.stages."),
]


def convert(path: Path, model: str) -> tuple[Any, dict[str, Tensor]]:
    """Read a published checkpoint and give its weights this package's names.

    Args:
        path: The file as it was downloaded.
        model: One of `CONVERTIBLE`.

    Returns:
        The model's configuration dataclass, and a state that its network loads strictly (float32).

    Raises:
        UnknownModelError: No model has that name.
        OptionError: No checkpoint of that model was published.
        WeightsError: The file is missing, no checkpoint of tensors, or of another network.
    """
    entry(model)
    if model not in CONVERTIBLE:
        raise OptionError(
            f"no published checkpoint of {model} can be converted; available: "
            + ", ".join(CONVERTIBLE)
        )
    published = _state(_load(path), path)
    _check_model(published, path, model)
    values, unused, rules = _plan(published, path, model)
    config = make_config(model, values)
    state = _rename(published, unused, rules, path)
    _check_fit(state, path, model, config)
    if "smooth.0.weight" in state:
        state["smooth.0.weight"] = _finest_first(state["smooth.0.weight"])
    return config, state


def write_converted(path: Path, model: str, out: Path) -> str:
    """Convert a published checkpoint into a weights file (float16); return its sha256.

    Raises:
        OutputExistsError: The output is the checkpoint itself.
        OutputError: The output cannot be written.
        UnknownModelError: No model has that name.
        OptionError: No checkpoint of that model was published.
        WeightsError: The checkpoint cannot be converted, or a value does not fit float16.
    """
    if out.exists() and path.exists() and out.samefile(path):
        raise OutputExistsError(f"{out} is the checkpoint itself: name another output")
    check_place(out)
    config, state = convert(path, model)
    return save_model(out, model, config, state)


def _load(path: Path) -> object:
    """Unpickle plain tensors; torch reports what is wrong with a file in many ways."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an error that follows says it better
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"cannot read the checkpoint {path}: {error.strerror}") from error
    except (
        *(pickle.UnpicklingError, EOFError, RuntimeError, struct.error),
        *(ValueError, LookupError, AttributeError, TypeError, AssertionError),
    ) as error:
        if "unsupported global" in str(error).lower():
            raise WeightsError(
                f"{path} holds Python objects, and only plain tensors are read, for safety:"
                " take the file that was published, or save a network's state_dict() alone"
            ) from error
        raise WeightsError(
            f"{path} is no PyTorch checkpoint of plain tensors, or was cut off: download it again"
        ) from error


def _state(loaded: object, path: Path) -> dict[str, Tensor]:
    """Take the weights out of a checkpoint, without the prefix that data-parallel training adds."""
    if isinstance(loaded, dict) and isinstance(loaded.get("model"), dict):
        loaded = loaded["model"]
    if not isinstance(loaded, dict) or not loaded:
        raise WeightsError(f"{path} holds no table of tensors by name")
    state = {}
    for key, value in loaded.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise WeightsError(f"{path} holds no table of tensors by name: {key!r} is none")
        value = value.detach()
        state[key.removeprefix("module.")] = value.float() if value.is_floating_point() else value
    return state


def _check_model(state: dict[str, Tensor], path: Path, model: str) -> None:
    """Refuse another network's weights before their keys are counted one by one."""
    holds = _model_of(state)
    if holds is None:
        raise WeightsError(
            f"{path} holds no published generator of {', '.join(CONVERTIBLE)}: it has"
            f" {len(state)} tensors, {min(state)} among them"
        )
    if holds != model:
        raise WeightsError(f"{path} holds weights of {holds}, not of {model}: name that model")


def _model_of(state: dict[str, Tensor]) -> str | None:
    if any(_BLOCK.fullmatch(key) for key in state):
        return "deblurgan"
    # The coarsest map's channels tell the backbones apart; others were published without weights.
    coarsest = list(state.get("fpn.lateral4.weight", torch.zeros(0)).shape[1:2])
    if coarsest == [160]:
        return "deblurganv2"
    return "deblurganv2-inception" if coarsest == [2080] else None


def _plan(state: dict[str, Tensor], path: Path, model: str) -> tuple[dict[str, Any], str, Rules]:
    """Return the configuration's values, the keys to leave out, and the rules for the others."""
    if model == "deblurgan":
        return _plan_deblurgan(state, path)
    backbone = _MOBILENET_RULES if model == "deblurganv2" else _INCEPTION_RULES
    return {}, _V2_UNUSED, _V2_RULES + backbone


def _plan_deblurgan(state: dict[str, Tensor], path: Path) -> tuple[dict[str, Any], str, Rules]:
    places = [match.groups() for match in map(_BLOCK.fullmatch, state) if match]
    blocks = len({block for block, _ in places})
    if all(place == "1" for _, place in places):
        raise WeightsError(
            f"{path} holds one convolution per residual block (DeblurGAN since March 2019 lost"
            " the second) and fits no model here: take latest_net_G.pth as published, with two"
        )
    # Training without dropout leaves its layer out, and the second convolution moves up.
    dropout = any(place == "6" for _, place in places)
    values = {"blocks": blocks, "dropout": 0.5 if dropout else 0.0, "upsampling": "transposed"}
    return values, _STATISTICS, _deblurgan_rules(blocks, second=6 if dropout else 5)


def _deblurgan_rules(blocks: int, *, second: int) -> Rules:
    rules = [(r"^model\.([147])\.", r"encoder.\1.")]
    for n in range(blocks):
        block = rf"^model\.{_FIRST_BLOCK + n}\.conv_block"
        rules += [
            (rf"{block}\.1\.", f"trunk.{n}.body.1."),
            (rf"{block}\.{second}\.", f"trunk.{n}.body.6."),
        ]
    end = _FIRST_BLOCK + blocks
    return rules + [(rf"^model\.{end + n}\.", f"decoder.{n}.") for n in (0, 3, 7)]


def _rename(
    published: dict[str, Tensor], unused: str, rules: Rules, path: Path
) -> dict[str, Tensor]:
    """Give every used tensor its name here; a key that no rule knows keeps its own."""
    state: dict[str, Tensor] = {}
    for key, value in published.items():
        if re.search(unused, key):
            continue
        name = key
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        if name in state and not _same(state[name], value):
            raise WeightsError(
                f"{path} holds two different tensors for one layer, {key} among them"
            )
        state[name] = value
    return state


def _same(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and torch.equal(one, other)


def _check_fit(state: dict[str, Tensor], path: Path, model: str, config: Any) -> None:
    """Compare names and shapes with the network's; add the counters that old PyTorch did not."""
    with torch.device("meta"):
        wanted = make_network(model, config).state_dict()
    for key in wanted:
        if key.endswith(".num_batches_tracked"):
            state.setdefault(key, torch.tensor(0))
    wrong = {
        "missing": set(wanted) - set(state),
        "unexpected": set(state) - set(wanted),
        "of another shape": {
            key for key in set(wanted) & set(state) if wanted[key].shape != state[key].shape
        },
    }
    found = [f"{len(keys)} {what} ({min(keys)})" for what, keys in wrong.items() if keys]
    if found:
        raise WeightsError(f"{path} does not fit {model}, in its names: tensors {', '.join(found)}")


def _finest_first(weight: Tensor) -> Tensor:
    """Reverse the four groups of a convolution's input channels."""
    return torch.cat(weight.chunk(4, dim=1)[::-1], dim=1)
