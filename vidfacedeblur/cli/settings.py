"""The command's options: one table; `options` fills it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from vidfacedeblur import __version__
from vidfacedeblur.cli.options import (
    Parser,
    Setting,
    add_settings,
    auto_or,
    or_auto,
    pair,
    path,
    rectangle,
    seconds,
    switch,
    which,
)
from vidfacedeblur.config import DEFAULT_MODEL, ENGINES, FaceOptions, ModelOptions, VideoOptions
from vidfacedeblur.models.registry import MODELS

CHUNK = 120.0
"""Seconds of the pieces of long videos, if nothing else is asked for."""

_VIDEO, _FACES = VideoOptions(), FaceOptions()

SETTINGS: tuple[Setting, ...] = (
    Setting("model", str, DEFAULT_MODEL, "deblurring model", choices=tuple(MODELS), group="model"),
    Setting("weights", path, None, "safetensors file of your own for it", "FILE", group="model"),
    Setting(
        "engine",
        str,
        "auto",
        "what runs the networks",
        choices=ENGINES,
        group="model",
    ),
    Setting("device", str, "auto", "auto, cpu, cuda or cuda:N", "DEVICE", group="model"),
    Setting("threads", int, None, "CPU threads for a network (by cores)", "N", group="model"),
    Setting(
        "faces",
        which,
        _FACES.faces,
        "which faces to deblur: all, none, the largest, or the N largest of each frame",
        "all|none|largest|N",
        group="faces",
    ),
    Setting(
        "region",
        rectangle,
        (),
        "only faces whose middle is there, in pixels; may be repeated",
        "X,Y,W,H",
        group="faces",
        many=True,
    ),
    Setting(
        "exclude",
        rectangle,
        (),
        "no faces whose middle is there; may be repeated",
        "X,Y,W,H",
        group="faces",
        many=True,
    ),
    Setting(
        "min-track",
        int,
        _FACES.min_track,
        "only faces seen on so many frames",
        "N",
        group="faces",
    ),
    Setting(
        "gate",
        str,
        _FACES.gate,
        "let sharp faces pass untouched (auto), or deblur every face (off)",
        choices=("auto", "off"),
        group="faces",
    ),
    Setting("strength", float, _FACES.strength, "how much, 0 to 1", "X", group="faces"),
    Setting(
        "min-face",
        int,
        None,
        "smallest face in pixels (40 at 1080 lines, scaled, never below 20)",
        "PX",
        group="faces",
    ),
    Setting(
        "detect-every",
        or_auto,
        None,
        "frames from one search of the whole picture to the next (by what happens)",
        "auto|N",
        group="faces",
    ),
    Setting("min-score", float, _FACES.min_score, "least face probability", "X", group="faces"),
    Setting(
        "crop-size",
        or_auto,
        None,
        "side of the crops given to the network: auto, or a multiple of 32 to 512",
        "auto|PX",
        group="faces",
    ),
    Setting(
        "start",
        seconds,
        _VIDEO.start,
        "seconds, or [HH:]MM:SS, to leave out, from the first frame on",
        "S",
        group="video",
    ),
    Setting(
        "duration", seconds, None, "seconds, or [HH:]MM:SS, to process (all)", "S", group="video"
    ),
    Setting(
        "encoder",
        str,
        None,
        "FFmpeg's name of the video encoder (by source)",
        "NAME",
        group="video",
    ),
    Setting("crf", float, None, "quality, lower is better (18 for x264)", "N", group="video"),
    Setting("preset", str, None, "the encoder's speed preset (veryfast)", "NAME", group="video"),
    Setting(
        "encoder-option",
        pair,
        (),
        "any option of the encoder; may be repeated",
        "NAME=VALUE",
        group="video",
        many=True,
    ),
    Setting(
        "pipe-format",
        str,
        None,
        "format of standard output (that of standard input, else matroska)",
        choices=("matroska", "nut", "y4m"),
        group="video",
    ),
    Setting(
        "copy-if-no-faces",
        switch,
        False,
        "copy the input as it is where no face was changed",
        group="video",
    ),
    Setting(
        "strip-metadata",
        switch,
        False,
        "leave out tags, time code, GPS and other data streams",
        group="video",
    ),
    Setting(
        "no-provenance", switch, False, "do not write what was done into the output", group="video"
    ),
    Setting("strict", switch, False, "fail rather than lose anything", group="video"),
    Setting(
        "keep-partial",
        switch,
        False,
        "keep what can be read of a cut short input",
        group="safety",
    ),
    Setting(
        "allow-decoder",
        str,
        (),
        "accept a further video codec, by FFmpeg's name; may be repeated",
        "NAME",
        group="safety",
        many=True,
    ),
    Setting("max-pixels", int, _VIDEO.max_pixels, "largest picture accepted", "N", group="safety"),
    Setting(
        "isolate",
        switch,
        False,
        "read and write in a child process: a crash in FFmpeg costs one file only",
        group="safety",
    ),
    Setting(
        "max-memory", int, _VIDEO.max_memory, "address space of that child", "MIB", group="safety"
    ),
    Setting(
        "timeout",
        float,
        _VIDEO.timeout,
        "seconds without a frame after which that child is given up",
        "S",
        group="safety",
    ),
    Setting("overwrite", switch, False, "replace existing outputs", short="y", group="output"),
    Setting("skip-existing", switch, False, "leave out existing outputs", group="output"),
    Setting("timings", path, None, "a row a frame; .csv or .jsonl", "FILE", group="output"),
    Setting("report", path, None, "summary as JSON", "FILE", group="output"),
    Setting(
        "html",
        path,
        None,
        "a page to look through: faces before and after, when they were changed, timings",
        "FILE",
        group="output",
    ),
    Setting(
        "events",
        path,
        None,
        "a JSON line for each face that comes, stays and goes; - is standard output; after an"
        " error, faces that did not go have no end",
        "FILE",
        group="output",
    ),
    Setting(
        "event-interval",
        float,
        1.0,
        "seconds between two events of one face; 0: each frame, inf: none in between",
        "S",
        group="output",
    ),
    Setting(
        "best-faces",
        path,
        None,
        "keep each face's best crops there, in a folder for each of several inputs; after an"
        " error, those of faces that had gone",
        "DIR",
        group="output",
    ),
    Setting(
        "compare",
        path,
        None,
        "write before and after as one more video or picture; for several inputs a folder",
        "FILE",
        group="output",
    ),
    Setting(
        "compare-as",
        str,
        "side",
        "side by side, or parted by a line that moves across",
        choices=("side", "wipe"),
        group="output",
    ),
    Setting(
        "match",
        str,
        (),
        "of a folder, only files that fit this pattern; may be repeated; with a slash it is for the"
        " path below the folder",
        "PATTERN",
        group="archive",
        many=True,
    ),
    Setting(
        "ignore",
        str,
        (),
        "no files and folders that fit this pattern; may be repeated",
        "PATTERN",
        group="archive",
        many=True,
    ),
    Setting("hidden", switch, False, "take files and folders of a leading dot", group="archive"),
    Setting("follow-links", switch, False, "look into folders behind links", group="archive"),
    Setting("dry-run", switch, False, "say what would be done, and why", group="archive"),
    Setting("retry-failed", switch, False, "do again what failed before", group="archive"),
    Setting(
        "workers",
        auto_or,
        None,
        "processes that share the cores or GPUs: auto (one each), or so many",
        "auto|N",
        group="archive",
    ),
    Setting(
        "chunk",
        float,
        CHUNK,
        "seconds of the pieces in which videos of at least two are done, side by side; 0: never",
        "S",
        group="archive",
    ),
    Setting(
        "shard",
        str,
        None,
        "do the I-th of N parts only; others may do theirs at the same time, on other machines",
        "I/N",
        group="archive",
    ),
    Setting(
        "executor",
        str,
        "local",
        "where workers run: this machine, or the nodes of a Ray cluster that see the same folders",
        choices=("local", "ray"),
        group="archive",
    ),
    Setting(
        "ray-address",
        str,
        None,
        "auto (the cluster that this machine belongs to) or HOST:PORT (a Ray of its own, here)",
        "ADDR",
        group="archive",
    ),
    Setting("ray-cores", int, 1, "cores for each worker of a cluster", "N", group="archive"),
    Setting(
        "ray-gpus",
        float,
        None,
        "GPUs for each worker of a cluster, or a share as 0.5 (1 where there are any)",
        "X",
        group="archive",
    ),
    Setting(
        "status",
        path,
        None,
        "append how it goes as JSON lines; - is standard output",
        "FILE",
        group="archive",
    ),
    Setting("no-progress", switch, False, "no progress bar", group="output"),
    Setting("quiet", switch, False, "errors only", short="q", group="output"),
    Setting("verbose", switch, False, "say more, and show tracebacks", short="v", group="output"),
)


def build_parser() -> Parser:
    """The command line's parser. Options that are not given are absent from its result."""
    parser = Parser(
        prog="vidfacedeblur",
        usage="vidfacedeblur INPUT... -o OUT [options]",
        description="Find the faces in videos or pictures, deblur them, and write the same videos"
        " back with only the faces changed.",
        epilog="Options but --output, --list-models and --version can also be set as"
        " VIDFACEDEBLUR_<NAME> or in the --config file; a flag wins over a variable, a variable"
        " over the file.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument(
        "inputs",
        nargs="*",
        metavar="INPUT",
        type=path,
        action="extend",
        help="files or folders",
    )
    parser.add_argument(
        "-o", "--output", metavar="OUT", help="file for one input, else a folder (as is OUT/)"
    )
    parser.add_argument("--config", metavar="FILE", type=path, help="options from a TOML file")
    parser.add_argument("--list-models", action="store_true", help="show the models and exit")
    parser.add_argument("-V", "--version", action="version", version=f"vidfacedeblur {__version__}")
    add_settings(parser, SETTINGS)
    return parser


def model_and_faces(values: Mapping[str, Any]) -> tuple[ModelOptions, FaceOptions]:
    """What the settled values say of the model and the faces.

    Raises:
        OptionError: They contradict each other.
    """

    def pick(*names: str) -> dict[str, Any]:
        return {name: values[name] for name in names}

    return (
        ModelOptions(**pick("model", "weights", "engine", "device", "threads")),
        FaceOptions(
            **pick("faces", "gate", "strength", "min_face", "min_score", "crop_size"),
            **pick("detect_every", "exclude", "min_track"),
            regions=values["region"],
        ),
    )
