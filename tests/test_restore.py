"""From known faces to deblurred ones: what the network is given, and what becomes of the frame."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from tests_support import portrait

from vidfacedeblur import Box, Face, FaceOptions
from vidfacedeblur.restore import restore
from vidfacedeblur.types import FaceCrop, FloatImage
from vidfacedeblur.work import work_on

FACE = Face(
    Box(70, 50, 190, 200), landmarks=((100, 110), (160, 110), (130, 140), (110, 165), (150, 165))
)


class Darker:
    """Stands in for a network: notes what it is given, and darkens the left half."""

    def __init__(self) -> None:
        self.given: list[FaceCrop] = []

    def crops(self, crops: Sequence[FaceCrop]) -> list[FloatImage]:
        self.given += crops
        results = [crop.image.copy() for crop in crops]
        for image in results:
            image[:, : len(image) // 2] *= np.float32(0.5)
        return results


def turned_clockwise(face: Face, width: int) -> Face:
    """The face in the picture turned by a quarter, whose height was the given width's."""
    points = tuple((width - y, x) for x, y in face.landmarks or ())
    box = face.box
    return replace(face, box=Box(width - box.y1, box.x0, width - box.y0, box.x1), landmarks=points)


def test_a_lying_face_becomes_what_the_upright_one_becomes() -> None:
    image = portrait()
    lying = np.ascontiguousarray(np.rot90(image, -1))
    results = []
    for picture, face in ((image, FACE), (lying, turned_clockwise(FACE, image.shape[0]))):
        network = Darker()
        work = work_on(0, picture, "rgb")
        work.faces = [face]
        restore([work], network, FaceOptions())  # type: ignore[arg-type]
        results.append((network.given[0].image, work.canvas.rgb().astype(int)))
    (upright, after), (given, turned_after) = results
    assert np.abs(given - upright).mean() < 0.02
    assert np.abs(np.rot90(turned_after) - after).mean() < 0.5
    assert np.abs(after - image).max() > 20


@pytest.mark.parametrize("options", [FaceOptions(strength=0), FaceOptions()])
def test_what_is_not_to_change_costs_nothing(options: FaceOptions) -> None:
    network = Darker()
    work = work_on(0, portrait(), "rgb")
    work.faces = [replace(FACE, weight=0.0 if options.strength else 1.0)]
    restore([work], network, options)  # type: ignore[arg-type]
    assert network.given == []
    assert np.array_equal(work.canvas.rgb(), portrait())
    assert work.faces[0].sharpness_after is None


@pytest.mark.parametrize(("x", "y"), [(-130, 50), (256, 50), (70, -160), (70, 240)])
def test_a_face_that_has_left_the_picture_costs_nothing(x: int, y: int) -> None:
    network = Darker()
    work = work_on(0, portrait(), "rgb")
    work.faces = [Face(Box(x, y, x + 120, y + 150))]
    restore([work], network, FaceOptions())  # type: ignore[arg-type]
    assert network.given == []
    assert not work.faces[0].deblurred


def test_what_deblurring_takes_is_shared_among_the_frames_in_milliseconds() -> None:
    class Slow(Darker):
        def crops(self, crops: Sequence[FaceCrop]) -> list[FloatImage]:
            time.sleep(0.05)
            return super().crops(crops)

    works = [work_on(i, portrait(), "rgb") for i in range(3)]
    works[0].faces = works[2].faces = [FACE]
    begin = time.perf_counter()
    restore(works, Slow(), FaceOptions())  # type: ignore[arg-type]
    wall = 1e3 * (time.perf_counter() - begin)
    took = [work.clock.timing().deblur for work in works]
    assert took[0] == took[2] > took[1] == 0
    assert 50 <= sum(took) <= wall


def test_only_the_faces_that_need_it_go_to_the_network_and_the_order_stays() -> None:
    network = Darker()
    work = work_on(0, portrait(), "rgb")
    other = Face(Box(5, 5, 45, 55), weight=0.0)
    work.faces = [other, FACE, other]
    restore([work], network, FaceOptions())  # type: ignore[arg-type]
    assert [crop.face for crop in network.given] == [FACE]
    assert [face.deblurred for face in work.faces] == [False, True, False]
    assert [face.box for face in work.faces] == [other.box, FACE.box, other.box]


def test_each_field_of_an_interlaced_face_is_restored_alone() -> None:
    image = portrait()
    image[1::2] = portrait(8)[1::2]
    network = Darker()
    work = work_on(0, image.copy(), "rgb")
    work.faces = [FACE]
    restore([work], network, FaceOptions())  # type: ignore[arg-type]
    assert [crop.field for crop in network.given] == [0, 1]
    alone = [portrait(0), portrait(8)]
    for field, picture in enumerate(alone):
        whole = work_on(0, picture.copy(), "rgb")
        whole.faces = [FACE]
        restore([whole], Darker(), FaceOptions())  # type: ignore[arg-type]
        ours, theirs = (w.canvas.rgb()[field::2].astype(int) for w in (work, whole))
        assert np.abs(theirs - picture[field::2]).max() > 20
        assert np.abs(ours - theirs).mean() < 0.5
