"""Every layout on a tiny tree of its real form, each with something broken in it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from tests_support import portrait, write_portrait_clip

from vidfacedeblur.errors import InputError, OptionError
from vidfacedeblur.trainers import names
from vidfacedeblur.trainers.datasets import LAYOUTS, Clip, DataSet, read_dataset, splitted
from vidfacedeblur.trainers.media import read_picture
from vidfacedeblur.types import ByteImage

LIST = "".join(f"{number:06}.jpg {2880 + number % 3}\n" for number in range(1, 7))


def paint(path: Path, grey: int = 90) -> Path:
    """A 32x32 picture in one grey, by which it is known again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded, data = cv2.imencode(path.suffix.lower(), np.full((32, 32, 3), grey, np.uint8))
    assert encoded
    path.write_bytes(data.tobytes())
    return path


def spoil(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"no picture, and no video")
    return path


def greys(clip: Clip) -> list[int]:
    return [round(float(frame.mean())) for frame in whole(clip)]


def whole(clip: Clip) -> list[ByteImage]:
    """All frames of a clip of which none may be broken."""
    problems: list[str] = []
    frames = [frame for frame in clip.frames(problems) if frame is not None]
    assert problems == []
    return frames


def unreadable(data: DataSet) -> set[str]:
    """Names of what cannot be decoded; everything else must decode."""
    broken = set()
    for picture in data.pictures:
        try:
            assert read_picture(picture.path).shape == (32, 32, 3)
        except InputError:
            broken.add(picture.name)
    for clip in data.clips:
        problems: list[str] = []
        try:
            assert [frame for frame in clip.frames(problems) if frame is not None]
        except InputError:
            problems.append(clip.name)
        broken |= {clip.name for _ in problems}
    return broken


def by_name(data: DataSet) -> dict[str, str]:
    return {entry.name: entry.identity for entry in (*data.pictures, *data.clips)}


def celeba(root: Path) -> Path:
    for number in range(1, 6):
        paint(root / f"img_align_celeba/{number:06}.jpg")
    spoil(root / "img_align_celeba/000006.jpg")
    (root / "identity_CelebA.txt").write_text(LIST)
    return root


def lfw(root: Path) -> Path:
    for name in ("Al_Gore/Al_Gore_0001", "Al_Gore/Al_Gore_0002", "Yao_Ming/Yao_Ming_0001"):
        paint(root / f"{name}.jpg")
    spoil(root / "Yao_Ming/Yao_Ming_0002.jpg")
    return root


def youtube_faces(root: Path) -> Path:
    for number in range(95, 107):
        paint(root / f"frame_images_DB/Al_Gore/0/0.{number}.jpg", number)
        paint(root / f"frame_images_DB/Yao_Ming/2/2.{number}.jpg", number)
    spoil(root / "frame_images_DB/Yao_Ming/2/2.100.jpg")
    paint(root / "frame_images_DB/Yao_Ming/5/5.1.jpg")
    (root / "frame_images_DB/Al_Gore.labeled_faces.txt").write_text("0\\0.95.jpg,0,1,2,3,4\n")
    paint(root / "aligned_images_DB/Al_Gore/0/aligned_detect_0.95.jpg")
    return root


def faces9x(root: Path) -> Path:
    for number in range(1, 13):
        paint(root / f"female/9336923/9336923.{number}.jpg", 40 + number)
        paint(root / f"malestaff/and/and_exp.{number}.jpg", 40 + number)
        paint(root / f"male/steve/steve.{number}.jpg", 40 + number)
    spoil(root / "male/steve/steve.11.jpg")
    return root


def manifest(root: Path) -> Path:
    rows = ["a.jpg,ann,train", "in/b.png,bob,val", "c.jpg,cid,test", "d.jpg,dan,", "gone.jpg,e,val"]
    (root / "in").mkdir(parents=True)
    (root / "manifest.csv").write_text("\n".join(["file,identity,split", *rows]))
    for name in ("a.jpg", "in/b.png", "d.jpg", "unlisted.jpg"):
        paint(root / name)
    spoil(root / "c.jpg")
    return root


def pictures(root: Path) -> Path:
    for name in ("alone.png", "ann/1.jpg", "ann/deep/2.JPG", "bob/1.jpeg"):
        paint(root / name)
    spoil(root / "bob/2.jpg")
    paint(root / ".hidden/x.jpg")
    paint(root / "ann/._1.jpg")
    (root / "notes.txt").write_text("nothing")
    return root


def videos(root: Path) -> Path:
    (root / "more").mkdir(parents=True)
    write_portrait_clip(root / "ann.mp4")
    write_portrait_clip(root / "more/bob.mkv", audio=False)
    spoil(root / "cid.mp4")
    return root


TREES = {
    "celeba": celeba,
    "lfw": lfw,
    "youtube_faces": youtube_faces,
    "faces9x": faces9x,
    "manifest": manifest,
    "pictures": pictures,
    "videos": videos,
}
BROKEN = {
    "celeba": "img_align_celeba/000006.jpg",
    "lfw": "Yao_Ming/Yao_Ming_0002.jpg",
    "youtube_faces": "frame_images_DB/Yao_Ming/2",
    "faces9x": "male/steve",
    "manifest": "c.jpg",
    "pictures": "bob/2.jpg",
    "videos": "cid.mp4",
}


def test_every_layout_is_tested() -> None:
    assert TREES.keys() == LAYOUTS.keys() == BROKEN.keys() == set(names.LAYOUTS)


@pytest.mark.parametrize("layout", TREES)
def test_a_layout_is_recognised_and_reads_the_same_by_name(layout: str, tmp_path: Path) -> None:
    root = TREES[layout](tmp_path / "set")
    data = read_dataset(root)
    assert data.layout == layout
    assert data == read_dataset(root, layout)


@pytest.mark.parametrize("layout", TREES)
def test_one_broken_file_stops_no_other(layout: str, tmp_path: Path) -> None:
    data = read_dataset(TREES[layout](tmp_path / "set"), layout)
    assert unreadable(data) == {BROKEN[layout]}
    assert len(data.pictures) + len(data.clips) >= 3


@pytest.mark.parametrize("layout", TREES)
def test_a_seed_splits_the_same_in_two_runs(layout: str, tmp_path: Path) -> None:
    root = TREES[layout](tmp_path / "set")
    first, second = (splitted(read_dataset(root), seed=5) for _ in range(2))
    assert first == second
    sides = {(entry.identity, entry.split) for entry in (*first.pictures, *first.clips)}
    assert len(dict(sides)) == len(sides)
    assert None not in dict(sides).values()


@pytest.mark.parametrize("layout", TREES)
def test_a_layout_that_does_not_fit_says_what_it_expects(layout: str, tmp_path: Path) -> None:
    other = videos if layout == "pictures" else pictures
    with pytest.raises(InputError) as caught:
        read_dataset(other(tmp_path / "set"), layout)
    said = str(caught.value)
    assert "\n" not in said
    assert f"not laid out as {layout}; expected" in said or (
        layout == "manifest" and "cannot read" in said
    )


def test_what_is_missing_or_unknown_is_one_line(tmp_path: Path) -> None:
    paint(tmp_path / "x.jpg")
    with pytest.raises(OptionError, match="unknown layout 'lwf'; known: auto, celeba, lfw,"):
        read_dataset(tmp_path, "lwf")
    with pytest.raises(InputError, match="nowhere does not exist"):
        read_dataset(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("nothing")
    for name in ("empty", "notes.txt"):
        with pytest.raises(InputError, match=f"{name} holds no pictures or videos$"):
            read_dataset(tmp_path / name)


def test_celeba_has_its_identities(tmp_path: Path) -> None:
    data = read_dataset(celeba(tmp_path))
    wanted = {f"img_align_celeba/{n:06}.jpg": str(2880 + n % 3) for n in range(1, 7)}
    assert by_name(data) == wanted
    assert {picture.split for picture in data.pictures} == {None}
    assert not data.problems


@pytest.mark.parametrize(
    ("folder", "people", "partition"),
    [
        ("img_align_celeba", "identity_CelebA.txt", "list_eval_partition.txt"),
        ("img_align_celeba/img_align_celeba", "identity_CelebA.csv", "list_eval_partition.csv"),
        ("Img/img_align_celeba", "Anno/identity_CelebA.txt", "Eval/list_eval_partition.txt"),
    ],
)
def test_celebas_own_partition_is_its_split(
    folder: str, people: str, partition: str, tmp_path: Path
) -> None:
    for number in range(1, 7):
        paint(tmp_path / folder / f"{number:06}.jpg")
    sides = "".join(f"{number:06}.jpg {number % 3}\n" for number in range(1, 7))
    for name, text in ((people, LIST), (partition, sides)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        heading = "image_id,value\n" if name.endswith(".csv") else ""
        comma = "," if heading else " "
        (tmp_path / name).write_text(heading + text.replace(" ", comma), "utf-8-sig")
    data = read_dataset(tmp_path)
    assert data.layout == "celeba"
    assert [p.split for p in data.pictures] == ["val", "test", "train"] * 2
    assert splitted(data, seed=9) == data
    assert not data.problems


def test_celebas_lists_are_not_believed_blindly(tmp_path: Path) -> None:
    celeba(tmp_path)
    paint(tmp_path / "img_align_celeba/000009.jpg")
    with (tmp_path / "identity_CelebA.txt").open("a") as file:
        file.write("000007.jpg 2880\nrubbish\n000001.jpg 2882\n")
    # 1 and 4 are one person; 3 has an unknown side, 6 none.
    (tmp_path / "list_eval_partition.txt").write_text(
        "000001.jpg 1\n000002.jpg 0\n000003.jpg 5\n000004.jpg 2\n000005.jpg 0\n"
    )
    data = read_dataset(tmp_path)
    assert len(data.pictures) == 6
    assert [p.split for p in data.pictures] == ["val", "train", None, "val", "train", None]
    told = (
        "identity_CelebA.txt line 8: expected a new name and a value: 'rubbish'",
        "identity_CelebA.txt line 9: expected a new name and a value: '000001.jpg 2882'",
        f"{tmp_path / 'img_align_celeba/000007.jpg'}: listed, but missing",
        f"{tmp_path / 'img_align_celeba/000009.jpg'}: not in identity_CelebA.txt",
        "list_eval_partition.txt: no partition 0, 1 or 2 for 000003.jpg",
        "list_eval_partition.txt: no partition 0, 1 or 2 for 000006.jpg",
        "identity 2881 is on two sides; all of it goes to val",
    )
    assert data.problems == told


def test_celeba_without_its_identities_is_not_guessed(tmp_path: Path) -> None:
    (celeba(tmp_path) / "identity_CelebA.txt").unlink()
    with pytest.raises(InputError, match=r"celeba; expected .* and identity_CelebA\.txt"):
        read_dataset(tmp_path)


def test_lfw_takes_the_folder_for_the_person(tmp_path: Path) -> None:
    root = lfw(tmp_path / "lfw-deepfunneled/lfw-deepfunneled").parent
    stray = paint(root / "lfw-deepfunneled/Yao_Ming/holiday.jpg")
    data = read_dataset(root)
    assert data.layout == "lfw"
    assert by_name(data) == {
        "lfw-deepfunneled/Al_Gore/Al_Gore_0001.jpg": "Al_Gore",
        "lfw-deepfunneled/Al_Gore/Al_Gore_0002.jpg": "Al_Gore",
        "lfw-deepfunneled/Yao_Ming/Yao_Ming_0001.jpg": "Yao_Ming",
        "lfw-deepfunneled/Yao_Ming/Yao_Ming_0002.jpg": "Yao_Ming",
    }
    assert len(data.problems) == 1
    assert data.problems[0].startswith(f"{stray}: ")


@pytest.mark.parametrize("inner", [".", "frame_images_DB"])
def test_youtube_faces_orders_frames_by_number(inner: str, tmp_path: Path) -> None:
    data = read_dataset(youtube_faces(tmp_path) / inner)
    assert data.layout == "youtube_faces"
    assert not data.problems
    clips = {clip.name.removeprefix("frame_images_DB/"): clip for clip in data.clips}
    people = {name: clip.identity for name, clip in clips.items()}
    assert people == {"Al_Gore/0": "Al_Gore", "Yao_Ming/2": "Yao_Ming", "Yao_Ming/5": "Yao_Ming"}
    assert greys(clips["Al_Gore/0"]) == list(range(95, 107))


def test_a_broken_frame_leaves_a_hole(tmp_path: Path) -> None:
    clip = next(c for c in read_dataset(youtube_faces(tmp_path)).clips if c.name.endswith("g/2"))
    problems: list[str] = []
    shown = [
        None if frame is None else round(float(frame.mean())) for frame in clip.frames(problems)
    ]
    assert shown == [*range(95, 100), None, *range(101, 107)]
    (problem,) = problems
    assert "2.100.jpg" in problem


def test_faces9x_orders_frames_by_number(tmp_path: Path) -> None:
    data = read_dataset(faces9x(tmp_path))
    assert by_name(data) == {
        "female/9336923": "9336923",
        "male/steve": "steve",
        "malestaff/and": "and",
    }
    for clip in data.clips:
        assert len(clip.files) == 12
    assert greys(data.clips[0]) == list(range(41, 53))


@pytest.mark.parametrize("inner", ["female", "male/steve"])
def test_faces9x_may_be_given_in_part(inner: str, tmp_path: Path) -> None:
    data = read_dataset(faces9x(tmp_path) / inner)
    assert data.layout == "faces9x"
    assert (
        by_name(data) == {"female": {"9336923": "9336923"}, "male/steve": {"steve": "steve"}}[inner]
    )


def test_a_manifest_lists_pictures_and_videos_and_what_is_wrong_with_it(tmp_path: Path) -> None:
    with (manifest(tmp_path / "set") / "manifest.csv").open("a") as file:
        file.write("\na.jpg,eve,test\nd.jpg,fay,dev\nx.txt,gus,val\nunlisted.jpg,ann,test\n")
        file.write("in/x.mp4,hal,train\n")
    (tmp_path / "set/in/x.mp4").touch()
    data = read_dataset(tmp_path / "set")
    got = [(picture.name, picture.identity, picture.split) for picture in data.pictures]
    assert got == [
        ("a.jpg", "ann", "train"),
        ("in/b.png", "bob", "val"),
        ("c.jpg", "cid", "test"),
        ("d.jpg", "dan", None),
        ("unlisted.jpg", "ann", "train"),
    ]
    starts = ("line 6: 'gone.jpg' is missing", "line 7: 'a.jpg' is listed twice")
    starts += ("line 8: 'd.jpg' is listed twice", "line 9: 'x.txt' is not one of pictures")
    assert data.clips == (Clip("in/x.mp4", "hal", (tmp_path / "set/in/x.mp4",), split="train"),)
    for problem, start in zip(data.problems, starts, strict=False):
        assert problem.startswith(f"manifest.csv {start}")
    assert data.problems[4:] == ("identity ann is on two sides; all of it goes to train",)


@pytest.mark.parametrize(
    ("row", "says"), [(",ann,val", "not one of"), ("a.jpg,,val", "no identity")]
)
def test_a_manifest_row_that_says_too_little_is_told(row: str, says: str, tmp_path: Path) -> None:
    paint(tmp_path / "a.jpg")
    paint(tmp_path / "b.jpg")
    (tmp_path / "manifest.csv").write_text(f"file,identity,split\nb.jpg,bob,val\n{row}\n")
    data = read_dataset(tmp_path)
    assert [picture.name for picture in data.pictures] == ["b.jpg"]
    assert len(data.problems) == 1
    assert says in data.problems[0]


def test_a_manifest_of_nothing_that_is_there_says_so(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("file,identity,split\na.jpg,ann,val\nb.jpg,bob,dev\n")
    told = r"holds no .*\(2 problems, the first: .*'a\.jpg' is missing\)"
    with pytest.raises(InputError, match=told):
        read_dataset(tmp_path)


def test_a_manifest_of_something_else_is_no_manifest(tmp_path: Path) -> None:
    (pictures(tmp_path) / "manifest.csv").write_text("file,width\nann/1.jpg,32\n")
    assert read_dataset(tmp_path).layout == "pictures"
    with pytest.raises(InputError, match=r"lacks the column\(s\) identity, split"):
        read_dataset(tmp_path, "manifest")


def test_pictures_belong_to_their_first_folder_or_to_themselves(tmp_path: Path) -> None:
    assert by_name(read_dataset(pictures(tmp_path))) == {
        "alone.png": "alone",
        "ann/1.jpg": "ann",
        "ann/deep/2.JPG": "ann",
        "bob/1.jpeg": "bob",
        "bob/2.jpg": "bob",
    }


def test_pictures_that_are_not_read_are_told_and_other_files_are_not(tmp_path: Path) -> None:
    for name in ("bob/4.bmp", "bob/5.BMP", "ann/2.webp", "ann/landmarks.txt", ".hidden.bmp"):
        (pictures(tmp_path) / name).write_bytes(b"any")
    data = read_dataset(tmp_path)
    assert data.problems == (
        f"{tmp_path}: 2 x *.bmp, which is not read; make PNG of it",
        f"{tmp_path}: 1 x *.webp, which is not read; make PNG of it",
    )
    assert len(data.pictures) == 5
    with pytest.raises(InputError, match=r"holds no .*4\.bmp: 1 x \*\.bmp, which is not read"):
        read_dataset(tmp_path / "bob/4.bmp")


def test_a_link_to_nothing_is_told(tmp_path: Path) -> None:
    (pictures(tmp_path) / "bob/3.jpg").symlink_to("nowhere.jpg")
    data = read_dataset(tmp_path)
    assert data.problems == (f"{tmp_path / 'bob/3.jpg'}: not a file, or a link to nothing",)
    assert len(data.pictures) == 5


@pytest.mark.parametrize("layout", ["auto", "pictures", "videos"])
def test_pictures_and_videos_may_lie_together(layout: str, tmp_path: Path) -> None:
    data = read_dataset(videos(pictures(tmp_path) / "filmed").parent, layout)
    assert len(data.pictures) == 5
    assert by_name(DataSet("", clips=data.clips)) == {
        "filmed/ann.mp4": "filmed",
        "filmed/cid.mp4": "filmed",
        "filmed/more/bob.mkv": "filmed",
    }


def test_clips_and_pictures_in_a_persons_folder_are_one_identity(tmp_path: Path) -> None:
    for who in ("ann", "bob"):
        videos(pictures(tmp_path / who))
    data = splitted(read_dataset(tmp_path))
    assert {entry.identity for entry in data.entries} == {"ann", "bob"}
    assert len({(entry.identity, entry.split) for entry in data.entries}) == 2


def test_folders_of_the_sides_give_the_split(tmp_path: Path) -> None:
    for side, who in (("train", "ann"), ("train", "bob"), ("test", "cid"), ("test", "ann")):
        (tmp_path / side / who).mkdir(parents=True)
        (tmp_path / side / who / "1.jpg").touch()
    data = splitted(read_dataset(tmp_path))
    found = {(entry.name, entry.identity, entry.split) for entry in data.entries}
    # Ann is on both; nobody may be.
    assert found == {
        ("test/ann/1.jpg", "ann", "test"),
        ("test/cid/1.jpg", "cid", "test"),
        ("train/ann/1.jpg", "ann", "test"),
        ("train/bob/1.jpg", "bob", "train"),
    }
    assert data.problems == ("identity ann is on two sides; all of it goes to test",)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "1.jpg").touch()
    assert {entry.identity for entry in read_dataset(tmp_path).entries} == {"dev", "test", "train"}


def test_a_single_file_is_a_data_set(tmp_path: Path) -> None:
    root = pictures(tmp_path / "set")
    write_portrait_clip(root / "ann.mp4")
    assert by_name(read_dataset(root / "alone.png")) == {"alone.png": "alone"}
    (clip,) = read_dataset(root / "ann.mp4").clips
    assert (clip.name, clip.identity, clip.files) == ("ann.mp4", "ann", (root / "ann.mp4",))


def test_a_videos_frames_come_one_by_one_in_order(tmp_path: Path) -> None:
    write_portrait_clip(tmp_path / "ann.mp4")
    (clip,) = read_dataset(tmp_path).clips
    shown = whole(clip)
    assert [frame.shape for frame in shown] == [(240, 256, 3)] * 6
    for number, frame in enumerate(shown):
        errors = [np.abs(frame.astype(int) - portrait(2 * other)).mean() for other in range(6)]
        assert int(np.argmin(errors)) == number
        assert min(errors) < 4  # with red and blue exchanged it is far more


def test_a_video_that_is_cut_short_gives_what_it_has_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "ann.mkv"
    write_portrait_clip(path, frames=60, audio=False)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 9 // 10])
    frames = read_dataset(path).clips[0].frames([])
    for _ in range(20):
        next(frames)
    with pytest.raises(
        InputError, match=r"ann\.mkv is cut short: read .* s of 2\.\d+ s, \d+ frames$"
    ):
        list(frames)


def test_a_split_that_the_user_gives_wins(tmp_path: Path) -> None:
    data = read_dataset(manifest(tmp_path))
    given = splitted(data, given={"ann": "test", "dan": "val"})
    assert [picture.split for picture in given.pictures] == ["test", "val", "test", "val"]


@pytest.mark.parametrize(
    ("names", "layout"),
    [
        (["ann/1.jpg", "bob/2.jpg"], "pictures"),
        (["ann/ann_1.jpg", "bob/bob_0002.png"], "lfw"),
        (["ann/bob_0001.jpg", "bob/ann_0002.jpg"], "pictures"),
        (["ann/ann.1.jpg", "bob/bob.12.jpg"], "faces9x"),
        (["female/9336923/9336923.1.jpg", "male/ann/ann.1.jpg"], "faces9x"),
        (["ann/0/0.1.jpg", "bob/3/3.1234.jpg"], "youtube_faces"),
        (["trip.20190101.jpg", "trip.20190102.jpg"], "pictures"),
        (["ann/ann_0001.jpg", "1.jpg", "2.jpg"], "pictures"),
    ],
)
def test_names_tell_the_layout(names: list[str], layout: str, tmp_path: Path) -> None:
    for name in names:
        paint(tmp_path / "7" / name)
    assert read_dataset(tmp_path / "7").layout == layout
