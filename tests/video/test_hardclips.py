"""The real command over 83 clips, each with another hazard, judged by `tools/check_output.py`.

The clips are made by `tools/make_hardclips.sh`, which says what is hard about each.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from check_output import check
from check_rules import Violation
from tests_support import read_times

TOOLS = Path(__file__).resolve().parents[1] / "tools"
PROGRAMS = ("bash", "ffmpeg", "ffprobe")
ENCODERS = {
    *("libx264", "libx264rgb", "libx265", "libvpx", "libvpx-vp9", "libaom-av1", "prores_ks"),
    *("libopus", "libmp3lame", "mov_text"),
}
"""What the clips are made with and not every build of FFmpeg has."""

READABLE = """
codec_av1.mp4 codec_ffv1.mkv codec_h264.flv codec_hevc.mp4 codec_mjpeg.avi codec_mpeg2.mpg
codec_prores422.mov codec_vp8.webm col_420_bt601_ntsc.mp4 col_420_bt601_pal.mp4 col_420_bt709.mp4
col_420_full_bt709.mp4 col_420p10_bt709.mp4 col_422_bt709.mp4 col_422p10_bt2020hlg.mp4
col_444_bt709.mp4 col_alpha_prores4444.mov col_alpha_vp9.webm col_apng.apng col_gray.mp4
col_h264_gbrp.mp4 col_hd_untagged.mp4 col_hdr10_pq_hevc.mp4 col_mjpeg_yuvj420p.mov col_palette.gif
geom_hflip.mp4 geom_interlaced_bff.ts geom_interlaced_tff.mp4 geom_odd_420.webm geom_odd_444.mp4
geom_odd_ffv1.mkv geom_reschange.ts geom_rot180.mp4 geom_rot270.mp4 geom_rot90.mp4
geom_sar_12_11.mp4 geom_sar_16_11.mkv geom_tiny_16x16.mp4 streams_everything.mkv
streams_everything.mp4 streams_mp2.ts streams_mp3.avi streams_tmcd_gps_pcm.mov
streams_two_videos.mp4 streams_vp9_opus.webm time_120fps.mp4 time_audio_late.mp4 time_bframes.mp4
time_duplicate_pts.mkv time_editlist_preroll.mp4 time_fragmented.mp4 time_long_gop.mp4
time_long_last_frame.mp4 time_nopts_bframes.avi time_nopts_raw.h264 time_ntsc2997.mp4
time_pts_wrap33.ts time_single_frame.mp4 time_start_offset.mkv time_start_offset.mp4
time_starts_midgop.ts time_telecine.ts time_vfr.mkv time_vfr.mp4 time_vfr_gap.mp4
time_video_late.mp4
""".split()  # noqa: SIM905 - a list would take a line for each
REFUSED = """
bad_nulls.mp4 bad_text.mp4 bad_truncated_nomoov.mp4 bad_zero_bytes.mp4
evil_bomb_16000x16000.mkv evil_concat.mp4 evil_concat_video.mp4 evil_hls_localfile.mp4
evil_hls_ssrf.mp4 evil_sdp.mp4 streams_audio_only.m4a streams_audio_with_cover.m4a
""".split()  # noqa: SIM905
CUT_SHORT = ["bad_truncated.mkv", "bad_truncated_faststart.mp4"]
DAMAGED = ["bad_corrupt_middle.mp4", "bad_corrupt_middle.ts", "bad_truncated.ts"]

ALLOWED = {"geom_sar_16_11.mkv": ("sar",), "col_alpha_prores4444.mov": ("pix_fmt",)}
"""Differences that are documented, and that some versions of FFmpeg make."""
UNLIKE = [
    ("time_vfr.mp4", "time_vfr_gap.mp4", {"frame_count"}),
    ("streams_everything.mp4", "time_bframes.mp4", {"audio_streams", "chapters", "metadata"}),
    ("geom_rot90.mp4", "geom_rot270.mp4", {"rotation"}),
    ("col_420_bt709.mp4", "col_420_full_bt709.mp4", {"color_range"}),
]
"""Pairs that the judge must not take for input and output, and some of what it must say."""


@dataclass(frozen=True)
class Alone:
    """One clip's run for itself."""

    code: int
    said: str
    folder: Path
    """Where its output goes; nothing else is written there."""

    def outputs(self) -> list[Path]:
        """What the run left, also under a hidden name."""
        return list(self.folder.iterdir())


class Workshop:
    """Runs commands and judges outputs, side by side while the tests wait for what they need."""

    def __init__(self, clips: Path, folder: Path, pool: ThreadPoolExecutor) -> None:
        self._clips = clips
        self._folder = folder
        self.together: Future[dict[str, Any]] = pool.submit(self._run_together)
        alone = [(name, False) for name in (*REFUSED, *CUT_SHORT, *DAMAGED)]
        alone += [(name, True) for name in CUT_SHORT]
        self.alone = {
            (name, keep): pool.submit(self._run_alone, name, keep=keep) for name, keep in alone
        }
        # Last: these wait for the first, which then runs already.
        self.verdicts = {name: pool.submit(self._judge, name) for name in READABLE}

    def run_of(self, name: str) -> dict[str, Any]:
        """What the report says of a readable clip."""
        report = self.together.result()
        runs = [run for run in report["runs"] if Path(run["input"]).name == name]
        assert len(runs) == 1, report["failures"]
        found: dict[str, Any] = runs[0]
        return found

    def _run_together(self) -> dict[str, Any]:
        report, inputs = self._folder / "report.json", [self._clips / name for name in READABLE]
        words = ("-o", self._folder / "together", "--model", "deblurganv2", "--report", report)
        # Nobody is in these pictures, and to look for small faces there takes most of the time.
        result = _command(*inputs, *words, "--min-face", "100")
        assert report.exists(), result.stderr
        content: dict[str, Any] = json.loads(report.read_text())
        return content | {"code": result.returncode}

    def _run_alone(self, name: str, *, keep: bool) -> Alone:
        folder = self._folder / f"{name}-{keep}"
        folder.mkdir()
        words: list[str | Path] = [
            "-o",
            folder / ("out" + Path(name).suffix.replace(".m4a", ".mp4")),
            "--quiet",
            "--engine",
            "torch",
        ]
        words += ["--keep-partial"] if keep else []
        result = _command(self._clips / name, *words)
        return Alone(result.returncode, result.stderr, folder)

    def _judge(self, name: str) -> list[Violation]:
        target = Path(self.run_of(name)["output"])
        return check(self._clips / name, target, allow=ALLOWED.get(name, ()))


def _command(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vidfacedeblur", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)} to make and judge the clips")
    listed = subprocess.run(["ffmpeg", "-hide_banner", "-encoders"], capture_output=True, text=True)
    lacking = sorted(ENCODERS - set(listed.stdout.split()))
    if lacking:
        pytest.skip(f"this ffmpeg has no {', '.join(lacking)}")
    folder = tmp_path_factory.mktemp("hardclips")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # a python3 is there
    made = subprocess.run(
        ["bash", TOOLS / "make_hardclips.sh", folder],
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture(scope="module")
def workshop(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    pool = ThreadPoolExecutor(min(4, os.cpu_count() or 1))
    try:
        yield Workshop(clips, tmp_path_factory.mktemp("workshop"), pool)
    finally:
        pool.shutdown(cancel_futures=True)


def test_all_clips_are_there(clips: Path) -> None:
    names = [path.name for path in clips.iterdir()]
    assert len(names) == 83
    assert sorted(names) == sorted([*READABLE, *REFUSED, *CUT_SHORT, *DAMAGED])


@pytest.mark.parametrize(("one", "other", "codes"), UNLIKE)
def test_the_judge_sees_what_differs(clips: Path, one: str, other: str, codes: set[str]) -> None:
    assert codes <= {violation.code for violation in check(clips / one, clips / other)}


def test_the_judge_looks_at_pixels_if_asked(clips: Path) -> None:
    def seen(**options: Any) -> bool:
        found = check(clips / "time_bframes.mp4", clips / "time_long_gop.mp4", **options)
        return "untouched_pixels" in {violation.code for violation in found}

    assert seen(min_psnr=90)
    assert not seen(min_psnr=90, exclude=[(0, 0, 320, 240)])
    assert not seen(min_psnr=90, allow=["untouched_pixels"])
    assert not seen(min_psnr=30)
    assert not seen()


def test_the_judge_is_a_command(clips: Path) -> None:
    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, TOOLS / "check_output.py", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    one, other = clips / "geom_rot90.mp4", clips / "geom_hflip.mp4"
    lost = run(one, other, "--json")
    assert (lost.returncode, lost.stderr) == (1, "")
    assert [violation["code"] for violation in json.loads(lost.stdout)] == ["rotation"]
    allowed = run(one, other, "--allow", "rotation")
    assert (allowed.returncode, allowed.stdout) == (0, "")
    no_video = run(clips / "streams_audio_only.m4a", one)
    assert (no_video.returncode, no_video.stdout) == (2, "")
    assert "no video" in no_video.stderr


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_video_is_refused(workshop: Workshop, name: str) -> None:
    run = workshop.alone[name, False].result()
    assert run.code == 3, run.said
    assert_one_line(run.said, about=name)
    assert run.outputs() == []


@pytest.mark.parametrize("name", CUT_SHORT)
def test_what_is_cut_short_is_written_only_if_asked_for(workshop: Workshop, name: str) -> None:
    run = workshop.alone[name, False].result()
    assert run.code == 4, run.said
    assert_one_line(run.said, about=name)
    assert run.outputs() == []

    kept = workshop.alone[name, True].result()
    assert kept.code == 4, kept.said
    assert_one_line(kept.said, about=name)
    assert_a_video(kept)


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_damaged_is_written_as_far_as_it_goes(workshop: Workshop, name: str) -> None:
    run = workshop.alone[name, False].result()
    assert run.code == 4, run.said
    assert_one_line(run.said, about=name)
    assert_a_video(run)


@pytest.mark.parametrize("name", READABLE)
def test_readable_clips_keep_what_they_promise(workshop: Workshop, name: str) -> None:
    assert workshop.run_of(name)["damaged"] is False
    assert workshop.verdicts[name].result() == []


def test_the_run_over_readable_clips_succeeds(workshop: Workshop) -> None:
    report = workshop.together.result()
    assert report["code"] == 0
    assert report["failures"] == []
    assert len(report["runs"]) == len(READABLE)
    targets = [Path(run["output"]) for run in report["runs"]]
    found = [p for p in targets[0].parent.iterdir() if not p.name.startswith("archive.")]
    assert sorted(targets) == sorted(found)


def assert_one_line(said: str, *, about: str) -> None:
    assert said.startswith("vidfacedeblur: ")
    assert said.count("\n") == 1
    assert said.endswith("\n")
    assert about in said


def assert_a_video(run: Alone) -> None:
    (output,) = run.outputs()
    assert not output.name.startswith(".")
    assert read_times(output)
