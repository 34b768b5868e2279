"""The command ``vidfacedeblur-live``, as a user runs it."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import av
import jsonschema
import pytest
from live.cameras import HttpCamera, free_port, wait_until

from vidfacedeblur.cli import main as file_main
from vidfacedeblur.cli import status as status_module
from vidfacedeblur.cli.live import _own_folder, main
from vidfacedeblur.errors import OutputError

QUICK = ["--camera-timeout", "1", "--max-backoff", "1", "--gate", "off"]


def live(*arguments: str | Path, **more: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "vidfacedeblur.cli.live", *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more
    )


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def frames_in(path: Path) -> int:
    with av.open(path) as container:
        return sum(1 for _ in container.decode(video=0))


def test_it_records_and_tells_and_ends_in_time(
    small_weights: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    status = tmp_path / "status.jsonl"
    with HttpCamera() as camera:
        arguments = [camera.url, "--weights", str(small_weights), *QUICK, "--duration", "5"]
        arguments += ["--segments", str(tmp_path / "seg"), "--segment-seconds", "2"]
        arguments += ["--events", str(tmp_path / "e.jsonl"), "--best-faces", str(tmp_path / "best")]
        arguments += ["--publish", f"udp://127.0.0.1:{free_port()}"]
        assert main([*arguments, "--status", str(status), "--status-interval", "0.5"]) == 0
    files = sorted((tmp_path / "seg").iterdir())
    assert len(files) >= 2
    assert not [path for path in files if ".part" in path.name]
    lines = lines_of(status)
    assert lines[-1]["state"] in ("live", "closed")
    assert lines[-1]["frames"] == sum(map(frames_in, files)) > 10
    assert lines[-1]["faces"] > 0
    assert lines[-1]["published"] + lines[-1]["publish_dropped"] == lines[-1]["frames"]
    assert lines[-1]["published"] > 10
    assert lines[-1]["publish_failures"] == 0
    assert {line["schema"] for line in lines} == {1}
    assert all(line["wall"].endswith("Z") for line in lines)
    schema = json.loads((Path(status_module.__file__).parent / "status.schema.json").read_text())
    for line in lines:
        jsonschema.validate(line, schema)
    middle = lines[-3]
    assert middle["fps_out"] > 1
    assert 0 < middle["latency_p50"] <= middle["latency_p95"] < 5
    with av.open(files[0]) as container:
        told = json.loads(next(v for k, v in container.metadata.items() if "VIDFACE" in k.upper()))
    assert told["model"] == "deblurgan"
    events = lines_of(tmp_path / "e.jsonl")
    assert (events[0]["event"], events[-1]["event"]) == ("start", "end")
    assert {event["source"] for event in events} == {camera.url}
    assert all(event["wall"] for event in events)
    (folder,) = (tmp_path / "best").iterdir()
    best = [json.loads(path.read_text()) for path in sorted(folder.glob("track-*.json"))]
    assert best
    assert {shot["track"] for shot in best} <= {event["track"] for event in events}
    assert all(events[0]["wall"] <= shot["wall"] <= events[-1]["wall"] for shot in best)
    said = capfd.readouterr()
    assert said.out == ""
    assert "live, connection 1" in said.err
    assert f"{lines[-1]['frames']} frames" in said.err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_it_with_every_file_whole(
    small_weights: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    with HttpCamera() as camera:
        process = live(
            *(camera.url, "--weights", small_weights, *QUICK, "-q", "--segments", tmp_path),
            *("--status", "-", "--status-interval", "0.2"),
        )
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["frames"] > 10:
                break
        begin = time.monotonic()
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert process.returncode == code
    assert time.monotonic() - begin < 6
    assert err == ""
    last = json.loads(out.splitlines()[-1])
    (file,) = tmp_path.iterdir()
    assert ".part" not in file.name
    assert frames_in(file) == last["frames"]


def test_it_waits_for_a_camera_that_is_not_there_and_shows_no_password(
    small_weights: Path, tmp_path: Path
) -> None:
    port = free_port()
    status = tmp_path / "status.jsonl"
    environment = os.environ | {"VIDFACEDEBLUR_URL": f"http://eve:hunter2@127.0.0.1:{port}/live.ts"}
    process = live(
        *("--weights", small_weights, *QUICK, "-v", "--status", status, "--status-interval", "0.2"),
        env=environment,
    )
    try:
        wait_until(lambda: any(line["attempts"] > 1 for line in lines_of(status)), 60)
        with HttpCamera(port=port):
            wait_until(lambda: lines_of(status)[-1]["frames"] > 5)
    finally:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 143
    assert "connecting again" in err
    assert "live, connection 1" in err
    assert "hunter2" not in out + err + status.read_text()


def test_a_reader_of_its_status_that_goes_away_ends_nothing(
    small_weights: Path, tmp_path: Path
) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    with HttpCamera() as camera:
        process = live(
            *(camera.url, "--weights", small_weights, *QUICK, "-q", "--segments", tmp_path),
            *("--status", "-", "--status-interval", "0.2", "--duration", "6"),
            env=environment,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait(30) == 0
        process.stderr.close()
    assert err == ""
    assert sum(map(frames_in, tmp_path.iterdir())) > 10


def test_a_terminal_that_goes_away_ends_nothing(small_weights: Path, tmp_path: Path) -> None:
    status = tmp_path / "status.jsonl"
    ours, theirs = pty.openpty()
    with HttpCamera() as camera:
        command = [sys.executable, "-m", "vidfacedeblur.cli.live", camera.url, *QUICK]
        command += ["--weights", str(small_weights), "--duration", "6"]
        command += ["--status", str(status), "--status-interval", "0.2"]
        process = subprocess.Popen(command, stderr=theirs)
        os.close(theirs)
        wait_until(lambda: len(lines_of(status)) > 5, 60)
        os.close(ours)
        before = len(lines_of(status))
        assert process.wait(60) == 0
    assert len(lines_of(status)) > before + 5


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "no URL given"),
        (["clip.mp4"], "must begin with one of rtsp://"),
        (["file:///etc/passwd"], "this one has file://"),
        (["rtsp://h/x", "--model", "nope"], "unknown model"),
        (["rtsp://h/x", "--camera-timeout", "0"], "--camera-timeout must be within"),
        (["rtsp://h/x", "--duration", "-1"], "--duration must be more than 0"),
        (["rtsp://h/x", "--publish", "http://h/x"], "must begin with one of rtsp://"),
        (["rtsp://h/x", "--segments", "/dev/null/x"], "/dev/null"),
        (["rtsp://h/x", "--events", "-", "--status", "-"], "standard output"),
        (["rtsp://h/x", "--events", "/nowhere/e.jsonl"], "there is no folder /nowhere"),
        (["rtsp://h/x", "--best-faces", "x", "--faces", "none"], "--faces none looks for none"),
        (["rtsp://h/x", "--ca-file", "/nowhere.pem"], "there is no file"),
        (["rtsp://h/x", "--input-option", "x"], "NAME=VALUE"),
        (["rtsp://h/x", "--segment-format", "avi"], "must be one of mkv, mp4"),
    ],
)
def test_mistakes_are_told_in_a_line(
    arguments: list[str],
    says: str,
    small_weights: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VIDFACEDEBLUR_WEIGHTS", str(small_weights))
    code = main(arguments)
    said = capsys.readouterr().err.strip().splitlines()
    assert code in (2, 5)
    assert says in said[-1]
    assert not any("Traceback" in line for line in said)


def test_settings_of_the_other_command_are_no_strangers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDFACEDEBLUR_ISOLATE", "1")
    monkeypatch.setenv("VIDFACEDEBLUR_NONSENSE", "1")
    (config := tmp_path / "own.toml").write_text('isolate = true\nsegments = "x"\n')
    assert main(["nowhere", "--config", str(config)]) == 2
    err = capsys.readouterr().err
    assert "VIDFACEDEBLUR_NONSENSE" in err
    assert "ISOLATE" not in err
    assert "unknown key" not in err
    monkeypatch.setenv("VIDFACEDEBLUR_SEGMENTS", "x")
    assert file_main(["nowhere.mp4", "-o", "x.mp4", "--config", str(config)]) == 3
    err = capsys.readouterr().err
    assert "SEGMENTS" not in err
    assert "no such file: nowhere.mp4" in err


def test_help_needs_no_torch() -> None:
    code = (
        "import sys; from vidfacedeblur.cli.live import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--segments" in done.stdout
    assert "--gate" in done.stdout


def test_cameras_that_begin_in_the_same_second_have_folders_of_their_own(tmp_path: Path) -> None:
    with ExitStack() as stack:
        folders = [_own_folder(tmp_path / "best", stack) for _ in range(3)]
        assert len(set(folders)) == 3
        (folders[1] / "track-0001-1.jpg").touch()
    assert list((tmp_path / "best").iterdir()) == [folders[1]]
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot make"), ExitStack() as stack:
        _own_folder(tmp_path / "file", stack)
