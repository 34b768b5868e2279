"""Blur synthesis: kernels sum to one and shift nothing, pairs match, seeds repeat."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vidfacedeblur.trainers.blur import (
    LARGEST_SIZE,
    as_eight_bit,
    convolve,
    degrade,
    random_kernels,
)


def centroid(kernels: torch.Tensor) -> torch.Tensor:
    places = torch.arange(kernels.shape[-1]) - kernels.shape[-1] // 2
    return torch.stack([(kernels.sum(a) * places).sum(-1) for a in (1, 2)])


def test_kernels_sum_to_one_and_are_centred() -> None:
    kernels = random_kernels([1, 5, 13, 27, LARGEST_SIZE] * 4, np.random.default_rng(0))
    assert torch.allclose(kernels.sum((1, 2)), torch.ones(20), atol=1e-5)
    assert centroid(kernels).abs().max() < 1e-4
    assert kernels.min() >= 0


@pytest.mark.parametrize("size", [5, 13, 27])
def test_a_kernel_is_as_large_as_asked(size: int) -> None:
    for kernel in random_kernels([size] * 8, np.random.default_rng(1)):
        rows, columns = (kernel > 0).nonzero().T
        extent = max(int(np.ptp(rows.numpy())), int(np.ptp(columns.numpy()))) + 1
        assert size <= extent <= size + 1  # sub-pixel drawing may touch one pixel more


def test_size_one_is_no_blur() -> None:
    image = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    kernel = random_kernels([1], np.random.default_rng(0))
    assert torch.allclose(convolve(image, kernel), image, atol=1e-5)


def test_convolution_is_the_plain_sum() -> None:
    image = torch.rand(1, 3, 40, 36, generator=torch.Generator().manual_seed(0))
    kernel = torch.zeros(1, 5, 5)
    kernel[0, 0, 4], kernel[0, 2, 2] = 0.25, 0.75
    blurred = convolve(image, kernel)
    wanted = 0.75 * image[0, 1, 10, 20] + 0.25 * image[0, 1, 12, 18]
    assert torch.allclose(blurred[0, 1, 10, 20], wanted, atol=1e-5)


def test_brightness_is_kept() -> None:
    image = torch.full((1, 3, 64, 64), 0.4)
    blurred = convolve(image, random_kernels([21], np.random.default_rng(0)))
    assert torch.allclose(blurred, image, atol=1e-5)


def test_noise_has_the_strength_asked_for_and_the_result_eight_bits() -> None:
    image = torch.full((2, 3, 64, 64), 153 / 255)
    kernels = random_kernels([1, 1], np.random.default_rng(0))
    noisy = degrade(image, kernels, torch.tensor([0.0, 0.02]), torch.Generator().manual_seed(0))
    assert noisy[0].std() < 1e-6
    assert noisy[1].std() == pytest.approx(0.02, rel=0.05)
    assert torch.equal(as_eight_bit(noisy), noisy)


def test_a_seed_repeats() -> None:
    a, b = (random_kernels([9, 21], np.random.default_rng(5)) for _ in range(2))
    assert torch.equal(a, b)
    assert not torch.equal(a, random_kernels([9, 21], np.random.default_rng(6)))
