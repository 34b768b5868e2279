"""The canvas: only what is asked for changes, and it changes by what is asked for."""

from __future__ import annotations

import threading
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vidfacedeblur.errors import InputError
from vidfacedeblur.types import Frame, Region
from vidfacedeblur.video import open_canvas
from vidfacedeblur.video.layout import layouts

SUPPORTED = sorted(layouts())
COMMON = ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "nv12", "p010le"]
COMMON += ["yuvj420p", "yuv411p", "yuva420p", "gbrp", "gbrp12le", "rgb24", "bgra", "gray"]
MATRICES = {"601": 5, "601 of 525 lines": 6, "709": 1, "240M": 7, "2020": 9, "FCC": 4}


def noise(pix_fmt: str, width: int, height: int, *, low: float = 0, high: float = 1) -> Frame:
    """A frame of random samples within a part of the range; padding and alpha included."""
    picture = av.VideoFrame(width, height, pix_fmt)
    layout = layouts()[pix_fmt]
    rng = np.random.default_rng(7)
    for plane in picture.planes:
        kind = np.uint8 if layout.bytes == 1 else np.uint16
        count = plane.buffer_size // layout.bytes
        values = rng.integers(int(low * layout.top), int(high * layout.top) + 1, count)
        plane.update((values << layout.shift).astype(kind).tobytes())
    return Frame(0, picture)


def flat(pix_fmt: str, height: int, samples: tuple[int, int, int]) -> av.VideoFrame:
    picture = av.VideoFrame(32, height, pix_fmt)
    for plane, value in zip(picture.planes, samples, strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    return picture


def planes(frame: Frame) -> list[NDArray[np.uint8]]:
    assert isinstance(frame.picture, av.VideoFrame)
    return [np.frombuffer(bytes(plane), np.uint8).copy() for plane in frame.picture.planes]


def unchanged(before: list[NDArray[np.uint8]], frame: Frame) -> bool:
    return all((a == b).all() for a, b in zip(before, planes(frame), strict=True))


@pytest.mark.parametrize("orientation", [1, 2, 6])
@pytest.mark.parametrize("pix_fmt", SUPPORTED)
def test_a_small_copy_shows_what_the_region_shows(pix_fmt: str, orientation: int) -> None:
    frame = noise(pix_fmt, 96, 64, low=0.4, high=0.6)
    frame.orientation = orientation
    canvas = open_canvas(frame)
    y, x = np.mgrid[: canvas.height, : canvas.width].astype(np.float32)
    tints = np.stack([x / canvas.width, y / canvas.height, 1 - x / canvas.width], axis=-1) - 0.5
    canvas.add(Region(0, 0, canvas.width, canvas.height), np.float32(0.5) * tints)
    region = Region(8, 4, 56, 52)
    expected = cv2.resize(canvas.read(region), (4, 4), interpolation=cv2.INTER_AREA)
    small = canvas.read_small(region, 4)
    assert small.dtype == np.float32
    # Chroma is interpolated there, and averaged here.
    assert np.abs(small - expected).mean() < 0.02
    assert np.abs(small - expected).max() < 0.1
    assert canvas.read_small(Region(8, 4, 13, 11), 24).shape == (24, 24, 3)


@pytest.mark.parametrize("pix_fmt", SUPPORTED)
def test_a_zero_difference_changes_no_bit(pix_fmt: str) -> None:
    frame = noise(pix_fmt, 53, 37)
    before = planes(frame)
    open_canvas(frame).add(Region(3, 5, 50, 37), np.zeros((32, 47, 3), np.float32))
    assert unchanged(before, frame)


@pytest.mark.parametrize("pix_fmt", SUPPORTED)
def test_reading_changes_no_bit(pix_fmt: str) -> None:
    frame = noise(pix_fmt, 53, 37)
    before = planes(frame)
    values = open_canvas(frame).read(Region(1, 1, 52, 36))
    assert values.shape == (35, 51, 3)
    assert values.dtype == np.float32
    assert 0 <= values.min() <= values.max() <= 1
    assert unchanged(before, frame)


@pytest.mark.parametrize("pix_fmt", SUPPORTED)
def test_a_grey_difference_raises_what_is_read(pix_fmt: str) -> None:
    frame = noise(pix_fmt, 48, 40, low=0.45, high=0.55)
    canvas = open_canvas(frame)
    region = Region(5, 7, 29, 32)
    before = canvas.read(region)
    canvas.add(region, np.full((25, 24, 3), 0.1, np.float32))
    assert np.abs(canvas.read(region) - before - 0.1).max() < 1 / 255


@pytest.mark.parametrize(
    "region", [Region(4, 6, 20, 18), Region(3, 5, 20, 17)], ids=["even", "odd"]
)
@pytest.mark.parametrize("pix_fmt", COMMON)
def test_nothing_outside_the_region_changes(pix_fmt: str, region: Region) -> None:
    frame, other = noise(pix_fmt, 53, 37), noise(pix_fmt, 53, 37)
    change = np.random.default_rng(1).normal(0, 0.3, (region.height, region.width, 3))
    open_canvas(frame).add(region, change.astype(np.float32))
    layout = layouts()[pix_fmt]
    for number, place in enumerate(layout.components):
        wide, high = (layout.wide, layout.high) if number else (1, 1)
        new, old = (_component(f, place, layout.bytes) for f in (frame, other))
        touched = np.ones(new.shape, bool)
        rows = slice(region.y0 // high, -(-region.y1 // high))
        columns = slice(region.x0 // wide, -(-region.x1 // wide))
        assert (new[rows, columns] != old[rows, columns]).any()
        touched[rows, columns] = False
        assert (new[touched] == old[touched]).all()


def _component(frame: Frame, place: tuple[int, int, int], size: int) -> NDArray[np.uint16]:
    assert isinstance(frame.picture, av.VideoFrame)
    plane = frame.picture.planes[place[0]]
    kind = np.uint8 if size == 1 else np.uint16
    rows = np.frombuffer(bytes(plane), kind).reshape(plane.height, -1)
    return rows[:, place[2] :: place[1]].astype(np.uint16)


def test_alpha_is_left_alone() -> None:
    frame = noise("yuva420p", 32, 32)
    before = planes(frame)[3]
    open_canvas(frame).add(Region(0, 0, 32, 32), np.full((32, 32, 3), 0.3, np.float32))
    assert (planes(frame)[3] == before).all()


def test_a_chroma_sample_of_which_a_quarter_is_covered_takes_a_quarter() -> None:
    whole, part = (Frame(0, flat("yuv420p", 32, (128, 128, 128))) for _ in range(2))
    blue = np.array([0, 0, 0.4], np.float32)
    open_canvas(whole).add(Region(4, 4, 6, 6), np.tile(blue, (2, 2, 1)))
    open_canvas(part).add(Region(5, 5, 6, 6), np.tile(blue, (1, 1, 1)))
    full, quarter = (int(planes(f)[1].max()) - 128 for f in (whole, part))
    assert full > 30
    assert abs(quarter - full / 4) <= 0.5


def test_the_last_chroma_sample_of_an_odd_picture_takes_all() -> None:
    frame = noise("yuv420p", 33, 33, low=0.5, high=0.5)
    blue = np.tile(np.array([0, 0, 0.4], np.float32), (33, 33, 1))
    open_canvas(frame).add(Region(0, 0, 33, 33), blue)
    picture = frame.picture
    assert isinstance(picture, av.VideoFrame)
    chroma = np.frombuffer(bytes(picture.planes[1]), np.uint8).reshape(17, -1)[:, :17]
    assert chroma.min() == chroma.max() > 128


@pytest.mark.parametrize("full_range", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES.keys())
def test_reading_agrees_with_swscale(matrix: int, full_range: bool) -> None:
    picture = flat("yuv444p", 32, (120, 100, 150))
    picture.colorspace, picture.color_range = matrix, 2 if full_range else 1
    canvas = open_canvas(Frame(0, picture))
    read = canvas.read(Region(0, 0, 32, 32)) * 255
    assert np.abs(read - canvas.rgb()).max() < 1.6


@pytest.mark.parametrize(("lines", "matrix"), [(576, 5), (718, 5), (720, 1), (1080, 1)])
def test_an_untagged_picture_is_taken_by_its_size(lines: int, matrix: int) -> None:
    tagged, untagged = (flat("yuv444p", lines, (120, 90, 170)) for _ in range(2))
    tagged.colorspace = matrix
    region = Region(0, 0, 4, 4)
    expected = open_canvas(Frame(0, tagged)).read(region)
    assert (open_canvas(Frame(0, untagged)).read(region) == expected).all()


def test_what_is_read_does_not_depend_on_the_region() -> None:
    canvas = open_canvas(noise("yuv420p", 53, 37))
    whole = canvas.read(Region(0, 0, 53, 37))
    assert np.allclose(canvas.read(Region(7, 9, 30, 21)), whole[9:21, 7:30], atol=1e-6)


@pytest.mark.parametrize("kind", ["frame", "array"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_coordinates_are_upright(orientation: int, kind: str) -> None:
    # A picture whose upright form has one bright corner, at the top left.
    array = np.full((20, 30, 3), 20, np.uint8)
    rows = slice(-6, None) if orientation in (3, 4, 7, 8) else slice(0, 6)
    columns = slice(-8, None) if orientation in (2, 3, 6, 7) else slice(0, 8)
    if orientation in (6, 8):  # quarter turns: the upright left is the stored top or bottom
        rows = slice(-6, None) if orientation == 6 else slice(0, 6)
        columns = slice(0, 8) if orientation == 6 else slice(-8, None)
    array[rows, columns] = 220
    picture = array if kind == "array" else av.VideoFrame.from_ndarray(array, "rgb24")
    canvas = open_canvas(Frame(0, picture, orientation=orientation))
    across, down = (6, 8) if orientation >= 5 else (8, 6)
    assert (canvas.width, canvas.height) == ((20, 30) if orientation >= 5 else (30, 20))
    assert (canvas.rgb()[:down, :across] == 220).all()
    assert (canvas.rgb()[down:] == 20).all()
    quarters = canvas.read_small(Region(0, 0, 2 * across, 2 * down), 2) * 255
    assert np.allclose(quarters[..., 0], [[220, 20], [20, 20]], atol=0.01)
    bright = Region(0, 0, across, down)
    assert np.allclose(canvas.read(bright), 220 / 255)
    canvas.add(bright, np.full((down, across, 3), -0.2, np.float32))
    assert (canvas.rgb()[:down, :across] == 169).all()
    assert (canvas.rgb()[down:] == 20).all()


def test_values_are_held_within_the_format() -> None:
    frame = noise("yuv420p10le", 32, 32)
    open_canvas(frame).add(Region(0, 0, 32, 32), np.full((32, 32, 3), 5, np.float32))
    assert np.frombuffer(planes(frame)[0], np.uint16).max() == 1023


def test_an_array_is_changed_in_place_and_shown_without_a_copy() -> None:
    array = np.full((8, 8, 3), 100, np.uint8)
    canvas = open_canvas(Frame(0, array))
    canvas.add(Region(2, 2, 4, 4), np.full((2, 2, 3), 0.2, np.float32))
    assert (array[2:4, 2:4] == 151).all()
    assert array.sum() == 100 * 3 * 60 + 151 * 3 * 4
    with pytest.raises(ValueError, match="read-only"):
        canvas.rgb()[0, 0] = 0


def test_canvases_of_several_threads_do_not_meet() -> None:
    frames = [noise("yuv420p", 320, 240) for _ in range(4)]
    expected = open_canvas(frames[0]).rgb()
    right = []

    def look(frame: Frame) -> None:
        right.append(all((open_canvas(frame).rgb() == expected).all() for _ in range(20)))

    threads = [threading.Thread(target=look, args=(frame,)) for frame in frames]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert right == [True] * 4


def test_a_change_does_not_reach_pictures_that_are_predicted_from_this_one(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(path, "w") as container:
        options = {"tune": "zerolatency"}  # each picture from the one before
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(4):
            container.mux(stream.encode(noise("yuv420p", 64, 48).picture))
        container.mux(stream.encode(None))
    decoded: list[list[NDArray[np.uint8]]] = []
    for change in (0, 0.3):
        with av.open(path) as container:
            container.streams.video[0].thread_count = 1
            decoded.append([])
            for picture in container.decode(video=0):
                decoded[-1].append(picture.to_ndarray())
                difference = np.full((48, 64, 3), change, np.float32)
                open_canvas(Frame(0, picture)).add(Region(0, 0, 64, 48), difference)
    np.testing.assert_array_equal(*decoded)


def test_other_pictures_are_refused() -> None:
    with pytest.raises(InputError, match="pal8"):
        open_canvas(Frame(0, av.VideoFrame(8, 8, "pal8")))
    with pytest.raises(InputError, match="uint8"):
        open_canvas(Frame(0, np.zeros((8, 8), np.uint8)))


@pytest.mark.parametrize("kind", ["frame", "array"])
@pytest.mark.parametrize("region", [Region(-1, 0, 4, 4), Region(0, 0, 9, 4), Region(3, 3, 3, 5)])
def test_a_region_has_to_lie_inside(region: Region, kind: str) -> None:
    array = Frame(0, np.zeros((8, 8, 3), np.uint8))
    canvas = open_canvas(noise("yuv420p", 8, 8) if kind == "frame" else array)
    nothing = np.zeros((region.height, region.width, 3), np.float32)
    for use in (
        lambda: canvas.read(region),
        lambda: canvas.read_small(region, 2),
        lambda: canvas.add(region, nothing),
    ):
        with pytest.raises(ValueError, match="not inside"):
            use()
    with pytest.raises(ValueError, match="cannot take"):
        canvas.add(Region(0, 0, 4, 4), np.zeros((4, 4, 1), np.float32))
