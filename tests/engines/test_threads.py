"""How many threads a network gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidfacedeblur.engines import threads


@pytest.mark.parametrize(("cores", "expected"), [(1, 1), (2, 2), (8, 8), (64, 16)])
def test_small_networks_get_sixteen_at_most(
    cores: int, expected: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: set(range(cores)))
    monkeypatch.setattr(threads, "_QUOTA", tmp_path / "none")
    assert threads.usable_cores() == cores
    assert threads.default_threads() == expected


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("400000 100000", 4), ("50000 100000", 1), ("max 100000", 8), ("nonsense", 8), ("1 0", 8)],
)
def test_a_containers_quota_counts(
    quota: str, expected: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: set(range(8)))
    file = tmp_path / "cpu.max"
    file.write_text(quota + "\n")
    monkeypatch.setattr(threads, "_QUOTA", file)
    assert threads.usable_cores() == expected
