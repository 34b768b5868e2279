"""What comes from outside as text for a page: escaped, visible, and never more than text."""

from __future__ import annotations

import html
import json
import re
from typing import Any
from urllib.parse import quote

from vidfacedeblur.console import visible

_SURROGATE = re.compile("[\ud800-\udfff]")


def shown(value: object) -> str:
    """Text that can be encoded and seen; of bytes that are none, their numbers."""
    return _SURROGATE.sub(lambda match: _number(match[0]), visible(str(value)))


def _number(surrogate: str) -> str:
    code = ord(surrogate)
    # A byte of a file name that is no UTF-8, or half a character.
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:x}"


def esc(value: object) -> str:
    """Text for an element or a quoted attribute."""
    return html.escape(shown(value))


def name(value: object) -> str:
    """A name from outside as an element, whose direction of writing stays its own."""
    return f"<bdi>{esc(value)}</bdi>"


def href(path: str) -> str:
    """A path, relative or absolute, as the value of a link; never another scheme or host."""
    encoded = quote(path.encode("utf-8", "surrogateescape"), safe="/")
    return re.sub("^//+", "/", encoded)


def script_json(value: Any) -> str:
    """JSON that may stand in a script element: nothing in it can end the element or begin another.

    Text goes in as `shown`; the page's script puts it in as text as well.
    """
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def clock(seconds: float | None) -> str:
    """A moment or a length: ``0:12.4``, from an hour on ``1:02:12``; nothing where unknown."""
    if seconds is None:
        return ""
    sign, tenths = ("-" if seconds < 0 else ""), round(10 * abs(seconds))
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{sign}{hours}:{minutes:02d}:{rest // 10:02d}"
    return f"{sign}{minutes}:{rest // 10:02d}.{rest % 10}"


def amount(value: float) -> str:
    """A number for people: three digits that count, thousands apart."""
    if value >= 100 or value == int(value):
        return f"{round(value):,}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
