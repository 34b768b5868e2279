"""Run by the system's Python, which has GStreamer: plays what the tests ask, and prints what came.

    python3 gst_player.py '[["name", "scenario", {...}], ...]'

All scenarios run in one process, as loading torch takes seconds; the answer is JSON by name.
"""

import json
import sys
import traceback

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

PATIENCE = 60 * Gst.SECOND


class Played:
    """A pipeline with an element `d` to watch and a sink `out`, and all that passed in order."""

    def __init__(self, description):
        self.pipeline = Gst.parse_launch(description)
        self.log, self.messages, self.segment = [], [], None
        pad = self.pipeline.get_by_name("out").get_static_pad("sink")
        kind = Gst.PadProbeType
        pad.add_probe(kind.BUFFER | kind.EVENT_DOWNSTREAM | kind.EVENT_FLUSH, self._see)

    def _see(self, pad, info):
        if info.type & Gst.PadProbeType.BUFFER:
            buffer = info.get_buffer()
            running = self.segment.to_running_time(Gst.Format.TIME, buffer.pts)
            self.log.append(["buffer", buffer.pts, buffer.duration, buffer.get_size(), running])
            return Gst.PadProbeReturn.OK
        event = info.get_event()
        name = Gst.EventType.get_name(event.type)
        if name == "segment":
            self.segment = event.parse_segment().copy()
        caps = event.parse_caps().get_structure(0) if name == "caps" else None
        self.log.append([name, caps.get_value("width")] if caps else [name])
        return Gst.PadProbeReturn.OK

    def wait(self, *kinds):
        """The first message of these kinds, or an error; those of the element are kept."""
        kinds = kinds or (Gst.MessageType.EOS,)
        wanted = Gst.MessageType.ERROR | Gst.MessageType.ELEMENT
        for kind in kinds:
            wanted |= kind
        while True:
            message = self.pipeline.get_bus().timed_pop_filtered(PATIENCE, wanted)
            assert message is not None, "nothing happened"
            if message.type == Gst.MessageType.ERROR:
                raise RuntimeError(message.parse_error()[0].message)
            if message.type != Gst.MessageType.ELEMENT:
                return message
            told = message.get_structure()
            if told.get_name() == "vidfacedeblur":
                names = [told.nth_field_name(i) for i in range(told.n_fields())]
                self.messages.append({name: told.get_value(name) for name in names})

    def to(self, state):
        assert self.pipeline.set_state(state) != Gst.StateChangeReturn.FAILURE, self.failure()

    def failure(self):
        error = self.pipeline.get_bus().pop_filtered(Gst.MessageType.ERROR)
        return error.parse_error()[0].message if error else "no error was posted"

    def answer(self):
        return {"log": self.log, "messages": self.messages}


def play(description, times=1):
    """From the beginning to the end, so many times."""
    played = Played(description)
    for _ in range(times):
        played.to(Gst.State.PLAYING)
        played.wait()
        played.to(Gst.State.NULL)
    return played.answer()


def wrong(description, name, value):
    """What is said of a wrong value."""
    played = Played(description)
    played.pipeline.get_by_name("d").set_property(name, value)
    failed = played.pipeline.set_state(Gst.State.PLAYING) == Gst.StateChangeReturn.FAILURE
    said = played.failure()
    played.to(Gst.State.NULL)
    return {"failed": failed, "said": said}


def full(description):
    """What is said when the disk is full, and whether the pipeline can be stopped then."""
    played = Played(description)
    played.to(Gst.State.PLAYING)
    said = ""
    try:
        played.wait()
    except RuntimeError as error:
        said = str(error)
    stopped = played.pipeline.set_state(Gst.State.NULL) == Gst.StateChangeReturn.SUCCESS
    return {"said": said, "stopped": stopped}


def seek(description):
    """A flushing seek to the beginning while a frame waits."""
    played = Played(description)
    played.to(Gst.State.PAUSED)
    played.wait(Gst.MessageType.ASYNC_DONE)
    flags = Gst.SeekFlags.FLUSH | Gst.SeekFlags.ACCURATE
    assert played.pipeline.seek_simple(Gst.Format.TIME, flags, 0)
    played.to(Gst.State.PLAYING)
    played.wait()
    played.to(Gst.State.NULL)
    return played.answer()


def latency(description):
    """The element's latency and its input's, in nanoseconds."""
    played = Played(description)
    played.to(Gst.State.PLAYING)
    played.wait(Gst.MessageType.ASYNC_DONE)
    element = played.pipeline.get_by_name("d")
    answers = []
    for pad in (element.get_static_pad("src"), element.get_static_pad("sink").get_peer()):
        query = Gst.Query.new_latency()
        assert pad.query(query)
        answers.append(list(query.parse_latency()))
    played.to(Gst.State.NULL)
    return answers


def marked(description):
    """An event of an application's own before the third buffer."""
    played = Played(description)
    seen = []

    def mark(pad, info):
        seen.append(info)
        if len(seen) == 3:
            kind = Gst.EventType.CUSTOM_DOWNSTREAM
            pad.push_event(Gst.Event.new_custom(kind, Gst.Structure.new_empty("mark")))
        return Gst.PadProbeReturn.OK

    pad = played.pipeline.get_by_name("d").get_static_pad("sink").get_peer()
    pad.add_probe(Gst.PadProbeType.BUFFER, mark)
    played.to(Gst.State.PLAYING)
    played.wait()
    played.to(Gst.State.NULL)
    return played.answer()


SCENARIOS = {f.__name__: f for f in (play, wrong, full, seek, latency, marked)}


def main():
    Gst.init(None)
    answers = {}
    for name, scenario, arguments in json.loads(sys.argv[1]):
        try:
            answers[name] = SCENARIOS[scenario](**arguments)
        except Exception:  # noqa: BLE001 - the test that asked for it tells
            answers[name] = {"trouble": traceback.format_exc()}
    print("\n" + json.dumps(answers))


if __name__ == "__main__":
    main()
