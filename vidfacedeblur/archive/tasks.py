"""What the driver asks of a worker, and what it hears from one: plain data that JSON can hold.

Paths travel as text, in which bytes that are no text are kept as surrogates.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

from vidfacedeblur.config import FaceOptions, ModelOptions, VideoOptions

Kind = Literal["file", "piece", "join"]


@dataclass(frozen=True)
class Extras:
    """What is made of a file beside its output."""

    events: bool = False
    interval: float = 1.0
    """Seconds between two events of a face."""
    timings: Literal["csv", "jsonl"] | None = None
    faces: str | None = None
    """Folder of the file's best faces."""
    page: str | None = None
    """The file's own page."""
    index: str | None = None
    """The page that has a link to it."""
    compare: str | None = None
    """The video that shows before and after."""
    compare_as: Literal["side", "wipe"] = "side"


@dataclass(frozen=True)
class Task:
    """Work for one worker: a whole file, or a step of one that is done in pieces."""

    file: int
    """The file's number in the journal."""
    kind: Kind
    source: str
    target: str
    folder: str
    """Where the worker may leave what is not done yet; one for each file."""
    extras: Extras = field(default_factory=Extras)
    overwrite: bool = False
    number: int = 0
    """Of the piece."""
    chunk: float = 0.0
    """Seconds of a piece; 0: the file is done in one."""

    def values(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        return cls(**values | {"extras": Extras(**values["extras"])})

    def piece(self, number: int) -> Self:
        """The step that works on a piece."""
        return replace(self, kind="piece", number=number)

    def join(self) -> Self:
        """The step that puts the pieces together."""
        return replace(self, kind="join", number=0)

    def whole(self) -> Self:
        """The file, done in one."""
        # In a folder of its own: somebody may still be at work on a piece.
        return replace(self, kind="file", chunk=0.0, folder=f"{self.folder}-whole")


@dataclass(frozen=True)
class Setup:
    """What all tasks of a worker have in common."""

    model: ModelOptions
    faces: FaceOptions
    video: VideoOptions

    def values(self) -> dict[str, Any]:
        values = asdict(self)
        weights = values["model"]["weights"]
        values["model"]["weights"] = None if weights is None else str(weights)
        return values

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        model, faces, video = (dict(values[name]) for name in ("model", "faces", "video"))
        if model["weights"] is not None:
            model["weights"] = Path(model["weights"])
        for group, names in (
            (faces, ("regions", "exclude")),
            (video, ("encoder_options", "allow_decoders")),
        ):
            for name in names:  # JSON has lists only
                group[name] = tuple(
                    tuple(one) if isinstance(one, list) else one for one in group[name]
                )
        return cls(ModelOptions(**model), FaceOptions(**faces), VideoOptions(**video))


@dataclass(frozen=True)
class Heard:
    """What is heard of a worker's task.

    ``frames``: so many more are done (values: frames, faces, total). ``piece``: one can be worked
    on (number, of). ``done``: the task is, with what the driver needs of it. ``failed``: the task
    cannot be done (error, code, kind). ``lost``: the worker is gone (error). ``note``: something
    worth knowing, of no task (text).
    """

    what: Literal["frames", "piece", "done", "failed", "lost", "note"]
    values: dict[str, Any]
    task: Task | None = None
