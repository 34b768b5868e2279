"""What training minimises, on images in [-1, 1]."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vidfacedeblur.trainers.features import FaceFeatures
from vidfacedeblur.trainers.recipe import Loss


def charbonnier(restored: Tensor, sharp: Tensor, *, eps: float = 1e-3) -> Tensor:
    """Mean of sqrt(d^2 + eps^2): L1 with a rounded tip (Charbonnier et al., ICIP 1994)."""
    return torch.sqrt((restored - sharp) ** 2 + eps**2).mean()


def frequency(restored: Tensor, sharp: Tensor) -> Tensor:
    """Mean absolute difference of the orthonormal 2-D spectra of (N, C, H, W) images.

    Weighs lost detail as heavily as lost brightness (Cho et al., ICCV 2021, MIMO-UNet).
    """
    difference = torch.fft.rfft2(restored - sharp, norm="ortho")
    return torch.view_as_real(difference).abs().mean()


def variation(images: Tensor) -> Tensor:
    """Mean absolute difference of neighbours: anisotropic total variation for each pixel."""
    down = (images[..., 1:, :] - images[..., :-1, :]).abs().mean()
    right = (images[..., 1:] - images[..., :-1]).abs().mean()
    return down + right


class ContentLoss(nn.Module):
    """The weighted sum that a recipe asks for, without the adversarial part.

    Args:
        weights: What to sum.
        vgg: VGG-19 features, if weights for them were given.
    """

    def __init__(self, weights: Loss, *, vgg: nn.Module | None = None) -> None:
        super().__init__()
        self.weights = weights
        self.vgg = vgg if weights.perceptual else None
        self.face_weight = weights.face
        if weights.perceptual and vgg is None:
            self.face_weight += weights.face_instead
        self.face = FaceFeatures() if self.face_weight else None

    def forward(self, restored: Tensor, sharp: Tensor) -> Tensor:
        """Return the loss of (N, 3, H, W) images, a scalar."""
        w = self.weights
        total = restored.new_zeros(())
        if w.charbonnier:
            total = total + w.charbonnier * charbonnier(restored, sharp)
        if w.squared:
            total = total + w.squared * (restored - sharp).square().mean()
        if w.frequency:
            total = total + w.frequency * frequency(restored, sharp)
        if w.variation:
            total = total + w.variation * variation(restored)
        if self.vgg is not None:
            total = total + w.perceptual * (self.vgg(restored) - self.vgg(sharp)).square().mean()
        if self.face is not None:
            total = total + self.face_weight * self.face(restored, sharp)
        return total
