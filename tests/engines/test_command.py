"""The command ``vidfacedeblur-engines``."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from vidfacedeblur.engines import bench, cache
from vidfacedeblur.engines.__main__ import main


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIDFACEDEBLUR_CACHE", str(tmp_path))
    return tmp_path / "vidfacedeblur"


def test_help_and_listing_load_no_torch(own_cache: Path) -> None:
    code = (
        "import sys; from vidfacedeblur.engines.__main__ import main; main(['list'])\n"
        "main(['clean'])\ntry: main(['--help'])\nexcept SystemExit: pass\n"
        "assert not {'torch', 'openvino', 'numpy'} & set(sys.modules), sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_doctor_tells_a_person_and_a_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "openvino on cpu" in text
    assert "auto takes" in text
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["cores"] >= found["threads"] >= 1
    torch_on_cpu = {"engine": "torch", "device": "cpu", "usable": True, "detail": "the reference"}
    assert torch_on_cpu in found["engines"]
    for state in found["engines"]:
        assert state["detail"]


def test_what_is_built_is_listed_and_cleaned_away(
    own_cache: Path, capsys: pytest.CaptureFixture[str], small_weights: Path
) -> None:
    command = ["deblurgan", "--weights", str(small_weights), "--device", "cpu"]
    assert main(["build", *command]) == 0
    assert "deblurgan: ready for openvino" in capsys.readouterr().err
    assert main(["list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    names = sorted(Path(row["path"]).name.rpartition("-")[0] for row in rows)
    assert names == ["deblurgan", "mtcnn-onet", "mtcnn-pnet", "mtcnn-rnet"]
    assert all(row["made_from"]["kind"] == "openvino fp32" for row in rows)
    assert main(["list"]) == 0
    assert "4 files" in capsys.readouterr().out
    assert main(["build", *command]) == 0
    assert "preparing" not in capsys.readouterr().err
    assert main(["clean"]) == 0
    assert cache.entries() == []


def test_bench_writes_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], small_weights: Path
) -> None:
    out = tmp_path / "out"
    command = ["bench", "deblurgan", "--weights", str(small_weights), "--engine", "openvino"]
    command += ["--sizes", "64", "--batches", "1", "2", "--seconds", "0.05", "-o", str(out)]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert (out / "engines.md").read_text() + "\n" == printed
    assert "measured peak" in printed
    rows = list(csv.DictReader((out / "engines.csv").read_text().splitlines()))
    ours = [row for row in rows if row["network"] == "deblurgan"]
    assert [(row["engine"], row["batch"]) for row in ours] == [
        (bench.EAGER, "1"),
        ("openvino", "1"),
        (bench.EAGER, "2"),
        ("openvino", "2"),
    ]
    for row in rows:
        assert 0 < float(row["median_ms"]) <= float(row["p95_ms"])
        assert float(row["psnr"]) > 60
        assert float(row["peak_share"]) > 0
    assert [float(row["against_eager"]) for row in rows if row["engine"] == bench.EAGER] == [
        1.0 for row in rows if row["engine"] == bench.EAGER
    ]


def test_bench_refuses_a_wrong_engine(monkeypatch: pytest.MonkeyPatch, small_weights: Path) -> None:
    monkeypatch.setattr(bench, "decibels", lambda difference: 40.0)
    command = ["bench", "deblurgan", "--weights", str(small_weights), "--engine", "torch"]
    assert main([*command, "--device", "cpu", "--sizes", "32"]) == 2


def test_a_batch_that_no_memory_holds_is_told_in_one_line(
    capsys: pytest.CaptureFixture[str], small_weights: Path
) -> None:
    command = ["bench", "deblurgan", "--weights", str(small_weights), "--engine", "torch"]
    assert main([*command, "--device", "cpu", "--sizes", "512", "--batches", str(10**9)]) == 1
    assert "Unable to allocate" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["build", "nosuch"], "unknown model 'nosuch'"),
        (["build", "--engine", "fast"], "--engine must be one of"),
        (["build", "--threads", "0"], "--threads must be within"),
        (["build", "--sizes", "100"], "--sizes must be multiples of 32"),
        (["build", "--weights", "w.safetensors"], "--weights goes with one MODEL"),
        (["build", "deblurgan", "--device", "cpu", "--weights", "/no"], "cannot read the weights"),
        (["bench", "--seconds", "0"], "--seconds above 0"),
        (["bench", "--device", "gpu"], "--device must be"),
        (["build", "--device", "cuda:77"], "device cuda:77 cannot be used"),
    ],
)
def test_mistakes_are_told_in_one_line(
    command: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("vidfacedeblur-engines: ")
    assert said in lines[0]
