"""Where one scene ends and the next begins."""

from __future__ import annotations

import numpy as np

from vidfacedeblur.types import ByteImage, Canvas

_CUT = 16.0
"""Mean change of brightness, in levels of 255, that may be a cut ..."""
_SUDDEN = 4.0
"""... if it is so many times what has been usual."""


class Cuts:
    """Finds a video's cuts, frame by frame."""

    def __init__(self) -> None:
        self._glance: ByteImage | None = None
        self._usual = 0.0
        self._ended = False

    def end(self) -> None:
        """Take the next frame for another scene, whatever it shows."""
        self._ended = True

    def is_cut(self, canvas: Canvas) -> bool:
        """Whether this frame shows another scene than the one before; False for the first."""
        now, before = canvas.glance(), self._glance
        self._glance = now
        ended, self._ended = self._ended, False
        if before is None or ended or before.shape != now.shape:
            return before is not None
        change = float(np.abs(now.astype(np.int16) - before).mean())
        cut = change > _CUT and change > _SUDDEN * self._usual
        # A cut counts as the least that may be one: where motion or noise looks like cuts again and
        # again, it becomes usual.
        self._usual += 0.2 * ((_CUT if cut else change) - self._usual)
        return cut
