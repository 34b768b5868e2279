"""Find the faces in a video, deblur them, and give back the same video with only the faces changed.

Importing the package loads neither torch nor any engine; the names below are fetched on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vidfacedeblur.best import BestFaces
    from vidfacedeblur.config import FaceOptions, ModelOptions, VideoOptions
    from vidfacedeblur.errors import VidFaceDeblurError
    from vidfacedeblur.event_file import EventFile
    from vidfacedeblur.events import TrackEvents
    from vidfacedeblur.pipeline import FaceDeblurPipeline
    from vidfacedeblur.types import Box, Face, FrameResult, FrameTiming, RunSummary

__version__ = "0.1.0"

_HOMES = {
    "FaceDeblurPipeline": "pipeline",
    "FaceOptions": "config",
    "ModelOptions": "config",
    "VideoOptions": "config",
    "VidFaceDeblurError": "errors",
    "BestFaces": "best",
    "EventFile": "event_file",
    "TrackEvents": "events",
    "Box": "types",
    "Face": "types",
    "FrameResult": "types",
    "FrameTiming": "types",
    "RunSummary": "types",
}

__all__ = [
    "BestFaces",
    "Box",
    "EventFile",
    "Face",
    "FaceDeblurPipeline",
    "FaceOptions",
    "FrameResult",
    "FrameTiming",
    "ModelOptions",
    "RunSummary",
    "TrackEvents",
    "VidFaceDeblurError",
    "VideoOptions",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"vidfacedeblur.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
