"""Critics and what they teach: Wasserstein with gradient penalty, and relativistic least squares.

Patch critics: Isola et al., CVPR 2017, https://arxiv.org/abs/1611.07004. WGAN-GP: Gulrajani et al.,
NeurIPS 2017, https://arxiv.org/abs/1704.00028; the penalty is taken for each sample, over all of
its values, and of the mean over its patches. Relativistic average least squares:
Jolicoeur-Martineau, ICLR 2019, https://arxiv.org/abs/1807.00734, as DeblurGAN-v2 uses it.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from vidfacedeblur.models.layers import InstanceNorm, init_normal
from vidfacedeblur.trainers.recipe import Adversarial

_WIDTH, _WIDEST = 64, 512


class PatchCritic(nn.Module):
    """Judges overlapping patches of an image; it sees the image alone, not its blurred partner."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        widths = [min(_WIDTH * 2**i, _WIDEST) for i in range(layers + 1)]
        parts: list[nn.Module] = [nn.Conv2d(3, widths[0], 4, 2, padding=2), nn.LeakyReLU(0.2)]
        for i, (before, after) in enumerate(itertools.pairwise(widths)):
            stride = 1 if i == layers - 1 else 2
            parts += [nn.Conv2d(before, after, 4, stride, padding=2), InstanceNorm()]
            parts += [nn.LeakyReLU(0.2)]
        self.body = nn.Sequential(*parts, nn.Conv2d(widths[-1], 1, 4, padding=2))
        init_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, 3, H, W) in [-1, 1] to (N, 1, h, w), unbounded; high means sharp."""
        verdict: Tensor = self.body(images)
        return verdict


class Critics(nn.Module):
    """The critics of a recipe, with the losses for them and for the network they judge."""

    def __init__(self, settings: Adversarial) -> None:
        super().__init__()
        self.settings = settings
        self.critics = nn.ModuleList(PatchCritic(layers) for layers in settings.layers)

    def critic_loss(self, restored: Tensor, sharp: Tensor) -> Tensor:
        """What the critics minimise; `restored` is detached here."""
        restored = restored.detach()
        losses = [self._critic_loss(critic, restored, sharp) for critic in self.critics]
        return torch.stack(losses).mean()

    def generator_loss(self, restored: Tensor, sharp: Tensor) -> Tensor:
        """What the network minimises, unweighted."""
        losses = []
        for critic in self.critics:
            fake = critic(restored)
            if self.settings.kind == "wgan-gp":
                losses.append(-fake.mean())
            else:
                losses.append(_relativistic(critic(sharp), fake, better="fake"))
        mean: Tensor = torch.stack(losses).mean()
        return mean

    def _critic_loss(self, critic: nn.Module, restored: Tensor, sharp: Tensor) -> Tensor:
        fake, real = critic(restored), critic(sharp)
        if self.settings.kind == "wgan-gp":
            penalty = gradient_penalty(critic, restored, sharp)
            loss: Tensor = fake.mean() - real.mean() + self.settings.penalty * penalty
            return loss
        return _relativistic(real, fake, better="real")


def gradient_penalty(critic: nn.Module, restored: Tensor, sharp: Tensor) -> Tensor:
    """Mean of (|gradient| - 1)^2 at points between the images, each sample at its own.

    The gradient is that of a sample's mean verdict, which the losses are made of. To hold the sum
    over its patches to a norm of 1, as is often done, would hold the mean to a hundredth of it:
    such a critic hardly tells anything from anything.
    """
    place = torch.rand(len(sharp), 1, 1, 1, device=sharp.device)
    between = (place * sharp + (1 - place) * restored).requires_grad_()
    verdicts = len(between) * critic(between).mean()  # the sum of each sample's mean
    (gradient,) = torch.autograd.grad(verdicts, between, create_graph=True)
    penalty: Tensor = (gradient.flatten(1).norm(dim=1) - 1).square().mean()
    return penalty


def _relativistic(real: Tensor, fake: Tensor, *, better: str) -> Tensor:
    """Least squares towards: the better is above the other's mean by 1, the other below by 1."""
    sign = 1.0 if better == "real" else -1.0
    first = (real - fake.mean() - sign).square().mean()
    second = (fake - real.mean() + sign).square().mean()
    return (first + second) / 2
