"""Weights between two trainings."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vidfacedeblur.models.registry import make_config, make_network
from vidfacedeblur.models.weights import load_model, save_model
from vidfacedeblur.trainers.__main__ import main


def weights(path: Path, seed: int, width: int = 4) -> Path:
    torch.manual_seed(seed)
    config = make_config("deblurgan", {"width": width, "blocks": 1})
    save_model(path, "deblurgan", config, make_network("deblurgan", config).state_dict())
    return path


@pytest.fixture
def two(tmp_path: Path) -> list[str]:
    return [str(weights(tmp_path / f"{seed}.safetensors", seed)) for seed in (0, 1)]


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_mean_lies_where_it_was_asked_for(two: list[str], share: float, tmp_path: Path) -> None:
    out = tmp_path / "mixed.safetensors"
    assert main(["mix", "deblurgan", *two, "--share", str(share), "-o", str(out)]) == 0
    first, second, mixed = (
        load_model("deblurgan", Path(path)).network.state_dict() for path in (*two, out)
    )
    for name, value in mixed.items():
        expected = (1 - share) * first[name] + share * second[name]
        assert torch.allclose(value, expected, atol=1e-4)


def test_counts_are_the_firsts_and_an_older_output_is_replaced(tmp_path: Path) -> None:
    config, counts = make_config("deepdeblur", {"modules": 1}), (30, 7)
    paths = [tmp_path / f"{count}.safetensors" for count in counts]
    for path, count in zip(paths, counts, strict=True):
        state = make_network("deepdeblur", config).state_dict()
        state["stem.1.num_batches_tracked"] = torch.tensor(count)
        save_model(path, "deepdeblur", config, state)
    out = tmp_path / "mixed.safetensors"
    out.write_bytes(b"older")
    assert main(["mix", "deepdeblur", *map(str, paths), "-o", str(out)]) == 0
    mixed = load_model("deepdeblur", out).network.state_dict()
    assert int(mixed["stem.1.num_batches_tracked"]) == 30


@pytest.mark.parametrize(
    "case", ["share", "negative", "itself", "no folder", "folder", "configuration", "missing"]
)
def test_what_cannot_be_mixed_is_told(
    case: str, two: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, share, says = str(tmp_path / "mixed.safetensors"), "0.5", ""
    before = Path(two[0]).read_bytes()
    if case == "share":
        share, says = "1.5", "--share must lie within 0 to 1, got 1.5"
    elif case == "negative":
        share, says = "-0.5", "--share must lie within 0 to 1, got -0.5"
    elif case == "itself":
        out, says = two[0], "is one of the two"
    elif case == "no folder":
        out, says = str(tmp_path / "none" / "mixed.safetensors"), "there is no folder"
    elif case == "folder":
        out, says = str(tmp_path), "it is a folder; name a file"
    elif case == "configuration":
        two[1], says = str(weights(tmp_path / "wide.safetensors", 1, 8)), "different configurations"
    else:
        two[1], says = str(tmp_path / "none.safetensors"), "cannot read the weights"
    assert main(["mix", "deblurgan", *two, "--share", share, "-o", out]) in (2, 3, 5)
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert says in error
    assert Path(two[0]).read_bytes() == before
    assert out == two[0] or not Path(out).is_file()
