"""Which pictures of a face are kept, and what is written of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from vidfacedeblur import BestFaces, Box, Face
from vidfacedeblur.best import shots
from vidfacedeblur.best.again import AWAY
from vidfacedeblur.best.quality import frontal, quality
from vidfacedeblur.best.shots import Shot, apart, kept
from vidfacedeblur.errors import OptionError, OutputError, OutputExistsError
from vidfacedeblur.events import GONE
from vidfacedeblur.work import Work, work_on

Image = NDArray[np.uint8]
STRAIGHT = ((30.0, 35.0), (60.0, 35.0), (45.0, 52.0), (33.0, 68.0), (57.0, 68.0))
FACE = Face(Box(20, 10, 70, 80), track=1, landmarks=STRAIGHT, weight=0.0, sharpness=0.4, score=1.0)
PICTURE: Image = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)


def moved(points: Sequence[tuple[float, float]], *, nose: tuple[float, float]) -> Face:
    """The face with its nose elsewhere."""
    changed = [*points]
    changed[2] = (points[2][0] + nose[0], points[2][1] + nose[1])
    return replace(FACE, landmarks=tuple(changed))


def work_of(index: int, faces: Sequence[Face], pts: int | None, picture: Image = PICTURE) -> Work:
    work = work_on(index, picture, "rgb")
    work.faces = list(faces)
    work.frame.pts, work.frame.time_base = pts, Fraction(1, 25)
    return work


def deblurred(work: Work, after: Callable[[Face], float]) -> None:
    """Darken the picture, and say how sharp the faces are that were to be changed."""
    picture = work.frame.picture
    assert isinstance(picture, np.ndarray)
    picture[...] = picture // 2
    work.faces = [
        replace(face, sharpness_after=after(face)) if face.weight else face for face in work.faces
    ]


def show(best: BestFaces, index: int, *faces: Face, pts: int | None = -1) -> None:
    """A frame, at 25 a second, on its way past the watcher."""
    work = work_of(index, faces, index if pts == -1 else pts)
    best.before(work)
    deblurred(work, lambda face: face.sharpness or 0.0)
    best.after(work)


def sharp(value: float, **more: Any) -> Face:
    return replace(FACE, sharpness=value, **more)


def sidecars(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("track-*.json"))]


def read(path: Path) -> Image:
    """A PNG as RGB."""
    bgr = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    assert bgr is not None
    assert bgr.dtype == np.uint8
    return bgr[..., ::-1]  # type: ignore[return-value]


# Which face is better


def value_of(face: Face, sharpness: float | None = 0.4) -> float:
    work = work_of(0, [], None)
    return quality(face, work.canvas, sharpness).value


def test_each_factor_counts() -> None:
    usual = value_of(FACE)
    assert 0 < usual < 1
    assert value_of(FACE, 0.5) > usual > value_of(FACE, 0.3)
    assert value_of(FACE, 0.56) == value_of(FACE, 1.0)  # crisp is crisp
    assert value_of(replace(FACE, box=Box(20, 10, 80, 94))) > usual
    assert value_of(replace(FACE, score=0.8)) < usual
    assert value_of(moved(STRAIGHT, nose=(10, 0))) < usual
    assert value_of(replace(FACE, box=Box(-25, 10, 25, 80))) == pytest.approx(usual / 2)
    assert value_of(replace(FACE, box=Box(-80, 10, -30, 80))) == 0
    assert value_of(FACE, None) > value_of(FACE, 0.5)


def test_large_is_large_enough() -> None:
    work = work_on(0, np.zeros((900, 900, 3), np.uint8), "rgb")
    sizes = [
        quality(replace(FACE, box=Box(0, 0, s, s)), work.canvas, 0.5).size for s in (64, 128, 800)
    ]
    assert sizes == [0.5, 1.0, 1.0]


def test_a_face_is_frontal_by_its_nose() -> None:
    assert frontal(FACE) == pytest.approx(1)
    yaws = [frontal(moved(STRAIGHT, nose=(x, 0))) for x in (3, 8, 15, 30)]
    assert yaws == sorted(yaws, reverse=True)
    assert yaws[0] > 0.8
    assert yaws[2] == pytest.approx(0.2)  # above an eye
    assert yaws[3] < 0.1
    assert frontal(moved(STRAIGHT, nose=(-8, 0))) == pytest.approx(yaws[1])
    bowed = [frontal(moved(STRAIGHT, nose=(0, y))) for y in (2, 5, 9)]
    assert bowed[0] == pytest.approx(1)  # people differ
    assert bowed[0] > bowed[1] > bowed[2]
    assert frontal(replace(FACE, landmarks=None)) == 1
    assert frontal(replace(FACE, landmarks=((30, 35),) * 5)) == 0


@pytest.mark.parametrize("degrees", [-90, -30, 45, 180])
def test_roll_does_not_matter(degrees: float) -> None:
    face = moved(STRAIGHT, nose=(6, 4))
    turn = np.exp(1j * np.deg2rad(degrees))
    turned = [complex(*point) * turn for point in face.landmarks or ()]
    points = tuple((p.real, p.imag) for p in turned)
    assert frontal(replace(face, landmarks=points)) == pytest.approx(frontal(face))


# Which are kept


def shot(moment: float, value: float) -> Shot:
    work = work_of(0, [], None)
    return Shot(FACE, replace(quality(FACE, work.canvas, 1.0), size=value), moment)


def chosen(pairs: Sequence[tuple[float, float]], most: int = 3) -> list[float]:
    """Moments of those chosen of (moment, value), shown one after the other."""
    have: list[Shot] = []
    for pair in pairs:
        have = kept([*have, shot(*pair)], most)
        assert len(have) <= most + 1
    return [one.moment for one in shots.chosen(have, most)]


def test_the_best_come_first_and_are_apart() -> None:
    assert chosen([(0.0, 0.5), (0.1, 0.9), (0.2, 0.8), (1.0, 0.7), (2.0, 0.6)]) == [0.1, 1.0, 2.0]
    assert chosen([(0.0, 0.5), (0.1, 0.4), (0.2, 0.3)]) == [0.0]
    assert chosen([(0.5, 0.5), (1.0, 0.5)]) == [0.5, 1.0]
    assert chosen([(0.0, 0.5), (1.0, 0.21), (2.0, 0.19)]) == [0.0, 1.0]  # too poor to be shown
    assert chosen([(t, t) for t in (0.0, 1.0, 2.0, 3.0, 4.0)]) == [4.0, 3.0, 2.0]


@pytest.mark.parametrize("rising", [True, False])
def test_of_a_face_that_comes_nearer_there_are_several(rising: bool) -> None:
    frames = [i / 25 for i in range(100)]
    found = chosen([(t, (t if rising else 4 - t) / 5) for t in frames])
    assert len(found) == 3
    assert found[0] == (frames[-1] if rising else 0)
    assert max(abs(t - found[0]) for t in found) < 1.7


def test_the_very_best_is_always_chosen_and_they_are_always_apart() -> None:
    random = np.random.default_rng(1)
    for _ in range(100):
        values = np.cumsum(random.normal(size=150))
        values = (values - values.min() + 0.01) / (np.ptp(values) + 0.01)
        pairs = [(i / 25, float(value)) for i, value in enumerate(values)]
        found = chosen(pairs)
        assert found[0] == pairs[int(np.argmax(values))][0]
        assert len(found) == 3
        gaps = [abs(a - b) for a in found for b in found if a is not b]
        assert min(gaps) > 0.5 - 1e-6
        # Nearly as good as choosing with all of them at hand.
        ideal = apart(sorted((shot(*pair) for pair in pairs), key=lambda s: -s.quality.value))
        worth = dict(pairs)
        assert sum(worth[t] for t in found) > 0.8 * sum(worth[s.moment] for s in ideal[:3])


# What is written


def test_the_files_of_a_track(tmp_path: Path) -> None:
    said = {"version": "1", "model": "m"}
    best = BestFaces(
        tmp_path / "new" / "faces",
        source="in.mp4",
        most=2,
        provenance=said,
        wall_of=lambda index: 1000.0 + index,
    )
    face = sharp(0.3, weight=1.0)
    for index in range(40):
        show(best, index, replace(face, sharpness=0.5 if index in (5, 30) else 0.3))
    assert not (tmp_path / "new").exists()
    best.close()
    best.close()
    folder = tmp_path / "new" / "faces"
    assert sorted(path.name for path in folder.iterdir()) == [
        f"track-0001-{rank}{end}" for rank in (1, 2) for end in ("-original.png", ".json", ".png")
    ]
    assert (best.tracks, best.pictures, best.short) == (1, 2, 0)
    about = sidecars(folder)[0]
    assert about.pop("quality").keys() == {
        *("value", "sharpness", "size", "frontal", "score", "inside")
    }
    # 70 high, with 21 around it, on whole pixels.
    assert about == {
        "schema": 1,
        "source": "in.mp4",
        "track": 1,
        "tracks": [1],
        "visit": 1,
        "rank": 1,
        "frame": 5,
        "pts": 5,
        "time": 0.2,
        "wall": "1970-01-01T00:16:45.000Z",
        "region": [-11, -11, 101, 101],
        "box": [20, 10, 70, 80],
        "box_in_crop": [31, 21, 81, 91],
        "landmarks": [list(point) for point in STRAIGHT],
        "landmarks_in_crop": [[x + 11, y + 11] for x, y in STRAIGHT],
        "score": 1.0,
        "sharpness": 0.5,
        "sharpness_after": 0.5,
        "deblurred": True,
        "provenance": said,
    }
    original = read(folder / "track-0001-1-original.png")
    restored = read(folder / "track-0001-1.png")
    assert original.shape == restored.shape == (112, 112, 3)
    assert np.array_equal(original[11:, 11:], PICTURE[:101, :101])
    assert np.array_equal(restored, original // 2)
    # Beyond the picture's edge there is nothing.
    assert not original[:11].any()
    assert not original[:, :11].any()
    # A picture that goes on its own way says what it is.
    assert json.loads(text_of(folder / "track-0001-1.png")["vidfacedeblur"]) == said | {"frame": 5}
    assert not text_of(folder / "track-0001-1-original.png")


def test_a_face_that_was_left_alone_is_not_called_deblurred(tmp_path: Path) -> None:
    best = BestFaces(tmp_path, source="in.mp4", provenance={"model": "m"})
    for index in range(10):
        show(best, index, replace(sharp(0.9), sharpness_after=None))
    best.close()
    assert not sidecars(tmp_path)[0]["deblurred"]
    assert not text_of(tmp_path / "track-0001-1.png")


def text_of(path: Path) -> dict[str, str]:
    """What a PNG says of itself."""
    with PIL.Image.open(path) as picture:
        return dict(picture.info)


@pytest.mark.parametrize(
    ("box", "inside"),
    [
        (Box(-25, 10, 25, 80), 0.5),
        (Box(130, 90, 190, 150), 0.25),
        (Box(-500, -500, 500, 500), 0.02),
        (Box(300, 300, 340, 340), 0.0),
    ],
)
def test_a_face_over_the_edge(box: Box, inside: float, tmp_path: Path) -> None:
    best = BestFaces(tmp_path, source="a")
    show(best, 0, replace(FACE, box=box))
    best.close()
    (about,) = sidecars(tmp_path)
    assert about["quality"]["inside"] == pytest.approx(inside, abs=0.01)
    x0, y0, x1, y1 = about["region"]
    image = read(tmp_path / "track-0001-1-original.png")
    assert image.shape == (y1 - y0, x1 - x0, 3)
    assert x1 - x0 == y1 - y0 <= 160
    there = np.pad(PICTURE, ((400, 400), (400, 400), (0, 0)))[400 + y0 : 400 + y1]
    assert np.array_equal(image, there[:, 400 + x0 : 400 + x1])


def frames_of(folder: Path, track: int = 1) -> list[int]:
    found = [about for about in sidecars(folder) if about["track"] == track]
    return [about["frame"] for about in sorted(found, key=lambda about: about["rank"])]


def test_sharper_frontal_and_whole_faces_win(tmp_path: Path) -> None:
    best = BestFaces(tmp_path, source="a", most=1)
    cases = [
        (FACE, sharp(0.5)),
        (moved(STRAIGHT, nose=(12, 0)), FACE),
        (replace(FACE, box=Box(-20, 10, 30, 80)), FACE),
        (replace(FACE, box=Box(20, 10, 45, 45)), FACE),
        (replace(FACE, score=0.9), FACE),
        # What it becomes counts, and not what it was.
        (sharp(0.45), replace(FACE, sharpness=0.1, weight=1.0)),
    ]
    for index in range(3):
        faces = [
            replace(better if index == 1 else worse, track=number)
            for number, (worse, better) in enumerate(cases, 1)
        ]
        work = work_of(index, faces, index)
        best.before(work)
        deblurred(work, lambda face: 0.6)
        best.after(work)
    best.close()
    for number in range(1, len(cases) + 1):
        assert frames_of(tmp_path, number) == [1], number


def test_without_times_frames_keep_pictures_apart(tmp_path: Path) -> None:
    best = BestFaces(tmp_path, source="a")
    for index in range(40):
        show(best, index, sharp(0.6 - index / 200), pts=None)
    best.close()
    assert frames_of(tmp_path) == [0, 15, 30]
    assert sidecars(tmp_path)[0]["time"] is None


def test_time_is_what_counts_where_there_is_one(tmp_path: Path) -> None:
    best = BestFaces(tmp_path, source="a")
    for index, pts in enumerate((0, 100, 101, 200)):  # in 1/25 s
        show(best, index, sharp(0.6 - index / 100), pts=pts)
    best.close()
    assert frames_of(tmp_path) == [0, 1, 3]


def test_a_track_is_written_when_it_cannot_come_back(tmp_path: Path) -> None:
    best = BestFaces(tmp_path, source="a")
    for index in range(3):
        show(best, index, FACE)
    for index in range(3, 2 + AWAY + GONE + 1):
        show(best, index)
        assert sidecars(tmp_path) == []
    show(best, 2 + AWAY + GONE + 1)
    assert len(sidecars(tmp_path)) == 1


OTHER: Image = np.random.default_rng(1).integers(0, 256, (120, 160, 3), np.uint8)


def shifted(face: Face, x: float, scale: float = 1.0) -> Face:
    box = Box(*(scale * value for value in face.box))
    points = tuple((scale * px + x, scale * py) for px, py in face.landmarks or ())
    return replace(face, box=Box(box.x0 + x, box.y0, box.x1 + x, box.y1), landmarks=points)


@pytest.mark.parametrize(
    ("away", "face", "picture", "one"),
    [
        (20, FACE, PICTURE, True),
        (AWAY, FACE, PICTURE, True),
        (AWAY + 1, FACE, PICTURE, False),
        (20, FACE, OTHER, False),
        (20, shifted(FACE, 20), np.roll(PICTURE, 20, 1), True),
        (20, shifted(FACE, 55), np.roll(PICTURE, 55, 1), False),
        (20, shifted(FACE, 0, 1.4), cv2.resize(PICTURE, None, fx=1.4, fy=1.4), False),
        (20, replace(FACE, landmarks=None), PICTURE, False),
    ],
    ids=["hidden", "for long", "too long", "another", "moved", "too far", "too large", "unknown"],
)
def test_a_face_that_was_hidden_stays_one(
    away: int, face: Face, picture: Image, one: bool, tmp_path: Path
) -> None:
    best = BestFaces(tmp_path, source="a")
    last = 2
    for index in range(3):
        show(best, index, FACE)
    for index in range(last + 1, last + away):
        show(best, index)
    for index in range(last + away, last + away + 40):
        work = work_of(index, [replace(face, track=2)], index, picture)
        best.before(work)
        best.after(work)
    best.close()
    assert best.tracks == (1 if one else 2)
    numbers = {about["track"]: about["tracks"] for about in sidecars(tmp_path)}
    assert numbers == ({1: [1, 2]} if one else {1: [1], 2: [2]})
    if one:
        assert {about["frame"] < 3 for about in sidecars(tmp_path)} == {True, False}


def test_two_that_are_there_at_the_same_time_stay_two(tmp_path: Path) -> None:
    best = BestFaces(tmp_path, source="a")
    for index in range(30):
        faces = [FACE] if index < 20 else []
        show(best, index, *faces, *([replace(FACE, track=2)] if index > 15 else []))
    best.close()
    assert best.tracks == 2


def test_a_number_that_comes_back_starts_again(tmp_path: Path) -> None:
    best = BestFaces(tmp_path, source="a")
    for index in range(3):
        show(best, index, sharp(0.5))
    best.flush()
    for index in range(3, 6):
        show(best, index, sharp(0.3))
    best.flush()
    best.close()
    names = [path.name for path in sorted(tmp_path.glob("*.json"))]
    assert names == ["track-0001-1.json", "track-0001v2-1.json"]
    assert [about["visit"] for about in sidecars(tmp_path)] == [1, 2]
    assert best.tracks == 2


def test_short_tracks_are_counted_and_not_written(tmp_path: Path) -> None:
    best = BestFaces(tmp_path / "none", source="a")
    for index in range(20):
        show(best, index, *([FACE] if index < 2 else []))
    best.close()
    assert (best.tracks, best.short) == (0, 1)
    assert not (tmp_path / "none").exists()


def test_of_a_still_picture_each_face_counts(tmp_path: Path) -> None:
    best = BestFaces(tmp_path, source="a")
    show(best, 0, FACE, replace(FACE, track=2), replace(FACE, track=None))
    best.close()
    assert [about["track"] for about in sidecars(tmp_path)] == [1, 2]


def test_frames_that_are_worked_on_together(tmp_path: Path) -> None:
    best = BestFaces(tmp_path, source="a", most=1)
    works = [work_of(i, [sharp(0.4 + i / 100, weight=1.0)], i) for i in range(8)]
    for work in works:
        best.before(work)
    for work in works:
        deblurred(work, lambda face: face.sharpness or 0)
        best.after(work)
    best.close()
    assert frames_of(tmp_path) == [7]
    assert np.array_equal(
        read(tmp_path / "track-0001-1.png"), read(tmp_path / "track-0001-1-original.png") // 2
    )


def test_only_what_may_be_among_the_best_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0
    whole = shots.pixels

    def counted(*arguments: Any) -> Image:
        nonlocal reads
        reads += 1
        return whole(*arguments)

    monkeypatch.setattr("vidfacedeblur.best.gather.pixels", counted)
    best = BestFaces(tmp_path, source="a", most=1)
    show(best, 0, sharp(0.5))
    assert reads == 2
    for index in range(1, 10):
        show(best, index, sharp(0.4))
    assert reads == 3  # worse, and known to be; but every fifth is looked at, to know it again
    show(best, 10, sharp(0.4, weight=1.0))
    assert reads == 4  # it might have become better
    show(best, 11, sharp(0.4, weight=1.0, box=Box(20, 10, 30, 20)))
    assert reads == 4  # not so much better
    best.close()


def test_memory_is_bounded(tmp_path: Path) -> None:
    import tracemalloc

    best = BestFaces(tmp_path, source="a", most=2)
    sizes = []
    tracemalloc.start()
    for index in range(900):
        show(best, index, sharp(0.1 + index / 2000), replace(FACE, track=2 + index // 30))
        if index % 300 == 299:
            sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert sizes[-1] - sizes[0] < 100_000  # a picture and its original are 75 kB
    best.close()


# What can go wrong


def test_pictures_that_are_there_are_not_overwritten(tmp_path: Path) -> None:
    best = BestFaces(tmp_path, source="a")
    show(best, 0, FACE, replace(FACE, track=2))
    best.close()
    (tmp_path / "track-notes.json").write_text("mine")
    (tmp_path / ".track-0009-1.png.part").write_text("left by a kill")
    with pytest.raises(OutputExistsError, match="holds pictures of faces already; --overwrite"):
        BestFaces(tmp_path, source="a")
    again = BestFaces(tmp_path, source="a", overwrite=True)
    assert len(list(tmp_path.iterdir())) == 8  # an input that cannot be read costs nothing
    show(again, 0, FACE)
    again.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("track-0001-1-original.png", "track-0001-1.json", "track-0001-1.png"),
        "track-notes.json",
    ]


def test_what_a_kill_left_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / ".track-0009-1.png.part").write_text("left by a kill")
    BestFaces(tmp_path, source="a").close()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(OutputError, match=r"cannot write pictures of faces into .*: Not a dir"):
        BestFaces(tmp_path / "a", source="a")


def test_the_sidecar_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Path.replace
    order = []

    def noted(self: Path, target: Path) -> Path:
        order.append(target.name)
        if target.name == "track-0001-2.png":
            raise OSError(28, "No space left on device")
        return whole(self, target)

    monkeypatch.setattr(Path, "replace", noted)
    best = BestFaces(tmp_path, source="a")
    for index in range(30):
        show(best, index, FACE)
    with pytest.raises(OutputError, match="No space left on device"):
        best.close()
    assert order[:3] == ["track-0001-1.png", "track-0001-1-original.png", "track-0001-1.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(order[:3])


@pytest.mark.parametrize("wrong", [{"most": 0}, {"min_frames": 0}])
def test_numbers_that_are_none(wrong: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="must be 1 or more"):
        BestFaces(tmp_path, source="a", **wrong)  # type: ignore[arg-type]
