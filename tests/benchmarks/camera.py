"""A camera watched for as long as asked, with everything that goes wrong with cameras.

    python tests/benchmarks/camera.py CLIP [--minutes 10] [--model deblurganv2] [--gate auto|off]

A real RTSP server on loopback plays the clip in a loop at 25 fps. On the way it is killed and
started anew, replaced by one that never says a word, stopped, and started anew with pictures of
another size. Printed are latency, rates, memory, open files and threads; the exit code is 1 if the
camera did not come back each time, a count does not agree, or something grows.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from array import array
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import av
import numpy as np
from live.cameras import RtspCamera, free_port

from vidfacedeblur import FaceDeblurPipeline, FaceOptions
from vidfacedeblur.live import (
    Freshest,
    LiveOptions,
    LiveResult,
    LiveSession,
    LiveSource,
    SegmentWriter,
)

FPS = 25
OPTIONS = LiveOptions(timeout=3, stall=10, backoff=0.5, max_backoff=4)


def camera_like(clip: Path, path: Path, *, seconds: float, scale: float = 1.0) -> Path:
    """The clip in a loop at 25 fps, encoded as cameras do, in a Matroska file."""
    with av.open(str(clip)) as source:
        frames = list(source.decode(video=0))
    width, height = (round(side * scale) // 2 * 2 for side in (frames[0].width, frames[0].height))
    with av.open(str(path), "w") as target:
        options = {"preset": "veryfast", "tune": "zerolatency", "x264-params": "sliced-threads=0"}
        video = target.add_stream("libx264", FPS, options=options)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.codec_context.gop_size = 2 * FPS
        once = []
        for number, frame in enumerate(frames):
            picture = frame.reformat(width, height, "yuv420p")
            picture.pts, picture.time_base, picture.pict_type = number, Fraction(1, FPS), 0
            once += video.encode(picture)
        once += video.encode(None)
        base = once[0].time_base
        contents = [(bytes(p), round(p.pts * base * FPS), p.is_keyframe) for p in once]
        for number in range(round(seconds * FPS)):
            data, _, key = contents[number % len(contents)]
            packet = av.Packet(data)
            packet.pts = packet.dts = number
            packet.time_base, packet.is_keyframe, packet.stream = Fraction(1, FPS), key, video
            target.mux(packet)
    return path


@dataclass
class Watch:
    """What is noted on the way."""

    latencies: array[float] = field(default_factory=lambda: array("f"))
    """Seconds, of each frame."""
    memory: list[tuple[float, float]] = field(default_factory=list)
    """Seconds, MiB."""
    back: dict[str, float] = field(default_factory=dict)
    """Seconds from when the camera could be reached again until it was live."""

    def result(self, done: LiveResult) -> None:
        self.latencies.append(done.latency)


def mebibytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def faults(
    port: int, clip: Path, other: Path, source: LiveSource, watch: Watch, seconds: float
) -> None:
    """Run the server, and let it go wrong at a fifth, two fifths ... of the time."""
    begin = time.monotonic()

    def until(share: float) -> None:
        while time.monotonic() - begin < share * seconds:
            time.sleep(0.1)

    def comes_back(what: str) -> None:
        reached, epoch = time.monotonic(), source.health().epoch
        while source.health().epoch == epoch and time.monotonic() - reached < 60:
            time.sleep(0.02)
        watch.back[what] = time.monotonic() - reached

    camera = RtspCamera(clip, port=port)
    until(0.2)
    camera.__exit__()
    time.sleep(5)
    camera = RtspCamera(clip, port=port)
    comes_back("killed")
    until(0.4)
    camera.__exit__()
    with socket.create_server(("127.0.0.1", port)):  # takes connections, says nothing
        time.sleep(10)
    camera = RtspCamera(clip, port=port)
    comes_back("mute")
    until(0.6)
    camera.process.send_signal(signal.SIGSTOP)
    time.sleep(10)
    camera.process.send_signal(signal.SIGCONT)
    comes_back("stopped")
    until(0.8)
    camera.__exit__()
    camera = RtspCamera(other, port=port)
    comes_back("another size")
    until(1.0)
    camera.__exit__()


def report(session: LiveSession, watch: Watch, seconds: float, grown: tuple[int, int]) -> int:
    stats, health = session.stats(), session.stats().health
    values = 1e3 * np.array(watch.latencies)
    p50, p95, p99 = np.percentile(values, (50, 95, 99))
    late = np.array(watch.memory)[len(watch.memory) // 3 :]
    slope = 60 * np.polyfit(late[:, 0], late[:, 1], 1)[0]
    print(f"{stats.frames} frames in {seconds:.0f} s ({stats.frames / seconds:.1f} fps)")
    print(f"latency p50 {p50:.0f}, p95 {p95:.0f}, p99 {p99:.0f}, most {values.max():.0f} ms")
    print(f"faces {stats.faces}, deblurred {stats.deblurred}")
    print(health)
    print(f"memory {late[0, 1]:.0f} to {late[-1, 1]:.0f} MiB, {slope:+.2f} MiB a minute")
    print(f"open files {grown[0]:+d}, threads {grown[1]:+d} since the beginning")
    print("back after, s:", {name: round(value, 2) for name, value in watch.back.items()})
    waiting = health.decoded - health.delivered - health.dropped
    problems = {
        "a camera did not come back": max(watch.back.values()) > 30 or len(watch.back) < 4,
        "counts of pictures do not agree": not 0 <= waiting <= 2,
        "counts of packets do not agree": health.packets
        < health.decoded + health.late + health.skipped,
        "frames delivered were lost": health.delivered - stats.frames not in (0, 1),
        "connections": health.reconnects not in (4, 5)
        or health.epoch != 5
        or health.abandoned != 0,
        "memory grows": slope > 1.0,
        "files stay open": grown[0] > 0,
        "threads stay": grown[1] > 0,
    }
    found = [name for name, is_so in problems.items() if is_so]
    print("problems:", ", ".join(found) or "none")
    return 1 if found else 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("clip", type=Path)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--model", default="deblurganv2")
    parser.add_argument("--gate", default="auto")
    args = parser.parse_args()
    seconds = 60 * args.minutes
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = camera_like(args.clip, folder / "camera.mkv", seconds=seconds + 30)
        other = camera_like(args.clip, folder / "other.mkv", seconds=seconds, scale=0.75)
        port, watch, outputs = (
            free_port(),
            Watch(),
            [Freshest(), SegmentWriter(folder / "segments")],
        )
        with FaceDeblurPipeline(args.model, faces=FaceOptions(gate=args.gate)) as pipeline:
            before = open_files(), threading.active_count()
            with LiveSource(f"rtsp://127.0.0.1:{port}/camera", OPTIONS) as source:
                session = LiveSession(pipeline, source, outputs, on_result=watch.result)
                arguments = (port, clip, other, source, watch, seconds)
                server = threading.Thread(target=faults, args=arguments)
                worker = threading.Thread(target=session.run)
                server.start()
                worker.start()
                begin = time.monotonic()
                while server.is_alive():
                    time.sleep(1)
                    watch.memory.append((time.monotonic() - begin, mebibytes()))
                session.stop()
                worker.join()
            grown = open_files() - before[0], threading.active_count() - before[1]
        print(f"{args.clip.name}, {args.model}, gate {args.gate}")
        return report(session, watch, seconds, grown)


if __name__ == "__main__":
    sys.exit(main())
