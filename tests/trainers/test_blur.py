"""Blur synthesis: kernels sum to one and shift nothing, pairs match, seeds repeat."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vidfacedeblur.trainers.blur import (
    _fields,
    _moved,
    _ovals,
    as_eight_bit,
    averaged_while_moving,
    convolve,
)
from vidfacedeblur.trainers.compression import h264, jpeg
from vidfacedeblur.trainers.kernels import (
    KINDS,
    LARGEST_SIZE,
    Kind,
    discs,
    random_kernels,
    trajectories,
)
from vidfacedeblur.trainers.metrics import psnr


def centroid(kernels: torch.Tensor) -> torch.Tensor:
    places = torch.arange(kernels.shape[-1]) - kernels.shape[-1] // 2
    return torch.stack([(kernels.sum(a) * places).sum(-1) for a in (1, 2)])


@pytest.mark.parametrize("kind", KINDS)
def test_kernels_sum_to_one_and_are_centred(kind: Kind) -> None:
    sizes = [*range(1, LARGEST_SIZE + 1)] * 2
    kernels = random_kernels(sizes, np.random.default_rng(0), kinds=[kind])
    assert torch.allclose(kernels.sum((1, 2)), torch.ones(len(sizes)), atol=1e-5)
    assert centroid(kernels).abs().max() < 1e-4
    assert kernels.min() >= 0


@pytest.mark.parametrize("size", [5, 13, 27])
@pytest.mark.parametrize("kind", KINDS)
def test_a_kernel_is_as_large_as_asked(size: int, kind: Kind) -> None:
    for kernel in random_kernels([size] * 8, np.random.default_rng(1), kinds=[kind]):
        rows, columns = (kernel > 1e-6).nonzero().T
        extent = max(int(np.ptp(rows.numpy())), int(np.ptp(columns.numpy()))) + 1
        # Sub-pixel drawing may touch a pixel more at each end.
        assert size <= extent <= size + 1 + (kind == "mixed")


def test_the_smallest_mixed_kernel_is_a_blur() -> None:
    kernels = random_kernels([2] * 8, np.random.default_rng(0), kinds=["mixed"])
    assert all(int((kernel > 1e-6).sum()) > 1 for kernel in kernels)


def test_kinds_differ_and_may_be_mixed_in_a_batch() -> None:
    rng = np.random.default_rng(3)
    kernels = random_kernels([21] * len(KINDS), rng, kinds=KINDS)
    touched = [int((kernel > 1e-6).sum()) for kernel in kernels]
    path, disc, both = touched
    assert disc > both > path  # a disc fills its box, a path is a line


def test_a_disc_is_even_and_round() -> None:
    point, disc = discs(torch.tensor([1, 15]))
    assert float(disc.max()) == pytest.approx(4 / np.pi / 15**2, rel=0.03)
    assert torch.equal(disc, disc.T)
    assert torch.equal(disc, disc.flip(0))
    assert float(point[LARGEST_SIZE, LARGEST_SIZE]) == float(point.sum()) == 1


def test_size_one_is_no_blur() -> None:
    image = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    for kind in KINDS:
        kernel = random_kernels([1], np.random.default_rng(0), kinds=[kind])
        assert torch.allclose(convolve(image, kernel), image, atol=1e-5)


def test_convolution_is_the_textbook_one_with_reflection() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, 33, 37, generator=generator)
    kernel = torch.rand(1, 5, 5, generator=generator)
    padded = torch.nn.functional.pad(image, (2, 2, 2, 2), mode="reflect")
    weights = kernel.flip(1, 2)[:, None].expand(3, 1, 5, 5)  # conv2d correlates
    expected = torch.nn.functional.conv2d(padded, weights, groups=3)
    assert torch.allclose(convolve(image, kernel), expected, atol=1e-5)


def test_each_image_gets_its_own_kernel() -> None:
    images = torch.zeros(2, 3, 80, 80)
    images[:, :, 40, 40] = 1
    kernels = random_kernels([5, 27], np.random.default_rng(0))
    blurred = convolve(images, kernels)
    assert torch.allclose(blurred[:, 0, 11:70, 11:70], kernels, atol=1e-6)


def test_paths_curve_as_much_as_asked() -> None:
    def roundness(curving: float) -> float:
        """Mean over paths of their shorter axis over the longer; 0.50 of 2,000 steps."""
        rng = np.random.default_rng(0)
        paths = trajectories(2000, rng, curving=curving)
        return float(np.mean([_axes(np.stack([path.real, path.imag])) for path in paths]))

    assert roundness(1) == pytest.approx(0.38, abs=0.02)
    assert roundness(4) == pytest.approx(0.51, abs=0.02)


def _axes(points: NDArray[np.float64]) -> float:
    short, long = np.sqrt(np.linalg.eigvalsh(np.cov(points)))
    return float(short / long)


def test_a_moving_dot_is_averaged_along_its_path_and_is_in_place_at_the_middle() -> None:
    dot = torch.zeros(1, 3, 65, 65)
    dot[..., 32, 32] = 1
    for seed in range(6):
        rng = np.random.default_rng(seed)
        blurred = averaged_while_moving(dot, trajectories(1, rng), np.array([17]), rng)
        assert float(blurred.sum()) == pytest.approx(float(dot.sum()), rel=0.3)
        assert float(blurred[0, 0, 32, 32]) > 0.05  # the middle frame left it where it is
        rows, columns = (blurred[0, 0] > 0.01).nonzero().T
        extent = max(int(np.ptp(rows.numpy())), int(np.ptp(columns.numpy()))) + 1
        assert 12 <= extent <= 22


def test_a_face_that_does_not_move_is_averaged_to_itself() -> None:
    image = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.avg_pool2d(image, 5, 1, 2)
    rng = np.random.default_rng(0)
    blurred = averaged_while_moving(smooth, trajectories(1, rng), np.array([1]), rng)
    assert float(psnr(blurred, smooth)) > 35


def test_parts_of_a_moving_face_move_on_their_own() -> None:
    """Beside the face's path: each of two dots leaves it in its own way."""
    dots = torch.zeros(1, 3, 97, 97)
    dots[..., 30, 30] = dots[..., 66, 66] = 1
    path = np.linspace(0, 1, 100, dtype=np.complex128)[None]
    for seed in range(6):
        straight, bent = (
            averaged_while_moving(
                dots, path, np.array([17]), np.random.default_rng(seed), bend=bend
            )[0, 0]
            for bend in (0.0, 0.4)
        )
        for place in (30, 66):
            assert bent[place, place] > 0.05  # in place at the middle all the same
        first, second = (
            (bent - straight)[place - 18 : place + 19, place - 18 : place + 19]
            for place in (30, 66)
        )
        assert min(part.abs().sum() for part in (first, second, first - second)) > 0.2


def test_faces_that_are_averaged_together_do_not_mix() -> None:
    images = torch.rand(3, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    paths, sizes = trajectories(3, np.random.default_rng(1)), np.array([5, 9, 21])
    other = images.clone()
    other[1] = 0
    together, again = (
        averaged_while_moving(x, paths, sizes, np.random.default_rng(2), still_share=0.5, bend=0.4)
        for x in (images, other)
    )
    assert torch.equal(together[[0, 2]], again[[0, 2]])
    assert not again[1].any()


def test_what_is_around_a_face_may_stand_still() -> None:
    image = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    paths, sizes = trajectories(1, np.random.default_rng(1)), np.array([15])
    for share in (0.0, 1.0):
        rng = np.random.default_rng(2)
        blurred = averaged_while_moving(image, paths, sizes, rng, still_share=share)
        moved = (blurred - image).abs()[0].mean(0)
        assert moved[40:56, 40:56].mean() > 0.1  # the middle moves in any case
        assert (moved[:6, :6].mean() < 1e-5) == (share == 1)  # a corner, if all moves


def test_ovals_lie_about_the_middle_and_are_as_large_as_heads() -> None:
    ovals = _ovals(torch.zeros(2000, 3, 64, 48), np.random.default_rng(0))
    assert (ovals.min(), ovals.max()) == (0, 1)
    mean = ovals.mean(0)
    assert np.abs(mean - mean[::-1]).max() < 0.06
    assert np.abs(mean - mean[:, ::-1]).max() < 0.06
    # Half a width of 0.3 to 0.5, half a height of 0.36 to 0.6, as shares of the picture's.
    assert mean[32].mean() == pytest.approx(0.78, abs=0.03)
    assert mean[:, 24].mean() == pytest.approx(0.9, abs=0.03)
    assert ((ovals > 0) & (ovals < 1)).mean() < 0.25  # soft at the rim alone


def test_a_bend_is_smooth_and_as_far_as_asked() -> None:
    images = torch.zeros(200, 4, 64, 64)
    fields = _fields(np.full(200, 6.0), np.random.default_rng(0), images)
    assert fields.shape == (200, 64, 64, 2)
    assert 5 < fields.abs().max() < 8  # between its nodes it may go beyond
    assert fields.diff(dim=1).abs().max() < 1.5
    assert fields.diff(dim=2).abs().max() < 1.5


def test_a_pose_is_in_pixels_whatever_the_sides() -> None:
    image = torch.zeros(1, 1, 49, 81)
    image[..., 24, 40 + 16] = 1
    quarter = torch.tensor([[[0.0, -1, 4], [1, 0, 2]]])
    bent = torch.zeros(1, 49, 81, 2)
    bent[..., 0], bent[..., 1] = 3, 5
    for bends, place in ((torch.zeros(1, 49, 81, 2), (12, 38)), (bent, (15, 33))):
        moved = _moved(image, quarter.clone(), bends)[0, 0]
        assert divmod(int(moved.argmax()), 81) == place
        assert float(moved.max()) > 0.99


def test_eight_bit_rounds_and_clips() -> None:
    values = torch.tensor([-0.1, 0.4999 / 255, 0.5001 / 255, 1.1])
    assert torch.allclose(as_eight_bit(values), torch.tensor([0, 0, 1 / 255, 1]))


def portraits() -> torch.Tensor:
    from skimage import data

    photo = torch.from_numpy(data.astronaut()).permute(2, 0, 1).float() / 255
    return torch.stack([photo[:, y : y + 96, 160:288] for y in (40, 80)])


def test_compression_loses_more_the_harder_it_is() -> None:
    images = portraits()
    by_crf = [float(psnr(h264(images, crf), images).mean()) for crf in (10, 23, 35)]
    assert by_crf == sorted(by_crf, reverse=True)
    assert 25 < by_crf[2] < by_crf[0] - 3
    good, bad = (float(psnr(jpeg(images[0], q)[None], images[:1])) for q in (95, 30))
    assert 25 < bad < good - 3


def test_compression_moves_no_colour() -> None:
    rows, columns = torch.meshgrid(torch.arange(96), torch.arange(128), indexing="ij")
    waves = torch.sin(columns / 4) * torch.cos(rows / 3)
    image = torch.stack([0.5 + 0.3 * waves, 0.5 - 0.15 * waves, torch.full_like(waves, 0.5)])[None]
    decoded = h264(image, 1)
    colour = (decoded - decoded.mean(1, keepdim=True))[0, :, 8:-8, 8:-8]
    gray = image.mean(1, keepdim=True)
    errors = []
    for down, right in ((0, 0), (0, 0.5), (0.5, 0), (0, -0.5), (-0.5, 0)):
        grid = torch.nn.functional.affine_grid(
            torch.tensor([[[1, 0, -2 * right / 128], [0, 1, -2 * down / 96]]], dtype=torch.float32),
            [1, 3, 96, 128],
            align_corners=False,
        )
        moved = torch.nn.functional.grid_sample(
            image - gray, grid, mode="bicubic", align_corners=False
        )
        errors.append(float((moved[0, :, 8:-8, 8:-8] - colour).square().mean()))
    there, right, down, left, up = errors
    assert there == min(errors)
    assert right == pytest.approx(left, rel=0.1)
    assert down == pytest.approx(up, rel=0.1)


def test_compression_moves_no_picture_and_keeps_their_order() -> None:
    images = portraits()
    decoded = h264(images, 16)
    shifted = images.roll(1, -1)
    for i in range(2):
        assert psnr(decoded[i : i + 1], images[i : i + 1]) > psnr(
            decoded[i : i + 1], shifted[i : i + 1]
        )
        assert psnr(decoded[i : i + 1], images[i : i + 1]) > psnr(
            decoded[i : i + 1], images[1 - i : 2 - i]
        )
