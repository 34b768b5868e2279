"""The values that travel between the rooms of this house.

Conventions, said once: pictures are (H, W, 3) RGB; a point is (x, y) in pixels of the *upright*
picture (the one a viewer sees, after any rotation stored in the file), with (0, 0) the outer corner
of the top-left pixel; right and bottom edges are exclusive; time is `pts` in units of `time_base`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import av

FloatImage = NDArray[np.float32]
ByteImage = NDArray[np.uint8]

STAGES = ("decode", "detect", "deblur", "paste", "encode")
"""The timed stages of a frame's way, in order."""


class Box(NamedTuple):
    """A rectangle around a face, in upright pixels; may reach over the picture's edge."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def width(self) -> float:
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        return self.y1 - self.y0

    @property
    def centre(self) -> tuple[float, float]:
        """Its middle, x and y."""
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2


class Region(NamedTuple):
    """A rectangle of whole pixels; may reach over the picture's edge."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def width(self) -> int:
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        return self.y1 - self.y0


@dataclass(frozen=True)
class Face:
    """One face in one frame."""

    box: Box
    score: float = 1.0
    """The detector's probability that this is a face, 0 to 1."""
    landmarks: tuple[tuple[float, float], ...] | None = None
    """Left eye, right eye, nose, left and right mouth corner, as seen by the viewer; or unknown."""
    track: int | None = None
    """The same number on every frame that shows the same face; counts from 1."""
    weight: float = 1.0
    """How much of the correction is applied, 0 to 1: less where a face comes or goes, or is sharp
    (see `FaceOptions.gate`)."""
    sharpness: float | None = None
    """How sharp the face was, 0 (blurred) to 1 (sharp); see `faces.sharpness`."""
    sharpness_after: float | None = None
    """The same measure after deblurring; None where the face was left alone."""

    @property
    def deblurred(self) -> bool:
        """Whether anything of a correction was applied."""
        return self.sharpness_after is not None


@dataclass(frozen=True)
class FaceCrop:
    """A face cut out for the network, and where it came from."""

    face: Face
    region: Region
    """The square of the upright picture that was cut."""
    image: FloatImage
    """(S, S, 3) RGB in [0, 1]; S is the network's size, not always the region's."""
    field: int | None = None
    """The first line, 0 or 1, of the field that the image is of; None: it is of all lines."""


@dataclass(frozen=True)
class FrameTiming:
    """Milliseconds of work that one frame cost, by stage."""

    decode: float = 0.0
    detect: float = 0.0
    deblur: float = 0.0
    paste: float = 0.0
    encode: float = 0.0

    @property
    def total(self) -> float:
        """Sum of the stages. Stages of several frames overlap, so this is not 1000 / fps."""
        return self.decode + self.detect + self.deblur + self.paste + self.encode


@dataclass
class Frame:
    """One picture on its way through the stages."""

    index: int
    """Position in the run, from 0."""
    picture: av.VideoFrame | ByteImage
    """As decoded, in the codec's own pixel format and not yet upright; or a caller's RGB array."""
    pts: int | None = None
    """Presentation timestamp in units of `time_base`."""
    time_base: Fraction = Fraction(1, 1000)
    duration: int | None = None
    """Time until the next frame, in units of `time_base`; None if unknown."""
    orientation: int = 1
    """How to turn the stored picture upright: the EXIF orientation, 1 to 8."""
    corrupt: bool = False
    """The decoder had to conceal damage in this frame."""
    key: bool = False
    """Decoding may begin with this frame."""
    passengers: tuple[av.Packet[Any], ...] = ()
    """Packets of the other streams that lie before this frame in the file; the sink copies them."""


@dataclass(frozen=True)
class FrameResult:
    """What became of one frame."""

    index: int
    pts: int | None
    time_base: Fraction
    faces: tuple[Face, ...]
    timing: FrameTiming
    image: Any = None
    """`process` and `process_image` only: the frame as it was given (array or `av.VideoFrame`),
    with its faces deblurred."""
    corrupt: bool = False
    """The decoder had to conceal damage in this frame."""

    @property
    def time(self) -> float | None:
        """Presentation time in seconds, for display only."""
        return None if self.pts is None else float(self.pts * self.time_base)


@dataclass(frozen=True)
class StageStats:
    """Milliseconds per frame of one stage over a run."""

    median: float
    p95: float
    mean: float


@dataclass(frozen=True)
class RunSummary:
    """What a run over one input did."""

    input: str
    output: str
    model: str
    engine: str
    device: str
    frames: int
    faces: int
    """Faces found, summed over frames."""
    deblurred: int
    """Of them, those that were changed; sharp ones are not, see `FaceOptions.gate`."""
    seconds: float
    """Wall time of the run, without loading the models."""
    stages: dict[str, StageStats] = field(default_factory=dict)
    """By stage name, and "total"."""
    corrupt_frames: int = 0
    bad_packets: int = 0
    truncated: str | None = None
    """How far an input that is cut short could be read; only with ``keep_partial``."""
    copied: bool = False
    """No face was changed, and the output is the input, byte by byte."""
    repairs: tuple[str, ...] = ()
    """What was mended or converted on reading, a line each."""
    losses: tuple[str, ...] = ()
    """What the output cannot hold, and which of its options did not apply, a line each."""
    left_out: tuple[str, ...] = ()
    """Streams of the input that the output does not have."""
    tag: str | None = None
    """The output's tag that says what was done; None if there is none."""
    encoding: str | None = None
    """Encoder, pixel format and settings of the output; None if it is the input."""
    input_sha256: str | None = None
    """None if it came through a pipe."""
    output_sha256: str | None = None
    """None if it went into a pipe."""
    weights_sha256: str = ""
    options_sha256: str = ""
    """Of the options that show in the output."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Each thing that was repaired, or could not be kept."""
        return (*self.repairs, *self.losses)

    @property
    def fps(self) -> float:
        """Frames per second of wall time."""
        return self.frames / self.seconds if self.seconds > 0 else 0.0

    @property
    def damaged(self) -> bool:
        """Whether the input was damaged; what could be read of it is in the output."""
        return self.corrupt_frames > 0 or self.bad_packets > 0 or self.truncated is not None


class Canvas(Protocol):
    """A picture whose regions can be read, and changed by a difference. Nothing else changes it."""

    @property
    def width(self) -> int:
        """Width of the upright picture in pixels."""

    @property
    def height(self) -> int:
        """Height of the upright picture in pixels."""

    @property
    def interlaced(self) -> bool:
        """Whether it says that its even and odd lines are of two moments."""

    def rgb(self) -> ByteImage:
        """The whole upright picture, (H, W, 3) uint8 RGB, to look for faces in. Read only."""

    def glance(self) -> ByteImage:
        """Some hundreds of its samples, a coarse (h, w) of brightness, to tell pictures apart."""

    def read(self, region: Region) -> FloatImage:
        """A region inside the picture, as (h, w, 3) float32 RGB in [0, 1]."""

    def read_small(self, region: Region, side: int) -> FloatImage:
        """A region inside the picture averaged or stretched to (side, side, 3), values as `read`.

        Costs little where the region is large; colours may be off by half a chroma sample.
        """

    def add(self, region: Region, difference: FloatImage) -> None:
        """Add (h, w, 3) float32, in units where 1 is full scale, to a region inside the picture.

        A sample whose difference rounds to zero keeps its value bit for bit.
        """


class Network(Protocol):
    """A network made ready to run: arrays in, arrays out, float32, batch first."""

    @property
    def engine(self) -> str:
        """Name of the engine that runs it."""

    @property
    def device(self) -> str:
        """Where it runs."""

    def __call__(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Run on (N, C, H, W) float32; one array per output of the network."""

    def close(self) -> None:
        """Free what the network holds; it cannot be called any more."""
