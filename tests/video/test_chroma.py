"""Colour of interlaced pictures belongs to the fields, as their lines do."""

from __future__ import annotations

from typing import Any, cast

import av
import numpy as np
import pytest
from av.filter import Graph
from numpy.typing import NDArray

from vidfacedeblur.types import FloatImage, Frame, Region
from vidfacedeblur.video import open_canvas
from vidfacedeblur.video.frames import rows_of

WIDTH, HEIGHT = 64, 48
REGIONS = [Region(0, 0, WIDTH, HEIGHT), Region(9, 5, 50, 38), Region(8, 6, 41, 47)]
REGIONS += [Region(3, 7, 6, 8), Region(20, 46, 64, 48)]


def said(picture: av.VideoFrame, mode: str) -> av.VideoFrame:
    """A picture that says whether it is interlaced."""
    graph = Graph()
    source: Any = graph.add_buffer(
        width=picture.width,
        height=picture.height,
        format=picture.format,
        time_base=picture.time_base,
    )
    graph.link_nodes(source, graph.add("setfield", mode), graph.add("buffersink")).configure()
    graph.vpush(picture)
    return graph.vpull()


def noise(height: int, *, mode: str = "tff") -> av.VideoFrame:
    picture = av.VideoFrame(WIDTH, height, "yuv420p")
    rng = np.random.default_rng(7)
    for plane in picture.planes:
        plane.update(rng.integers(90, 160, plane.buffer_size).astype(np.uint8).tobytes())
    picture.time_base = cast(Any, 1)
    return said(picture, mode)


def field(picture: av.VideoFrame, number: int) -> av.VideoFrame:
    """Every other line of a picture, of colour too."""
    half = av.VideoFrame(picture.width, picture.height // 2, picture.format.name)
    half.colorspace = picture.colorspace
    for old, new in zip(picture.planes, half.planes, strict=True):
        rows_of(new, np.uint8)[...] = rows_of(old, np.uint8)[number::2]
    return half


def lines_of(region: Region, number: int) -> tuple[slice, Region]:
    """Which lines of a region are a field's, and the region in the field's own lines."""
    lines = [y for y in range(region.y0, region.y1) if y % 2 == number]
    part = Region(region.x0, lines[0] // 2, region.x1, lines[-1] // 2 + 1)
    return slice(lines[0] - region.y0, None, 2), part


def samples(picture: av.VideoFrame) -> list[NDArray[Any]]:
    return [rows_of(plane, np.uint8)[:, : plane.width].copy() for plane in picture.planes]


def seen(picture: av.VideoFrame, region: Region) -> FloatImage:
    return open_canvas(Frame(0, picture)).read(region)


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("region", REGIONS)
def test_the_colour_of_a_field_is_read_and_changed_by_itself(region: Region, number: int) -> None:
    picture = noise(HEIGHT)
    assert picture.interlaced_frame
    half = field(picture, number)
    if all(y % 2 != number for y in range(region.y0, region.y1)):
        return
    lines, part = lines_of(region, number)
    np.testing.assert_allclose(seen(picture, region)[lines], seen(half, part), atol=1e-6)
    before = samples(picture)
    rng = np.random.default_rng(1)
    difference = np.zeros((region.height, region.width, 3), np.float32)
    difference[lines] = rng.uniform(-0.2, 0.2, difference[lines].shape)
    open_canvas(Frame(0, picture)).add(region, difference)
    open_canvas(Frame(0, half)).add(part, difference[lines])
    for old, new, alone in zip(before, samples(picture), samples(half), strict=True):
        np.testing.assert_array_equal(new[number::2], alone)
        np.testing.assert_array_equal(new[1 - number :: 2], old[1 - number :: 2])


@pytest.mark.parametrize(("mode", "height"), [("prog", HEIGHT), ("tff", HEIGHT + 2)])
def test_lines_of_colour_that_are_of_both_fields(mode: str, height: int) -> None:
    picture = noise(height, mode=mode)
    before = samples(picture)
    one_line = np.zeros((1, WIDTH, 3), np.float32)
    one_line[..., 0] = 0.3
    open_canvas(Frame(0, picture)).add(Region(0, 5, WIDTH, 6), one_line)
    changed = [
        np.flatnonzero((a != b).any(1)) for a, b in zip(before, samples(picture), strict=True)
    ]
    assert [list(rows) for rows in changed] == [[5], [2], [2]]
