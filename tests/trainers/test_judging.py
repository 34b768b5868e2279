"""The shipped lists, and the sub-commands that export, evaluate, list and convert."""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import os
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch
from tests_support import portrait

from vidfacedeblur.errors import InputError, OutputError
from vidfacedeblur.models.weights import load_model, save_model
from vidfacedeblur.trainers.__main__ import main
from vidfacedeblur.trainers.averaging import AveragedFace, averaged_faces
from vidfacedeblur.trainers.baselines import BASELINES
from vidfacedeblur.trainers.fixed_sets import (
    KERNEL_SIZES,
    LENGTHS,
    SETS,
    FixedSet,
    Row,
    checked,
    square_of,
)
from vidfacedeblur.trainers.media import read_frames
from vidfacedeblur.trainers.recipe_files import load_recipe
from vidfacedeblur.trainers.report import BEGIN, END
from vidfacedeblur.trainers.run import Run
from vidfacedeblur.trainers.split import read_split

SHIPPED = Path(__file__).parents[2] / "trainers/sets"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def columns(name: str) -> list[str]:
    """Of a shipped list."""
    return (SHIPPED / name).read_text().splitlines()[0].split(",")


def write_picture(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[..., ::-1])
    return path


def film(path: Path, frames: int) -> Path:
    """A video of the astronaut, who moves a pixel in each frame; every frame is stored exactly."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(path, "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 256, 240, "bgr0"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(portrait(number), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


# The shipped lists.


@pytest.mark.parametrize("name", SETS)
def test_a_shipped_list_names_each_pair_once(name: str) -> None:
    rows = SETS[name].rows()
    assert rows
    assert len({tuple(row.items()) for row in rows}) == len(rows)
    for row in rows:
        digests = [value for key, value in row.items() if key.endswith("sha256")]
        assert digests
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests)
        assert not any(Path(row.get(key, "")).is_absolute() for key in ("file", "blurred", "sharp"))
        assert None not in row.values()


def test_every_kernel_size_comes_equally_often() -> None:
    rows = SETS["synthetic-faces"].rows()
    sizes = Counter(int(row["kernel_size"]) for row in rows)
    assert tuple(sorted(sizes)) == KERNEL_SIZES == (13, 15, 17, 19, 21, 23, 25, 27)
    assert max(sizes.values()) - min(sizes.values()) <= 1
    assert sorted(int(row["seed"]) for row in rows) == list(range(len(rows)))
    assert len({row["file"] for row in rows}) == len({row["sha256"] for row in rows}) == len(rows)
    assert all(row["file"].startswith("test/") for row in rows)
    assert all(square_of(row).width >= 48 for row in rows)


def test_averaged_clips_are_kept_for_testing() -> None:
    sides = read_split(SHIPPED / "averaged_video_split.csv")
    rows = SETS["averaged-video"].rows()
    assert {sides[Path(row["file"]).stem] for row in rows} == {"test"}
    assert "train" in sides.values()
    assert {int(row["length"]) for row in rows} == set(LENGTHS)
    middles = defaultdict(set)
    for row in rows:
        assert int(row["middle"]) >= int(row["length"]) // 2
        middles[row["file"], int(row["length"])].add(int(row["middle"]))
    for (_, length), places in middles.items():
        assert all(b - a >= length for a, b in pairwise(sorted(places)))  # windows do not overlap


def test_what_others_published_is_whole_or_not_there() -> None:
    rows = SETS["published"].rows()
    known = [row for row in rows if row["psnr_ren2019"]]
    assert known
    assert all(10 < float(row["psnr_ren2019"]) < 60 for row in known)
    assert all(0 < float(row["ssim_ren2019"]) <= 1 for row in known)
    assert not any(row["ssim_ren2019"] for row in rows if not row["psnr_ren2019"])
    # A gain over the blurred input is a fair one only if both are means over the same pictures.
    assert not {row["group"] for row in known} & {r["group"] for r in rows if r not in known}


@pytest.mark.parametrize("limit", [1, 2, 7, 1473, 5000])
def test_a_part_of_a_list_is_spread_over_it(limit: int) -> None:
    every = SETS["synthetic-faces"].rows()
    rows = SETS["synthetic-faces"].rows(limit)
    assert len(rows) == min(limit, len(every))
    places = [every.index(row) for row in rows]
    assert places == sorted(set(places))
    if limit > 1:
        assert (places[0], places[-1]) == (0, len(every) - 1)
        assert max(b - a for a, b in pairwise(places)) <= len(every) / (limit - 1) + 1


def test_another_file_under_the_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"this one")
    assert checked(path, sha256(path)) == path
    with pytest.raises(InputError, match=r"a\.png is not the file that"):
        checked(path, "0" * 64)
    with pytest.raises(InputError, match=r"cannot read .*b\.png"):
        checked(tmp_path / "b.png", "0" * 64)


# Making pairs, from lists drawn up here.


@pytest.fixture
def faces_row(tmp_path: Path) -> Row:
    path = write_picture(tmp_path / "data/faces/test/ann.png", portrait())
    return {
        "file": "test/ann.png",
        "sha256": sha256(path),
        "x0": "60",
        "y0": "50",
        "side": "128",
        "kernel_size": "13",
        "seed": "0",
    }


Listed = Callable[[str, list[Row]], None]


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> Listed:
    """Puts other rows into the list of a set."""
    lists: dict[str, list[Row]] = {}
    monkeypatch.setattr(
        FixedSet, "rows", lambda self, limit=None: lists[self.name.split()[0]][:limit]
    )

    def put(name: str, rows: list[Row]) -> None:
        lists[name] = rows

    return put


def test_a_synthetic_pair_is_blurred_noisy_and_repeats(
    faces_row: Row, listed: Listed, tmp_path: Path
) -> None:
    rows = [faces_row, {**faces_row, "seed": "1"}, {**faces_row, "kernel_size": "27"}]
    listed("synthetic-faces", rows)
    chosen = SETS["synthetic-faces"]
    first, reseeded, larger = chosen.pairs(tmp_path / "data")
    (again,) = chosen.pairs(tmp_path / "data", 1)
    np.testing.assert_allclose(first.sharp, portrait()[50:178, 60:188] / 255, atol=1e-6)
    assert np.array_equal(first.blurred, again.blurred)
    assert not np.array_equal(first.blurred, reseeded.blurred)
    assert (first.group, larger.group) == ("13", "27")
    assert first.kernel is not None
    assert first.kernel.shape == (59, 59)
    assert first.blurred.dtype == first.sharp.dtype == np.float32
    levels = 255 * first.blurred
    np.testing.assert_allclose(levels, np.rint(levels), atol=1e-4)
    blurred = cv2.filter2D(
        first.sharp,
        -1,
        np.ascontiguousarray(first.kernel[::-1, ::-1]),
        borderType=cv2.BORDER_REFLECT_101,
    )
    noise = first.blurred - blurred
    assert noise.std() == pytest.approx(0.01, rel=0.05)
    assert abs(noise.mean()) < 1e-3


def test_listed_averages_are_those_that_training_makes(listed: Listed, tmp_path: Path) -> None:
    clip, out = film(tmp_path / "data/videos/ann.mkv", 34), tmp_path / "list.csv"
    film(tmp_path / "data/videos/bob.mkv", 16)
    (tmp_path / "split.csv").write_text("identity,split\nbob,train\n")
    command = ["list-set", "averaged-video", str(clip.parent), "-o", str(out)]
    assert main([*command, "--split", str(tmp_path / "split.csv")]) == 0
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["file"] for row in rows} == {"ann.mkv"}
    assert {int(row["length"]) for row in rows} >= {5, 7, 9}
    # The list is by length; pairs come in the order of their frames.
    listed("averaged-video", rows)
    pairs = list(SETS["averaged-video"].pairs(tmp_path / "data"))
    assert len(pairs) == len(rows)
    assert Counter((p.name, p.group) for p in pairs) == Counter(
        (f"ann.mkv#{row['middle']}", row["length"]) for row in rows
    )
    by_name = {(p.name, p.group): p for p in pairs}
    for row in rows:
        pair = by_name[f"ann.mkv#{row['middle']}", row["length"]]
        length, middle = int(row["length"]), int(row["middle"])
        square = square_of(row)
        found = averaged_faces(read_frames(clip), lambda _, s=square: [s], length=length, side=128)
        kept = [face for face in found if isinstance(face, AveragedFace)]
        (trained,) = [face for face in kept if face.middle == middle]
        assert np.array_equal(pair.sharp, trained.sharp)
        assert np.abs(pair.blurred - trained.blurred).max() <= 0.5 / 255 + 1e-6
        # And they are those of the film, by what was drawn into it.
        x0, y0, x1, y1 = map(int, square)
        assert min(x0, y0) >= 0
        moved = [portrait(n)[y0:y1, x0:x1] for n in (middle - 1, middle, middle + 1)]
        small = [cv2.resize(m, (128, 128), interpolation=cv2.INTER_AREA) / 255 for m in moved]
        errors = [float(np.abs(pair.sharp - s).mean()) for s in small]
        assert errors[1] < 0.002 < min(errors[0], errors[2])


def test_published_pictures_come_whole(listed: Listed, tmp_path: Path) -> None:
    folder = tmp_path / "data/benchmark/set"
    sharp = write_picture(folder / "sharp/1.png", portrait()[:100, :90])
    blurred = write_picture(folder / "blurry/1.png", cv2.blur(portrait(), (9, 1))[:100, :90])
    row = {
        "group": "vd1",
        "folder": "set",
        "blurred": "blurry/1.png",
        "blurred_sha256": sha256(blurred),
        "sharp": "sharp/1.png",
        "sharp_sha256": sha256(sharp),
    }
    theirs = {"psnr_ren2019": "30.5", "ssim_ren2019": "0.91"}
    listed("published", [row | theirs, row | dict.fromkeys(theirs, "")])
    known, unknown = SETS["published"].pairs(tmp_path / "data")
    np.testing.assert_allclose(known.sharp, portrait()[:100, :90] / 255, atol=1e-6)
    assert known.sharp.dtype == known.blurred.dtype == np.float32
    assert not np.array_equal(known.sharp, known.blurred)
    assert (known.group, known.peers) == ("vd1", {"Ren et al. 2019": (30.5, 0.91)})
    assert unknown.peers == {}
    listed("published", [row | theirs | {"sharp_sha256": sha256(blurred)}])
    with pytest.raises(InputError, match=r"sharp/1\.png is not the file"):
        list(SETS["published"].pairs(tmp_path / "data"))


# Commands.


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What was told on standard error, without what engines say about themselves."""
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return [line for line in error.splitlines() if not line.endswith(" ...")]


@pytest.fixture
def weights(small_weights: Path, tmp_path: Path) -> Path:
    """Weights of a small DeblurGAN, with a card."""
    path = tmp_path / "weights/small.safetensors"
    path.parent.mkdir()
    shutil.copy(small_weights, path)
    path.with_suffix(".json").write_text('{"model": "deblurgan", "evaluation": {}}')
    return path


def test_evaluate_writes_all_that_is_asked_for(
    weights: Path,
    faces_row: Row,
    listed: Listed,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    listed("synthetic-faces", [faces_row, {**faces_row, "seed": "1", "kernel_size": "27"}])
    readme, out = tmp_path / "README.md", tmp_path / "deep/out"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    code = main(
        [
            *("evaluate", "--models", f"deblurgan={weights}", f"deblurgan:twin={weights}"),
            *("--data", str(tmp_path / "data"), "--sets", "synthetic-faces", "--engine", "torch"),
            *("--device", "cpu", "--out", str(out), "--readme", str(readme), "--cards"),
        ]
    )
    assert code == 0
    printed = capsys.readouterr().out
    methods = ["blurred input", *BASELINES]
    methods += [f"deblurgan={weights}".partition("=")[0], "deblurgan:twin"]
    assert re.findall(r"^\| ([^|]+) \|", printed, re.MULTILINE) == [
        *("method", *methods),
        *("kernel size", *methods),
    ]
    assert "**synthetic-faces v2**, 2 pairs" in printed
    assert "| kernel size | 13 | 27 |" in printed
    text = readme.read_text()
    assert text.startswith(f"before\n{BEGIN}\nWeights (sha256): deblurgan `{sha256(weights)[:12]}`")
    assert text.endswith(f"\n{END}\nafter\n")
    assert "old" not in text
    assert printed.strip() in text
    assert (out / "results.md").read_text().strip() in text
    with (out / "results.csv").open(newline="") as file:
        rows = {(row["method"], row["group"]): row for row in csv.DictReader(file)}
    assert set(rows) == {(method, group) for method in methods for group in ("all", "13", "27")}
    gain = float(rows["deblurgan", "all"]["psnr"]) - float(rows["blurred input", "all"]["psnr"])
    assert f"| deblurgan | {gain:+.2f} |"[:-4] in printed
    picture = cv2.imread(str(out / "synthetic-faces-v2.png"))
    assert picture.shape == (2 * 256, 4 * 256, 3)
    card = json.loads(weights.with_suffix(".json").read_text())
    assert card["model"] == "deblurgan"
    figures = card["evaluation"]["sets"]["synthetic-faces v2"]
    assert figures["images"] == 2
    assert figures["deblurred"]["psnr"] == pytest.approx(
        float(rows["deblurgan", "all"]["psnr"]), rel=1e-4
    )
    assert set(figures["deblurred"]["psnr_and_ssim_by_group"]) == {"13", "27"}
    assert card["evaluation"]["engine"] == "torch"


def test_evaluate_finds_the_data_by_the_environment(
    weights: Path,
    faces_row: Row,
    listed: Listed,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    listed("synthetic-faces", [faces_row, faces_row])
    monkeypatch.setenv("VIDFACEDEBLUR_DATA", str(tmp_path / "data"))
    weights.with_suffix(".json").unlink()
    before = sorted(tmp_path.rglob("*"))
    options = ["--sets", "synthetic-faces", "--engine", "torch", "--device", "cpu"]
    command = ["evaluate", "--models", f"deblurgan={weights}", *options]
    assert main([*command, "--limit", "1"]) == 0
    assert ", 1 pairs" in capsys.readouterr().out
    assert main([*command, "--cards"]) == 0
    captured = capsys.readouterr()
    assert f"deblurgan: no card beside {weights}" in captured.err
    assert sorted(tmp_path.rglob("*")) == before


EVALUATE = ("--sets", "synthetic-faces", "--engine", "torch", "--device", "cpu")
MISTAKES: list[tuple[list[str], int, str]] = [
    ([], 2, "--data FOLDER"),
    (["--data", "data", "--limit", "0"], 2, "--limit must be 1 or more, got 0"),
    (["--data", "data", "--limit", "1", "--cards"], 2, "take whole sets only"),
    (["--data", "data", "--limit", "1", "--readme", "small"], 2, "take whole sets only"),
    (["--data", "data", "--sets"], 2, "--sets needs one of synthetic-faces, averaged-video"),
    (["--data", "data", "--engine", "tensorflow"], 2, "--engine must be one of auto, torch"),
    (["--data", "data", "--device", "gpu"], 2, "--device must be auto, cpu, cuda"),
    (["--data", "data", "-o", "small"], 5, "small cannot be made: File exists"),
    (["--data", "data", "--readme", "nosuch"], 3, "cannot read nosuch"),
    (["--data", "data", "--models", "deblurgan3"], 2, "deblurgan3"),
    (["--data", "data", "--models", "deblurgan=nosuch"], 2, "nosuch"),
    (["--data", "data", "--models", "deblurgan="], 2, "deblurgan= names no file"),
    (["--data", "data", "--models", "deblurganv2-inception:a"], 2, "deblurganv2-inception:a=FILE"),
    (["--data", "data", "--models", "deepdeblur=small"], 2, "holds weights of deblurgan"),
    (["--data", "data", "--models", "deblurgan=small", "deblurgan=small"], 2, "the same name"),
    (["--data", "nosuch", "--models", "deblurgan=small"], 3, "nosuch/faces/test/ann.png"),
    (["--data", "other", "--models", "deblurgan=small"], 3, "ann.png is not the file that"),
]


@pytest.mark.parametrize(("arguments", "code", "says"), MISTAKES)
def test_a_mistake_in_evaluating_gives_one_line(
    arguments: list[str],
    code: int,
    says: str,
    weights: Path,
    faces_row: Row,
    listed: Listed,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    listed("synthetic-faces", [faces_row])
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VIDFACEDEBLUR_DATA", raising=False)
    shutil.copy(weights, "small")
    write_picture(Path("other/faces/test/ann.png"), portrait(1))
    assert main(["evaluate", *EVALUATE, *arguments]) == code
    (line,) = said(capsys)
    assert line.startswith("vidfacedeblur-train: ")
    assert says in line


def test_evaluate_leaves_a_file_without_marks_alone(
    weights: Path,
    faces_row: Row,
    listed: Listed,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    listed("synthetic-faces", [faces_row])
    (tmp_path / "README.md").write_text("no marks")
    options = ["--data", str(tmp_path / "data"), "--readme", str(tmp_path / "README.md")]
    assert main(["evaluate", "--models", f"deblurgan={weights}", *options, *EVALUATE]) == 3
    (line,) = said(capsys)
    assert "README.md lacks the lines" in line
    assert (tmp_path / "README.md").read_text() == "no marks"


# Lists.


def manifest(root: Path) -> Path:
    """Pictures of the astronaut and of a wall, dealt to two sides."""
    rows = []
    for number in range(10):
        write_picture(root / f"test/{number}.png", portrait(3 * number))
        rows.append((f"test/{number}.png", f"person {number}", "test"))
    write_picture(root / "test/wall.png", np.full((200, 200, 3), 90, np.uint8))
    write_picture(root / "train/1.png", portrait())
    rows += [("test/wall.png", "wall", "test"), ("train/1.png", "another", "train")]
    with (root / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "identity", "split"), *rows])
    return root


def test_a_list_of_faces_reads_back_as_pairs(
    listed: Listed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = manifest(tmp_path / "data/faces"), tmp_path / "list.csv"
    assert main(["list-set", "synthetic-faces", str(folder), "-o", str(out)]) == 0
    (line,) = said(capsys)
    assert line.startswith(f"{out}: 10 pairs (13: 2, 15: 2, 17: 1, ")
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [f"test/{number}.png" for number in range(10)]
    assert list(rows[0]) == columns("synthetic_faces_v2.csv")
    assert [int(row["seed"]) for row in rows] == list(range(10))
    listed("synthetic-faces", rows)
    pairs = list(SETS["synthetic-faces"].pairs(tmp_path / "data"))
    assert [pair.sharp.shape for pair in pairs] == [(128, 128, 3)] * 10
    # The head moves over the pictures and stays where it is in their cuts.
    assert int(rows[9]["x0"]) - int(rows[0]["x0"]) == pytest.approx(27, abs=8)


def test_a_list_of_published_pictures(tmp_path: Path) -> None:
    folder, out = tmp_path / "benchmark", tmp_path / "list.csv"
    for kind in ("sharp", "blurry"):
        write_picture(folder / f"axium/{kind}/1.png", portrait(len(kind)))
    heading = ("set", "blurred", "sharp", "psnr_ren2019", "ssim_ren2019")
    rows = [
        ("axium/vd1", "blurry/1.png", "sharp/1.png", "30.5", "0.9"),
        ("axium", "blurry/1.png", "", "", ""),
    ]
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([heading, *rows])
    assert main(["list-set", "published", str(folder), "-o", str(out)]) == 0
    with out.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert list(row) == columns("published_v1.csv")
    assert (row["group"], row["folder"], row["psnr_ren2019"]) == ("vd1", "axium", "30.5")
    assert row["sharp_sha256"] == sha256(folder / "axium/sharp/1.png")


@pytest.mark.parametrize("name", SETS)
def test_nothing_to_list_is_one_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "data", tmp_path / "list.csv"
    write_picture(folder / "ann/1.png", portrait())
    if name == "published":
        (folder / "manifest.csv").write_text("set,blurred,sharp,psnr_ren2019,ssim_ren2019\n")
    assert main(["list-set", name, str(folder), "-o", str(out)]) == 3
    (line,) = said(capsys)
    assert line.startswith("vidfacedeblur-train: ")
    assert not out.exists()


# Exporting and converting.


def run_folder(tmp_path: Path, **changes: Any) -> tuple[Path, dict[str, torch.Tensor]]:
    """A run that was just begun, and its averaged weights."""
    recipe = replace(load_recipe("deblurgan", "default"), network={"width": 8, "blocks": 1})
    run = Run(recipe, device="cpu")
    run.progress.step, run.progress.seconds = 123, 5400.0
    average = {key: value + 0.25 for key, value in run.average.state.items()}
    run.average.state = {**average, **changes}
    folder = tmp_path / "run"
    folder.mkdir()
    run.save(folder / "checkpoint.pt")
    return folder, average


EXPORT = ("--trained-on", "faces of nobody", "--licence", "CC0")


def test_export_makes_weights_and_card_of_the_average(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, average = run_folder(tmp_path)
    saved = torch.load(folder / "checkpoint.pt")
    torch.save(saved | {"sources": ["one", "two"], "commit": "a" * 40}, folder / "checkpoint.pt")
    out = tmp_path / "deep/out"
    command = ["export", str(folder), "--out", str(out), *EXPORT, "--hardware", "an abacus"]
    assert main([*command, "--note", "by hand"]) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "deblurgan.json",
        "deblurgan.safetensors",
    ]
    assert said(capsys)[-1].startswith(f"{out}/deblurgan.safetensors and its card")
    model = load_model("deblurgan", out / "deblurgan.safetensors")
    state = model.network.state_dict()
    assert set(state) == set(average)
    for key, value in average.items():
        assert torch.allclose(state[key].float(), value.float(), atol=1e-3), key
    card = json.loads((out / "deblurgan.json").read_text())
    assert card["sha256"] == sha256(out / "deblurgan.safetensors") == model.sha256
    assert (card["steps"], card["hours"], card["device"]) == (123, 1.5, "an abacus")
    assert (card["data"], card["licence"]) == ("faces of nobody", "CC0")
    assert card["recipe"] == json.loads(json.dumps(saved["recipe"]))
    assert (card["sources"], card["commit"]) == (["one", "two"], "a" * 40)
    assert (card["note"], card["evaluation"]) == ("by hand", {})
    assert card["config"]["width"] == card["recipe"]["network"]["width"] == 8
    assert all((path.stat().st_mode & 0o777) == 0o644 for path in out.iterdir())


def test_weights_that_do_not_fit_leave_nothing_new(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, average = run_folder(tmp_path)
    shutil.rmtree(tmp_path / "run")
    key = next(iter(average))
    folder, _ = run_folder(tmp_path, **{key: torch.full_like(average[key], 1e6)})
    out = tmp_path / "out"
    out.mkdir()
    (out / "deblurgan.safetensors").write_text("yesterday's")
    assert main(["export", str(folder), "--out", str(out), *EXPORT]) == 2
    (line,) = said(capsys)
    assert f"{key} of deblurgan does not fit float16" in line
    assert [path.read_text() for path in out.iterdir()] == ["yesterday's"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_run_of_a_gpu_elsewhere_needs_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = run_folder(tmp_path)
    state = torch.load(folder / "checkpoint.pt")
    torch.save(state | {"device": "cuda"}, folder / "checkpoint.pt")
    assert main(["export", str(folder), "--out", str(tmp_path / "out"), *EXPORT]) == 2
    assert "say --hardware which" in said(capsys)[-1]


def test_a_full_disk_leaves_no_half_of_the_weights(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model("deblurgan", weights)

    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    out = tmp_path / "new.safetensors"
    with pytest.raises(OutputError, match=r"cannot write .*new.safetensors: No space left"):
        save_model(out, "deblurgan", model.config, model.network.state_dict())
    assert not list(tmp_path.glob("new*"))


def test_a_folder_that_takes_no_files_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = run_folder(tmp_path)
    assert main(["export", str(folder), "--out", "/proc", *EXPORT]) == 5
    assert said(capsys)[-1].startswith("vidfacedeblur-train: cannot write /proc: ")


@pytest.mark.parametrize("option", ["--out", "--readme", "--cards"])
def test_what_cannot_be_written_is_said_before_anything_is_judged(
    option: str,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (readme := tmp_path / "README.md").write_text(f"{BEGIN}\n{END}\n")
    asked = {"--out": [str(tmp_path)], "--readme": [str(readme)], "--cards": []}[option]
    monkeypatch.setattr("os.access", lambda *_: False)
    words = ["evaluate", "--models", f"deblurgan={weights}", "--data", str(tmp_path / "no data")]
    assert main([*words, "--engine", "torch", option, *asked]) == 5
    assert "nothing may be written to" in said(capsys)[-1]


@pytest.mark.parametrize("text", [None, "no checkpoint"])
def test_no_run_to_export_is_one_line(
    text: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is not None:
        (tmp_path / "checkpoint.pt").write_text(text)
    assert main(["export", str(tmp_path), "--out", str(tmp_path / "out"), *EXPORT]) == 3
    line = said(capsys)[0]
    assert line.startswith("vidfacedeblur-train: ")
    assert "checkpoint" in line
    assert not (tmp_path / "out").exists()


def published_deblurgan() -> dict[str, torch.Tensor]:
    """A DeblurGAN as it was published, all zeros."""
    shapes: dict[str, tuple[int, ...]] = {"1": (64, 3, 7, 7), "4": (128, 64, 3, 3)}
    shapes |= {"7": (256, 128, 3, 3)}
    shapes |= {f"{n}.conv_block.{m}": (256, 256, 3, 3) for n in range(10, 19) for m in (1, 6)}
    state = {f"model.{key}.weight": torch.zeros(shape) for key, shape in shapes.items()}
    state |= {f"model.{key}.bias": torch.zeros(shape[0]) for key, shape in shapes.items()}
    for key, shape in {"19": (256, 128, 3, 3), "22": (128, 64, 3, 3)}.items():
        state[f"model.{key}.weight"], state[f"model.{key}.bias"] = (
            torch.zeros(shape),
            torch.zeros(shape[1]),
        )
    return {
        **state,
        "model.26.weight": torch.zeros(3, 64, 7, 7),
        "model.26.bias": torch.full((3,), 0.5),
    }


def test_convert_writes_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint, out = tmp_path / "latest_net_G.pth", tmp_path / "w.safetensors"
    torch.save(published_deblurgan(), checkpoint)
    command = ["convert", str(checkpoint), "--model", "deblurgan", "-o", str(out)]
    assert main(command) == 0
    assert said(capsys) == [f"{out}: deblurgan, sha256 {sha256(out)}"]
    assert load_model("deblurgan", out).config.upsampling == "transposed"
    before = checkpoint.read_bytes()
    assert main([*command[:-1], str(checkpoint)]) == 2
    (line,) = said(capsys)
    assert "is the checkpoint itself" in line
    assert checkpoint.read_bytes() == before


@pytest.mark.parametrize("text", [None, "no checkpoint"])
def test_nothing_to_convert_is_one_line(
    text: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is not None:
        (tmp_path / "c.pth").write_text(text)
    out = tmp_path / "w.safetensors"
    command = ["convert", str(tmp_path / "c.pth"), "--model", "deblurgan", "-o", str(out)]
    assert main(command) == 2
    (line,) = said(capsys)
    assert "c.pth" in line
    assert not out.exists()
