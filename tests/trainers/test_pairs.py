"""What a recipe's mix says of pairs is what they are, in sizes, shares and strengths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vidfacedeblur.trainers import pairs
from vidfacedeblur.trainers.kernels import random_kernels
from vidfacedeblur.trainers.pack import Faces, load_pack
from vidfacedeblur.trainers.pairs import PairMaker, validation_pairs
from vidfacedeblur.trainers.recipe import BlurMix

SIDE = 144


def places() -> torch.Tensor:
    """Three faces, (3, 3, 144, 144), whose channels are each pixel's row, its column and 50 n."""
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    faces = [torch.stack((rows, columns, torch.full_like(rows, 50 * n))) for n in range(3)]
    return torch.stack(faces).to(torch.uint8)


def maker(**mix: Any) -> PairMaker:
    return PairMaker(Faces(places(), *[places()] * 2), BlurMix(**mix), seed=0, device="cpu")


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_blur_is_as_large_as_asked_and_less_on_faces_made_smaller() -> None:
    large = maker(smallest_kernel=9, largest_kernel=11, mild_share=0.0)
    assert set(large._sizes(rng(), 500, 1.0)) == {9, 10, 11}
    assert set(large._sizes(rng(), 500, 3.0)) == {9, 10, 11}
    assert set(large._sizes(rng(), 500, 1 / 3)) == {3, 4}
    assert set(large._sizes(rng(), 500, 0.01)) == {1}
    mixed = maker(smallest_kernel=9, largest_kernel=11, mild_share=0.3, mild_kernel=3)
    sizes = mixed._sizes(rng(), 2000, 1.0)
    assert set(sizes) == {1, 2, 3, 9, 10, 11}
    assert (sizes <= 3).mean() == pytest.approx(0.3, abs=0.03)


def test_kernels_are_of_the_kinds_asked_for_and_discs_half_as_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, int]] = []

    def drawn(sizes: list[int], *args: Any, kinds: list[str], **rest: Any) -> torch.Tensor:
        asked.extend(zip(kinds, sizes, strict=True))
        return random_kernels(sizes[:1], rng())

    monkeypatch.setattr(pairs, "random_kernels", drawn)
    made, sizes = maker(defocus_share=0.2, mixed_share=0.3), np.array([1, 21] * 500)
    made._kernels(rng(), sizes, made._paths(rng(), len(sizes)))
    shares = [np.mean([kind == k for k, _ in asked]) for kind in ("motion", "defocus", "mixed")]
    assert shares == pytest.approx([0.5, 0.2, 0.3], abs=0.05)
    assert {size for kind, size in asked if kind == "defocus"} == {1, 10}
    assert {size for kind, size in asked if kind != "defocus"} == {1, 21}


def test_paths_go_every_way() -> None:
    made = maker()
    made._stock = np.ones((1, 3), np.complex128)
    paths = made._paths(rng(), 400)
    np.testing.assert_allclose(np.abs(paths), 1)
    assert (paths == paths[:, :1]).all(), "one turn for all of a path"
    assert abs(paths.mean()) < 0.1


def test_noise_is_drawn_up_to_the_strongest() -> None:
    gray = torch.full((200, 3, 24, 24), 0.5)
    deviations = maker(largest_noise=0.1)._noisy(rng(), gray).std((1, 2, 3))
    assert deviations.max() == pytest.approx(0.1, abs=0.005)
    assert deviations.min() < 0.005
    assert deviations.mean() == pytest.approx(0.05, abs=0.005)


def test_as_many_are_compressed_as_asked_as_hard_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    qualities, crfs = set(), set()

    def jpeg(image: torch.Tensor, quality: int) -> torch.Tensor:
        qualities.add(quality)
        return image + 0.25

    def h264(images: torch.Tensor, crf: int) -> torch.Tensor:
        crfs.add(crf)
        return images + 0.5

    monkeypatch.setattr(pairs, "jpeg", jpeg)
    monkeypatch.setattr(pairs, "h264", h264)
    made = maker(jpeg_share=0.2, lowest_quality=90, h264_share=0.3, largest_crf=20)
    drawn, images = rng(), torch.arange(20.0)[:, None, None, None].expand(20, 3, 2, 2)
    added = torch.stack([made._compressed(drawn, images.clone()) - images for _ in range(200)])
    assert (added == added[..., :1, :1, :1]).all()
    shares = [float((added == change).float().mean()) for change in (0, 0.25, 0.5)]
    assert shares == pytest.approx([0.5, 0.2, 0.3], abs=0.03)
    assert qualities == {90, 91, 92, 93, 94, 95}
    assert crfs == {16, 17, 18, 19, 20}


def test_a_window_is_a_part_of_one_face_and_may_lie_anywhere() -> None:
    made, faces = maker(), places()[:, None]
    windows, zoomed = made._windows(rng(), faces, 300, crop=140, wanted=140, zoom=1.0)
    assert windows.shape == (300, 1, 3, 140, 140)
    assert zoomed == 1
    rows, columns, who = (255 * windows[:, 0]).round().long().unbind(1)
    assert (rows.diff(dim=1) == 1).all()
    assert (columns.diff(dim=2) == 1).all()
    assert (who == who[:, :1, :1]).all()
    assert set(rows[:, 0, 0].tolist()) == set(columns[:, 0, 0].tolist()) == {0, 1, 2, 3, 4}
    assert set(who[:, 0, 0].tolist()) == {0, 50, 100}


@pytest.mark.parametrize(
    ("zoom", "wanted", "side", "zoomed"),
    [
        (2.0, 64, 64, 2.0),
        (0.5, 64, 64, 0.5),
        (0.25, 64, 64, 64 / SIDE),  # no smaller than the crop
        (0.5, 120, 72, 0.5),  # as much around it as the face has
        (1.0, 122, 122, 1.0),
        (4.0, 64, 64, 64 / 30),  # no fewer pixels than the largest kernel needs
    ],
)
def test_a_face_is_resized_as_far_as_its_pixels_go(
    zoom: float, wanted: int, side: int, zoomed: float
) -> None:
    windows, got = maker()._windows(rng(), places()[:, None], 2, crop=64, wanted=wanted, zoom=zoom)
    assert windows.shape[-2:] == (side, side)
    assert got == pytest.approx(zoomed)
    assert float(windows.min()) >= 0
    columns = 255 * windows[0, 0, 1, side // 2]
    assert columns.diff()[8:-8].mean() == pytest.approx(1 / zoomed, rel=0.05)


def test_only_faces_seen_in_whole_move_before_a_still_background(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shares = []

    def moving(images: torch.Tensor, *_: Any, still_share: float, bend: float) -> torch.Tensor:
        shares.append((still_share, bend))
        return images

    monkeypatch.setattr(pairs, "averaged_while_moving", moving)
    made = maker(moved_share=1.0, still_share=0.7, largest_bend=0.3)
    for zoom in (0.5, 2.0):
        blurred, sharp = made._blurred_here(rng(), 2, 64, zoom)
        assert torch.equal(blurred, sharp)
    assert shares == [(0.7, 0.3), (0.0, 0.3)]


def test_as_many_are_averaged_as_asked() -> None:
    dark = torch.zeros(2, 3, SIDE, SIDE, dtype=torch.uint8)
    mix = BlurMix(averaged_share=0.25, moved_share=0.0)
    made = PairMaker(Faces(dark, dark + 255, dark + 255), mix, seed=0, device="cpu")
    white = [(made.batch(n, 40, 16)[1] == 1).float().mean() for n in range(5)]
    assert float(np.mean(white)) == pytest.approx(0.25, abs=0.08)


def test_validation_is_the_same_each_time_and_of_large_camera_blur(
    pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: set[int] = set()

    def drawn(asked: list[int], *args: Any, kinds: list[str], **rest: Any) -> torch.Tensor:
        sizes.update(asked)
        assert set(kinds) == {"motion"}
        return random_kernels(asked, *args, kinds=kinds, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(pairs, "random_kernels", drawn)
    faces = load_pack(pack, "val")
    first, again = (validation_pairs(BlurMix(), faces, "cpu") for _ in range(2))
    assert all(map(torch.equal, first, again))
    assert [images.shape for images in first] == [(48, 3, 128, 128)] * 2
    assert (min(sizes), max(sizes)) == (13, 27)
