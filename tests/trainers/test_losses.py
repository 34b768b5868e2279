"""Losses: zero where they should be, by hand where that is easy, and their gradients are right."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from vidfacedeblur.errors import WeightsError
from vidfacedeblur.trainers.adversarial import Critics, PatchCritic, gradient_penalty
from vidfacedeblur.trainers.features import FaceFeatures, VggFeatures
from vidfacedeblur.trainers.losses import ContentLoss, charbonnier, frequency, variation
from vidfacedeblur.trainers.recipe import Adversarial, Loss


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_equal_images_cost_nothing(images: torch.Tensor) -> None:
    assert float(charbonnier(images, images)) == pytest.approx(1e-3)
    assert float(frequency(images, images)) == 0
    assert float(FaceFeatures()(images, images)) == 0
    assert float(variation(torch.full_like(images, 0.3))) == 0


def test_charbonnier_is_nearly_l1(images: torch.Tensor) -> None:
    assert float(charbonnier(images, images + 0.5)) == pytest.approx(0.5, rel=1e-4)


def test_frequency_weighs_each_spectral_value(images: torch.Tensor) -> None:
    shifted = images + 0.5  # only the constant part differs: 0.5 * 64 of one value in 64 * 33
    assert float(frequency(shifted, images)) == pytest.approx(0.5 * 64 / (64 * 33) / 2, rel=1e-3)


def test_variation_counts_neighbours() -> None:
    steps = torch.zeros(1, 1, 2, 4)
    steps[..., 2:] = 1  # one step among three, in both rows
    assert float(variation(steps)) == pytest.approx(1 / 3)


def test_parts_add_up_with_their_weights(images: torch.Tensor) -> None:
    other = images.flip(0)
    whole = ContentLoss(Loss(charbonnier=2, squared=3, frequency=4, variation=5))(images, other)
    parts = (
        2 * charbonnier(images, other)
        + 3 * (images - other).square().mean()
        + 4 * frequency(images, other)
        + 5 * variation(images)
    )
    assert float(whole) == pytest.approx(float(parts), rel=1e-6)


def test_without_vgg_the_face_detector_steps_in(images: torch.Tensor) -> None:
    wanted = Loss(charbonnier=0, frequency=0, perceptual=7, face_instead=2)
    loss = ContentLoss(wanted)(images, images.flip(0))
    assert float(loss) == pytest.approx(2 * float(FaceFeatures()(images, images.flip(0))))


def test_face_features_teach_the_images_and_nothing_else(images: torch.Tensor) -> None:
    features = FaceFeatures()
    restored = images.flip(0).requires_grad_()
    features(restored, images).backward()
    assert restored.grad is not None
    assert restored.grad.abs().max() > 0
    assert all(weight.grad is None for weight in features.parameters())


@pytest.fixture(scope="module")
def vgg_state() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {0: (64, 3), 2: (64, 64), 5: (128, 64), 7: (128, 128), 10: (256, 128)}
    shapes |= {12: (256, 256), 14: (256, 256), 16: (256, 256)}  # one more than is needed
    state = {}
    for index, shape in shapes.items():
        state[f"features.{index}.weight"] = torch.randn(*shape, 3, 3, generator=generator) * 0.05
        state[f"features.{index}.bias"] = torch.zeros(shape[0])
    return state


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_vgg_reads_torchvisions_names(
    suffix: str, vgg_state: dict[str, torch.Tensor], images: torch.Tensor, tmp_path: Path
) -> None:
    path = tmp_path / f"vgg{suffix}"
    if suffix == ".pth":
        torch.save(vgg_state, path)
    else:
        save_file(vgg_state, path)
    vgg = VggFeatures(path)
    assert vgg(images).shape == (2, 256, 16, 16)
    assert torch.equal(vgg.layers[14].weight, vgg_state["features.14.weight"])
    # Every sample is normalised alike, whichever place in the batch it has.
    assert torch.allclose(vgg(images)[1], vgg(images[1:])[0], atol=1e-5)
    wanted = Loss(charbonnier=0, frequency=0, perceptual=2, face_instead=100)
    loss = ContentLoss(wanted, vgg=vgg)(images, images.flip(0))
    expected = 2 * (vgg(images) - vgg(images.flip(0))).square().mean()
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)


def test_a_wrong_vgg_file_gives_one_line(
    vgg_state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "vgg.safetensors"
    for state, says in (
        ({"a": torch.zeros(1)}, "lacks the VGG-19 layer"),
        (vgg_state | {"features.0.weight": torch.zeros(64, 3, 5, 5)}, "has not the shape"),
    ):
        save_file(state, path)
        with pytest.raises(WeightsError, match=says):
            VggFeatures(path)
    path.write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="no file of VGG-19"):
        VggFeatures(path)
    with pytest.raises(WeightsError, match="cannot read"):
        VggFeatures(tmp_path / "missing.pth")


def test_critics_have_the_published_size_and_reach() -> None:
    count = sum(weight.numel() for weight in PatchCritic(3).parameters())
    assert count == 2_764_737  # as measured on the published one, 2.765 M
    image = torch.zeros(1, 3, 160, 160, requires_grad=True)
    verdict = PatchCritic(3)(image)
    # Instance norm sees the whole picture, so reach is measured on the convolutions alone.
    critic = torch.nn.Sequential(
        *(part for part in PatchCritic(3).body if isinstance(part, torch.nn.Conv2d))
    )
    verdict = critic(image)
    verdict[0, 0, verdict.shape[2] // 2, verdict.shape[3] // 2].backward()
    assert image.grad is not None
    rows, _ = image.grad[0, 0].nonzero().T
    assert int(rows.max() - rows.min()) + 1 == 70


def test_the_penalty_is_taken_for_each_sample() -> None:
    # A critic whose gradient is known: 3 * sum(x) has norm 3 * sqrt(values of a sample).
    class Sum(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return 3 * images.sum((1, 2, 3))

    images = torch.rand(4, 3, 8, 8)
    norm = 3 * (3 * 8 * 8) ** 0.5
    penalty = gradient_penalty(Sum(), images, images.flip(0))
    assert float(penalty) == pytest.approx((norm - 1) ** 2, rel=1e-4)


def test_the_penalty_is_of_the_mean_over_patches_as_the_losses_are() -> None:
    # The verdict of 5 x 5 patches that agree is that of one, and so is what it may change by.
    class Patches(torch.nn.Module):
        def __init__(self, side: int) -> None:
            super().__init__()
            self.side = side

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            one = images.square().sum((1, 2, 3))
            return one[:, None, None, None].expand(-1, 1, self.side, self.side)

    images = torch.rand(4, 3, 8, 8)
    penalties = []
    for side in (1, 5):
        torch.manual_seed(0)
        penalties.append(gradient_penalty(Patches(side), images, images.flip(0)).item())
    assert penalties[1] == pytest.approx(penalties[0], rel=1e-4)


def test_wasserstein_losses_are_as_published(images: torch.Tensor) -> None:
    torch.manual_seed(0)
    critics = Critics(Adversarial("wgan-gp", weight=1, layers=(2,), penalty=10))
    (critic,) = critics.critics
    fake = images * 0.5
    torch.manual_seed(1)
    loss = critics.critic_loss(fake, images)
    torch.manual_seed(1)
    expected = critic(fake).mean() - critic(images).mean()
    expected = expected + 10 * gradient_penalty(critic, fake, images)
    assert torch.allclose(loss, expected)
    assert torch.allclose(critics.generator_loss(fake, images), -critic(fake).mean())


def test_critic_and_network_pull_in_opposite_directions(images: torch.Tensor) -> None:
    torch.manual_seed(0)
    critics = Critics(Adversarial("ragan-ls", weight=1, layers=(1, 2)))
    fake = torch.nn.functional.avg_pool2d(images, 5, 1, 2).requires_grad_()
    optimizer = torch.optim.Adam(critics.parameters(), 1e-3)

    def margin() -> float:
        with torch.inference_mode():
            return sum(float(c(images).mean() - c(fake).mean()) for c in critics.critics)

    before = margin()
    for _ in range(12):
        optimizer.zero_grad()
        critics.critic_loss(fake, images).backward()
        optimizer.step()
    assert fake.grad is None  # teaching the critics teaches the network nothing
    learnt = margin()
    assert learnt > before + 0.5
    critics.generator_loss(fake, images).backward()
    assert fake.grad is not None
    with torch.no_grad():
        fake -= 0.01 * fake.grad.sign()
    assert margin() < learnt  # what the network learns is to look sharp
