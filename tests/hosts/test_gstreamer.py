"""The element for GStreamer, as gst-launch and programs see it; they run on the system's Python."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import pytest
from tests_support import portrait, read_times, write_portrait_clip

from vidfacedeblur import FaceDeblurPipeline, FaceOptions
from vidfacedeblur.hosts.gstreamer_plugin import NAME, plugin_text
from vidfacedeblur.types import FrameResult

PYTHON = "/usr/bin/python3"
PLAYER = Path(__file__).with_name("gst_player.py")
NEEDED = ("rawvideoparse", "avdec_h264", "x264enc", "mp4mux", "qtdemux")
FORMATS = {"I420": "yuv420p", "NV12": "nv12", "RGB": "rgb24", "BGRx": "bgr0"}
ODD = (321, 241)
FRAMES = 6
ENGINE: Literal["torch"] = "torch"
"""Loads fastest."""


def missing(environment: dict[str, str], home: Path) -> str | None:
    """Why the element cannot be tried here."""
    for tool in ("gst-launch-1.0", "gst-inspect-1.0"):
        if shutil.which(tool) is None:
            return f"there is no {tool}"
    if run(["gst-inspect-1.0", "python"], environment, home).returncode:
        return "GStreamer has no loader for plugins in Python"
    for element in NEEDED:
        if run(["gst-inspect-1.0", "--exists", element], environment, home).returncode:
            return f"GStreamer has no {element}"
    code = "import gi, sys; print('%d.%d' % sys.version_info[:2])"
    ran = run([PYTHON, "-c", code], environment, home)
    if ran.stdout.strip() != "{}.{}".format(*sys.version_info[:2]):
        return f"GStreamer's Python is not this one's version: {ran.stdout or ran.stderr}"
    return None


@pytest.fixture(scope="module")
def gst(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment of its own in which the element was installed with the one command."""
    home = tmp_path_factory.mktemp("home")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GST_")}
    environment |= {"HOME": str(home), "XDG_DATA_HOME": str(home / "share")}
    environment |= {"XDG_CACHE_HOME": str(home / "cache"), "GST_REGISTRY": str(home / "registry")}
    reason = missing(environment, home)
    if reason:
        pytest.skip(reason)
    before = run(["gst-inspect-1.0", "--exists", "vidfacedeblur"], environment, cwd=home)
    assert before.returncode
    command = [sys.executable, "-m", "vidfacedeblur.hosts.gstreamer_plugin"]
    installed = run(command, environment)
    assert installed.returncode == 0, installed.stderr
    assert str(home / ".gstreamer-1.0" / "plugins" / "python" / NAME) in installed.stdout
    return environment


def run(
    command: list[str], environment: dict[str, str], cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )


def launch(pipeline: str, gst: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return run(["gst-launch-1.0", "-q", *pipeline.split()], gst)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_portrait_clip(path, frames=FRAMES)
    return path


@pytest.fixture(scope="module")
def libraries(small_weights: Path) -> Iterator[dict[str, FaceDeblurPipeline]]:
    """What the element must equal, by gate."""
    import torch

    # Another number of threads adds up in another order; and torch has one number for all.
    before = torch.get_num_threads()
    with (
        FaceDeblurPipeline(
            weights=small_weights, engine=ENGINE, threads=1, faces=FaceOptions(gate="off")
        ) as off,
        FaceDeblurPipeline(weights=small_weights, engine=ENGINE, threads=1) as auto,
    ):
        yield {"off": off, "auto": auto}
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def library(libraries: dict[str, FaceDeblurPipeline]) -> FaceDeblurPipeline:
    """The one that deblurs every face."""
    return libraries["off"]


def aligned(value: int, step: int) -> int:
    return -(-value // step) * step


def plane_shapes(kind: str, width: int, height: int) -> list[tuple[int, int, int]]:
    """Bytes of a row with padding, bytes of it that count, and rows of each plane in GStreamer."""
    half, rows = aligned(width, 2) // 2, aligned(height, 2)
    if kind == "I420":
        chroma = (aligned(half, 4), half, rows // 2)
        return [(aligned(width, 4), width, rows), chroma, chroma]
    if kind == "NV12":
        return [(aligned(width, 4), width, rows), (aligned(width, 4), 2 * half, rows // 2)]
    bytes_ = {"RGB": 3, "BGRx": 4}[kind] * width
    return [(aligned(bytes_, 4), bytes_, height)]


def raw(frame: av.VideoFrame, kind: str) -> bytes:
    """A frame as GStreamer lays it out; what lies between is 0."""
    packed = []
    shapes = plane_shapes(kind, frame.width, frame.height)
    for plane, (pitch, width, rows) in zip(frame.planes, shapes, strict=True):
        theirs = np.frombuffer(plane, np.uint8).reshape(plane.height, -1)  # type: ignore[call-overload]
        own = np.zeros((rows, pitch), np.uint8)
        own[: plane.height, :width] = theirs[:, :width]
        packed.append(own.tobytes())
    return b"".join(packed)


def without_padding(data: bytes, kind: str, width: int, height: int) -> bytes:
    """Raw frames with what lies between their rows set to 0."""
    shapes = plane_shapes(kind, width, height)
    size = sum(pitch * rows for pitch, _, rows in shapes)
    assert len(data) % size == 0
    pictures = np.frombuffer(data, np.uint8).reshape(-1, size).copy()
    begin = 0
    for number, (pitch, counts, rows) in enumerate(shapes):
        plane = pictures[:, begin : begin + pitch * rows].reshape(-1, rows, pitch)
        plane[:, :, counts:] = 0
        plane[:, (height if number == 0 else -(-height // 2)) :] = 0
        begin += pitch * rows
    return pictures.tobytes()


def odd_frames(kind: str) -> list[av.VideoFrame]:
    """Portraits of odd size in a format, tagged as GStreamer takes video of this size to be."""
    frames = []
    for i in range(4):
        image = av.VideoFrame.from_ndarray(portrait(3 * i), format="rgb24")
        frame = image.reformat(*ODD, format=FORMATS[kind])
        if kind in ("I420", "NV12"):
            frame.colorspace, frame.color_range = 6, 1
        frame.pts, frame.time_base = 40 * i, Fraction(1, 1000)
        frames.append(frame)
    return frames


@pytest.fixture(scope="module")
def odd_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("raw")
    for kind in FORMATS:
        (folder / kind).write_bytes(b"".join(raw(frame, kind) for frame in odd_frames(kind)))
    return {kind: folder / kind for kind in FORMATS}


@pytest.fixture(scope="module")
def played(
    gst: dict[str, str], small_weights: Path, clip: Path, odd_files: dict[str, Path]
) -> dict[str, Any]:
    """What came of all scenarios, which ran in one process."""
    me = f"vidfacedeblur name=d gate=off engine={ENGINE} threads=1 weights={small_weights}"
    decoded = f"filesrc location={clip} ! decodebin ! videoconvert ! {me}"
    test = "videotestsrc num-buffers=5 ! video/x-raw,format=I420,width=160,height=120"
    nothing = f"{test} ! vidfacedeblur name=d ! fakesink name=out"
    width, height = ODD
    asked: list[tuple[str, str, dict[str, Any]]] = [
        ("once", "play", {"description": f"{decoded} ! fakesink name=out"}),
        ("twice", "play", {"description": f"{test} ! {me} ! fakesink name=out", "times": 2}),
        ("seek", "seek", {"description": f"{decoded} ! fakesink name=out"}),
        ("marked", "marked", {"description": f"{test} ! {me} ! fakesink name=out"}),
        (
            "latency",
            "latency",
            {
                "description": "videotestsrc is-live=true ! video/x-raw,width=64,height=64,"
                f"framerate=25/1 ! {me} ! fakesink name=out"
            },
        ),
        (
            "caps",
            "play",
            {
                "description": f"concat name=c ! {me} ! fakesink name=out"
                " videotestsrc num-buffers=3 ! video/x-raw,format=I420,width=320,height=240 ! c."
                " videotestsrc num-buffers=4 ! video/x-raw,format=I420,width=161,height=121 ! c."
            },
        ),
        (
            "events",
            "play",
            {
                "description": f"{decoded} post-messages=false"
                f" events={clip.with_suffix('.jsonl')} ! fakesink name=out"
            },
        ),
    ]
    full = f"{decoded} events=/dev/full ! fakesink name=out"
    asked.append(("full", "full", {"description": full}))
    for kind, path in odd_files.items():
        description = (
            f"filesrc location={path} ! rawvideoparse format={kind.lower()} width={width}"
            f" height={height} framerate=25/1 ! {me} ! tee name=t t. ! queue ! fakesink name=out"
            f" t. ! queue ! filesink location={path}.out"
        )
        asked.append((kind, "play", {"description": description}))
    for name, value in (("strength", 1.5), ("faces", "some"), ("crop-size", 33), ("events", "/")):
        arguments = {"description": nothing, "name": name, "value": value}
        asked.append((f"wrong {name}", "wrong", arguments))
    ran = run([PYTHON, str(PLAYER), json.dumps(asked)], gst)
    assert ran.returncode == 0, ran.stderr
    return dict(json.loads(ran.stdout.splitlines()[-1]))


def of(played: dict[str, Any], name: str) -> Any:
    answer = played[name]
    assert not isinstance(answer, dict) or "trouble" not in answer, answer["trouble"]
    return answer


def buffers(answer: dict[str, Any]) -> list[list[Any]]:
    return [entry for entry in answer["log"] if entry[0] == "buffer"]


def names(answer: dict[str, Any]) -> list[Any]:
    """What passed, in order; caps with their width."""
    left_out = ("stream-start", "segment", "tag", "stream-group-done")
    return [
        entry[0] if entry[0] != "caps" else tuple(entry)
        for entry in answer["log"]
        if entry[0] not in left_out
    ]


def milliseconds(answer: dict[str, Any]) -> list[int]:
    """Running times of all buffers."""
    return [round(entry[4] / 1e6) for entry in buffers(answer)]


def test_the_element_is_found_and_tells_its_properties(gst: dict[str, str]) -> None:
    # Away from the checkout, whose folder gst-inspect would take for a plugin file.
    told = run(["gst-inspect-1.0", "vidfacedeblur"], gst, Path(gst["HOME"]))
    assert told.returncode == 0, told.stderr
    properties = "model weights engine device threads strength gate min-face crop-size faces"
    for name in (*properties.split(), "post-messages", "events"):
        assert f"\n  {name} " in told.stdout
    assert "I420, (string)NV12, (string)RGB, (string)BGRx" in told.stdout


def test_a_folder_of_ones_own(gst: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vidfacedeblur.hosts.gstreamer_plugin"]
    assert run([*command, str(tmp_path)], gst).returncode == 0
    own = gst | {"HOME": str(tmp_path / "home"), "GST_REGISTRY": str(tmp_path / "registry")}
    own["GST_PLUGIN_PATH"] = str(tmp_path)
    assert run(["gst-inspect-1.0", "--exists", "vidfacedeblur"], own).returncode == 0
    (tmp_path / "file").touch()
    failed = run([*command, str(tmp_path / "file")], gst)
    assert failed.returncode == 5
    assert len(failed.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("PYTHON = (3", "PYTHON = (2", "but this is for Python 2."),
        ("FOLDERS = [", "FOLDERS = []; _ = [", "it cannot be loaded: No module named"),
    ],
)
def test_a_plugin_that_cannot_load_says_so_in_one_line(
    gst: dict[str, str], tmp_path: Path, old: str, new: str, said: str
) -> None:
    (tmp_path / "python").mkdir()
    (tmp_path / "python" / NAME).write_text(plugin_text().replace(old, new))
    own = gst | {"HOME": str(tmp_path), "GST_REGISTRY": str(tmp_path / "registry")}
    own["GST_PLUGIN_PATH"] = str(tmp_path)
    told = run(["gst-inspect-1.0", "--exists", "vidfacedeblur"], own, tmp_path)
    assert told.returncode != 0
    assert len(told.stderr.splitlines()) == 1, told.stderr
    assert said in told.stderr


def test_a_wrong_option_is_one_line(gst: dict[str, str], played: dict[str, Any]) -> None:
    for name in ("strength", "faces", "crop-size"):
        answer = of(played, f"wrong {name}")
        assert answer["failed"]
        assert answer["said"].startswith(f"{name} must be ")
        assert "\n" not in answer["said"]
    assert of(played, "wrong events")["said"].startswith("cannot write /:")
    ran = launch("videotestsrc num-buffers=1 ! vidfacedeblur gate=open ! fakesink", gst)
    assert ran.returncode != 0
    assert "gate must be one of auto, off, got 'open'" in ran.stderr


@pytest.mark.parametrize("gate", ["auto", "off"])
def test_frames_equal_the_librarys(
    gst: dict[str, str],
    small_weights: Path,
    libraries: dict[str, FaceDeblurPipeline],
    clip: Path,
    tmp_path: Path,
    gate: str,
) -> None:
    written = written_by_gstreamer(clip, small_weights, gst, tmp_path, gate)
    check_equal(written, clip, libraries[gate])


@pytest.mark.parametrize("gate", ["auto", "off"])
def test_frames_of_a_real_clip_equal_the_librarys(
    gst: dict[str, str],
    small_weights: Path,
    libraries: dict[str, FaceDeblurPipeline],
    research_data: Path,
    tmp_path: Path,
    gate: str,
) -> None:
    video = tmp_path / "cut.mkv"
    original = research_data / "videos" / "talk_child_zoom_512_audio.mp4"
    with av.open(original) as whole, av.open(video, "w") as cut:
        stream = cut.add_stream_from_template(whole.streams.video[0])
        for packet in islice(whole.demux(video=0), 12):
            packet.stream = stream
            cut.mux(packet)
    written = written_by_gstreamer(video, small_weights, gst, tmp_path, gate)
    check_equal(written, video, libraries[gate])


def written_by_gstreamer(
    video: Path, weights: Path, gst: dict[str, str], folder: Path, gate: str
) -> bytes:
    """The frames of a video through the element, as they lie in its buffers."""
    output = folder / "out.yuv"
    ran = launch(
        f"filesrc location={video} ! decodebin ! videoconvert"
        f" ! video/x-raw,format=I420 ! vidfacedeblur gate={gate} engine={ENGINE} threads=1"
        f" weights={weights}"
        f" ! filesink location={output}",
        gst,
    )
    assert ran.returncode == 0, ran.stderr
    return output.read_bytes()


def check_equal(written: bytes, video: Path, library: FaceDeblurPipeline) -> None:
    """The library's frames and the element's have the same bytes."""
    with av.open(video) as container:
        decoded = list(container.decode(video=0))
    width, height = decoded[0].width, decoded[0].height
    results = list(library.process(decoded))
    changed = any(face.deblurred for result in results for face in result.faces)
    assert changed or library.faces.gate == "auto"
    wanted = b"".join(raw(result.image, "I420") for result in results)
    got = without_padding(written, "I420", width, height)
    assert len(got) == len(wanted)
    assert not (np.frombuffer(got, np.uint8) != np.frombuffer(wanted, np.uint8)).sum()


@pytest.mark.parametrize("kind", list(FORMATS))
def test_every_format_at_an_odd_size(
    played: dict[str, Any], library: FaceDeblurPipeline, odd_files: dict[str, Path], kind: str
) -> None:
    frames = odd_frames(kind)
    results = list(library.process(frames))
    assert all(face.deblurred for result in results for face in result.faces)
    wanted = b"".join(raw(result.image, kind) for result in results)
    assert wanted != odd_files[kind].read_bytes()
    assert [m["deblurred"] for m in of(played, kind)["messages"]] == [1] * len(frames)
    written = odd_files[kind].with_name(f"{kind}.out").read_bytes()
    assert without_padding(written, kind, *ODD) == wanted


def test_a_pipeline_that_encodes(
    gst: dict[str, str], small_weights: Path, clip: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.mp4"
    ran = launch(
        f"filesrc location={clip} ! decodebin ! videoconvert ! vidfacedeblur"
        f" weights={small_weights} ! videoconvert ! x264enc ! mp4mux ! filesink location={output}",
        gst,
    )
    assert ran.returncode == 0, ran.stderr
    assert read_times(output) == read_times(clip)


def test_playing_twice_gives_all_frames_twice(played: dict[str, Any]) -> None:
    answer = of(played, "twice")
    wanted = [("caps", 160), *["buffer"] * 5, "eos"]
    assert names(answer) == wanted * 2
    assert [message["frame"] for message in answer["messages"]] == [*range(5)] * 2


def test_all_frames_come_out_with_their_times(played: dict[str, Any], clip: Path) -> None:
    answer = of(played, "once")
    assert milliseconds(answer) == read_times(clip)
    assert [m["pts"] for m in answer["messages"]] == [entry[1] for entry in buffers(answer)]
    assert names(answer)[-1] == "eos"


def test_messages_tell_what_the_library_found(
    played: dict[str, Any], library: FaceDeblurPipeline, clip: Path
) -> None:
    messages = of(played, "once")["messages"]
    with av.open(clip) as container:
        results = list(library.process(container.decode(video=0)))
    for message, result in zip(messages, results, strict=True):
        check_message(message, result)


def check_message(message: dict[str, Any], result: FrameResult) -> None:
    assert message["frame"] == result.index
    assert message["faces"] == message["deblurred"] == len(result.faces) == 1
    told = json.loads(message["json"])
    assert message["milliseconds"] == pytest.approx(told["timing"]["total"], abs=0.01)
    (face,), (own,) = told["faces"], result.faces
    assert face["box"] == [round(value, 2) for value in own.box]
    assert face["track"] == own.track
    assert len(face["landmarks"]) == 5
    for name in ("score", "sharpness", "sharpness_after", "weight"):
        assert face[name] == pytest.approx(getattr(own, name), abs=1e-4)


def test_a_seek_throws_away_what_waits(played: dict[str, Any], clip: Path) -> None:
    answer = of(played, "seek")
    passed = names(answer)
    flushed = passed.index("flush-stop")
    after = passed[flushed:].count("buffer")
    assert after == FRAMES
    assert milliseconds(answer)[-after:] == read_times(clip)
    assert passed[-1] == "eos"


def test_what_waits_goes_out_before_new_caps(played: dict[str, Any]) -> None:
    answer = of(played, "caps")
    wanted = [("caps", 320), *["buffer"] * 3, ("caps", 161), *["buffer"] * 4, "eos"]
    assert names(answer) == wanted
    sizes = [entry[3] for entry in buffers(answer)]
    small = sum(pitch * rows for pitch, _, rows in plane_shapes("I420", 161, 121))
    assert sizes == [320 * 240 * 3 // 2] * 3 + [small] * 4


def test_an_event_keeps_its_place_between_frames(played: dict[str, Any]) -> None:
    passed = names(of(played, "marked"))
    assert passed[1:] == [*["buffer"] * 2, "custom-downstream", *["buffer"] * 3, "eos"]


def test_latency_is_one_frame_more(played: dict[str, Any]) -> None:
    (live, own, most), (_, before, most_before) = of(played, "latency")
    assert live
    assert own - before == 40_000_000
    assert most == most_before or most - most_before == 40_000_000


def test_events_are_written(played: dict[str, Any], clip: Path) -> None:
    answer = of(played, "events")
    assert answer["messages"] == []
    lines = clip.with_suffix(".jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    assert [events[0]["event"], events[-1]["event"]] == ["start", "end"]
    assert events[-1]["frames"] == FRAMES


def test_a_pipeline_whose_events_cannot_be_written_stops(played: dict[str, Any]) -> None:
    answer = of(played, "full")
    assert "cannot write /dev/full" in answer["said"]
    assert answer["stopped"]
