"""What control groups say: both versions, the groups around this one, and what is no limit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vidfacedeblur.engines import groups
from vidfacedeblur.engines.groups import granted_cores, memory_left

Put = Callable[..., None]
MIB = 1 << 20


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Put:
    """Makes a group of these files, `_` for the dot in their names."""
    monkeypatch.setattr(groups, "_ROOT", tmp_path / "groups")
    monkeypatch.setattr(groups, "_OWN", tmp_path / "own")

    def make(folder: str, **files: object) -> None:
        place = tmp_path / "groups" / folder
        place.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (place / name.replace("_", ".", 1)).write_text(f"{content}\n")

    return make


def own(*lines: str) -> None:
    groups._OWN.write_text("\n".join(lines) + "\n")


def test_the_tightest_of_a_services_groups_holds(put: Put) -> None:
    own("0::/system.slice/faces.service")
    put("", cpu_max="1600000 100000")
    put("system.slice", cpu_max="max 100000", memory_max="max")
    put("system.slice/faces.service", cpu_max="250000 100000")
    assert granted_cores() == 2.5
    assert memory_left() is None
    put("system.slice", cpu_max="150000 100000")
    assert granted_cores() == 1.5


def test_a_groups_name_may_hold_colons(put: Put) -> None:
    own("0::/system.slice:cri-containerd:1f")
    put("system.slice:cri-containerd:1f", cpu_max="150000 100000")
    assert granted_cores() == 1.5


@pytest.mark.parametrize("quota", ["max 100000", "nonsense", "1 0", ""])
def test_what_is_no_quota(quota: str, put: Put) -> None:
    own("0::/")
    put("", cpu_max=quota)
    assert granted_cores() is None


def test_files_in_memory_leave_room(put: Put) -> None:
    own("0::/")
    told = f"anon {100 * MIB}\nfile {800 * MIB}\nactive_file {400 * MIB}\ninactive_file {300 * MIB}"
    put("", memory_max=1024 * MIB, memory_current=900 * MIB, memory_stat=told)
    assert memory_left() == (1024 - 900 + 700) * MIB


def test_version_1(put: Put) -> None:
    own("9:cpu,cpuacct:/docker/1", "4:memory:/docker/1", "1:name=systemd:/docker/1")
    put("cpu", cpu_cfs_quota_us=300_000, cpu_cfs_period_us=100_000)
    told = f"active_file 1\ntotal_active_file {2 * MIB}\ntotal_inactive_file {3 * MIB}"
    values = {"memory_limit_in_bytes": 64 * MIB, "memory_usage_in_bytes": 60 * MIB}
    put("memory", **values, memory_stat=told)
    assert granted_cores() == 3
    assert memory_left() == 9 * MIB
    put("cpu", cpu_cfs_quota_us=-1)
    assert granted_cores() is None


def test_without_groups_there_is_no_limit(put: Put) -> None:
    assert granted_cores() is None
    assert memory_left() is None
