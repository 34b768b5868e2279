"""P-, R- and O-Net of MTCNN: the three cascaded networks that find faces and five landmarks.

Zhang, Zhang, Li, Qiao, "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional
Networks", IEEE Signal Processing Letters 2016, https://arxiv.org/abs/1604.02878. As in the authors'
published weights, and unlike the paper's figure: pooling rounds up, PReLU has one slope a channel,
and features are flattened column by column (the weights were trained in a column-major framework).

All three take (N, 3, H, W) float32 RGB scaled as ``(value - 127.5) / 128`` and return a tuple:
regression of the box's left, top, right and bottom edge in units of its side; the probability of a
face (the face's channel only, after the softmax); for O-Net the landmarks.
"""

from __future__ import annotations

import io
from typing import TypeVar

import torch
from torch import Tensor, nn

from vidfacedeblur.models.detector_files import detector_file

AnyNet = TypeVar("AnyNet", bound=nn.Module)


class PNet(nn.Module):
    """Proposes faces: a fully convolutional classifier of 12x12 windows, two pixels apart."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 10, 3)
        self.prelu1 = nn.PReLU(10)
        self.pool1 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv2 = nn.Conv2d(10, 16, 3)
        self.prelu2 = nn.PReLU(16)
        self.conv3 = nn.Conv2d(16, 32, 3)
        self.prelu3 = nn.PReLU(32)
        self.conv4_1 = nn.Conv2d(32, 2, 1)
        self.conv4_2 = nn.Conv2d(32, 4, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, 3, H, W), H and W of 12 or more, to (N, 4, h, w) and (N, h, w).

        Cell (y, x) judges the 12x12 window whose top-left pixel is (2y, 2x).
        """
        features = self.pool1(self.prelu1(self.conv1(image)))
        features = self.prelu2(self.conv2(features))
        features = self.prelu3(self.conv3(features))  # (N, 32, h, w)
        return self.conv4_2(features), _face_channel(self.conv4_1(features))


class RNet(nn.Module):
    """Refines proposals: judges 24x24 crops."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 28, 3)
        self.prelu1 = nn.PReLU(28)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = nn.Conv2d(28, 48, 3)
        self.prelu2 = nn.PReLU(48)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3 = nn.Conv2d(48, 64, 2)
        self.prelu3 = nn.PReLU(64)
        self.dense4 = nn.Linear(576, 128)
        self.prelu4 = nn.PReLU(128)
        self.dense5_1 = nn.Linear(128, 2)
        self.dense5_2 = nn.Linear(128, 4)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, 3, 24, 24) to (N, 4) and (N,)."""
        features = self.pool1(self.prelu1(self.conv1(crops)))
        features = self.pool2(self.prelu2(self.conv2(features)))
        features = self.prelu3(self.conv3(features))  # (N, 64, 3, 3)
        features = self.prelu4(self.dense4(_flatten_by_column(features)))
        return self.dense5_2(features), _face_channel(self.dense5_1(features))


class ONet(nn.Module):
    """Decides: judges 48x48 crops and places the landmarks."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3)
        self.prelu1 = nn.PReLU(32)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.prelu2 = nn.PReLU(64)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3 = nn.Conv2d(64, 64, 3)
        self.prelu3 = nn.PReLU(64)
        self.pool3 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv4 = nn.Conv2d(64, 128, 2)
        self.prelu4 = nn.PReLU(128)
        self.dense5 = nn.Linear(1152, 256)
        self.prelu5 = nn.PReLU(256)
        self.dense6_1 = nn.Linear(256, 2)
        self.dense6_2 = nn.Linear(256, 4)
        self.dense6_3 = nn.Linear(256, 10)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map (N, 3, 48, 48) to (N, 4), (N,) and (N, 10).

        The last holds x of left eye, right eye, nose, left and right mouth corner (as seen by the
        viewer), then y of the same, 0 to 1 across the crop.
        """
        features = self.pool1(self.prelu1(self.conv1(crops)))
        features = self.pool2(self.prelu2(self.conv2(features)))
        features = self.pool3(self.prelu3(self.conv3(features)))
        features = self.prelu4(self.conv4(features))  # (N, 128, 3, 3)
        features = self.prelu5(self.dense5(_flatten_by_column(features)))
        score = _face_channel(self.dense6_1(features))
        return self.dense6_2(features), score, self.dense6_3(features)


DETECTORS: dict[str, type[nn.Module]] = {"pnet": PNet, "rnet": RNet, "onet": ONet}


def load_mtcnn() -> tuple[PNet, RNet, ONet]:
    """Make the three networks with their weights: evaluation mode, float32, on the CPU.

    Raises:
        WeightsError: facenet-pytorch is not installed, or a file of it is missing or altered.
    """
    return load_detector(PNet), load_detector(RNet), load_detector(ONet)


def load_detector(kind: type[AnyNet]) -> AnyNet:
    """Make one of them, as `load_mtcnn` does."""
    network = kind()
    content = detector_file(kind.__name__.lower())
    network.load_state_dict(torch.load(io.BytesIO(content), weights_only=True))
    return network.eval()


def _face_channel(logits: Tensor) -> Tensor:
    return torch.softmax(logits, dim=1)[:, 1]


def _flatten_by_column(features: Tensor) -> Tensor:
    """Map (N, C, H, W) to (N, W * H * C), the order in which the dense layers were trained."""
    return features.permute(0, 3, 2, 1).flatten(1)
