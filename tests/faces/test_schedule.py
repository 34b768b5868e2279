"""Key frames, faces followed between them, backwards fill, cuts, and mistakes of a single frame."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vidfacedeblur.config import FaceOptions
from vidfacedeblur.errors import OptionError
from vidfacedeblur.faces import FaceFinder, MtcnnDetector, schedule
from vidfacedeblur.faces.cuts import Cuts
from vidfacedeblur.faces.steady import Found
from vidfacedeblur.types import Box, Canvas, Face, Frame
from vidfacedeblur.video import open_canvas


class Stage:
    """A detector and a confirmation that know where the faces are, frame by frame."""

    def __init__(self, truth: list[list[Box]], found: dict[int, list[Box]] | None = None) -> None:
        self.truth = truth
        self.found = found or {}
        """What the whole detector sees, where that is not the truth."""
        self.searched: list[int] = []
        self.around: list[tuple[int, int]] = []
        """Frames that were searched in part, and for which smallest face."""
        self.blind_around = False
        """A search in part finds nothing."""
        self.sure = 0.99
        self.doubtful = 0.95
        """Probabilities that a search, and that a confirmation gives."""

    def detect(self, rgb: np.ndarray, *, min_face: int, min_score: float) -> list[Face]:
        number, y, x = (int(value) for value in rgb[0, 0] % (256, LEVEL, 256))
        boxes = self.found.get(number, self.truth[number])
        if rgb.shape[:2] == (64, 64) and min_face == 20:
            self.searched.append(number)
        else:
            self.around.append((number, min_face))
            inside = [b for b in self.truth[number] if x <= b.x0 and b.x1 <= x + rgb.shape[1]]
            boxes = [] if self.blind_around else inside
        faces = [Face(Box(b.x0 - x, b.y0 - y, b.x1 - x, b.y1 - y), self.sure) for b in boxes]
        return [face for face in faces if face.score >= min_score]

    def confirm(
        self, _: MtcnnDetector, canvas: Canvas, expected: list[Box], *, min_score: float
    ) -> list[Face | None]:
        number = int(canvas.rgb()[0, 0, 0])
        return [
            next(
                (Face(b, self.doubtful) for b in self.truth[number] if abs(b.x0 - box.x0) < 8), None
            )
            for box in expected
        ]


LEVEL = 64


def picture(number: int, level: int = 100) -> Canvas:
    image = np.empty((64, 64, 3), np.uint8)
    # Each pixel says where it is and on which frame; scenes differ in green by multiples of LEVEL.
    image[..., 0] = number
    image[..., 1] = level // LEVEL * LEVEL + np.arange(64)[:, None]
    image[..., 2] = np.arange(64)
    return open_canvas(Frame(number, image))


def go(
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
    *,
    every: int | None = 5,
    holds_back: int = 8,
    levels: dict[int, int] | None = None,
) -> list[list[Face]]:
    monkeypatch.setattr(schedule, "confirm", stage.confirm)
    options = FaceOptions(detect_every=every)
    finder = FaceFinder(stage, options, holds_back=holds_back)  # type: ignore[arg-type]
    settled: list[Found] = []
    for number in range(len(stage.truth)):
        settled += finder.push(picture(number, (levels or {}).get(number, 100)))
    return [list(found.faces) for found in settled + finder.flush()]


def box(x: float) -> Box:
    return Box(x, 10, x + 20, 34)


def numbers(settled: list[list[Face]]) -> list[list[int | None]]:
    return [[face.track for face in faces] for faces in settled]


def test_the_whole_picture_is_searched_on_key_frames_only(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage([[box(i)] for i in range(20)])
    settled = go(stage, monkeypatch)
    assert stage.searched == [0, 5, 10, 15]
    assert [faces[0].box for faces in settled] == [box(i) for i in range(20)]
    assert numbers(settled) == [[1]] * 20


def test_every_frame_if_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage([[box(i)] for i in range(6)])
    go(stage, monkeypatch, every=1)
    assert stage.searched == list(range(6))


def test_a_face_is_found_back_to_where_it_came_in(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage([[box(0)] + ([box(40)] if i >= 7 else []) for i in range(12)])
    settled = go(stage, monkeypatch)
    assert numbers(settled) == [[1]] * 7 + [[1, 2]] * 5
    # Without holding back there is only what is known at the time.
    settled = go(Stage(stage.truth), monkeypatch, holds_back=0)
    assert numbers(settled) == [[1]] * 10 + [[1, 2]] * 2


def test_nothing_is_held_back_where_that_is_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage([[box(0)] for _ in range(3)])
    monkeypatch.setattr(schedule, "confirm", stage.confirm)
    finder = FaceFinder(stage, FaceOptions())  # type: ignore[arg-type]
    assert [len(finder.push(picture(i))) for i in range(3)] == [1, 1, 1]
    assert finder.flush() == []


def test_around_a_lost_face_is_searched_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    jump = [[box(0)] if i < 3 else [box(20)] for i in range(5)]
    stage = Stage(jump)
    settled = go(stage, monkeypatch)
    assert stage.searched == [0]
    assert stage.around == [(3, 20)]
    assert [[face.box for face in faces] for faces in settled] == jump


def test_around_a_lost_face_means_there_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    here, eye = Box(150, 60, 170, 84), (155.0, 66.0)
    image = np.zeros((200, 250, 3), np.uint8)
    image[..., 1], image[..., 2] = np.arange(200)[:, None], np.arange(250)
    parts: list[tuple[int, ...]] = []

    def detect(rgb: np.ndarray, **_: Any) -> list[Face]:
        y, x = map(int, rgb[0, 0, 1:])
        parts.append((x, y, rgb.shape[1], rgb.shape[0]))
        box = Box(here.x0 - x, here.y0 - y, here.x1 - x, here.y1 - y)
        return [Face(box, 0.99, landmarks=((eye[0] - x, eye[1] - y),) * 5)]

    monkeypatch.setattr(schedule, "confirm", lambda _, __, boxes, **___: [None] * len(boxes))
    detector: Any = SimpleNamespace(detect=detect)
    finder = FaceFinder(detector, FaceOptions(detect_every=9))
    found = [finder.push(open_canvas(Frame(i, image.copy()))) for i in range(2)]
    assert parts == [(0, 0, 250, 200), (112, 24, 96, 96)]
    for (frame,) in found:
        (face,) = frame.faces
        assert (face.box, face.landmarks) == (here, (eye,) * 5)


def test_where_a_large_face_is_lost_no_small_ones_are_looked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    large = Box(0, 0, 48, 60)
    stage = Stage([[large] if i < 3 else [] for i in range(5)])
    stage.truth.append([])
    go(stage, monkeypatch)
    assert (stage.searched, stage.around) == ([0, 5], [(3, 40)])


def test_where_nothing_happens_searches_become_rarer(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage([[box(0)] for _ in range(60)])
    go(stage, monkeypatch, every=None)
    gaps = np.diff(stage.searched)
    assert (gaps[0], gaps[-1]) == (5, 8)


def test_a_doubtful_face_counts_from_when_it_is_sure(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage([[box(0)] for _ in range(12)])
    stage.sure = stage.doubtful = 0.8
    assert go(stage, monkeypatch) == [[]] * 12
    stage.doubtful = 0.95  # a look at where it should be makes it sure
    assert numbers(go(stage, monkeypatch)) == [[1]] * 12
    settled = go(stage, monkeypatch, holds_back=0)
    assert numbers(settled) == [[]] + [[1]] * 11


def test_a_face_that_goes_for_some_frames_is_the_same_face(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    truth = [[box(0)] if i not in range(3, 9) else [] for i in range(14)]
    assert numbers(go(Stage(truth), monkeypatch)) == [[1]] * 3 + [[]] * 6 + [[1]] * 5


def test_a_face_that_is_missed_for_a_few_frames_is_put_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    truth = [[box(2 * i)] if i not in (3, 4) else [] for i in range(10)]
    settled = go(Stage(truth), monkeypatch)
    assert numbers(settled) == [[1]] * 10
    assert [faces[0].box.x0 for faces in settled] == pytest.approx([2 * i for i in range(10)])
    # A stream cannot know that it comes back.
    settled = go(Stage(truth), monkeypatch, holds_back=0)
    assert numbers(settled) == [[1]] * 3 + [[]] * 2 + [[1]] * 5


def test_each_face_is_put_between_its_own_places(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = [[box(42)] + ([box(2 * i)] if i not in (3, 4) else []) for i in range(10)]
    for i, faces in enumerate(go(Stage(truth), monkeypatch)):
        places = {face.track: face.box.x0 for face in faces}
        assert places == pytest.approx({1: 42, 2: 2 * i})


def test_a_gap_is_filled_and_no_frame_has_a_face_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage([[box(i)] for i in range(14)], found={i: [] for i in range(5, 10)})
    looks: Counter[int] = Counter()
    plain = stage.confirm

    def confirm(*args: Any, **options: Any) -> list[Face | None]:
        number = int(args[1].rgb()[0, 0, 0])
        looks[number] += 1
        if number in range(5, 10) and looks[number] == 1:
            return [None] * len(args[2])
        if number == 4 and looks[number] == 2:
            return [Face(box(40), 0.99)]  # the same face again, but elsewhere
        return plain(*args, **options)

    stage.confirm = confirm  # type: ignore[method-assign]
    assert numbers(go(stage, monkeypatch, every=10, holds_back=12)) == [[1]] * 14


def test_faces_that_lie_upon_each_other_keep_their_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Both are followed, each by its number, although the other one comes as near.
    truth = [[box(i), box(30 - i)] for i in range(8)]
    settled = go(Stage(truth), monkeypatch)
    assert [[(f.track, f.box) for f in faces] for faces in settled] == [
        [(1, box(i)), (2, box(30 - i))] for i in range(8)
    ]


def test_a_face_that_is_found_from_its_neighbours_place_too_stays_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The second is gone from frame 3 on, and looking there finds the first, and surer than before.
    stage = Stage([[box(10), box(24)] if i < 3 else [box(10)] for i in range(5)])
    stage.blind_around = True

    def confirm(*args: Any, **options: Any) -> list[Face | None]:
        number = int(args[1].rgb()[0, 0, 0])
        if number < 3:
            return plain(*args, **options)
        return [Face(box(10), 0.9 if abs(b.x0 - 10) < 7 else 0.99) for b in args[2]]

    plain, stage.confirm = stage.confirm, confirm  # type: ignore[method-assign]
    settled = go(stage, monkeypatch, every=10, holds_back=0)
    assert numbers(settled) == [[1, 2]] * 3 + [[1]] * 2


def test_a_face_that_the_detector_misses_is_kept_where_it_is_confirmed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage([[box(0)] for _ in range(12)], found={5: []})
    assert numbers(go(stage, monkeypatch)) == [[1]] * 12


def test_a_cut_is_a_key_frame_and_no_face_crosses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = [[box(0)] for _ in range(8)]
    stage = Stage(truth)
    settled = go(stage, monkeypatch, levels=dict.fromkeys(range(3, 8), 200))
    assert stage.searched == [0, 3]
    assert numbers(settled) == [[1]] * 3 + [[2]] * 5


def test_no_face_is_followed_back_across_a_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    # One is there before the cut as well, but nobody has found it.
    stage = Stage([[box(0)] for _ in range(8)], found={0: []})
    settled = go(stage, monkeypatch, levels=dict.fromkeys(range(3, 8), 200))
    assert numbers(settled) == [[]] * 3 + [[1]] * 5


def test_a_cut_is_a_sudden_change_another_size_or_what_was_told() -> None:
    cuts = Cuts()
    first, other = picture(0), picture(0, level=200)
    small = open_canvas(Frame(0, np.zeros((64, 32, 3), np.uint8)))
    cuts.end()  # as after a flush, of nothing
    assert [cuts.is_cut(canvas) for canvas in (first, first)] == [False, False]
    assert [cuts.is_cut(canvas) for canvas in (other, other)] == [True, False]
    assert [cuts.is_cut(canvas) for canvas in (small, small)] == [True, False]
    cuts.end()
    assert [cuts.is_cut(canvas) for canvas in (small, small)] == [True, False]


def test_a_little_is_no_cut_where_all_was_still_and_more_is() -> None:
    cuts = Cuts()

    def is_cut(level: int) -> bool:
        return cuts.is_cut(open_canvas(Frame(0, np.full((64, 64, 3), level, np.uint8))))

    assert not any(is_cut(0) for _ in range(50))
    assert [is_cut(12), is_cut(12)] == [False, False]
    assert not any(is_cut(12) for _ in range(50))
    assert [is_cut(32), is_cut(32)] == [True, False]
    # Scenes may be short, however much one differs from the next.
    assert not any(is_cut(32) for _ in range(50))
    assert [is_cut(232), is_cut(212)] == [True, True]


def test_what_changes_all_the_time_is_not_cut_all_the_time() -> None:
    rng = np.random.default_rng(0)
    cuts = Cuts()

    def is_cut(level: int) -> bool:
        noise = rng.normal(level, 20, (64, 64, 3))  # changes by 22 levels from frame to frame
        return cuts.is_cut(open_canvas(Frame(0, np.clip(noise, 0, 255).astype(np.uint8))))

    assert not any([is_cut(60) for _ in range(30)][4:])
    assert [is_cut(180), is_cut(180)] == [True, False]


def test_a_mistake_of_a_single_frame_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = [[box(0)] for _ in range(12)]
    stage = Stage(truth, found={5: [box(0), box(40)]})
    assert numbers(go(stage, monkeypatch)) == [[1]] * 12
    # In a single picture nothing can be looked for elsewhere.
    assert numbers(go(Stage([[box(0)]]), monkeypatch)) == [[1]]


def test_wrong_intervals() -> None:
    with pytest.raises(OptionError, match="--detect-every"):
        FaceOptions(detect_every=0)


@pytest.mark.parametrize(("blind", "frames", "kept"), [(False, 4, 4), (True, 4, 0), (True, 12, 12)])
def test_what_the_last_network_alone_is_sure_of_must_insist(
    monkeypatch: pytest.MonkeyPatch, blind: bool, frames: int, kept: int
) -> None:
    stage = Stage([[box(0)] if i < frames else [] for i in range(12)])
    stage.sure, stage.blind_around = 0.8, blind
    settled = go(stage, monkeypatch, every=None)
    assert sum(map(len, settled)) == kept
