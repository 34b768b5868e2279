"""Options' values as the plain types that their fields say, whoever gave them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from vidfacedeblur.errors import OptionError

_KINDS = {
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    str: "a text",
    Path: "the name of a file",
}


def settle(options: Any, **flags: str) -> None:
    """Give every field the plain type that it says, from whatever means the same.

    Numbers of numpy become Python's, names of files become paths, lists become tuples.

    Args:
        options: A frozen dataclass that is being made.
        flags: What a field is called where that is not its name.

    Raises:
        OptionError: A value is of another type.
    """
    for name, wanted in _types(type(options)).items():
        flag = flags.get(name, "--" + name.replace("_", "-"))
        object.__setattr__(options, name, _settled(flag, getattr(options, name), wanted))


_types: Callable[[Any], dict[str, Any]] = cache(get_type_hints)


def _settled(flag: str, value: Any, wanted: Any) -> Any:
    if isinstance(wanted, UnionType) or get_origin(wanted) is Union:
        kinds = [kind for kind in get_args(wanted) if kind is not NoneType]
        if value is None and len(kinds) < len(get_args(wanted)):
            return None
        # Of a name or a number, a text is the name.
        wanted = kinds[0] if len(kinds) == 1 or isinstance(value, str) else kinds[-1]
    if get_origin(wanted) is tuple:
        return _settled_tuple(flag, value, get_args(wanted))
    if wanted is int and not isinstance(value, bool) and isinstance(value, Integral):
        return int(value)
    if wanted is float and not isinstance(value, bool) and isinstance(value, Real):
        return float(value)
    if wanted is Path and isinstance(value, (str, Path)):
        return Path(value)
    if wanted is bool and isinstance(value, bool):
        return value
    if (wanted is str or get_origin(wanted) is Literal) and isinstance(value, str):
        return value
    raise OptionError(f"{flag} must be {_KINDS.get(wanted, 'a name')}, got {value!r}")


def _settled_tuple(flag: str, value: Any, kinds: tuple[Any, ...]) -> tuple[Any, ...]:
    """A list of one kind, as (str, ...), or some values of set kinds, as (str, str)."""
    if isinstance(value, Mapping):
        value = value.items()
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise OptionError(f"{flag} must be a list, got {value!r}")
    values = tuple(value)
    if kinds[-1] is ...:
        return tuple(_settled(flag, each, kinds[0]) for each in values)
    if len(values) != len(kinds):
        raise OptionError(f"{flag} needs {len(kinds)} values each, got {value!r}")
    return tuple(_settled(flag, each, kind) for each, kind in zip(values, kinds, strict=True))
