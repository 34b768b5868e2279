"""Data sets to train and judge on, in the layouts in which people have them.

A layout is read by its lists and file names alone; nothing is decoded, so that a data set of any
size is known at once. What is listed but cannot be used is told, not dropped in silence.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from vidfacedeblur.errors import InputError, OptionError
from vidfacedeblur.trainers.media import is_picture
from vidfacedeblur.trainers.split import (
    Clip,
    DataSet,
    Picture,
    Split,
    known_split,
    read_pairs,
    read_table,
    settled,
    sided,
    splitted,
)
from vidfacedeblur.video import PICTURE_SUFFIXES, VIDEO_SUFFIXES

__all__ = ["LAYOUTS", "Clip", "DataSet", "Picture", "read_dataset", "splitted"]

_SAMPLE = 200
"""Files that are looked at to recognise a layout by their names."""
_SUFFIXES = PICTURE_SUFFIXES | VIDEO_SUFFIXES
_OTHER_PICTURES = frozenset(
    {".avif", ".bmp", ".heic", ".jp2", ".pgm", ".ppm", ".tif", ".tiff", ".webp"}
)
"""Of pictures that data sets have and nothing here reads: told, unlike lists and landmarks."""
_COLUMNS = ("file", "identity", "split")
_PARTITIONS: dict[str, Split] = {"0": "train", "1": "val", "2": "test"}
_END = rf"({'|'.join(map(re.escape, sorted(PICTURE_SUFFIXES)))})$"
_PATTERNS = {
    # Videos of a person are numbered from 0 to 5. Subjects of Faces94 and Faces96 may be numbers
    # too, of six digits and more.
    "youtube_faces": r"/(?P<person>[^/]+)/\d{1,3}/[^/]+\.(?P<frame>\d+)",
    "lfw": r"/(?P<person>[^/]+)/(?P=person)_\d+",
    "faces9x": r"/(?P<person>[^/]+)/[^/]+\.(?P<frame>\d{1,3})",
}
"""What the path of a picture ends with, before its suffix; the first that fits counts."""
_EXPECTED = {
    "celeba": "img_align_celeba/000001.jpg and identity_CelebA.txt",
    "lfw": "<person>/<person>_0001.jpg",
    "youtube_faces": "frame_images_DB/<person>/<number>/<number>.<frame>.jpg",
    "faces9x": "<subject>/<subject>.<frame>.jpg",
    "manifest": "manifest.csv with the columns file, identity and split, and the files it lists",
    "pictures": f"pictures ({' '.join(sorted(PICTURE_SUFFIXES))})",
    "videos": f"videos ({' '.join(sorted(VIDEO_SUFFIXES))})",
}


def read_dataset(path: Path, layout: str = "auto") -> DataSet:
    """Read what a folder, or a single file, holds.

    Args:
        path: The data set.
        layout: A key of `LAYOUTS`, or ``auto`` to recognise it.

    Raises:
        OptionError: There is no such layout.
        InputError: The path is missing, holds nothing, or is laid out otherwise.
    """
    if layout != "auto" and layout not in LAYOUTS:
        raise OptionError(f"unknown layout {layout!r}; known: auto, {', '.join(LAYOUTS)}")
    if not path.exists():
        raise InputError(f"{path} does not exist")
    data = LAYOUTS[_recognised(path) if layout == "auto" else layout](path)
    needed = {"pictures": data.pictures, "videos": data.clips}
    if needed.get(layout, data.pictures or data.clips):
        return data
    raise InputError(_nothing(path, layout, data.problems))


def _nothing(path: Path, layout: str, problems: Sequence[str] = ()) -> str:
    """Why there is nothing to read."""
    seen = f" ({len(problems)} problems, the first: {problems[0]})" if problems else ""
    if layout == "auto":
        return f"{path} holds no pictures or videos{seen}"
    return f"{path} is not laid out as {layout}; expected {_EXPECTED[layout]}{seen}"


def _recognised(path: Path) -> str:
    """The layout, by what is there."""
    if _has_manifest(path):
        return "manifest"
    if _celeba_folder(path) is not None:
        return "celeba"
    if (path / "frame_images_DB").is_dir():
        return "youtube_faces"
    sample = list(islice(_media(path, []), _SAMPLE))
    for layout in _PATTERNS:
        if 2 * sum(_match(file, path, layout) is not None for file in sample) > len(sample):
            return layout
    return "pictures" if any(map(is_picture, sample)) else "videos"


def _has_manifest(path: Path) -> bool:
    try:
        read_table(path / "manifest.csv", _COLUMNS)
    except InputError:
        return False
    return True


def _celeba(path: Path) -> DataSet:
    """CelebA's aligned pictures; its own partition, if it is there, gives the split."""
    folder, people = _celeba_folder(path), _celeba_list(path, "identity_CelebA")
    if folder is None or people is None:
        raise InputError(_nothing(path, "celeba"))
    problems: list[str] = []
    identities, there = read_pairs(people, problems), {f.name: f for f in _media(folder, problems)}
    problems += [f"{folder / n}: listed, but missing" for n in identities if n not in there]
    problems += [f"{f}: not in {people.name}" for n, f in there.items() if n not in identities]
    partition, sides = _celeba_list(path, "list_eval_partition"), dict[str, str]()
    if partition is not None:
        sides = read_pairs(partition, problems)
        lost = (n for n in identities if n in there and sides.get(n) not in _PARTITIONS)
        problems += [f"{partition.name}: no partition 0, 1 or 2 for {n}" for n in lost]
    pictures = [
        Picture(there[n], _name(there[n], path), who, _PARTITIONS.get(sides.get(n, "")))
        for n, who in identities.items()
        if n in there
    ]
    return _on_one_side(DataSet("celeba", tuple(pictures), problems=tuple(problems)))


def _celeba_folder(path: Path) -> Path | None:
    """The folder of pictures; some archives unpack into a folder in the folder."""
    places = (path / "Img/img_align_celeba", path / "img_align_celeba")
    nested = (place / "img_align_celeba" for place in places)
    return next((place for place in (*nested, *places) if place.is_dir()), None)


def _celeba_list(path: Path, stem: str) -> Path | None:
    kinds = (".txt", ".csv")
    places = (path / place / f"{stem}{kind}" for place in (".", "Anno", "Eval") for kind in kinds)
    return next((place for place in places if place.is_file()), None)


def _manifest(path: Path) -> DataSet:
    """Pictures and videos that a manifest lists; a split that is left empty is open."""
    listed: dict[str, Picture | Clip] = {}
    problems: list[str] = []
    for line, row in read_table(path / "manifest.csv", _COLUMNS):
        name, side = Path(row["file"]).as_posix(), known_split(row["split"])
        wrong = (
            (name in listed, "is listed twice"),
            (
                Path(name).suffix.lower() not in _SUFFIXES,
                f"is not one of {_EXPECTED['pictures']} and {_EXPECTED['videos']}",
            ),
            (not (path / name).is_file(), "is missing"),
            (not row["identity"], "has no identity"),
            (bool(row["split"]) and side is None, f"has the unknown split {row['split']!r}"),
        )
        reason = next((text for holds, text in wrong if holds), None)
        if reason is None:
            listed[name] = _entry(path / name, name, row["identity"], side)
        else:
            problems.append(f"manifest.csv line {line}: {row['file']!r} {reason}")
    return _on_one_side(_set_of("manifest", listed.values(), problems))


def _entry(file: Path, name: str, who: str, side: Split | None) -> Picture | Clip:
    if is_picture(file):
        return Picture(file, name, who, side)
    return Clip(name, who, (file,), side)


def _set_of(layout: str, entries: Iterable[Picture | Clip], problems: list[str]) -> DataSet:
    pictures, clips = [], []
    for entry in entries:
        if isinstance(entry, Picture):
            pictures.append(entry)
        else:
            clips.append(entry)
    return DataSet(layout, tuple(pictures), tuple(clips), tuple(problems))


def _on_one_side(data: DataSet) -> DataSet:
    """Of an identity that the data set's list has on two sides, the first one counts."""
    return sided(data, *settled((entry.identity, entry.split) for entry in data.entries))


def _lfw(path: Path) -> DataSet:
    """Labeled Faces in the Wild: a folder of pictures for each person."""
    problems: list[str] = []
    pictures = [
        Picture(file, _name(file, path), match["person"])
        for file, match in _matching(path, "lfw", problems)
    ]
    return DataSet("lfw", tuple(pictures), problems=tuple(problems))


def _youtube_faces(path: Path) -> DataSet:
    """YouTube Faces: a folder of frames for each video of a person."""
    inner = path / "frame_images_DB"  # without the aligned copies that come beside it
    return _numbered(path, inner if inner.is_dir() else path, "youtube_faces")


def _faces9x(path: Path) -> DataSet:
    """Faces94, Faces95, Faces96 and Grimace of Essex: a folder of frames for each subject."""
    return _numbered(path, path, "faces9x")


def _numbered(path: Path, root: Path, layout: str) -> DataSet:
    """A clip for each folder of pictures, ordered by the number in their names."""
    problems: list[str] = []
    folders: dict[tuple[Path, str], list[tuple[int, Path]]] = {}
    for file, match in _matching(root, layout, problems):
        frames = folders.setdefault((file.parent, match["person"]), [])
        frames.append((int(match["frame"]), file))
    clips = (
        Clip(_name(folder, path), who, tuple(file for _, file in sorted(frames)))
        for (folder, who), frames in folders.items()
    )
    return DataSet(layout, clips=tuple(clips), problems=tuple(problems))


def _matching(path: Path, layout: str, problems: list[str]) -> Iterator[tuple[Path, re.Match[str]]]:
    """The files whose names fit the layout."""
    for file in _media(path, problems):
        match = _match(file, path, layout)
        if match is None:
            problems.append(f"{file}: not named as in {layout}: {_EXPECTED[layout]}")
        else:
            yield file, match


def _match(file: Path, root: Path, layout: str) -> re.Match[str] | None:
    # With the data set's own name, so that the folder of a single person can be given, too.
    name = file.absolute().relative_to(root.absolute().parent).as_posix()
    return re.search(_PATTERNS[layout] + _END, f"/{name}", re.IGNORECASE)


def _pictures_and_videos(path: Path, layout: str) -> DataSet:
    """Whatever lies in a folder, at every depth; folders train, val and test give the split."""
    problems: list[str] = []
    root = path.parent if path.is_file() else path
    files = list(_media(path, problems))
    dealt = all(known_split(file.relative_to(root).parts[0]) for file in files)
    entries = [_entry(file, _name(file, root), *_owner(file, root, dealt=dealt)) for file in files]
    alone = (file.stem for file in files if len(file.relative_to(root).parts) == 1 + dealt)
    told = tuple(f"{path}: {doubt}" for doubt in _series(alone))
    return _on_one_side(replace(_set_of(layout, entries, problems), doubts=told))


def _series(stems: Iterable[str]) -> Iterator[str]:
    """A line if names that were each taken for a person may be several pictures of one."""
    series: defaultdict[str, set[str]] = defaultdict(set)
    for stem in stems:
        series[re.sub(r"[_-]?\d+$", "", stem)].add(stem)
    series.pop("", None)  # of bare numbers, any may be another person
    alike = [sorted(names) for names in series.values() if len(names) > 1]
    if alike:
        yield (
            f"{sum(map(len, alike))} names look like series, such as {alike[0][0]} and"
            f" {alike[0][1]}, and each was taken for a person of its own; where a series is"
            " one person, make a folder for each person, or a manifest.csv"
        )


def _owner(file: Path, root: Path, *, dealt: bool) -> tuple[str, Split | None]:
    """Who is in a file, the first folder on the way to it or else its own stem, and the side.

    Args:
        file: The file.
        root: The data set.
        dealt: Whether its folders are those of the sides.
    """
    parts = file.relative_to(root).with_suffix("").parts
    return (parts[1], known_split(parts[0])) if dealt else (parts[0], None)


def _media(path: Path, problems: list[str]) -> Iterator[Path]:
    """Pictures and videos in a folder at every depth, or the file itself; no hidden ones."""
    others: Counter[str] = Counter()
    for file in [path] if path.is_file() else _files(path, problems):
        suffix = file.suffix.lower()
        if suffix not in _SUFFIXES:
            others[suffix] += suffix in _OTHER_PICTURES
        elif file.is_file():
            yield file
        else:
            problems.append(f"{file}: not a file, or a link to nothing")
    for suffix, count in sorted((+others).items()):
        problems.append(f"{path}: {count} x *{suffix}, which is not read; make PNG of it")


def _files(path: Path, problems: list[str]) -> Iterator[Path]:
    for folder, inner, names in os.walk(path, onerror=lambda error: problems.append(str(error))):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))


def _name(file: Path, root: Path) -> str:
    """Path relative to the data set; of the data set itself, its name."""
    return root.absolute().name if file == root else file.relative_to(root).as_posix()


LAYOUTS: dict[str, Callable[[Path], DataSet]] = {
    "celeba": _celeba,
    "lfw": _lfw,
    "youtube_faces": _youtube_faces,
    "faces9x": _faces9x,
    "manifest": _manifest,
    "pictures": lambda path: _pictures_and_videos(path, "pictures"),
    "videos": lambda path: _pictures_and_videos(path, "videos"),
}
"""How a data set is read, by the name of its layout."""
