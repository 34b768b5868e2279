"""Addresses: what is taken, what is refused, and that nothing secret is ever shown."""

from __future__ import annotations

import pytest

from vidfacedeblur.errors import OptionError
from vidfacedeblur.video import PUBLISH_SCHEMES, parse_address


@pytest.mark.parametrize(
    ("text", "scheme", "shown"),
    [
        ("rtsp://10.0.0.5/stream1", "rtsp", "rtsp://10.0.0.5/stream1"),
        ("rtsp://admin:pa%40ss@cam:554/s", "rtsp", "rtsp://***@cam:554/s"),
        ("rtsp://admin:p@ss@cam/s", "rtsp", "rtsp://***@cam/s"),
        ("rtsps://token@cam/s?key=abc&x=1", "rtsps", "rtsps://***@cam/s?key=***&x=***"),
        ("rtsp://cam/user=admin_password=abc_channel=1.sdp", "rtsp", "rtsp://cam/user=***"),
        ("rtsp://admin:1/secret@cam/x", "rtsp", "rtsp://***"),
        ("rtsp://admin:1?secret@cam/x", "rtsp", "rtsp://***"),
        ("rtsp://cam/live@sub", "rtsp", "rtsp://cam/live@sub"),
        ("http://cam/s?secret", "http", "http://cam/s?***"),
        ("HTTP://cam/s#frag", "http", "http://cam/s"),
        ("udp://:5000", "udp", "udp://:5000"),
        ("udp://@239.0.0.1:5000", "udp", "udp://@239.0.0.1:5000"),
        ("/dev/video0", "v4l2", "/dev/video0"),
        ("v4l2:///dev/video2", "v4l2", "/dev/video2"),
        ("rtsp://[fe80::1]:8554/x", "rtsp", "rtsp://[fe80::1]:8554/x"),
    ],
)
def test_what_is_taken(text: str, scheme: str, shown: str) -> None:
    address = parse_address(text)
    assert (address.scheme, address.shown, str(address)) == (scheme, shown, shown)
    for secret in ("pa%40ss", "p@ss", "admin", "token", "abc", "secret"):
        assert secret not in repr(address)
        assert secret not in f"{address}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("clip.mp4", "must begin with one of rtsp://"),
        ("file:///etc/passwd", "this one has file://"),
        ("concat:a|b", "this one has concat://"),
        ("rtsp:///x", "names no host"),
        ("udp://host", "names no port"),
        ("rtsp://host:port/x", "cannot be read"),
        ("rtsp://host/a b", "a space"),
        ("rtsp://host/a\nb", "control character"),
        ("/dev/../etc/passwd", "must begin with"),
        ("", "no scheme"),
        ("pipe:0", "pipe://"),
    ],
)
def test_what_is_refused(text: str, says: str) -> None:
    with pytest.raises(OptionError, match=says):
        parse_address(text)


def test_not_every_address_can_be_published_to() -> None:
    assert parse_address("udp://host:1", PUBLISH_SCHEMES).scheme == "udp"
    with pytest.raises(OptionError, match="http"):
        parse_address("http://host/x", PUBLISH_SCHEMES)


def test_a_refusal_shows_no_password() -> None:
    with pytest.raises(OptionError) as caught:
        parse_address("udp://admin:hunter2@host")
    assert "hunter2" not in str(caught.value)
