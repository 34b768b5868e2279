"""PSNR and SSIM against scikit-image's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from checkerboard import grid_ratio
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from vidfacedeblur.trainers.metrics import psnr, ssim


def pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    sharp = rng.integers(0, 256, (48, 40, 3)).astype(np.uint8)
    noisy = np.clip(sharp + rng.normal(0, 20, sharp.shape), 0, 255).astype(np.uint8)
    return sharp, noisy


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None] / 255


def test_psnr_is_scikit_images() -> None:
    sharp, noisy = pair()
    wanted = peak_signal_noise_ratio(sharp, noisy)
    assert float(psnr(tensor(sharp), tensor(noisy))) == pytest.approx(wanted, abs=1e-6)
    assert float(psnr(tensor(sharp), tensor(sharp))) == 99


def test_ssim_is_scikit_images_over_the_valid_area() -> None:
    sharp, noisy = pair()
    _, full = structural_similarity(
        sharp,
        noisy,
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        full=True,
    )
    wanted = full[5:-5, 5:-5].mean()
    assert float(ssim(tensor(sharp), tensor(noisy))) == pytest.approx(wanted, abs=1e-6)


def test_nothing_is_better_than_identical() -> None:
    image = torch.zeros(1, 3, 400, 400)
    almost = image.clone()
    almost[0, 0, 0, 0] = 1 / 255  # 105 dB by the formula
    assert float(psnr(image, almost)) == float(psnr(image, image)) == 99


def test_a_checkerboard_stands_out() -> None:
    noise = torch.randn(16, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert grid_ratio(noise) < 2
    for period in (2, 4):
        stripes = torch.cos(2 * torch.pi * torch.arange(64) / period)
        assert grid_ratio(noise + 0.3 * stripes) > 4
        assert grid_ratio(noise + 0.3 * stripes[:, None] * stripes) > 4
