"""Shared by all tests: a private cache, quiet threads, and where the research data may lie."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# One cache for the whole session, away from the user's: networks are exported once.
_CACHE = tempfile.TemporaryDirectory(prefix="vidfacedeblur-test-cache-")
os.environ.setdefault("VIDFACEDEBLUR_CACHE", _CACHE.name)
for _name in [n for n in os.environ if n.startswith("VIDFACEDEBLUR_")]:
    if _name.removeprefix("VIDFACEDEBLUR_") not in ("CACHE", "DATA", "REQUIRE_GPU"):
        del os.environ[_name]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests marked ``gpu`` are skipped without one, and fail where one was promised."""
    if item.get_closest_marker("gpu") is None:
        return
    import torch

    if not torch.cuda.is_available():
        if os.environ.get("VIDFACEDEBLUR_REQUIRE_GPU") == "1":
            pytest.fail("VIDFACEDEBLUR_REQUIRE_GPU is 1, and torch finds no GPU")
        pytest.skip("torch finds no GPU")


@pytest.fixture(scope="session")
def research_data() -> Path:
    """The folder of research data, with `faces` and `videos` in it; skips where there is none."""
    folder = os.environ.get("VIDFACEDEBLUR_DATA")
    if not folder:
        pytest.skip("VIDFACEDEBLUR_DATA does not name the folder of research data")
    return Path(folder)


@pytest.fixture(autouse=True)
def _no_thread_left_behind() -> Iterator[None]:
    import threading

    before = set(threading.enumerate())
    yield
    left = [t.name for t in threading.enumerate() if t not in before]
    assert not [name for name in left if name.startswith("vidfacedeblur-")]


@pytest.fixture(scope="session")
def small_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a DeblurGAN that is small, fast, and changes every face visibly."""
    import torch

    from vidfacedeblur.models.registry import make_config, make_network
    from vidfacedeblur.models.weights import save_model

    torch.manual_seed(0)
    config = make_config("deblurgan", {"width": 8, "blocks": 1})
    network = make_network("deblurgan", config)
    torch.nn.init.normal_(network.decoder[-2].weight, 0, 0.02)  # type: ignore[index,union-attr,arg-type]
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_model(path, "deblurgan", config, network.state_dict())
    return path
