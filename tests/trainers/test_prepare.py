"""Packs and the command that makes them: nothing is mixed up, nobody is on two sides."""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch
from tests_support import portrait
from torch import Tensor

from vidfacedeblur.engines import choose
from vidfacedeblur.errors import InputError, OptionError, OutputError
from vidfacedeblur.faces import MtcnnDetector, open_detector
from vidfacedeblur.trainers.__main__ import main
from vidfacedeblur.trainers.datasets import read_dataset
from vidfacedeblur.trainers.finding import (
    all_faces,
    backgrounds,
    cut_square,
    main_face,
)
from vidfacedeblur.trainers.media import is_picture, read_frames, read_picture
from vidfacedeblur.trainers.pack import PACK_SIDE, PackedFace, load_pack, write_pack
from vidfacedeblur.trainers.pictures import as_bytes
from vidfacedeblur.trainers.prepare import PrepareOptions
from vidfacedeblur.trainers.split import SPLITS, assign_splits
from vidfacedeblur.types import Box, ByteImage
from vidfacedeblur.whole import check_place


@pytest.fixture(scope="module")
def detector() -> MtcnnDetector:
    return open_detector(choose("auto", "cpu"))


def square(number: int) -> ByteImage:
    """One of many cuts of the astronaut, of a pack's size."""
    left = 40 + 5 * (number % 8)
    return np.ascontiguousarray(portrait()[8 * (number // 8) :][:PACK_SIDE, left:][:, :PACK_SIDE])


def back(pictures: Tensor) -> list[ByteImage]:
    return list(pictures.permute(0, 2, 3, 1).numpy())


def off(a: ByteImage, b: ByteImage) -> float:
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


def mixed_faces() -> list[PackedFace]:
    """Stills and averages in turns, on all sides."""
    return [
        PackedFace(
            square(number),
            f"{number}.jpg",
            f"person {number % 5}",
            SPLITS[number % 5 % 3],
            cv2.blur(square(number), (9, 1)) if number % 2 else None,
        )
        for number in range(12)
    ]


# Packs.


def test_a_pack_gives_back_what_was_packed(tmp_path: Path) -> None:
    faces = mixed_faces()
    write_pack(tmp_path / "p.npz", faces)
    for split in SPLITS:
        mine = [face for face in faces if face.split == split]
        stills = [face.sharp for face in mine if face.blurred is None]
        pairs = [(face.sharp, face.blurred) for face in mine if face.blurred is not None]
        loaded = load_pack(tmp_path / "p.npz", split)
        assert loaded.stills.shape == (len(stills), 3, PACK_SIDE, PACK_SIDE)
        assert loaded.sharp.shape == loaded.blurred.shape == (len(pairs), 3, PACK_SIDE, PACK_SIDE)
        assert loaded.stills.dtype == loaded.sharp.dtype == loaded.blurred.dtype == torch.uint8
        for image, wanted in zip(back(loaded.stills), stills, strict=True):
            assert off(image, wanted) < 2  # a neighbouring cut is off by more than 8
        for sharp, blurred, wanted_pair in zip(
            back(loaded.sharp), back(loaded.blurred), pairs, strict=True
        ):
            assert off(sharp, wanted_pair[0]) < 2
            assert off(blurred, wanted_pair[1]) < 2
            assert off(sharp, wanted_pair[1]) > 3
    assert off(square(0), square(1)) > 8


def test_colours_keep_their_places(tmp_path: Path) -> None:
    image = np.zeros((PACK_SIDE, PACK_SIDE, 3), np.uint8)
    image[...] = (200, 100, 20)
    write_pack(tmp_path / "p.npz", [PackedFace(image, "a", "ann", "train")])
    (loaded,) = back(load_pack(tmp_path / "p.npz", "train").stills)
    assert np.abs(loaded.astype(int) - (200, 100, 20)).max() <= 2


def test_without_averages_there_are_none(tmp_path: Path) -> None:
    write_pack(tmp_path / "p.npz", [PackedFace(square(0), "a", "ann", "val")])
    loaded = load_pack(tmp_path / "p.npz", "val")
    assert len(loaded.stills) == 1
    assert loaded.sharp.shape == loaded.blurred.shape == (0, 3, PACK_SIDE, PACK_SIDE)


def test_a_side_without_faces_is_told(tmp_path: Path) -> None:
    write_pack(tmp_path / "p.npz", [PackedFace(square(0), "a", "ann", "train")])
    with pytest.raises(InputError, match="no face of the split 'test'"):
        load_pack(tmp_path / "p.npz", "test")


def test_a_lower_quality_takes_less_room(tmp_path: Path) -> None:
    sizes = []
    for quality in (98, 80):
        write_pack(tmp_path / "p.npz", mixed_faces()[:2], quality=quality)
        sizes.append((tmp_path / "p.npz").stat().st_size)
        load_pack(tmp_path / "p.npz", "train")
    assert sizes[1] < 0.7 * sizes[0]


def test_bytes_are_rounded_and_clipped() -> None:
    image = np.array([[[-0.1, 0.5 / 255 - 1e-4, 0.5 / 255 + 1e-4]], [[1.2, 1.0, 254.6 / 255]]])
    assert as_bytes(image.astype(np.float32)).tolist() == [[[0, 0, 1]], [[255, 255, 255]]]


NO_PACKS = ["missing", "empty", "text", "array", "other", "cut", "folder"]


@pytest.mark.parametrize("kind", NO_PACKS)
def test_what_is_no_pack_is_told(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    write_pack(tmp_path / "good.npz", mixed_faces()[:2])
    good = (tmp_path / "good.npz").read_bytes()
    if kind in ("empty", "text", "cut"):
        path.write_bytes({"empty": b"", "text": b"no pack", "cut": good[: len(good) // 2]}[kind])
    elif kind == "array":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    elif kind == "other":
        np.savez(path, webp=np.zeros(3, np.uint8))
    elif kind == "folder":
        path.mkdir()
    with pytest.raises(InputError, match=r"no.* pack of faces.*; make one with 'prepare'"):
        load_pack(path, "train")


def test_no_damaged_byte_gives_another_error(tmp_path: Path) -> None:
    write_pack(tmp_path / "p.npz", mixed_faces()[:2])
    good = (tmp_path / "p.npz").read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for place in [*rng.integers(0, 300, 100), *len(good) - rng.integers(1, 2500, 300)]:
        damaged = bytearray(good)
        damaged[place] ^= int(rng.integers(1, 256))
        (tmp_path / "p.npz").write_bytes(damaged)
        try:
            load_pack(tmp_path / "p.npz", "train")
        except InputError:
            refused += 1
    assert refused > 200


def test_a_damaged_face_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoilt = np.frombuffer(b"no WebP", np.uint8)
    monkeypatch.setattr("vidfacedeblur.trainers.pack._encode", lambda face, quality: spoilt)
    write_pack(tmp_path / "p.npz", [PackedFace(square(0), "a", "ann", "train")])
    with pytest.raises(InputError, match="a face in the pack is damaged"):
        load_pack(tmp_path / "p.npz", "train")


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_write_changes_nothing(
    error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(file: Any, **_: object) -> None:
        file.write(b"half a pack")
        raise error

    monkeypatch.setattr("numpy.savez", half)
    for path in (tmp_path / "new.npz", tmp_path / "old.npz"):
        if path.stem == "old":
            path.write_bytes(b"the pack of yesterday")
        with pytest.raises((error, OutputError)):
            write_pack(path, mixed_faces())
    assert not (tmp_path / "new.npz").exists()
    assert (tmp_path / "old.npz").read_bytes() == b"the pack of yesterday"


# Finding and cutting.


def test_a_portraits_face_is_the_one_in_the_middle(detector: MtcnnDetector) -> None:
    smaller = cv2.resize(portrait(), (192, 180), interpolation=cv2.INTER_AREA)
    smaller = np.pad(smaller, ((0, 60), (0, 150), (0, 0)), mode="edge")
    group = np.hstack([portrait(), smaller])
    larger, middle = all_faces(detector, 0.0)(group)
    assert larger.width > 1.2 * middle.width
    (chosen,) = main_face(detector, 0.0)(group)
    assert chosen == middle  # at 350 of 598; the larger face is at 125
    (wider,) = main_face(detector, 0.25)(group)
    assert wider.width == pytest.approx(1.5 * chosen.width)
    assert wider.height == pytest.approx(wider.width)


def test_small_faces_are_left_out(detector: MtcnnDetector) -> None:
    small = cv2.resize(portrait(), (48, 45), interpolation=cv2.INTER_AREA)
    assert len(detector.detect(small, min_face=12, min_score=0.9)) == 1
    assert main_face(detector, 0.2)(small) == []
    assert all_faces(detector, 0.2)(small) == []
    assert main_face(detector, 0.2)(portrait()[:1, :1].copy()) == []


def test_backgrounds_touch_no_face_and_repeat(detector: MtcnnDetector) -> None:
    from skimage import data

    find = backgrounds(detector, 64)
    counts = []
    for shift in (0, 7, 31, 64):
        picture = np.ascontiguousarray(np.roll(data.astronaut(), shift, axis=1))
        (face,) = all_faces(detector, 0.0)(picture)
        found = find(picture)
        assert found == find(picture)
        counts.append(len(found))
        for box in found:
            assert 64 <= box.width == box.height <= 128
            assert box.x0 >= 0 <= box.y0
            assert max(box.x1, box.y1) <= 512
            assert box.x1 <= face.x0 or box.x0 >= face.x1 or box.y1 <= face.y0 or box.y0 >= face.y1
    assert counts == [2, 2, 2, 2]
    assert find(portrait()[:60, :60].copy()) == []


def test_a_square_is_cut_exactly_and_resized() -> None:
    picture = portrait()
    exact = cut_square(picture, Box(30.2, 20.4, 94.2, 84.4), 64)
    np.testing.assert_allclose(exact, picture[20:84, 30:94] / 255, atol=1e-6)
    half = cut_square(picture, Box(30, 20, 94, 84), 32)
    blocks = picture[20:84, 30:94].reshape(32, 2, 32, 2, 3).mean((1, 3)) / 255
    np.testing.assert_allclose(half, blocks, atol=0.005)
    larger = cut_square(picture, Box(30, 20, 94, 84), 128)
    assert larger.min() >= 0
    assert larger.max() <= 1


# Reading.


@pytest.mark.parametrize(
    "name", ["half.jpg", "half.png", "empty.jpg", "text.png", "half.mkv", "missing.png"]
)
def test_what_cannot_be_read_in_whole_is_told(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if path.suffix == ".mkv":
        film(path, [portrait(number) for number in range(40)])
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 19 // 20])
        frames = read_frames(path)
        assert next(frames).shape == (240, 256, 3)
        with pytest.raises(InputError):
            list(frames)
        return
    if path.stem == "half":
        _, encoded = cv2.imencode(path.suffix, portrait())
        path.write_bytes(encoded.tobytes()[: len(encoded) // 2])
    elif path.stem != "missing":
        path.write_text("" if path.stem == "empty" else "no picture")
    with pytest.raises(InputError, match=name):
        read_picture(path)


def test_pictures_of_every_kind_come_as_three_bytes_in_rgb(tmp_path: Path) -> None:
    image = portrait()
    kinds = {
        "colour.png": image[..., ::-1],
        "grey.png": image[..., 0],
        "clear.png": np.dstack([image[..., ::-1], np.full((240, 256), 255, np.uint8)]),
        "deep.png": image[..., ::-1].astype(np.uint16) * 257,
    }
    for name, stored in kinds.items():
        cv2.imwrite(str(tmp_path / name), stored)
        read = read_picture(tmp_path / name)
        assert read.dtype == np.uint8
        wanted = image[..., :1].repeat(3, axis=2) if name == "grey.png" else image
        assert off(read, wanted) < 1
    assert is_picture(Path("a.JPG"))
    assert not is_picture(Path("a.mp4"))


# The command.


def film(path: Path, frames: list[ByteImage]) -> None:
    """Write a video, as good as without loss."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "4"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv444p"
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))


def write_picture(path: Path, image: ByteImage) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[..., ::-1])


PEOPLE = ("ann", "bob", "cid", "dan", "eve")


def pictures(root: Path) -> Path:
    """Three cuts each of five people."""
    for number, who in enumerate(PEOPLE):
        for cut in range(3):
            image = portrait(6 * number)[4 * cut :, 3 * number :]
            write_picture(root / who / f"{cut}.png", image if cut < 2 else image[:, ::-1])
    return root


def tree(root: Path) -> Path:
    """Pictures and a video of people, and of each kind something broken and something empty."""
    pictures(root)
    film(root / "filmed/flo.mp4", [portrait(number) for number in range(15)])
    (root / "eve/broken.png").write_bytes((root / "eve/0.png").read_bytes()[:5000])
    gus = root / "filmed/gus.mkv"
    film(gus, [portrait(number) for number in range(15)])
    gus.write_bytes(gus.read_bytes()[: gus.stat().st_size * 98 // 100])  # most of it decodes
    write_picture(root / "eve/wall.png", np.full((200, 200, 3), 90, np.uint8))
    return root


def contents(path: Path) -> dict[str, list[Any]]:
    with path.open("rb") as file, np.load(file) as pack:
        names = ("name", "identity", "split", "blurred_length")
        found = {name: pack[name].tolist() for name in names}
        cuts = np.cumsum(pack["length"])[:-1]
        found["webp"] = [bytes(data) for data in np.split(pack["webp"], cuts)]
    return found


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error.splitlines()


def test_a_broken_frame_costs_no_other_frame(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = tmp_path / "frame_images_DB", tmp_path / "faces.npz"
    for number in range(24):
        write_picture(data / f"Ann/0/0.{number}.jpg", portrait(number))
    (data / "Ann/0/0.12.jpg").write_bytes(b"no picture")
    given = tmp_path / "split.csv"
    given.write_text("identity,split\nAnn,train\n", encoding="utf-8")
    args = ["prepare", str(data), "-o", str(out), "--average", "5", "7", "--split", str(given)]
    assert main(args) == 0
    broken = [line for line in said(capsys) if line.startswith("left out: /")]
    assert len(broken) == 1  # though the folder was read three times
    assert "0.12.jpg" in broken[0]
    names = [name.partition("#")[2] for name in contents(out)["name"]]
    assert names == ["0", "2x5", "7x5", "15x5", "20x5", "3x7", "16x7"]


def test_prepare_packs_what_is_sound_and_names_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = tree(tmp_path / "data"), tmp_path / "faces.npz"
    assert main(["prepare", str(data), "-o", str(out), "--average", "5", "7"]) == 0
    frames = read_frames(data / "filmed/gus.mkv")
    assert len([next(frames) for _ in range(8)]) == 8  # enough for a still and an average
    with pytest.raises(InputError, match="cut short"):
        list(frames)
    lines = said(capsys)
    assert [line for line in lines if line.startswith(f"left out: {data}")] == [
        f"left out: {data}/eve/broken.png: the PNG picture cannot be decoded",
        next(line for line in lines if line.startswith(f"left out: {data}/filmed/gus.mkv")),
    ]
    assert "left out: 1 x no face" in lines
    assert len(lines) == 4
    pack = contents(out)
    wanted = [f"{who}/{cut}.png" for who in PEOPLE for cut in range(3)]
    wanted += [f"filmed/flo.mp4#{number}" for number in (0, 12)]
    wanted += [f"filmed/flo.mp4#{number}x5" for number in (2, 7, 12)]
    wanted += [f"filmed/flo.mp4#{number}x7" for number in (3, 10)]
    assert pack["name"] == wanted
    assert [bool(length) for length in pack["blurred_length"]] == ["x" in name for name in wanted]
    assert lines[-1].startswith(f"{out}: 17 sharp and 5 averaged faces of 6 identities (")
    # The same frame, once as it is and once as the middle of an average: the same cut of it.
    still, middle = (wanted.index(f"filmed/flo.mp4#{name}") for name in ("12", "12x5"))
    assert pack["webp"][still] == pack["webp"][middle]
    assert pack["webp"][still] != pack["webp"][wanted.index("filmed/flo.mp4#7x5")]


def test_prepared_averages_are_blurred_and_lie_where_the_sharp_ones_do(tmp_path: Path) -> None:
    film(tmp_path / "flo.mp4", [portrait(number) for number in range(10)])
    split = tmp_path / "split.csv"
    split.write_text("identity,split\nflo,val\n")
    options = ["--average", "5", "--still-every", "0", "--split", str(split)]
    assert main(["prepare", str(tmp_path / "flo.mp4"), "-o", str(tmp_path / "f"), *options]) == 0
    loaded = load_pack(tmp_path / "f", "val")
    assert (len(loaded.stills), len(loaded.sharp)) == (0, 2)
    for sharp, blurred in zip(back(loaded.sharp), back(loaded.blurred), strict=True):
        assert cv2.Laplacian(blurred, cv2.CV_64F).var() < cv2.Laplacian(sharp, cv2.CV_64F).var() / 2
        # An average taken a frame aside would lie a pixel aside.
        shifts = (-2, -1, 0, 1, 2)
        errors = [off(np.roll(sharp, shift, axis=1)[:, 8:-8], blurred[:, 8:-8]) for shift in shifts]
        assert shifts[int(np.argmin(errors))] == 0


def test_nobody_is_on_two_sides(tmp_path: Path) -> None:
    data, sides = pictures(tmp_path / "data"), set()
    film(data / "ann.mp4", [portrait(number) for number in range(7)])
    for seed in ("0", "1", "2"):
        out = tmp_path / f"{seed}.npz"
        assert main(["prepare", str(data), "-o", str(out), "--seed", seed]) == 0
        pack = contents(out)
        of_person = defaultdict(set)
        for identity, side in zip(pack["identity"], pack["split"], strict=True):
            of_person[identity].add(side)
        assert set(of_person) == set(PEOPLE)
        assert all(len(sides) == 1 for sides in of_person.values())
        assert {who: side for who, (side,) in of_person.items()} == assign_splits(
            PEOPLE, seed=int(seed)
        )
        sides.add(tuple(pack["split"]))
    assert len(sides) > 1


def test_somebody_in_two_data_sets_is_on_one_side(tmp_path: Path) -> None:
    first, second = pictures(tmp_path / "first"), tmp_path / "second"
    film(second / "ann.mp4", [portrait(number) for number in range(7)])
    # Dealt on her own, she would be trained on.
    seed = next(s for s in range(99) if assign_splits(PEOPLE, seed=s)["ann"] == "test")
    out = tmp_path / "f.npz"
    command = ["prepare", str(first), str(second), "-o", str(out), "--seed", str(seed)]
    assert main([*command, "--average", "7"]) == 0
    pack = contents(out)
    anns = [i for i, who in enumerate(pack["identity"]) if who == "ann"]
    assert {pack["name"][i] for i in anns} >= {"ann/0.png", "ann.mp4#3x7"}
    assert {pack["split"][i] for i in anns} == {"test"}


def test_a_seed_repeats_byte_for_byte(tmp_path: Path) -> None:
    data = tree(tmp_path / "data")
    packs = []
    for seed, name in ((3, "a"), (3, "b"), (4, "c")):
        command = ["prepare", str(data), "-o", str(tmp_path / name), "--seed", str(seed)]
        assert main(command) == 0
        packs.append((tmp_path / name).read_bytes())
    assert packs[0] == packs[1]
    assert assign_splits([*PEOPLE, "flo"], seed=3) != assign_splits([*PEOPLE, "flo"], seed=4)
    assert packs[0] != packs[2]


def test_backgrounds_hold_no_face(tmp_path: Path, detector: MtcnnDetector) -> None:
    from skimage import data

    for number in range(4):
        image = np.roll(data.astronaut(), 30 * number, axis=1)
        write_picture(tmp_path / f"data/{number}.png", image)
    command = ["prepare", str(tmp_path / "data"), "-o", str(tmp_path / "b.npz"), "--background"]
    assert main(command) == 0
    sides = sorted(set(contents(tmp_path / "b.npz")["split"]))
    loaded = [load_pack(tmp_path / "b.npz", side) for side in sides]
    images = [image for faces in loaded for image in back(faces.stills)]
    assert 4 <= len(images) <= 8
    for image in images:
        assert detector.detect(np.ascontiguousarray(image), min_face=40, min_score=0.9) == []


def test_nothing_usable_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = tmp_path / "data", tmp_path / "f.npz"
    write_picture(data / "wall.png", np.full((200, 200, 3), 90, np.uint8))
    assert main(["prepare", str(data), "-o", str(out)]) == 3
    assert said(capsys) == [
        "left out: 1 x no face",
        f"vidfacedeblur-train: nothing to pack in {data}",
    ]
    assert list(tmp_path.iterdir()) == [data]


def test_a_split_that_names_strangers_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for who in ("ann", "bob"):
        write_picture(tmp_path / f"data/{who}/1.png", portrait())
    split, out = tmp_path / "split.csv", tmp_path / "f.npz"
    command = ["prepare", str(tmp_path / "data"), "-o", str(out), "--split", str(split)]
    split.write_text("identity,split\nann,train\nAnn,test\n")
    assert main(command) == 0
    assert said(capsys)[0] == f"left out: 1 of the identities in {split} are not in the data: Ann"
    split.write_text("identity,split\nAnn,test\n")
    assert main(command) == 3
    assert f"{split} names nobody who is in the data" in said(capsys)[-1]


def test_people_that_models_are_judged_on_are_told_of_where_they_are_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = tmp_path / "img_align_celeba", tmp_path / "f.npz"
    write_picture(data / "img_align_celeba/000001.png", portrait())
    write_picture(data / "img_align_celeba/000002.png", portrait())
    (data / "identity_CelebA.txt").write_text("000001.png 10007\n000002.png 1\n")
    write_picture(tmp_path / "lfw/AJ_Cook/AJ_Cook_0001.png", portrait())
    split = tmp_path / "split.csv"
    command = ["prepare", str(data), str(tmp_path / "lfw"), "-o", str(out), "--split", str(split)]
    split.write_text("identity,split\nAJ_Cook,train\n10007,train\n1,val\n")
    assert main(command) == 0
    assert said(capsys)[-1] == (
        "trained on here, but in the sets of 'evaluate', which will flatter what learns from them:"
        " AJ_Cook, celeba_10007 (2 in all); --split can put them on the side test"
    )
    split.write_text("identity,split\nAJ_Cook,test\n10007,val\n1,train\n")
    assert main(command) == 0
    assert "flatter" not in "".join(said(capsys))


def test_somebody_whom_two_data_sets_put_on_two_sides_is_told_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, side in (("first", "train"), ("second", "test")):
        write_picture(tmp_path / name / side / "ann/1.png", portrait())
    command = ["prepare", str(tmp_path / "first"), str(tmp_path / "second")]
    assert main([*command, "-o", str(tmp_path / "f.npz")]) == 0
    told = "left out: identity ann is on two sides; all of it goes to train"
    assert told in said(capsys)
    assert set(contents(tmp_path / "f.npz")["split"]) == {"train"}


def test_names_that_look_like_series_are_told_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("id1_0001", "id1_0002", "id2-1", "id2-2", "bob"):
        write_picture(tmp_path / f"flat/{name}.png", portrait())
    write_picture(tmp_path / "flat/cid/cid_1.png", portrait())
    write_picture(tmp_path / "flat/cid/cid_2.png", portrait())
    out = tmp_path / "f.npz"
    assert main(["prepare", str(tmp_path / "flat"), "-o", str(out)]) == 0
    assert said(capsys)[-1] == (
        f"{tmp_path / 'flat'}: 4 names look like series, such as id1_0001 and id1_0002, and each"
        " was taken for a person of its own; where a series is one person, make a folder for each"
        " person, or a manifest.csv"
    )
    pack = contents(out)
    sides = dict(zip(pack["identity"], pack["split"], strict=True))
    assert sides == assign_splits(["id1_0001", "id1_0002", "id2-1", "id2-2", "bob", "cid"])


def test_people_with_folders_of_their_own_look_like_no_series(tmp_path: Path) -> None:
    for name in ("ann1/1", "ann1/2", "ann2/1", "ann2/2"):
        write_picture(tmp_path / f"{name}.png", portrait())
    assert read_dataset(tmp_path).doubts == ()
    for side, name in (("train", "ann_1"), ("test", "ann_2"), ("val", "bob")):
        write_picture(tmp_path / f"dealt/{side}/{name}.png", portrait())
    (told,) = read_dataset(tmp_path / "dealt").doubts
    assert "2 names look like series, such as ann_1 and ann_2" in told


def test_an_output_that_cannot_be_written_is_told_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {
        ".": "cannot write .: it is a folder; name a file",
        "none/f.npz": "cannot write none/f.npz: there is no folder none",
    }
    for out, says in places.items():
        code = 2 if Path(out).is_dir() else 5
        assert main(["prepare", "nosuch", "-o", out]) == code
        assert said(capsys) == [f"vidfacedeblur-train: {says}"]
        assert main(["list-set", "published", "nosuch", "-o", out]) == code
        assert said(capsys) == [f"vidfacedeblur-train: {says}"]
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write anywhere
    assert main(["prepare", "nosuch", "-o", "f.npz"]) == 5
    (line,) = said(capsys)
    assert line.startswith("vidfacedeblur-train: cannot write f.npz: nothing may be written to ")
    monkeypatch.undo()
    check_place(Path(os.devnull))


def test_nobody_to_validate_with_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_picture(tmp_path / "data/ann/1.png", portrait())
    assert main(["prepare", str(tmp_path / "data"), "-o", str(tmp_path / "f.npz")]) == 0
    assert "nothing can be trained" in said(capsys)[-1]


MISTAKES: list[tuple[list[str], int, str]] = [
    (["nosuch"], 3, "nosuch does not exist"),
    (["empty"], 3, "holds no pictures or videos"),
    (["data", "--layout", "lfw"], 3, "is not laid out as lfw"),
    (["data", "--layout", "imagenet"], 2, "unknown layout 'imagenet'"),
    (["data", "--average", "7", "1"], 2, "--average needs 2 frames or more, got 1"),
    (["data", "--still-every", "-1"], 2, "--still-every must be 0 or more"),
    (["clip.mp4", "--gamma", "0"], 2, "--gamma must lie within"),
    (["data", "--split", "nosuch.csv"], 3, "nosuch.csv"),
    (["clip.mp4", "--average", "--still-every", "0"], 3, "nothing to pack in clip.mp4"),
]


@pytest.mark.parametrize(("arguments", "code", "says"), MISTAKES)
def test_a_mistake_gives_one_clear_line(
    arguments: list[str],
    code: int,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_picture(Path("data/ann.png"), portrait())
    film(Path("clip.mp4"), [portrait(number) for number in range(3)])
    Path("empty").mkdir()
    before = sorted(tmp_path.rglob("*"))
    assert main(["prepare", *arguments, "-o", "f.npz"]) == code
    (line,) = said(capsys)
    assert line.startswith("vidfacedeblur-train: ")
    assert says in line
    assert sorted(tmp_path.rglob("*")) == before


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(OptionError, match="got 1"):
        PrepareOptions(lengths=(7, 1), gamma=1.0, still_every=0)
    with pytest.raises(OptionError, match="got -2"):
        PrepareOptions(lengths=(), gamma=1.0, still_every=-2)


def test_a_manifests_sides_and_the_users_split_are_kept(tmp_path: Path) -> None:
    data = pictures(tmp_path / "data")
    with (data / "manifest.csv").open("w", newline="") as file:
        rows = [(f"{who}/0.png", who, "test" if who == "bob" else "") for who in PEOPLE]
        csv.writer(file).writerows([("file", "identity", "split"), *rows])
    (tmp_path / "split.csv").write_text("identity,split\nann,val\n")
    command = ["prepare", str(data), "-o", str(tmp_path / "f"), "--split"]
    assert main([*command, str(tmp_path / "split.csv")]) == 0
    pack = contents(tmp_path / "f")
    sides = dict(zip(pack["name"], pack["split"], strict=True))
    assert len(sides) == 5
    assert (sides["ann/0.png"], sides["bob/0.png"]) == ("val", "test")
