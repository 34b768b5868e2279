"""The element `vidfacedeblur` for GStreamer, over gst-python; only its plugin imports this file.

    ... ! videoconvert ! vidfacedeblur ! videoconvert ! ...

A frame comes out when the next one has come in, in its own buffer: with its own times, flags and
metas, changed only where a face is deblurred. torch loads when the element starts, not before.
"""

from __future__ import annotations

import traceback
from collections import deque
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstBase", "1.0")
gi.require_version("GstVideo", "1.0")
from gi.repository import GObject, Gst, GstBase, GstVideo  # noqa: E402

from vidfacedeblur.errors import VidFaceDeblurError  # noqa: E402
from vidfacedeblur.hosts.element_options import ElementOptions, one_line  # noqa: E402
from vidfacedeblur.hosts.gst_buffers import copied, message, picture_of, write_back  # noqa: E402

if TYPE_CHECKING:
    from vidfacedeblur.events import TrackEvents
    from vidfacedeblur.hosts.raw import Picture
    from vidfacedeblur.stream import FrameStream
    from vidfacedeblur.types import FrameResult

_MOST = 2**31 - 1
_CAPS = Gst.Caps.from_string(
    "video/x-raw, format=(string){ I420, NV12, RGB, BGRx },"
    f" width=(int)[ 1, {_MOST} ], height=(int)[ 1, {_MOST} ],"
    f" framerate=(fraction)[ 0/1, {_MOST}/1 ]"
)
_ENDING = frozenset(
    {
        Gst.EventType.STREAM_START,
        Gst.EventType.CAPS,
        Gst.EventType.SEGMENT,
        Gst.EventType.GAP,
        Gst.EventType.SEGMENT_DONE,
        Gst.EventType.STREAM_GROUP_DONE,
        Gst.EventType.EOS,
    }
)
"""Events that the waiting frame goes out before."""
_IN_ORDER = frozenset({Gst.EventType.CUSTOM_DOWNSTREAM, Gst.EventType.SINK_MESSAGE})
"""Events that keep their place between two frames."""
_DEFAULTS = ElementOptions()


def _property(kind: type, default: Any, nick: str, blurb: str) -> Any:
    # Without real limits: GObject would move a wrong value to the nearest right one in silence.
    return GObject.Property(type=kind, default=default, nick=nick, blurb=blurb, **_limits(kind))


def _limits(kind: type) -> dict[str, Any]:
    if kind is int:
        return {"minimum": -(2**31), "maximum": _MOST}
    return {"minimum": -1e300, "maximum": 1e300} if kind is float else {}


class VidFaceDeblur(GstBase.BaseTransform):  # type: ignore[misc]
    """Deblurs the faces of raw video in place; see the properties for how."""

    __gtype_name__ = "VidFaceDeblur"
    __gstmetadata__ = (
        "Face deblurring",
        "Filter/Effect/Video",
        "Finds the faces in video and deblurs them; nothing else changes",
        "the authors of vidfacedeblur",
    )
    __gsttemplates__ = tuple(
        Gst.PadTemplate.new(name, direction, Gst.PadPresence.ALWAYS, _CAPS)
        for name, direction in (("sink", Gst.PadDirection.SINK), ("src", Gst.PadDirection.SRC))
    )

    model = _property(str, _DEFAULTS.model, "Model", "Deblurring model")
    weights = _property(str, "", "Weights", "Safetensors file for it; empty: the bundled weights")
    engine = _property(str, "auto", "Engine", "auto, torch, openvino or tensorrt")
    device = _property(str, "auto", "Device", "auto, cpu, cuda or cuda:N")
    threads = _property(int, 0, "Threads", "CPU threads for each network; 0: by cores")
    faces = _property(str, "all", "Faces", "all, none, largest, or N: the N largest of each frame")
    gate = _property(
        str, "auto", "Gate", "auto: sharp faces pass untouched; off: every face is deblurred"
    )
    strength = _property(float, 1.0, "Strength", "How much of the correction is applied, 0 to 1")
    min_face = _property(
        int, 0, "Smallest face", "Pixels of height, 12 or more; 0: by the picture's size"
    )
    crop_size = _property(
        int, 0, "Crop size", "Side of the network's crops, a multiple of 32 to 512; 0: automatic"
    )
    post_messages = _property(
        bool, True, "Post messages", "Post an element message 'vidfacedeblur' for each frame"
    )
    events = _property(
        str, "", "Events", "File to add events of each face to, as JSON lines; empty: none"
    )

    def __init__(self) -> None:
        super().__init__()
        self.set_in_place(True)
        self.set_passthrough(False)
        self._resources = ExitStack()
        self._stream: FrameStream | None = None
        self._tracks: TrackEvents | None = None
        self._picture: Picture | None = None
        self._info: Any = None
        self._delay = 0  # ns, of a frame
        self._buffers: deque[Any] = deque()  # that the stream has not given back
        self._done: deque[Any] = deque()  # that are finished
        self._events: list[Any] = []  # that came after the last buffer
        # BaseTransform and Element both have a `query`, and PyGObject takes neither. The function
        # is no method: the pad would keep the element alive.
        kind = Gst.PadProbeType.QUERY_UPSTREAM | Gst.PadProbeType.PULL
        self.srcpad.add_probe(kind, _add_delay)

    @property
    def delay(self) -> int:
        """Nanoseconds that a frame waits for the next."""
        return self._delay

    def do_start(self) -> bool:
        """Load the networks."""
        try:
            pipeline = self._options().open()
            self._resources.callback(pipeline.close)
            self._stream = pipeline.stream()
            if self.events:
                self._tracks = self._open_events()
        except Exception as error:  # noqa: BLE001 - of a host's thread nobody would see it
            self._close()
            self._fail(error, Gst.LibraryError.quark(), Gst.LibraryError.SETTINGS)
            return False
        return True

    def do_stop(self) -> bool:
        """Free the networks; frames that wait are thrown away."""
        self._clear()
        try:
            self._close()
        except Exception as error:  # noqa: BLE001
            self._fail(error, Gst.ResourceError.quark(), Gst.ResourceError.WRITE)
        return True  # an element that does not stop keeps its whole pipeline from stopping

    def do_set_caps(self, incaps: Any, outcaps: Any) -> bool:  # noqa: ARG002 - they are equal
        """Learn what the pictures look like."""
        info = GstVideo.VideoInfo.new_from_caps(incaps)
        if info is None:
            return False
        self._info, self._picture = info, picture_of(info)
        self._set_delay(Gst.SECOND * info.fps_d // info.fps_n if info.fps_n else 0)
        return True

    def do_transform_ip(self, buffer: Any) -> Any:  # noqa: ARG002
        """Let the default `generate_output` make the buffer writable; the rest happens there."""
        return Gst.FlowReturn.OK

    def do_generate_output(self) -> tuple[Any, Any]:
        """Take in the buffer that came, and give out a finished one; called until there is none."""
        flow, buffer = GstBase.BaseTransform.do_generate_output(self)
        if flow != Gst.FlowReturn.OK:
            return flow, None
        try:
            if buffer is not None:
                self._take(buffer)
                del buffer  # whoever gets it may then write to it without a copy
        except Exception as error:  # noqa: BLE001 - GStreamer would go on as if nothing were
            self._fail(error, Gst.StreamError.quark(), Gst.StreamError.FAILED)
            return Gst.FlowReturn.ERROR, None
        if self._done:
            return flow, self._done.popleft()
        self._pass_events()
        return flow, None

    def do_sink_event(self, event: Any) -> bool:
        """Keep frames and events in order; a flush throws away what waits."""
        if event.type == Gst.EventType.FLUSH_STOP:
            self._flush(keep=False)
            self._clear()
        elif event.type in _IN_ORDER and self._buffers:
            self._events.append(event)
            return True
        elif event.type in _ENDING and not self._is_known(event) and not self._drain():
            return False
        return bool(GstBase.BaseTransform.do_sink_event(self, event))

    def _is_known(self, event: Any) -> bool:
        """Whether an event tells the caps that hold already."""
        if event.type != Gst.EventType.CAPS:
            return False
        now = self.sinkpad.get_current_caps()
        return now is not None and bool(now.is_equal(event.parse_caps()))

    def _take(self, buffer: Any) -> None:
        if self._picture is None or self._stream is None:
            raise VidFaceDeblurError("a picture came before its caps")
        frame = copied(self._picture, self._info, buffer)
        self._buffers.append(buffer)
        if not self._info.fps_n and buffer.duration not in (0, Gst.CLOCK_TIME_NONE):
            self._set_delay(buffer.duration)
        self._finish(self._stream.push(frame))

    def _finish(self, results: list[FrameResult]) -> None:
        """Write finished pictures into the buffers that they came from, and tell of them."""
        for result in results:
            buffer = self._buffers.popleft()
            if self._picture and any(face.deblurred for face in result.faces):
                write_back(self._picture, self._info, result.image, buffer)
            self._done.append(buffer)
            if self._tracks is not None:
                self._tracks.add(result)
            if self.post_messages:
                self.post_message(message(self, result, buffer.pts))

    def _drain(self) -> bool:
        """Send out the frames that wait, and begin another scene; whether all went well here."""
        if not self._flush(keep=True):
            return False
        while self._done:
            self.srcpad.push(self._done.popleft())
        self._pass_events()
        return True

    def _flush(self, *, keep: bool) -> bool:
        """End the scene; its last frames are finished, or thrown away. Whether it worked."""
        if self._stream is None:
            return True
        try:
            results = self._stream.flush()
            if keep:
                self._finish(results)
            if self._tracks is not None:
                self._tracks.flush()
        except Exception as error:  # noqa: BLE001
            self._fail(error, Gst.StreamError.quark(), Gst.StreamError.FAILED)
            return False
        return True

    def _pass_events(self) -> None:
        for event in self._events:
            self.srcpad.push_event(event)
        self._events.clear()

    def _clear(self) -> None:
        self._buffers.clear()
        self._done.clear()
        self._events.clear()

    def _options(self) -> ElementOptions:
        values: dict[str, Any] = {}
        for name in ElementOptions.__dataclass_fields__:
            value = getattr(self, name)
            values[name] = "" if value is None else value  # a string that was set to NULL
        return ElementOptions(**values)

    def _open_events(self) -> TrackEvents:
        from vidfacedeblur.event_file import EventFile
        from vidfacedeblur.events import TrackEvents

        file = self._resources.enter_context(EventFile(Path(self.events), live=True))
        tracks = TrackEvents(file, source=self.get_name(), interval=1.0)
        self._resources.callback(tracks.flush)
        return tracks

    def _close(self) -> None:
        self._stream = self._tracks = self._picture = self._info = None
        self._delay = 0
        self._resources.close()

    def _set_delay(self, delay: int) -> None:
        if delay == self._delay:
            return
        self._delay = delay
        self.post_message(Gst.Message.new_latency(self))

    def _fail(self, error: Exception, domain: int, code: int) -> None:
        """Tell the application, in one line; the rest is for who looks for a fault in this code."""
        text = one_line(error)
        if not isinstance(error, (VidFaceDeblurError, OSError, MemoryError)):
            text = f"internal error: {type(error).__name__}: {text}"
        debug = "".join(traceback.format_exception(error))
        kind = Gst.MessageType.ERROR
        self.message_full(kind, domain, code, text, debug, __file__, "vidfacedeblur", 0)


def _add_delay(pad: Any, info: Any) -> Any:
    """Add to the latency that upstream answered the time that a frame waits here."""
    query, element = info.get_query(), pad.get_parent_element()
    if query.type == Gst.QueryType.LATENCY and element is not None:
        live, least, most = query.parse_latency()
        bounded = most != Gst.CLOCK_TIME_NONE
        query.set_latency(live, least + element.delay, most + element.delay if bounded else most)
    return Gst.PadProbeReturn.OK
