"""Options refuse what makes no sense, naming the flag."""

from __future__ import annotations

import math
import pickle
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidfacedeblur import errors
from vidfacedeblur.config import (
    FaceOptions,
    LiveOptions,
    ModelOptions,
    ScanOptions,
    VideoOptions,
    options_sha256,
)
from vidfacedeblur.errors import OptionError, VidFaceDeblurError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type)]
ERRORS = [
    kind("x", ["y"]) if kind is errors.UnknownModelError else kind("what is wrong")
    for kind in KINDS
    if issubclass(kind, VidFaceDeblurError)
] + [errors.DamagedInputError("half", frames=7)]


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


def test_values_become_plain_whoever_gives_them() -> None:
    options = FaceOptions(
        strength=np.float32(0.5),  # type: ignore[arg-type]
        min_face=np.int64(30),  # type: ignore[arg-type]
        regions=[np.array([0, 0, 9, 9])],  # type: ignore[arg-type]
        exclude=((Fraction(1, 2), 0, 1, 1),),  # type: ignore[arg-type]
    )
    values = (options.strength, options.min_face, *options.regions[0], *options.exclude[0])
    assert [type(value) for value in values] == [float, int, *[float] * 8]
    assert values == (0.5, 30, 0, 0, 9, 9, 0.5, 0, 1, 1)
    assert VideoOptions(crf=18).crf == 18.0
    assert VideoOptions(encoder_options={"a": "b"}).encoder_options == (("a", "b"),)  # type: ignore[arg-type]
    assert ModelOptions(weights="a/b").weights == Path("a/b")  # type: ignore[arg-type]
    assert len(options_sha256([options])) == 64


@pytest.mark.parametrize(
    ("make", "values", "message"),
    [
        (FaceOptions, {"strength": "0.5"}, "--strength must be a number, got '0.5'"),
        (FaceOptions, {"strength": None}, "--strength must be a number, got None"),
        (FaceOptions, {"min_face": "20"}, "--min-face must be a whole number, got '20'"),
        (FaceOptions, {"regions": (0, 0, 9, 9)}, "each of --region must be a list, got 0"),
        (FaceOptions, {"regions": ((0, 0, 9),)}, "--region needs 4 values each"),
        (
            FaceOptions,
            {"faces": True},
            "--faces must be one of all, none, largest or a whole number, ",
        ),
        (FaceOptions, {"min_track": 1.5}, "--min-track must be a whole number, got 1.5"),
        (FaceOptions, {"crop_size": 64.0}, "--crop-size must be a whole number, got 64.0"),
        (VideoOptions, {"max_memory": 9}, "--max-memory must be within 1024 to 16777216, got 9"),
        (VideoOptions, {"overwrite": 1}, "--overwrite must be True or False, got 1"),
        (VideoOptions, {"start": 10**400}, "--start must be a finite number"),
        (VideoOptions, {"start": 1e15}, "--start must be 0 or more seconds"),
        (VideoOptions, {"allow_decoders": "h264"}, "--allow-decoder must be a list, got 'h264'"),
        (ModelOptions, {"device": None}, "--device must be a text, got None"),
        (ModelOptions, {"threads": "2"}, "--threads must be a whole number, got '2'"),
        (LiveOptions, {"timeout": "5"}, "--camera-timeout must be a number, got '5'"),
        (LiveOptions, {"ca_file": "/no/such"}, "--ca-file: there is no file /no/such"),
        (ScanOptions, {"match": ["*.mp4", 3]}, "each of --match must be a text, got 3"),
        (ScanOptions, {"match": "*.mp4"}, "--match must be a list"),
    ],
)
def test_a_value_of_another_type_names_its_flag(
    make: Any, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=re.escape(message)):
        make(**values)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_go_from_process_to_process(error: VidFaceDeblurError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


@pytest.mark.parametrize(
    ("size", "smallest"),
    [((1920, 1080), 40), ((1080, 1920), 40), ((3840, 2160), 80), ((640, 480), 20), ((16, 16), 20)],
)
def test_the_smallest_face_scales_with_the_picture(size: tuple[int, int], smallest: int) -> None:
    assert FaceOptions().min_face_for(*size) == smallest
    assert FaceOptions(min_face=33).min_face_for(*size) == 33
