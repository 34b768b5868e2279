"""Records, summaries and folders of faces that tests of the pages make themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np

from vidfacedeblur.best.files import FaceFiles
from vidfacedeblur.best.quality import Quality
from vidfacedeblur.best.shots import Picture, Shot
from vidfacedeblur.report import IndexEntry, RunRecord
from vidfacedeblur.types import Box, Face, FrameResult, FrameTiming, Region, RunSummary

BASE = Fraction(1, 25)
BAD_NAME = "</script><script>alert(1)</script><!-- \"'\n\u202egpj \udce9 😀.mp4"


def result(index: int, faces: Sequence[Face] = (), *, timed: bool = True) -> FrameResult:
    timing = FrameTiming(1.0, 2.0 + index % 3, 10.0 * len(faces), 0.5, 4.0)
    return FrameResult(index, index if timed else None, BASE, tuple(faces), timing)


def face(track: int | None, weight: float = 1.0) -> Face:
    after = 0.5 if weight else None
    return Face(Box(0, 0, 80, 90), 1.0, None, track, weight, 0.4, after)


def record(frames: int = 300, tracks: int = 3, *, timed: bool = True) -> RunRecord:
    """Each track is seen a while, one after the other; its correction rises and falls."""
    made, length = RunRecord(), max(1, frames // max(1, tracks))
    for i in range(frames):
        weight = round(max(0.0, math.sin(i / length * math.pi * 2)), 3)
        there = [face(1 + i // length, weight)] if i // length < tracks else []
        made.add(result(i, there, timed=timed))
    return made


def summary(of: RunRecord, **values: Any) -> RunSummary:
    known: dict[str, Any] = {"input": "in/clip.mp4", "output": "out/clip.mp4", "model": "deblurgan"}
    known |= {"engine": "openvino", "device": "cpu", "seconds": 12.5, "stages": of.stages()}
    known |= {"frames": of.frames, "faces": of.faces, "deblurred": of.deblurred}
    known |= {"input_sha256": "a" * 64, "output_sha256": "b" * 64, "weights_sha256": "c" * 64}
    return RunSummary(**(known | {"options_sha256": "d" * 64} | values))


def write_faces(folder: Path, tracks: int = 2, *, sharp: frozenset[int] = frozenset()) -> Path:
    """Two pictures of each track: grey before, lighter after; `sharp` tracks are unchanged."""
    files = FaceFiles(folder, source="clip.mp4", provenance={}, overwrite=True)
    for track in range(1, tracks + 1):
        weight = 0.0 if track in sharp else 1.0
        files.write([track], [_shot(face(track, weight), track, rank) for rank in range(2)])
    return folder


def _shot(of: Face, track: int, rank: int) -> Shot:
    before = np.full((96, 96, 3), 60 + track, np.uint8)
    after = before if not of.deblurred else before + np.uint8(90)
    picture = Picture(track + rank, track, 0.04 * track, None, Region(0, 0, 96, 96), after, before)
    return Shot(of, _quality(), 0.04 * track, picture)


def _quality() -> Quality:
    from dataclasses import fields

    return Quality(**{one.name: 0.5 for one in fields(Quality)})


def entries(count: int) -> list[IndexEntry]:
    """Files of an archive: of each hundred one failed, one is damaged, one was skipped."""
    return [_entry(i) for i in range(count)]


def _entry(i: int) -> IndexEntry:
    state = {3: "failed", 5: "damaged", 7: "skipped"}.get(i % 100, "done")
    error = {"failed": f"no video stream in it, {i}", "damaged": "3 damaged frames"}.get(state)
    return IndexEntry(
        input=f"cam {i % 7}/clip-{i:05d}.mp4",
        output=f"out/clip-{i:05d}.mp4" if state == "done" else None,
        state=state,
        error=error,
        frames=100 + i,
        faces=2 * i,
        deblurred=i,
        seconds=10 + i / 7,
        attempts=3 if state == "failed" else 1,
        page=f"pages/clip {i:05d}#.html" if state != "skipped" else None,
        output_link=f"../out/clip-{i:05d}.mp4" if state == "done" else None,
    )


class Parsed(HTMLParser):
    """A page's elements and text, as a browser would read them."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[str] = []
        self._inside = ""
        self.feed(path.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]
