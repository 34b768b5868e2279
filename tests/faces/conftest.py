"""The detector on torch, made once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))

from fakes import FakeNetwork

from vidfacedeblur.faces import MtcnnDetector
from vidfacedeblur.models.mtcnn import load_mtcnn


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    # Many small calls: threads that wait for each other cost more than they save.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def networks() -> list[FakeNetwork]:
    def runner(net: nn.Module) -> FakeNetwork:
        @torch.inference_mode()
        def run(batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
            return tuple(output.numpy() for output in net(torch.from_numpy(batch)))

        return FakeNetwork(run)

    return [runner(net) for net in load_mtcnn()]


@pytest.fixture(scope="session")
def detector(networks: list[FakeNetwork]) -> MtcnnDetector:
    return MtcnnDetector(*networks)
