"""The simulation of an archive on many nodes, where its outcome can be worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent.parent / "examples" / "benchmarks"


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import nodes

    return nodes


@pytest.fixture
def rules(nodes: Any) -> Any:
    return nodes.Rules(nodes=10, per_file=0.0, per_task=0.0, turn=0.0, start=0.0)


def test_equal_files_fill_all_nodes(nodes: Any, rules: Any) -> None:
    ran = nodes.play([nodes.Cost(5.0, 60.0)] * 100, rules)
    assert (ran.seconds, ran.efficiency, ran.driver) == (50.0, 1.0, 0.0)


def test_starting_and_turning_round_cost_time(nodes: Any, rules: Any) -> None:
    ran = nodes.play([nodes.Cost(5.0, 60.0)] * 100, replace(rules, start=20.0, turn=1.0))
    assert ran.seconds == pytest.approx(20 + 10 * 6)


def test_a_slow_driver_is_the_limit(nodes: Any, rules: Any) -> None:
    ran = nodes.play([nodes.Cost(1.0, 60.0)] * 100, replace(rules, per_file=1.0))
    assert ran.seconds == pytest.approx(1 + 100, abs=2)
    assert ran.driver > 0.95


def test_the_longest_file_ends_the_run_unless_it_is_begun_first_or_divided(
    nodes: Any, rules: Any
) -> None:
    files = [*([nodes.Cost(10.0, 60.0)] * 90), nodes.Cost(100.0, 600.0, survey=0.4, again=0.0)]
    assert nodes.play(files, replace(rules, longest_first=False)).seconds == 190
    assert nodes.play(files, rules).seconds == 100
    alone = nodes.play(files[-1:], replace(rules, chunk=60.0))
    # Each of the ten pieces is 6 s of work; the last can begin after the survey's 40 s.
    assert alone.seconds == pytest.approx(46)
