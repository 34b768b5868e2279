"""PSNR and SSIM against scikit-image's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
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
