"""What only HTTP cameras do: pictures without times, and sending visitors elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice

import cv2
import pytest
from tests_support import portrait

from vidfacedeblur.config import LiveOptions
from vidfacedeblur.errors import InputError
from vidfacedeblur.video import Camera, parse_address

_SECONDS = 0.2
"""Between two pictures."""


class _Server(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("Location", "/pictures")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace;boundary=next")
        self.end_headers()
        picture = cv2.imencode(".jpg", portrait()[..., ::-1])[1].tobytes()
        head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
        try:
            for _ in range(100):
                self.wfile.write(head.encode() + picture + b"\r\n")
                time.sleep(_SECONDS)
        except OSError:
            pass  # the visitor left

    def log_message(self, *args: object) -> None: ...


@contextmanager
def _server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Server) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_pictures_without_times_have_those_of_their_arrival() -> None:
    with _server() as url:
        camera = Camera(parse_address(f"{url}/pictures"), LiveOptions())
        packets = islice(camera.packets(), 3)
        pictures = [picture for packet in packets for picture in camera.decode(packet)]
        camera.close()
    assert [picture.picture.pts for picture in pictures] == [None] * len(pictures)
    assert pictures


def test_a_redirect_is_followed_only_where_that_is_asked_for() -> None:
    with _server() as url:
        address = parse_address(f"{url}/elsewhere")
        with pytest.raises(InputError, match="cannot be opened"):
            Camera(address, LiveOptions())
        Camera(address, LiveOptions(input_options=(("max_redirects", "3"),))).close()
