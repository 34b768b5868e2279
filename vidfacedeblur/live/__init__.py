"""Live cameras: received for ever, deblurred with bounded delay, recorded, published, reported."""

from __future__ import annotations

from vidfacedeblur.config import LiveOptions
from vidfacedeblur.live.freshest import Freshest
from vidfacedeblur.live.publish import Publisher
from vidfacedeblur.live.segments import SegmentWriter
from vidfacedeblur.live.session import LiveSession, LiveStats, Output
from vidfacedeblur.live.source import LiveSource
from vidfacedeblur.live.values import Health, LiveFrame, LiveResult

__all__ = [
    "Freshest",
    "Health",
    "LiveFrame",
    "LiveOptions",
    "LiveResult",
    "LiveSession",
    "LiveSource",
    "LiveStats",
    "Output",
    "Publisher",
    "SegmentWriter",
]
