"""Libraries that report their use over the network are kept from it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

WATCH = """
import os, sys
os.environ.pop("CI", None)
seen = []
def hook(event, args):
    if event in ("os.fork", "os.forkpty") or event.startswith("socket."):
        seen.append(event)
sys.addaudithook(hook)
{work}
loaded = [name for name in sys.modules if name.startswith("openvino_telemetry")]
assert not loaded, loaded
assert not seen, seen
"""

IMPORTS = {
    "openvino": "from vidfacedeblur.engines.openvino import openvino_core; openvino_core()",
    "nncf": (
        "from vidfacedeblur.engines.openvino import no_telemetry\n"
        "with no_telemetry():\n    import nncf"
    ),
}

TOGETHER = """
import threading
from concurrent.futures import ThreadPoolExecutor
from vidfacedeblur.engines.openvino import openvino_core
both = threading.Barrier(2)
def make(_):
    both.wait()
    return openvino_core()
with ThreadPoolExecutor(2) as pool:
    first, second = pool.map(make, range(2))
assert first is second
"""


@pytest.mark.parametrize("name", IMPORTS)
def test_nothing_reports_over_the_network(name: str) -> None:
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    script = WATCH.format(work=IMPORTS[name])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_two_threads_may_ask_at_once() -> None:
    if importlib.util.find_spec("openvino") is None:
        pytest.skip("openvino is not installed")
    done = subprocess.run([sys.executable, "-c", TOGETHER], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
