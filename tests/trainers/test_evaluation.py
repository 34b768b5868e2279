"""Judging and reporting, on networks that are known to do nothing, all, or one thing wrong."""

from __future__ import annotations

import csv
import errno
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests_support import portrait

from vidfacedeblur.engines import choose
from vidfacedeblur.errors import InputError, OutputError
from vidfacedeblur.faces import MtcnnDetector, open_detector
from vidfacedeblur.trainers.baselines import (
    BASELINES,
    Deconvolve,
    lucy,
    unsupervised_wiener,
    wiener,
)
from vidfacedeblur.trainers.blur import convolve
from vidfacedeblur.trainers.evaluation import (
    BLURRED,
    Result,
    Score,
    judge,
    summarized,
    time_each,
)
from vidfacedeblur.trainers.fixed_sets import Pair
from vidfacedeblur.trainers.journal import Row, plot_rows
from vidfacedeblur.trainers.kernels import random_kernels
from vidfacedeblur.trainers.metrics import psnr
from vidfacedeblur.trainers.pictures import save_png
from vidfacedeblur.trainers.report import (
    BEGIN,
    END,
    figures,
    group_table,
    insert,
    main_table,
    picture,
    write_csv,
)

Floats = NDArray[np.float32]
NOTHING = float("nan")


@pytest.fixture(scope="module")
def detector() -> MtcnnDetector:
    return open_detector(choose("auto", "cpu"))


def head(shift: int, height: int = 128, width: int = 128) -> Floats:
    """The astronaut's head; no value so bright that two levels more would not fit."""
    view = portrait(shift)[30:222, 30:222] if height == width else portrait(shift)
    image = cv2.resize(view, (width, height), interpolation=cv2.INTER_AREA)
    return np.minimum(image, 250) / np.float32(255)


def pair(number: int, height: int = 128, width: int = 128) -> Pair:
    sharp = head(number, height, width)
    blurred = np.rint(255 * cv2.blur(sharp, (7, 1))) / np.float32(255)
    return Pair(f"{number}.jpg", "ab"[number % 2], sharp, blurred)


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    """Five of one size and four of another."""
    return [pair(n) for n in range(5)] + [pair(n, height=120, width=128) for n in range(5, 9)]


def knowing(pairs: list[Pair]) -> Callable[[Floats], Floats]:
    """A network that gives the sharp picture back, whatever it is given of a pair."""
    known = {image.tobytes(): p.sharp for p in pairs for image in (p.sharp, p.blurred)}
    return lambda images: np.stack([known[np.ascontiguousarray(x).tobytes()] for x in images])


def same(images: Floats) -> Floats:
    return images.copy()


def judged(
    pairs: list[Pair], network: Callable[[Floats], Floats], detector: MtcnnDetector
) -> tuple[list[Result], Score, Score]:
    """What became of each pair, and the scores of the network and of the blurred input."""
    results = list(judge(pairs, {"net": network}, {}, detector))
    blurred, score = summarized(results, {"net": 12.0})
    assert (blurred.method, score.method) == (BLURRED, "net")
    own = [result for result in results if result.method == "net"]
    assert len(own) == len(pairs)
    return own, score, blurred


# Judging.


def test_a_network_that_does_nothing_gains_nothing(
    pairs: list[Pair], detector: MtcnnDetector
) -> None:
    own, score, blurred = judged(pairs, same, detector)
    assert replace(score, method=BLURRED, milliseconds=0, sharp_psnr=0) == replace(
        blurred, milliseconds=0, sharp_psnr=0
    )
    assert (score.images, score.milliseconds, score.sharp_psnr) == (9, 12.0, 99)
    assert math.isnan(blurred.milliseconds)
    assert math.isnan(blurred.sharp_psnr)
    for result, p in zip(own, pairs, strict=True):
        error = np.square(np.rint(255 * p.blurred) - np.rint(255 * p.sharp)).mean()
        assert result.psnr == pytest.approx(10 * np.log10(255**2 / error), abs=1e-3)
        assert result.group == p.group
    assert set(score.by_group) == {"a", "b"}
    mean = np.mean([result.psnr for result in own if result.group == "b"])
    assert score.by_group["b"][0] == pytest.approx(mean)


def test_a_network_that_knows_all_is_perfect(pairs: list[Pair], detector: MtcnnDetector) -> None:
    _, score, blurred = judged(pairs, knowing(pairs), detector)
    assert (score.psnr, score.sharp_psnr, score.faces) == (99, 99, 1)
    assert score.ssim == pytest.approx(1)
    assert (score.shift, score.landmark_error) == (0, 0)
    assert score.face_score > 0.9
    assert score.by_group == {"a": (99, pytest.approx(1)), "b": (99, pytest.approx(1))}
    assert 0 < blurred.landmark_error < 0.2
    assert blurred.psnr < 40


def test_a_colour_shift_is_seen(pairs: list[Pair], detector: MtcnnDetector) -> None:
    perfect = knowing(pairs)
    red = np.array([2 / 255, 0, 0], np.float32)
    own, score, _ = judged(pairs, lambda images: perfect(images) + red, detector)
    for result in own:
        assert result.shift == pytest.approx((2, 0, 0), abs=1e-3)
    assert score.shift == pytest.approx(2, abs=1e-3)
    assert score.psnr == pytest.approx(10 * np.log10(255**2 * 3 / 4), abs=1e-3)
    # One picture brighter and the next darker is no cast over the set.
    signs = np.array([1, -1] * 4, np.float32)[:, None, None, None]
    own, score, _ = judged(
        pairs[:4] * 2, lambda images: perfect(images) + red * signs[: len(images)], detector
    )
    assert [round(result.shift[0]) for result in own] == [2, -2] * 4
    assert score.shift == pytest.approx(0, abs=1e-3)
    blue = -red[::-1]
    _, score, _ = judged(pairs, lambda images: np.maximum(perfect(images) + blue, 0), detector)
    assert 1.5 < score.shift <= 2


def test_landmarks_that_move_are_seen(pairs: list[Pair], detector: MtcnnDetector) -> None:
    perfect = knowing(pairs)
    (face,) = detector.detect(
        np.rint(255 * pairs[0].sharp).astype(np.uint8), min_face=32, min_score=0.9
    )
    assert face.landmarks is not None
    eyes = math.dist(face.landmarks[0], face.landmarks[1])
    _, score, _ = judged(pairs, lambda images: np.roll(perfect(images), 8, axis=2), detector)
    assert score.landmark_error == pytest.approx(8 / eyes, rel=0.25)
    assert score.faces == 1


def test_a_face_that_is_gone_is_seen(pairs: list[Pair], detector: MtcnnDetector) -> None:
    own, score, blurred = judged(pairs, lambda x: np.full_like(x, 0.5), detector)
    assert (score.faces, score.face_score) == (0, 0)
    assert math.isnan(score.landmark_error)
    assert all(math.isnan(result.landmark_error) for result in own)
    assert blurred.faces == 1
    gone = [np.float32(0), np.float32(1)]
    perfect = knowing(pairs)
    _, score, _ = judged(
        pairs[1:4] + pairs[5:7], lambda x: perfect(x) * gone[x.shape[1] == 120], detector
    )
    assert score.faces == pytest.approx(2 / 5)
    assert score.landmark_error == 0  # over the pictures with a face


def test_landmarks_are_compared_on_the_same_pictures() -> None:
    def result(method: str, error: float) -> Result:
        return Result(method, "a", 30.0, 0.9, (0.0, 0.0, 0.0), 0.9, error, NOTHING)

    # The network finds the harder face too, and is not to lose by that.
    errors = {BLURRED: [0.05, NOTHING, 0.07], "net": [0.04, 0.2, 0.06], "none": [NOTHING] * 3}
    results = [result(method, error) for method, own in errors.items() for error in own]
    blurred, net, none = summarized(results, {})
    assert (blurred.landmark_error, net.landmark_error) == pytest.approx((0.06, 0.05))
    assert math.isnan(none.landmark_error)


def test_every_fourth_sharp_picture_is_restored_too(
    pairs: list[Pair], detector: MtcnnDetector
) -> None:
    calls = []
    sharp = {p.sharp.tobytes() for p in pairs}

    def network(images: Floats) -> Floats:
        calls.append(sum(np.ascontiguousarray(x).tobytes() in sharp for x in images))
        return np.minimum(images + np.float32(1 / 255), 1)

    own, score, _ = judged(pairs, network, detector)
    tried = [i for i, result in enumerate(own) if not math.isnan(result.sharp_psnr)]
    assert tried == [0, 4, 8]
    assert sum(calls) == 3
    assert score.sharp_psnr == pytest.approx(10 * np.log10(255**2), abs=1e-3)


def test_batches_are_small_and_of_one_size(pairs: list[Pair], detector: MtcnnDetector) -> None:
    shapes, done = [], []

    def network(images: Floats) -> Floats:
        shapes.append(images.shape)
        return images

    many = [*pairs[:5], *pairs[:5], *pairs[5:]]
    list(judge(many, {"net": network}, {}, detector, on_pair=done.append))
    assert done == [8, 2, 4]
    blurred = [shape for i, shape in enumerate(shapes) if i % 2]  # sharp ones come before
    assert blurred == [(8, 128, 128, 3), (2, 128, 128, 3), (4, 120, 128, 3)]


def test_deconvolution_is_judged_where_the_kernel_is_known(
    pairs: list[Pair], detector: MtcnnDetector
) -> None:
    kernel = np.zeros((7, 7), np.float32)
    kernel[3] = 1 / 7
    known = [replace(p, kernel=kernel) for p in pairs[:5]]
    asked = []

    def deconvolve(image: Floats, with_kernel: Floats) -> Floats:
        asked.append((image.tobytes(), with_kernel is kernel))
        return image

    results = list(judge([*known, *pairs[5:]], {}, {"classic": deconvolve}, detector))
    assert asked == [(p.blurred.tobytes(), True) for p in known]
    assert [r.method for r in results].count("classic") == 5
    assert [r.method for r in results].count(BLURRED) == 9


def test_what_others_reached_is_kept_as_it_was(pairs: list[Pair], detector: MtcnnDetector) -> None:
    theirs = [replace(p, peers={"Ren": (30.0 + n, 0.9)}) for n, p in enumerate(pairs[:2])]
    results = list(judge([*theirs, *pairs[2:]], {}, {}, detector))
    blurred, peer = summarized(results, {})
    assert (blurred.images, peer.method, peer.images) == (9, "Ren", 2)
    assert (peer.psnr, peer.ssim) == (30.5, pytest.approx(0.9))
    assert peer.by_group["b"] == (31, 0.9)
    for unknown in (peer.shift, peer.faces, peer.face_score, peer.landmark_error, peer.sharp_psnr):
        assert math.isnan(unknown)


def test_the_clock_takes_one_picture_at_a_time(pairs: list[Pair]) -> None:
    shapes = []

    def network(images: Floats) -> Floats:
        shapes.append(images.shape)
        return images

    assert time_each(network, pairs * 3) > 0
    assert len(shapes) == 21  # twenty, and one before the clock starts
    assert {shape[0] for shape in shapes} == {1}


def test_the_clock_leaves_out_what_comes_first(
    pairs: list[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    waits = iter([9.0, 0.002, 0.004, 0.003])

    def network(images: Floats) -> Floats:
        now[0] += next(waits)
        return images

    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    assert time_each(network, pairs[:3]) == pytest.approx(3)


# Deconvolution.


def tensor(image: Floats) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]


def decibels(a: Floats, b: Floats) -> float:
    return float(psnr(tensor(a), tensor(b)))


def blurred_by(size: int, image: Floats, noise: float = 0.0) -> tuple[Floats, Floats]:
    """The blurred picture and its kernel, 59x59 with zeros around."""
    rng = np.random.default_rng(size)
    kernels = random_kernels([size], rng)
    blurred = convolve(tensor(image), kernels)[0].permute(1, 2, 0).numpy()
    grain = rng.normal(0, noise, blurred.shape).astype(np.float32)
    return np.clip(blurred + grain, 0, 1), kernels[0].numpy()


@pytest.mark.parametrize(("size", "noise"), [(5, 0.0), (13, 0.01), (21, 0.01), (27, 0.01)])
def test_lucy_restores_what_a_known_kernel_blurred(size: int, noise: float) -> None:
    sharp = portrait()[30:158, 60:200] / np.float32(255)
    blurred, kernel = blurred_by(size, sharp, noise)
    assert kernel.shape == (59, 59)
    restored = lucy(blurred, kernel)
    assert decibels(restored, sharp) > decibels(blurred, sharp) + 1.5
    turned = lucy(blurred, kernel[::-1, ::-1].copy())  # as if it took the kernel the other way
    assert decibels(restored, sharp) > decibels(turned, sharp) + 1


@pytest.mark.parametrize(
    ("filter_", "size", "noise"),
    [
        *((unsupervised_wiener, *case) for case in [(5, 0.0), (5, 0.01), (21, 0.01), (27, 0.0)]),
        *((wiener, *case) for case in [(13, 0.01), (21, 0.01), (27, 0.01)]),
    ],
)
def test_wiener_restores_the_middle(filter_: Deconvolve, size: int, noise: float) -> None:
    # At the border its picture continues otherwise than the blurred one did.
    sharp = portrait()[30:158, 60:200] / np.float32(255)
    blurred, kernel = blurred_by(size, sharp, noise)
    inside = (slice(32, -32), slice(32, -32))
    restored = filter_(blurred, kernel)[inside]
    assert decibels(restored, sharp[inside]) > decibels(blurred[inside], sharp[inside]) + 1.5


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("shape", [(128, 128), (64, 100), (33, 32)])
def test_deconvolution_keeps_shape_and_range(name: str, shape: tuple[int, int]) -> None:
    sharp = cv2.resize(portrait(), shape[::-1], interpolation=cv2.INTER_AREA) / np.float32(255)
    blurred, kernel = blurred_by(13, sharp, 0.01)
    restored = BASELINES[name](blurred, kernel)
    assert restored.shape == (*shape, 3)
    assert restored.dtype == np.float32
    assert restored.min() >= 0
    assert restored.max() <= 1
    assert np.array_equal(restored, BASELINES[name](blurred, kernel))


@pytest.mark.parametrize(("filter_", "most"), [(wiener, 0.02), (unsupervised_wiener, 0.1)])
def test_wiener_leaves_no_ripples_where_one_side_is_bright(
    filter_: Deconvolve, most: float
) -> None:
    sharp = np.tile(np.linspace(0.1, 0.9, 256, dtype=np.float32)[:, None], (256, 1, 3))
    kernel = np.zeros((59, 59), np.float32)
    kernel[29, 19:40] = 1 / 21
    blurred = convolve(tensor(sharp), torch.from_numpy(kernel)[None])[0].permute(1, 2, 0).numpy()
    assert np.abs(filter_(blurred, kernel) - sharp)[:, 32:-32].max() < most


@pytest.mark.parametrize("name", BASELINES)
def test_deconvolution_shifts_nothing(name: str) -> None:
    sharp = portrait()[30:158, 60:188] / np.float32(255)
    none = np.zeros((59, 59), np.float32)
    none[29, 29] = 1
    assert decibels(BASELINES[name](sharp, none), sharp) > 34  # one pixel aside: 25


# Reporting.


def score(
    method: str,
    decibels: float,
    similarity: float = 0.9,
    images: int = 6,
    groups: tuple[str, ...] = ("5", "11", "27"),
) -> Score:
    return Score(
        method=method,
        images=images,
        psnr=decibels,
        ssim=similarity,
        milliseconds=NOTHING if method == BLURRED else 12.4,
        shift=0.126,
        faces=0.985,
        face_score=0.9876,
        landmark_error=0.0213,
        sharp_psnr=NOTHING if method == BLURRED else 41.26,
        by_group={group: (decibels + n, similarity) for n, group in enumerate(groups)},
    )


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


SCORES = [
    score(BLURRED, 22.5, 0.75),
    score("deblurgan", 25.75, 0.875),
    score("worse", 21.0, 0.5, groups=("27", "5", "11")),
    replace(score("Ren", 28.0, images=3, groups=("11",)), milliseconds=NOTHING, faces=NOTHING),
]


def test_the_main_table_gives_gains_over_the_blurred_input() -> None:
    heading, line, *rows = main_table(SCORES).splitlines()
    assert len(cells(heading)) == len(cells(line)) == 11
    assert [cells(row) for row in rows] == [
        [BLURRED, "", "22.50", "", "0.750", "", "98%", "0.988", "2.1%", "0.13", ""],
        *(
            [name, gain, db, more, ssim, "12", "98%", "0.988", "2.1%", "0.13", "41.3"]
            for name, gain, db, more, ssim in (
                ("deblurgan", "+3.25", "25.75", "+0.125", "0.875"),
                ("worse", "-1.50", "21.00", "-0.250", "0.500"),
            )
        ),
    ]


def test_the_group_table_is_in_the_order_of_the_numbers() -> None:
    mixed = replace(SCORES[0], by_group=dict(reversed(SCORES[0].by_group.items())))
    heading, line, *rows = group_table([mixed, *SCORES[1:]], "kernel size").splitlines()
    assert cells(heading) == ["kernel size", "5", "11", "27"]
    assert len(cells(line)) == 4
    assert [cells(row) for row in rows] == [
        [BLURRED, "22.50", "23.50", "24.50"],
        ["deblurgan", "+3.25", "+3.25", "+3.25"],
        ["worse", "-0.50", "-0.50", "-3.50"],
        ["Ren", "", "+4.50", ""],
    ]


def test_the_csv_reads_back(tmp_path: Path) -> None:
    write_csv(tmp_path / "r.csv", {"one": SCORES[:2], "two": SCORES[2:]})
    with (tmp_path / "r.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["set"], row["method"], row["group"]) for row in rows] == [
        (name, s.method, group)
        for name, own in (("one", SCORES[:2]), ("two", SCORES[2:]))
        for s in own
        for group in ("all", *s.by_group)
    ]
    whole = rows[4]
    assert (float(whole["psnr"]), float(whole["ssim"]), int(whole["images"])) == (25.75, 0.875, 6)
    assert float(whole["landmark_error"]) == 0.0213
    part = rows[5]
    assert (part["group"], float(part["psnr"]), part["images"]) == ("5", 25.75, "")


def test_a_cards_figures_are_json_without_nan() -> None:
    card = figures(SCORES, "deblurgan")
    assert card["images"] == 6
    assert card["deblurred"]["psnr"] == 25.75
    assert card["blurred"]["psnr"] == 22.5
    assert card["blurred"]["milliseconds"] is None
    assert card["deblurred"]["psnr_and_ssim_by_group"]["27"] == [27.75, 0.875]


def test_only_what_lies_between_the_marks_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(f"# Title\n\n{BEGIN}\nold\nresults\n{END}\n\nthe end – of it\n", "utf-8")
    for text in ("| a |\n| b |", "shorter"):
        insert(path, text)
        wanted = f"# Title\n\n{BEGIN}\n{text}\n{END}\n\nthe end – of it\n"
        assert path.read_text("utf-8") == wanted


@pytest.mark.parametrize("text", ["no marks", f"{BEGIN}\nno end", f"{END}\nfirst\n{BEGIN}", None])
def test_a_file_without_the_marks_is_left_alone(text: str | None, tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=r"README\.md"):
        insert(path, "results")
    assert (path.read_text() if path.exists() else None) == text


def test_a_full_disk_leaves_the_readme_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "README.md"
    path.write_text(old := f"# Title\n{BEGIN}\nold\n{END}\nthe rest\n")
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match=r"cannot write .*README.md: No space left"):
        insert(path, "new")
    assert path.read_text() == old


def test_a_full_disk_is_one_line_of_each_output() -> None:
    full = Path("/dev/full")
    row = Row(step=1, minutes=0, learning_rate=1, loss=1, psnr_blurred=20, psnr=21)
    for write in (
        lambda: save_png(full, np.zeros((64, 64, 3), np.float32)),
        lambda: write_csv(full, {"one": SCORES}),
        lambda: plot_rows([row], full),
    ):
        with pytest.raises(OutputError, match="cannot write /dev/full: No space left"):
            write()


def test_the_picture_has_a_column_for_each_method(pairs: list[Pair]) -> None:
    networks = {"dark": lambda x: 0 * x, "wrong": lambda x: 0 * x + 2, "same": same}
    image = picture([pairs[0], pairs[5]], networks, side=64)
    assert image.shape == (2 * 64, 5 * 64, 3)
    assert image.min() >= 0
    assert image.max() <= 1
    sharp, blurred, dark, wrong, as_given = np.split(image[:64], 5, axis=1)
    wanted = cv2.resize(pairs[0].sharp, (64, 64), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_allclose(sharp, np.clip(wanted, 0, 1), atol=1e-6)
    assert np.array_equal(blurred, as_given)
    assert not np.array_equal(blurred, sharp)
    assert (dark.max(), wrong.min()) == (0, 1)
    assert (image[64 + 60 :] == 1).all()  # 120 of 128 pixels high: white below
    assert (image[64 : 64 + 60, 128:192] == 0).all()
