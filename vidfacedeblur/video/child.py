"""The child process of ``--isolate``: it reads and writes media files, under limits.

    python -m vidfacedeblur.video.child FRAMES EDITS RESULTS

Three pipes, by their numbers. Frames go out on the first; the second brings the job and then, for
each frame, whether its samples were changed, with the new ones; the third says how it ended.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import av

from vidfacedeblur.config import VideoOptions
from vidfacedeblur.errors import InputError
from vidfacedeblur.types import Frame
from vidfacedeblur.video import open_sink, open_source, output_suffix
from vidfacedeblur.video.protocols import Sink, Source
from vidfacedeblur.video.wire import Wire, error_values, frame_values

_MOST_FILES = 64


def main() -> None:
    """Do one job, whatever comes of it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it too, and decides
    frames, edits, results = (int(number) for number in sys.argv[1:4])
    job = Job(Wire(frames, reads=False), Wire(edits, reads=True), Wire(results, reads=False))
    try:
        job.run()
    except (EOFError, BrokenPipeError):
        pass  # the parent is gone, or has given up
    except Exception as error:  # noqa: BLE001 - the parent raises it
        job.fail(error)
    os._exit(0)  # a thread that waits for the parent would keep it alive


class Job:
    """What the parent asked for."""

    def __init__(self, frames: Wire, edits: Wire, results: Wire) -> None:
        self._frames, self._edits, self._results = frames, edits, results
        self._held: dict[int, Frame] = {}
        self._reading = False  # then the thread that reads has the pipe of the frames
        self.name = "the input"

    def run(self) -> None:
        """Read the job, and do it."""
        asked = self._edits.receive()
        _limit(asked["options"]["max_memory"])
        source = Path(asked["source"])
        self.name = str(source)
        if asked["target"] is None:
            self._results.send({"suffix": output_suffix(source)})
            return
        options = _options(asked["options"])
        # Never closed: where writing fails, the thread that reads may be in the decoder, which a
        # close beside it would crash before the failure is told. It ends with the process.
        opened = open_source(source, options)
        provenance = asked["provenance"]
        with open_sink(Path(asked["target"]), opened, options, provenance=provenance) as sink:
            self._frames.send(_info(opened))
            self._reading = True
            reading = threading.Thread(target=self._read, args=(opened,), daemon=True)
            reading.start()
            self._write(sink)

    def fail(self, error: Exception) -> None:
        """Tell the parent, where it listens."""
        wires = (self._results,) if self._reading else (self._results, self._frames)
        for wire in wires:
            with suppress(OSError):
                wire.send(error_values(self._told(error)))

    def _told(self, error: Exception) -> Exception:
        if _is_out_of_memory(error):
            return InputError(f"{self.name} needs more memory than --max-memory allows")
        return error

    def _read(self, source: Source) -> None:
        """Send all frames, and keep them until they come back."""
        try:
            for frame in source:
                self._held[frame.index] = frame
                self._frames.send({"frame": frame_values(frame)})
                assert isinstance(frame.picture, av.VideoFrame)
                self._frames.send_planes(frame.picture)
            self._frames.send({"end": _state(source)})
        except BrokenPipeError:
            pass
        except Exception as error:  # noqa: BLE001 - the parent raises it
            with suppress(OSError):
                self._frames.send(error_values(self._told(error)))

    def _write(self, sink: Sink) -> None:
        """Write the frames as they come back, until the parent says that it was the last."""
        while True:
            message = self._edits.receive()
            if "finish" in message:
                path = sink.finish() if message["finish"] else sink.leave_as_is()
                told = {"warnings": sink.warnings, "left_out": sink.left_out, "tag": sink.tag}
                told["encoding"] = sink.encoding
                self._results.send({"path": str(path), **told})
                return
            frame = self._held.pop(message["index"])
            if message["changed"]:
                assert isinstance(frame.picture, av.VideoFrame)
                frame.picture.make_writable()
                self._edits.receive_planes(frame.picture)
            sink.write(frame)


def _is_out_of_memory(error: BaseException | None) -> bool:
    if error is None:
        return False
    told = isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM
    return told or _is_out_of_memory(error.__cause__)


def _options(values: dict[str, Any]) -> VideoOptions:
    pairs = tuple((key, value) for key, value in values["encoder_options"])
    allowed = tuple(values["allow_decoders"])
    return VideoOptions(**values | {"encoder_options": pairs, "allow_decoders": allowed})


def _info(source: Source) -> dict[str, Any]:
    info = source.info
    rate = [info.average_rate.numerator, info.average_rate.denominator]
    values = {**vars(info), "path": str(info.path), "average_rate": rate}
    return {"info": values, "state": _state(source)}


def _state(source: Source) -> dict[str, Any]:
    return {
        "warnings": source.warnings,
        "corrupt_frames": source.corrupt_frames,
        "bad_packets": source.bad_packets,
        "truncated": source.truncated,
    }


def _limit(mebibytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (mebibytes << 20,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_MOST_FILES,) * 2)


if __name__ == "__main__":
    main()
