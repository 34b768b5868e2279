"""Options refuse what makes no sense, naming the flag."""

from __future__ import annotations

import math
from typing import Any

import pytest

from vidfacedeblur.config import FaceOptions, ModelOptions, VideoOptions
from vidfacedeblur.errors import OptionError


@pytest.mark.parametrize(
    ("make", "values", "flag"),
    [
        (FaceOptions, {"strength": 1.5}, "--strength"),
        (FaceOptions, {"strength": math.nan}, "--strength"),
        (FaceOptions, {"crop_size": 100}, "--crop-size"),
        (FaceOptions, {"min_face": 3}, "--min-face"),
        (FaceOptions, {"faces": "some"}, "--faces"),
        (ModelOptions, {"device": "gpu"}, "--device"),
        (ModelOptions, {"device": "cuda:x"}, "--device"),
        (ModelOptions, {"engine": "openvino", "device": "cuda"}, "--engine openvino"),
        (ModelOptions, {"engine": "tensorrt", "device": "cpu"}, "--engine tensorrt"),
        (VideoOptions, {"start": -1}, "--start"),
        (VideoOptions, {"duration": 0}, "--duration"),
        (VideoOptions, {"duration": math.inf}, "--duration"),
        (VideoOptions, {"crf": 99}, "--crf"),
    ],
)
def test_a_wrong_value_names_its_flag(make: Any, values: dict[str, Any], flag: str) -> None:
    with pytest.raises(OptionError, match=flag):
        make(**values)


@pytest.mark.parametrize(
    ("size", "smallest"),
    [((1920, 1080), 40), ((1080, 1920), 40), ((3840, 2160), 80), ((640, 480), 20), ((16, 16), 20)],
)
def test_the_smallest_face_scales_with_the_picture(size: tuple[int, int], smallest: int) -> None:
    assert FaceOptions().min_face_for(*size) == smallest
    assert FaceOptions(min_face=33).min_face_for(*size) == 33
