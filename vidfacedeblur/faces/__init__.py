"""What a face is in a video: found, followed, cut out, measured, and put back."""

from vidfacedeblur.faces.crop import MARGIN, crop_square, cut
from vidfacedeblur.faces.detect import MtcnnDetector
from vidfacedeblur.faces.paste import paste_all
from vidfacedeblur.faces.sharpness import sharpness
from vidfacedeblur.faces.track import Tracker

__all__ = [
    "MARGIN",
    "MtcnnDetector",
    "Tracker",
    "crop_square",
    "cut",
    "paste_all",
    "sharpness",
]
