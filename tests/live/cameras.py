"""Cameras for tests: MPEG-TS over HTTP at the pace of life, with every way of going wrong."""

from __future__ import annotations

import io
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import numpy as np
from tests_support import portrait

RTSP_SERVER = Path(__file__).parent.parent / "tools" / "rtsp_server.py"
SYSTEM_PYTHON = "/usr/bin/python3"
FPS = 25


class _Chunks(io.RawIOBase):
    """Takes what a muxer writes, apart by picture."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self._current = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._current += bytes(data)
        return len(data)

    def cut(self) -> None:
        self.chunks.append(self._current)
        self._current = b""


@lru_cache
def clip(*, size: tuple[int, int] = (256, 240), seconds: int = 20, gop: int = 10) -> list[bytes]:
    """An MPEG-TS stream of a moving face, a piece for each picture."""
    sink = _Chunks()
    with av.open(sink, "w", format="mpegts", options={"flush_packets": "1"}) as container:
        video = container.add_stream(
            "libx264",
            FPS,
            options={
                "preset": "ultrafast",
                "tune": "zerolatency",
                "x264-params": "sliced-threads=0",
            },
        )
        video.width, video.height = size
        video.codec_context.gop_size = gop
        for i in range(seconds * FPS):
            image = np.ascontiguousarray(np.roll(portrait(), 2 * (i % 10), 1))
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame = frame.reformat(*size, format="yuv420p")
            frame.pts, frame.time_base = i, Fraction(1, FPS)
            container.mux(video.encode(frame))
            sink.cut()
    return sink.chunks


class HttpCamera:
    """``http://127.0.0.1:PORT/live.ts``; every visitor gets the stream from its beginning.

    Args:
        chunks: What is sent, a piece for each picture.
        first: The piece to begin with.
        pace: Pictures per second.
    """

    def __init__(
        self,
        chunks: list[bytes] | None = None,
        *,
        first: int = 0,
        pace: float = FPS,
        port: int = 0,
        alter: Callable[[int, bytes], bytes] = lambda number, chunk: chunk,
    ) -> None:
        self.chunks = clip() if chunks is None else chunks
        self.first, self.pace, self.alter = first, pace, alter
        self.paused = threading.Event()
        self.visits = 0
        self._gone = threading.Event()
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                camera.visits += 1
                self.send_response(200)
                self.send_header("Content-Type", "video/mp2t")
                self.end_headers()
                camera._send(self.wfile)

            def log_message(self, *args: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *args: None  # type: ignore[method-assign]
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/live.ts"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def __enter__(self) -> HttpCamera:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def close(self) -> None:
        """Go away, in the middle of whatever is being sent."""
        self._gone.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _send(self, file: Any) -> None:
        begin = time.monotonic()
        for number, chunk in enumerate(self.chunks[self.first :]):
            while self.paused.is_set() and not self._gone.is_set():
                time.sleep(0.01)
            if self._gone.wait(max(0.0, begin + number / self.pace - time.monotonic())):
                return
            file.write(self.alter(number, chunk))
            file.flush()


@contextmanager
def mute_server() -> Iterator[str]:
    """Takes connections and never says a word; yields ``HOST:PORT``."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def write_clip(path: Path, *, size: tuple[int, int] = (256, 240), seconds: int = 40) -> Path:
    """The same stream as a Matroska file, for the RTSP server."""
    stream = io.BytesIO(b"".join(clip(size=size, seconds=seconds)))
    with av.open(stream, format="mpegts") as source, av.open(path, "w") as target:
        copied = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = copied
                target.mux(packet)
    return path


def rtsp_problem() -> str | None:
    """Why no RTSP server can be run here, or None."""
    if not Path(SYSTEM_PYTHON).exists() or not shutil.which("gst-inspect-1.0"):
        return "GStreamer is not installed"
    check = (
        "import gi; gi.require_version('GstRtspServer', '1.0'); import gi.repository.GstRtspServer"
    )
    if subprocess.run([SYSTEM_PYTHON, "-c", check], capture_output=True, check=False).returncode:
        return "gst-rtsp-server and its bindings are not installed"
    return None


class RtspCamera:
    """A real RTSP server in a process of its own, which can be killed and stopped."""

    def __init__(self, path: Path, *arguments: str, port: int | None = None) -> None:
        self.port = port or free_port()
        self.url = f"rtsp://127.0.0.1:{self.port}/camera"
        command = [SYSTEM_PYTHON, str(RTSP_SERVER), str(self.port), str(path), *arguments]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=sys.stderr, text=True
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def __enter__(self) -> RtspCamera:
        return self

    def __exit__(self, *args: object) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.01)
