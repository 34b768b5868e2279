"""Pictures of many colours to pictures of 256, for GIF."""

from __future__ import annotations

import av
from av.filter import Graph


class Palettizer:
    """Gives every frame a palette of its own.

    A frame that came from a palette, and of which a small part has changed, keeps nearly all of its
    colours that way; nothing is dithered that was not dithered before.
    """

    def __init__(self, first: av.VideoFrame, pix_fmt: str, size: tuple[int, int]) -> None:
        self._graph = Graph()
        source = self._graph.add_buffer(
            width=size[0],
            height=size[1],
            format=av.VideoFormat(pix_fmt),
            time_base=first.time_base,
        )
        split = self._graph.add("split")
        generate = self._graph.add("palettegen", "stats_mode=single")
        use = self._graph.add("paletteuse", "new=1:dither=none")
        sink = self._graph.add("buffersink")
        source.link_to(split)
        split.link_to(generate, 0, 0)
        split.link_to(use, 1, 0)
        generate.link_to(use, 0, 1)
        use.link_to(sink)
        self._graph.configure()

    def reduce(self, picture: av.VideoFrame) -> av.VideoFrame:
        """The picture in the pixel format pal8."""
        self._graph.vpush(picture)
        return self._graph.vpull()
