"""A page as one file: its head, its style and its script, and how it gets its name."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from vidfacedeblur import __version__
from vidfacedeblur.report.text import esc, script_json
from vidfacedeblur.whole import whole_file

_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<meta name="generator" content="vidfacedeblur {version}">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<main id="content" tabindex="-1">
{body}
</main>
<footer><p>Made by vidfacedeblur {version}. This page holds all it shows and asks for nothing
from elsewhere.</p></footer>
<script type="application/json" id="data">{data}</script>
<script>{script}</script>
</body>
</html>
"""


def document(*, title: str, body: str, script: str, data: Any) -> str:
    """A whole page.

    Args:
        title: As text.
        body: The content, as HTML.
        script: Name of the script's file in this folder.
        data: What the script reads, as JSON.
    """
    style, code = _asset("style.css"), _asset(script)
    # Only this style and this script, by their hashes: nothing that slipped in would run.
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(code)}';"
        " img-src data:; base-uri 'none'; form-action 'none'"
    )
    return _HEAD.format(
        policy=policy,
        version=__version__,
        title=esc(title),
        style=style,
        body=body,
        data=script_json(data),
        script=code,
    )


def put(path: Path, text: str) -> None:
    """Write a page that is whole as soon as it has its name.

    Raises:
        OutputError: It cannot be written.
    """
    with whole_file(path) as file:
        file.write(text)


@cache
def _asset(name: str) -> str:
    return files("vidfacedeblur.report").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return "sha256-" + base64.b64encode(digest).decode("ascii")
