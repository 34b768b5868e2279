"""Options' values as the plain types that their fields say, whoever gave them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from vidfacedeblur.errors import OptionError

_SAID = {
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    str: "a text",
    Path: "the name of a file",
    dict: "a table of settings",
    tuple: "a list",
}
_UNFIT = object()


def as_flag(name: str) -> str:
    """What the command line calls an option."""
    return "--" + name.replace("_", "-")


def settle(options: Any, called: Callable[[str], str] = as_flag, **names: str) -> None:
    """Give every field the plain type that it says, from whatever means the same.

    Args:
        options: A frozen dataclass that is being made.
        called: Gives what a user calls a field ...
        names: ... and fields that are called otherwise.

    Raises:
        OptionError: A value does not fit.
    """
    for name, wanted in _types(type(options)).items():
        value = settled(names.get(name) or called(name), getattr(options, name), wanted)
        object.__setattr__(options, name, value)


_types: Callable[[Any], dict[str, Any]] = cache(get_type_hints)


def settled(name: str, value: Any, wanted: Any) -> Any:
    """The value as the plain type that is wanted.

    Numbers of numpy become Python's, names of files become paths, lists become tuples.

    Raises:
        OptionError: It is of another type, or no finite number, or not one of a `Literal`'s.
    """
    kinds = _kinds(wanted)
    for kind in kinds:
        found = _as(name, value, kind)
        if found is not _UNFIT:
            return found
    said = " or ".join(_said(kind) for kind in kinds if kind is not NoneType)
    raise OptionError(f"{name} must be {said}, got {value!r}")


def _kinds(wanted: Any) -> tuple[Any, ...]:
    union = isinstance(wanted, UnionType) or get_origin(wanted) is Union
    return get_args(wanted) if union else (wanted,)


def _said(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, get_args(kind)))}"
    plain = get_origin(kind) or kind
    return _SAID.get(plain, str(plain.__name__))


def _as(name: str, value: Any, kind: Any) -> Any:
    """The value as one kind of type, or `_UNFIT`."""
    if get_origin(kind) is tuple:
        return _as_tuple(name, value, get_args(kind))
    if get_origin(kind) is Literal:
        return value if isinstance(value, str) and value in get_args(kind) else _UNFIT
    if kind is float and not isinstance(value, bool) and isinstance(value, Real):
        return _as_float(name, value)
    if kind is int and not isinstance(value, bool) and isinstance(value, Integral):
        return int(value)
    if kind is Path and isinstance(value, str):
        return Path(value)
    plain = get_origin(kind) or kind
    fits = isinstance(value, plain) and (kind is bool or not isinstance(value, bool))
    return value if fits else _UNFIT


def _as_float(name: str, value: Real) -> float:
    try:
        number = float(value)
    except OverflowError:  # a whole number may have any length
        number = math.inf
    if not math.isfinite(number):
        raise OptionError(f"{name} must be a finite number, got {number}")
    return number


def _as_tuple(name: str, value: Any, kinds: tuple[Any, ...]) -> Any:
    """A list of one kind, as (str, ...), or some values of set kinds, as (str, str)."""
    if isinstance(value, Mapping):
        value = value.items()
    if isinstance(value, str) or not isinstance(value, Iterable):
        return _UNFIT
    values = tuple(value)
    if kinds[-1] is ...:
        kinds = (kinds[0],) * len(values)
    if len(values) != len(kinds):
        raise OptionError(f"{name} needs {len(kinds)} values each, got {value!r}")
    each = f"each of {name}"
    return tuple(settled(each, item, kind) for item, kind in zip(values, kinds, strict=True))
