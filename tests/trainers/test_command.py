"""The command's own part: what it names without loading it is there."""

from __future__ import annotations

import argparse
from importlib import import_module

from vidfacedeblur.trainers import names
from vidfacedeblur.trainers.__main__ import _parser
from vidfacedeblur.trainers.fixed_sets import SETS


def test_every_command_has_a_function() -> None:
    [commands] = (a for a in _parser()._actions if isinstance(a, argparse._SubParsersAction))
    assert len(commands.choices) > 10
    for command in commands.choices.values():
        module, function = command.get_default("run").split(".")
        assert callable(getattr(import_module(f"vidfacedeblur.trainers.{module}"), function))


def test_every_fixed_set_can_be_chosen() -> None:
    assert tuple(SETS) == names.SETS
