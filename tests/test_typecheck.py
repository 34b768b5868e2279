"""The type check really sees every room: an error planted in each is found."""

from __future__ import annotations

from pathlib import Path

import pytest
from typecheck import check, copy_sources


@pytest.mark.parametrize("room", ["engines/select.py", "trainers/blur.py", "vidfacedeblur/plan.py"])
def test_a_planted_error_is_found(room: str, tmp_path: Path) -> None:
    copy_sources(tmp_path)
    with (tmp_path / room).open("a") as file:
        file.write("\nplanted: int = 'an error'\n")
    result = check(tmp_path)
    assert result.returncode != 0
    assert 'Incompatible types in assignment (expression has type "str"' in result.stdout
