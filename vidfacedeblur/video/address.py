"""Addresses of cameras and of servers to publish to: what may be opened, and how it is shown."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from vidfacedeblur.errors import OptionError

CAMERA_SCHEMES = ("rtsp", "rtsps", "http", "https", "udp", "v4l2")
"""Schemes of addresses that a camera may have; ``/dev/videoN`` counts as the last."""
PUBLISH_SCHEMES = ("rtsp", "rtsps", "udp")
"""Schemes of addresses that may be published to."""

_HIDDEN = "***"


@dataclass(frozen=True)
class Address:
    """Where a stream comes from, or goes to.

    Its text form hides names, passwords and the values of a query, which may be secret as well.
    """

    url: str = field(repr=False)
    """As FFmpeg opens it, with everything that is secret in it; for no log and no message."""
    scheme: str
    shown: str
    """The same for people."""

    def __str__(self) -> str:
        return self.shown


def parse_address(text: str, schemes: Iterable[str] = CAMERA_SCHEMES) -> Address:
    """Take in an address that a user gave.

    Raises:
        OptionError: It is of another scheme, or not complete.
    """
    allowed = tuple(schemes)
    if "v4l2" in allowed and re.fullmatch(r"(v4l2://)?/dev/[A-Za-z0-9_/-]+", text):
        device = text.removeprefix("v4l2://")
        return Address(device, "v4l2", device)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise OptionError("the address is not a URL: its host or port cannot be read") from error
    scheme = parts.scheme.lower()
    if scheme not in allowed:
        names = ", ".join(f"{name}://" for name in allowed)
        given = f"{scheme}://" if scheme else "no scheme"
        raise OptionError(f"an address must begin with one of {names}; this one has {given}")
    if not parts.hostname and not (scheme == "udp" and port):
        raise OptionError(f"{_shown(parts)} names no host")
    if scheme == "udp" and not port:
        raise OptionError(f"{_shown(parts)} names no port; udp:// needs one")
    if any(ord(character) < 33 for character in text):
        raise OptionError("the address has a space or a control character in it")
    return Address(text, scheme, _shown(parts))


def _shown(parts: SplitResult) -> str:
    who, at, host = parts.netloc.rpartition("@")
    user = f"{_HIDDEN}@" if who else at
    if not at and ":" in host and "@" in f"{parts.path}{parts.query}{parts.fragment}":
        # It may be a password with a slash in it, which is taken for a port and a path.
        return f"{parts.scheme}://{_HIDDEN}"
    path, equals, _ = parts.path.partition("=")  # as /user=NAME_password=... of many recorders
    if equals:
        path += f"={_HIDDEN}"
    query = re.sub(r"=[^&;]*", f"={_HIDDEN}", parts.query)
    if query and "=" not in query:
        query = _HIDDEN
    return f"{parts.scheme}://{user}{host}{path}" + (f"?{query}" if query else "")
