"""Whether an eight-bit network is worth shipping."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vidfacedeblur.deblur import Deblurrer
from vidfacedeblur.trainers.__main__ import main
from vidfacedeblur.trainers.fixed_sets import Pair
from vidfacedeblur.trainers.quantizing import Verdict, compared


class Scaled:
    """Stands in for a network: its output is a multiple of its input, in range."""

    engine, device = "fake", "cpu"

    def __init__(self, factor: float) -> None:
        self.factor = np.float32(factor)

    def __call__(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        return (batch * self.factor,)

    def close(self) -> None:
        pass


def test_both_networks_restore_every_pair() -> None:
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 1, (3, 32, 32, 3)).astype(np.float32)
    pairs = [Pair(str(i), "13", image, image) for i, image in enumerate(images)]
    full, small = (Deblurrer(Scaled(f), multiple=4, sha256="") for f in (1.0, 0.9))
    verdict = compared(full, small, pairs)
    assert verdict.pairs == 3
    assert verdict.psnr_float32 == 99
    assert 20 < verdict.psnr_int8 < 40
    assert verdict.ms_float32 > 0
    assert not verdict.passes


@pytest.mark.parametrize(
    ("loss", "speed", "passes"), [(0.1, 1.7, True), (0.3, 1.7, False), (0.1, 1.5, False)]
)
def test_it_must_be_good_and_fast(loss: float, speed: float, passes: bool) -> None:
    verdict = Verdict(10, 25.0, 25.0 - loss, 16.0 * speed, 16.0)
    assert verdict.loss == pytest.approx(loss)
    assert verdict.speed == pytest.approx(speed)
    assert verdict.passes is passes


def test_a_pack_that_is_not_there_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["quantize", "deblurganv2", "--pack", str(tmp_path / "none.npz"), "--data", "data"]
    assert main([*command, "-o", str(tmp_path / "out")]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert "none.npz; make one with 'prepare'" in line
    assert not list(tmp_path.iterdir())
