"""Networks whose features a loss compares: VGG-19, and the O-Net of the face detector.

VGG-19: Simonyan and Zisserman, ICLR 2015, https://arxiv.org/abs/1409.1556. The perceptual loss of
DeblurGAN compares what its third layer of the third block gives, before the activation.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from vidfacedeblur.errors import WeightsError
from vidfacedeblur.models.mtcnn import load_mtcnn

_WIDTHS = (64, 64, 0, 128, 128, 0, 256, 256, 256)
"""Output channels of VGG-19's 3x3 convolutions up to conv3_3; 0 is a 2x2 max pooling."""
_HALVED_FROM = 64
"""Pixels; smaller crops would be too small for O-Net's convolutions."""
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class VggFeatures(nn.Module):
    """VGG-19 up to conv3_3, frozen.

    Args:
        path: Weights with torchvision's names (``features.0.weight``...), as .safetensors or as a
            torch file of plain tensors.

    Raises:
        WeightsError: The file is missing, or does not hold these layers.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width in _WIDTHS:
            if width:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            else:
                layers.append(nn.MaxPool2d(2))
        self.layers = nn.Sequential(*layers[:-1])  # conv3_3 without its ReLU
        self.layers.load_state_dict(_vgg_state(path, self.layers.state_dict()))
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(_STD).view(1, 3, 1, 1))
        self.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, 3, H, W) in [-1, 1] to (N, 256, H/4, W/4)."""
        features: Tensor = self.layers(((images + 1) / 2 - self.mean) / self.std)
        return features


class FaceFeatures(nn.Module):
    """How differently the face detector's O-Net sees two faces; frozen.

    Its convolutions were trained to place eyes, nose and mouth, so their features change where a
    face does. A pipeline's crop of 128 pixels is halved, which gives the net faces of the size it
    knows.
    """

    def __init__(self) -> None:
        super().__init__()
        self.net = load_mtcnn()[2].requires_grad_(False)

    def forward(self, restored: Tensor, sharp: Tensor) -> Tensor:
        """Squared difference of three layers' features over the sharp image's own square; scalar.

        Args:
            restored: (N, 3, H, W) in [-1, 1].
            sharp: The same shape and range.
        """
        pairs = zip(self._levels(restored), self._levels(sharp), strict=True)
        shares = [(a - b).square().mean() / (b.square().mean() + 1e-6) for a, b in pairs]
        return torch.stack(shares).mean()

    def _levels(self, images: Tensor) -> list[Tensor]:
        net = self.net
        if min(images.shape[-2:]) >= _HALVED_FROM:
            images = F.avg_pool2d(images, 2)
        scaled = images * (127.5 / 128)  # as O-Net was trained
        first = net.prelu1(net.conv1(scaled))
        second = net.prelu2(net.conv2(net.pool1(first)))
        third = net.prelu3(net.conv3(net.pool2(second)))
        return [first, second, third]


def _vgg_state(path: Path, wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
        found = {key: state[f"features.{key}"] for key in wanted}
    except OSError as error:
        raise WeightsError(f"cannot read the VGG weights {path}: {error.strerror}") from error
    except (SafetensorError, pickle.UnpicklingError, EOFError, RuntimeError) as error:
        raise WeightsError(f"{path} is no file of VGG-19 weights (tensors only)") from error
    except (KeyError, TypeError) as error:
        raise WeightsError(f"{path} lacks the VGG-19 layer {error}") from error
    wrong = [key for key, value in found.items() if value.shape != wanted[key].shape]
    if wrong:
        raise WeightsError(f"{path}: features.{wrong[0]} has not the shape of VGG-19's")
    return found
