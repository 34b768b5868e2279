"""What a start costs: torch, which takes seconds to load, only where it computes something."""

from __future__ import annotations

import subprocess
import sys

import pytest

from vidfacedeblur import FaceDeblurPipeline
from vidfacedeblur.engines.openvino import openvino_problem

AGAIN = """
import sys
from vidfacedeblur import FaceDeblurPipeline
with FaceDeblurPipeline("deblurganv2", device="cpu") as pipeline:
    pass
print("torch" in sys.modules, pipeline.deblurrer.network.engine)
"""


def test_what_was_prepared_before_opens_without_torch() -> None:
    if openvino_problem():
        pytest.skip("OpenVINO is not here")
    with FaceDeblurPipeline("deblurganv2", device="cpu"):
        pass
    run = subprocess.run([sys.executable, "-c", AGAIN], capture_output=True, text=True, timeout=300)
    assert run.stdout.split() == ["False", "openvino"], run.stderr
