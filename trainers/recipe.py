"""Recipes: how a model is trained, as plain dataclasses. `recipes/*.toml` are the shipped ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from vidfacedeblur.errors import OptionError
from vidfacedeblur.settle import settle

_LARGEST_CROP = 4096
_LARGEST_BATCH = 65536
_HIGHEST_RATE = 1e38
"""What torch can hold in float32; far beyond what any network learns with."""


@dataclass(frozen=True)
class Phase:
    """A stretch of a run with one crop size and batch."""

    until: float
    """Share of the whole run at which the phase ends, above 0 to 1."""
    crop: int
    """Side of the training crops in pixels, 32 to 4096, a multiple of 32."""
    batch: int
    """Crops per step, and per GPU where there are several, 1 to 65536."""
    small_every: int = 0
    """Every so many steps there are four times as many crops of half the side: many a video shows
    small faces, and a network that has never seen one may spoil them. 0: never."""

    def __post_init__(self) -> None:
        settle(self, str)
        if self.crop % 32 or not 32 <= self.crop <= _LARGEST_CROP:
            raise OptionError(
                f"a phase's crop must be a multiple of 32, of 32 to {_LARGEST_CROP},"
                f" got {self.crop}"
            )
        if not 1 <= self.batch <= _LARGEST_BATCH:
            raise OptionError(
                f"a phase's batch must lie within 1 to {_LARGEST_BATCH}, got {self.batch}"
            )
        if self.small_every < 0 or (self.small_every and self.crop % 64):
            raise OptionError("small_every must be 0 or more, with a crop of a multiple of 64")

    def at(self, step: int) -> tuple[int, int]:
        """Number and side of the crops of a step."""
        if self.small_every and step % self.small_every == 0:
            return 4 * self.batch, self.crop // 2
        return self.batch, self.crop


@dataclass(frozen=True)
class Optimizer:
    """How weights follow gradients; the critic's follow theirs alike."""

    learning_rate: float
    """Peak rate."""
    kind: Literal["adamw", "adam", "rmsprop"] = "adamw"
    beta1: float = 0.9
    beta2: float = 0.999
    weight_decay: float = 1e-4
    """AdamW only."""
    warmup: float = 0.02
    """Share of the run before the peak rate is reached, linearly."""
    decay: Literal["cosine", "linear", "none"] = "cosine"
    """``linear`` holds the rate for the first half of the run and then falls to 0."""
    clip: float = 1.0
    """Largest norm of the gradient; 0: no limit."""

    def __post_init__(self) -> None:
        settle(self, str)
        if not 0 < self.learning_rate <= _HIGHEST_RATE:
            raise OptionError(
                f"learning_rate must be above 0, and at most {_HIGHEST_RATE:g},"
                f" got {self.learning_rate:g}"
            )
        if not 0 <= self.warmup < 1:
            raise OptionError(f"warmup must be 0 or more, and below 1, got {self.warmup:g}")
        if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1):
            raise OptionError("beta1 and beta2 must be 0 or more, and below 1")
        if self.weight_decay < 0 or self.clip < 0:
            raise OptionError("weight_decay and clip must be 0 or more")


@dataclass(frozen=True)
class Loss:
    """What is minimised beside the adversarial part; weights of 0 leave a part out."""

    charbonnier: float = 1.0
    squared: float = 0.0
    """Mean squared error."""
    frequency: float = 0.1
    """Mean absolute difference of the spectra."""
    variation: float = 0.0
    """Total variation of the result, which keeps it smooth."""
    perceptual: float = 0.0
    """Squared difference of VGG-19 features; needs a weights file."""
    face: float = 0.0
    """Relative difference of the face detector's O-Net features."""
    face_instead: float = 0.0
    """The same, only where ``perceptual`` is wanted and no VGG weights were given."""

    def __post_init__(self) -> None:
        settle(self, str)
        parts = vars(self)
        if min(parts.values()) < 0 or not any(parts.values()):
            raise OptionError("loss weights must be 0 or more, and one of them above 0")


@dataclass(frozen=True)
class Adversarial:
    """A critic that the network learns to convince."""

    kind: Literal["wgan-gp", "ragan-ls"]
    """Wasserstein with gradient penalty, or relativistic average least squares."""
    weight: float
    """Of the generator's adversarial loss."""
    layers: tuple[int, ...] = (3,)
    """A patch critic for each: its strided layers; 3 see 70 pixels, 5 see 286."""
    critic_steps: int = 1
    """Critic updates for each update of the network."""
    begins: float = 0.0
    """Share of the run before which there is no adversarial loss."""
    penalty: float = 10.0
    """Weight of the gradient penalty; wgan-gp only."""

    def __post_init__(self) -> None:
        settle(self, str)
        if not self.layers or min(self.layers) < 1 or self.critic_steps < 1:
            raise OptionError("adversarial training needs layers and critic_steps of 1 or more")
        if min(self.weight, self.penalty) < 0 or not 0 <= self.begins < 1:
            raise OptionError(
                "adversarial weight and penalty must be 0 or more, and begins within 0 and 1"
            )


@dataclass(frozen=True)
class BlurMix:
    """How faces are blurred, and what a recording does to them then."""

    averaged_share: float = 0.2
    """Share of the pairs that were averaged from frames, if the pack has any."""
    smallest_kernel: int = 1
    """Kernel sizes are drawn evenly between these, in pixels; 1 leaves a face sharp."""
    largest_kernel: int = 29
    mild_share: float = 0.3
    """Share of the faces whose kernel is at most `mild_kernel`: a face that is hardly blurred must
    stay as it is."""
    mild_kernel: int = 5
    moved_share: float = 0.35
    """Share of the other pairs that are made as averaged frames are: from copies of the face that
    move, turn and grow; the rest are convolved."""
    still_share: float = 0.8
    """Share of the moved faces that move before a background that stands still; of those only that
    are seen in whole."""
    largest_bend: float = 0.4
    """Parts of a moved face move on their own, as mouths and turning heads do, by up to this share
    of the blur's size."""
    defocus_share: float = 0.05
    """Share of the kernels that are discs, of half the size drawn."""
    mixed_share: float = 0.1
    """Share of the kernels that are a path seen through a disc; the rest are plain paths."""
    largest_noise: float = 0.02
    """Noise is drawn evenly from 0 to this standard deviation, where white is 1."""
    jpeg_share: float = 0.2
    lowest_quality: int = 40
    """JPEG quality is drawn evenly from here to 95."""
    h264_share: float = 0.2
    largest_crf: int = 32
    """The rate factor of H.264 is drawn evenly from 16 to here."""
    smallest_zoom: float = 0.45
    """Faces are resized by a factor drawn from here to `largest_zoom`, evenly in its logarithm,
    before they are blurred, as far as they have the pixels for the crop. Enlarged faces are soft
    without being blurred by motion, as large faces in videos are; the network must not take the one
    for the other."""
    largest_zoom: float = 3.0

    def __post_init__(self) -> None:
        settle(self, str)
        if not 1 <= self.smallest_kernel <= self.largest_kernel <= 29:
            raise OptionError("kernel sizes must lie within 1 to 29")
        if not 1 <= self.mild_kernel <= 29:
            raise OptionError(f"mild_kernel must lie within 1 to 29, got {self.mild_kernel}")
        shares = (self.defocus_share, self.mixed_share)
        alone = (self.averaged_share, self.moved_share, self.still_share, self.mild_share)
        for group in (*((share,) for share in alone), shares, self._compressed()):
            if min(group) < 0 or sum(group) > 1:
                raise OptionError("shares of the blur must be 0 or more, and at most 1 in all")
        if not 0 <= self.largest_noise <= 1:
            raise OptionError(f"largest_noise must lie within 0 to 1, got {self.largest_noise:g}")
        if not 0 <= self.largest_bend <= 1:
            raise OptionError(f"largest_bend must lie within 0 to 1, got {self.largest_bend:g}")
        if not 0 < self.smallest_zoom <= self.largest_zoom <= 4:
            raise OptionError("zooms must lie within 0 to 4")
        if not 1 <= self.lowest_quality <= 95 or not 16 <= self.largest_crf <= 51:
            raise OptionError("lowest_quality must lie within 1 to 95, largest_crf 16 to 51")

    def _compressed(self) -> tuple[float, float]:
        return self.jpeg_share, self.h264_share


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what training does, beside the data and the seed."""

    model: str
    """Name in the registry."""
    steps: int
    """Updates of the network in a whole run."""
    phases: tuple[Phase, ...]
    """In order; the last ends at 1."""
    optimizer: Optimizer
    loss: Loss = field(default_factory=Loss)
    adversarial: Adversarial | None = None
    blur: BlurMix = field(default_factory=BlurMix)
    network: dict[str, Any] = field(default_factory=dict)
    """Settings of the model's configuration that differ from its defaults."""
    ema: float = 0.999
    """Decay per step of the averaged weights, which are the ones that ship."""
    precision: Literal["bfloat16", "float32"] = "bfloat16"
    """Of the network's activations; weights, norms, losses and critics stay float32. A CPU without
    instructions for bfloat16 computes in float32."""

    def __post_init__(self) -> None:
        settle(self, str)
        ends = [phase.until for phase in self.phases]
        if not ends or ends != sorted(set(ends)) or ends[-1] != 1 or ends[0] <= 0:
            raise OptionError(f"phases must end in rising order, the last at 1, got {ends}")
        if self.steps < 1:
            raise OptionError(f"steps must be 1 or more, got {self.steps}")
        if not 0 <= self.ema < 1:
            raise OptionError(f"ema must be 0 or more, and below 1, got {self.ema:g}")

    def phase_at(self, progress: float) -> Phase:
        """The phase at a share of the run, 0 to 1."""
        return next((p for p in self.phases if progress < p.until), self.phases[-1])
