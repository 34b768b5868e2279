"""From the properties of an element to an open pipeline."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from vidfacedeblur.config import DEFAULT_MODEL, FaceOptions
from vidfacedeblur.errors import OptionError

if TYPE_CHECKING:
    from vidfacedeblur.pipeline import FaceDeblurPipeline


@dataclass(frozen=True)
class ElementOptions:
    """What a user can set; an element's properties know neither None nor several types."""

    model: str = DEFAULT_MODEL
    weights: str = ""
    """A safetensors file of the user's own; empty: the bundled weights."""
    engine: str = "auto"
    device: str = "auto"
    threads: int = 0
    """CPU threads for each network; 0: by cores."""
    faces: str = "all"
    """all, none, largest, or a number."""
    gate: str = "auto"
    strength: float = 1.0
    min_face: int = 0
    """Pixels; 0: by the picture's size."""
    crop_size: int = 0
    """Pixels; 0: each face at its own size."""

    def open(self) -> FaceDeblurPipeline:
        """Load the networks; takes seconds.

        Raises:
            VidFaceDeblurError: As `FaceDeblurPipeline` does.
        """
        faces = FaceOptions(
            faces=cast(Any, int(self.faces) if self.faces.isdecimal() else self.faces),
            gate=cast(Any, self.gate),
            strength=self.strength,
            min_face=self.min_face or None,
            crop_size=self.crop_size or None,
        )
        if not self.model:
            raise OptionError("model must not be empty")
        from vidfacedeblur.pipeline import FaceDeblurPipeline  # torch: seconds

        return FaceDeblurPipeline(
            self.model,
            weights=self.weights or None,
            engine=cast(Any, self.engine),
            device=self.device,
            threads=self.threads or None,
            faces=faces,
        )


def one_line(error: BaseException) -> str:
    """What is wrong, in one line; properties are named as an element has them, not as flags."""
    text = " ".join(str(error).split()) or type(error).__name__
    return re.sub(r"--(?=[a-z])", "", text)
