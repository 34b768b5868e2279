"""What a face is in a video: found, followed, cut out, judged, and put back."""

from vidfacedeblur.faces.crop import (
    MARGIN,
    choose_size,
    crop_square,
    cut,
    cut_all,
    read_region,
    resized,
    whole_pixels,
)
from vidfacedeblur.faces.detect import MtcnnDetector
from vidfacedeblur.faces.given import FaceLike, FindFaces, GivenFaces, as_face
from vidfacedeblur.faces.networks import open_detector
from vidfacedeblur.faces.paste import face_mask, paste, paste_all
from vidfacedeblur.faces.schedule import FaceFinder
from vidfacedeblur.faces.select import Selector
from vidfacedeblur.faces.sharpness import need, sharpness
from vidfacedeblur.faces.steady import Steadier
from vidfacedeblur.faces.stream import FaceStream, Finder
from vidfacedeblur.faces.track import Tracker
from vidfacedeblur.faces.turn import changed_as, roll, turned
from vidfacedeblur.faces.values import face_of, face_values

__all__ = [
    "MARGIN",
    "FaceFinder",
    "FaceLike",
    "FaceStream",
    "FindFaces",
    "Finder",
    "GivenFaces",
    "MtcnnDetector",
    "Selector",
    "Steadier",
    "Tracker",
    "as_face",
    "changed_as",
    "choose_size",
    "crop_square",
    "cut",
    "cut_all",
    "face_mask",
    "face_of",
    "face_values",
    "need",
    "open_detector",
    "paste",
    "paste_all",
    "read_region",
    "resized",
    "roll",
    "sharpness",
    "turned",
    "whole_pixels",
]
