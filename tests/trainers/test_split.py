"""Splits: nobody is on two sides, the shares are met, and a seed means the same everywhere."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from vidfacedeblur.errors import InputError
from vidfacedeblur.trainers.split import (
    SPLITS,
    Clip,
    DataSet,
    Picture,
    assign_splits,
    read_split,
    splitted,
)

PEOPLE = [f"person {number}" for number in range(40)]


def test_the_order_of_the_people_does_not_matter() -> None:
    shuffled = random.Random(1).sample(PEOPLE, len(PEOPLE))
    assert assign_splits(shuffled + PEOPLE[:7]) == assign_splits(PEOPLE)


def test_a_seed_repeats_and_another_gives_another_split() -> None:
    assert assign_splits(PEOPLE, seed=3) == assign_splits(PEOPLE, seed=3)
    assert assign_splits(PEOPLE, seed=3) != assign_splits(PEOPLE, seed=4)


def test_a_split_is_the_same_on_every_machine() -> None:
    # Worked out by hand with sha256sum of "0/a" and so on: f, c, b, e, d, a.
    wanted = {"f": "train", "c": "train", "b": "train", "e": "train", "d": "val", "a": "test"}
    assert assign_splits("abcdef") == wanted


def test_another_process_deals_the_same() -> None:
    program = (
        "from vidfacedeblur.trainers.split import assign_splits\n"
        "print(sorted(assign_splits({f'person {n}' for n in range(40)}, seed=7).items()))"
    )
    for hashing in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hashing},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == str(sorted(assign_splits(PEOPLE, seed=7).items()))


@pytest.mark.parametrize("seed", range(25))
def test_any_people_are_dealt_by_the_shares(seed: int) -> None:
    rng = random.Random(seed)
    people = {"".join(rng.choices("aä/é_\udcff0", k=rng.randint(1, 6))) for _ in range(seed**2)}
    sides = assign_splits(people, seed=seed)
    assert sides.keys() == people
    count = Counter(sides.values())
    for side, share in zip(SPLITS, (0.70, 0.15, 0.15), strict=True):
        assert abs(count[side] - share * len(people)) <= 1


@pytest.mark.parametrize(
    ("people", "wanted"), [(0, [0, 0, 0]), (1, [1, 0, 0]), (20, [14, 3, 3]), (100, [70, 15, 15])]
)
def test_the_papers_shares(people: int, wanted: list[int]) -> None:
    count = Counter(assign_splits(map(str, range(people))).values())
    assert [count[side] for side in SPLITS] == wanted


def test_a_split_of_ones_own_is_read(tmp_path: Path) -> None:
    path = tmp_path / "split.csv"
    path.write_text("\ufeffidentity,note,split\nann,x, train\nbob,,val\n\nann,,train\n", "utf-8")
    assert read_split(path) == {"ann": "train", "bob": "val"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot read .*split.csv: No such file"),
        (b"", r"lacks the column\(s\) identity, split"),
        (b"identity,side\nann,val\n", r"lacks the column\(s\) split"),
        (b"identity,split\nann,train\nbob,dev\n", "line 3: .*train, val, test.*'bob' and 'dev'"),
        (b"identity,split\n,train\n", "line 2: expected an identity"),
        (b"identity,split\nann\n", "line 2: .*'ann' and ''"),
        (b"identity,split\nann,train\nann,test\n", "ann is in test, but was in train above"),
        (b"identity,split\n\xff\xfe,train\n", "not CSV text in UTF-8"),
    ],
)
def test_a_wrong_split_says_what_is_wrong(text: bytes | None, says: str, tmp_path: Path) -> None:
    path = tmp_path / "split.csv"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(InputError, match=says) as caught:
        read_split(path)
    assert "\n" not in str(caught.value)


def dataset(seed: int) -> DataSet:
    """Pictures and clips of the same people, of whom some bring a side along, or two."""
    rng = random.Random(seed)
    people = [f"p{number}" for number in range(rng.randint(1, 30))]
    pictures = [
        Picture(Path(f"{n}.jpg"), f"{n}.jpg", rng.choice(people), rng.choice([None, None, *SPLITS]))
        for n in range(60)
    ]
    clips = [
        Clip(f"{n}", rng.choice(people), (Path(f"{n}.mp4"),), rng.choice([None, *SPLITS]))
        for n in range(20)
    ]
    return DataSet("pictures", tuple(pictures), tuple(clips), ("a problem",))


def sides_of(data: DataSet) -> dict[str, set[str | None]]:
    sides: dict[str, set[str | None]] = {}
    for entry in (*data.pictures, *data.clips):
        sides.setdefault(entry.identity, set()).add(entry.split)
    return sides


@pytest.mark.parametrize("seed", range(20))
def test_nobody_is_on_two_sides_over_pictures_and_clips(seed: int) -> None:
    before = dataset(seed)
    after = splitted(before, seed=seed)
    assert any(len(sides) > 1 for sides in sides_of(before).values())  # else nothing is tested
    assert all(len(sides) == 1 for sides in sides_of(after).values())
    assert all(sides <= set(SPLITS) for sides in sides_of(after).values())
    assert [p.name for p in after.pictures] == [p.name for p in before.pictures]
    assert [c.files for c in after.clips] == [c.files for c in before.clips]
    assert after == splitted(before, seed=seed)
    torn = {who for who, sides in sides_of(before).items() if len(sides - {None}) > 1}
    told = {
        f"identity {who} is on two sides; all of it goes to {side}"
        for who in torn
        for side in sides_of(after)[who]
    }
    assert after.problems[0] == "a problem"
    assert set(after.problems[1:]) == told
    assert len(after.problems) == 1 + len(torn)


def plain(**sides: str | None) -> DataSet:
    pictures = (Picture(Path(f"{who}.jpg"), f"{who}.jpg", who, s) for who, s in sides.items())  # type: ignore[arg-type]
    return DataSet("pictures", tuple(pictures))


def test_sides_that_are_there_are_kept_and_given_ones_win() -> None:
    data = plain(ann="test", bob="val", cid=None, dan=None)
    kept = {who: sides.pop() for who, sides in sides_of(splitted(data)).items()}
    assert (kept["ann"], kept["bob"]) == ("test", "val")
    assert kept["cid"] in SPLITS
    given = splitted(data, given={"ann": "train", "dan": "test", "eve": "val"})
    won = {who: sides.pop() for who, sides in sides_of(given).items()}
    assert won == {**kept, "ann": "train", "dan": "test", "cid": "train"}


def test_the_seed_deals_those_without_a_side() -> None:
    data = plain(**dict.fromkeys(PEOPLE))
    assert splitted(data, seed=1) != splitted(data, seed=2)
    count = Counter(picture.split for picture in splitted(data, seed=1).pictures)
    assert count == {"train": 28, "val": 6, "test": 6}
