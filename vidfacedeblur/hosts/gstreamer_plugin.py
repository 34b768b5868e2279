"""``python -m vidfacedeblur.hosts.gstreamer_plugin``: makes the element known to GStreamer.

Writes one small file into the folder in which GStreamer's loader for plugins in Python looks. It
names the site-packages of the Python that runs this, so that the element finds what is there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vidfacedeblur.console import say

NAME = "gst_vidfacedeblur.py"
"""The loader imports it by this name, so it must not be the package's own."""

_PLUGIN = '''\
"""The element vidfacedeblur; this file was written by vidfacedeblur.hosts.gstreamer_plugin."""
import sys

FOLDERS = {folders!r}
PYTHON = {python!r}


def _load():
    here = sys.version_info[:2]
    if here != PYTHON:
        return "GStreamer runs Python %d.%d, but this is for Python %d.%d" % (here + PYTHON)
    import site

    others = list(sys.path)
    for folder in FOLDERS:
        site.addsitedir(folder)  # also what .pth files name there
    # Its own libraries come first: it was not tested with others.
    sys.path[:] = [path for path in sys.path if path not in others] + others
    try:
        from vidfacedeblur.hosts.gstreamer import VidFaceDeblur
    except (ImportError, ValueError) as error:
        return "it cannot be loaded: %s" % error
    from gi.repository import Gst

    global __gstelementfactory__
    __gstelementfactory__ = ("vidfacedeblur", Gst.Rank.NONE, VidFaceDeblur)
    return None


_wrong = _load()
if _wrong:
    sys.stderr.write(
        "vidfacedeblur: %s; run 'python%d.%d -m vidfacedeblur.hosts.gstreamer_plugin' again"
        " where the package is installed, or delete %s\\n"
        % (" ".join(_wrong.split()), *sys.version_info[:2], __file__)
    )
'''


def plugin_text() -> str:
    """The plugin file for the Python that runs this."""
    folders = [
        path
        for path in sys.path
        if Path(path).name in ("site-packages", "dist-packages") and Path(path).is_dir()
    ]
    return _PLUGIN.format(folders=folders, python=sys.version_info[:2])


def install(folder: Path) -> Path:
    """Write the plugin file into a folder, which is made if need be; its path comes back.

    Raises:
        OSError: It cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / NAME
    # Replaced, not overwritten: GStreamer looks again when the folder's own time has changed.
    part = folder / f".{NAME}.part"
    part.write_text(plugin_text(), encoding="utf-8")
    part.replace(target)
    return target


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m vidfacedeblur.hosts.gstreamer_plugin",
        description="Make the element vidfacedeblur known to GStreamer.",
    )
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        help="a folder of GST_PLUGIN_PATH; without one, the user's own folder of plugins",
    )
    folder = parser.parse_args(argv).folder or Path.home() / ".gstreamer-1.0" / "plugins"
    try:
        written = install(folder / "python")
    except OSError as error:
        say(f"cannot write into {folder / 'python'}: {error.strerror}\n")
        return 5
    sys.stdout.write(f"wrote {written}; to see the element: gst-inspect-1.0 vidfacedeblur\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
