"""Options from wherever they come: flags, environment, configuration file, defaults.

The first of these that sets an option wins: a flag, ``VIDFACEDEBLUR_<NAME>``, the file given with
``--config``, the default.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from vidfacedeblur.console import visible
from vidfacedeblur.errors import OptionError
from vidfacedeblur.whole import is_too_long

_PREFIX = "VIDFACEDEBLUR_"
_OTHER_VARIABLES = {_PREFIX + name for name in ("CACHE", "CONFIG", "DATA", "REQUIRE_GPU", "URL")}
_CLOCK = re.compile(r"(?:([0-9]+):(?=[0-5]?[0-9]:))?([0-9]+):([0-5]?[0-9](?:\.[0-9]+)?)")
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


@dataclass(frozen=True)
class Setting:
    """One option of the command."""

    name: str
    """Long flag without dashes in front; underscores for dashes in files and variables."""
    parse: Callable[[str], Any]
    """From text to value; raises ValueError."""
    default: Any
    help: str
    metavar: str | None = None
    choices: Sequence[str] | None = None
    short: str | None = None
    group: str = "options"
    many: bool = False
    """May be given more than once; in a variable, values are apart by spaces, in a file a list."""

    @property
    def key(self) -> str:
        return self.name.replace("-", "_")

    @property
    def is_switch(self) -> bool:
        return self.parse is switch


def path(text: str) -> Path:
    """A path; `ValueError` for an empty text, which would pass for the current folder."""
    if not text:
        raise ValueError("must not be empty")
    return Path(text)


def switch(text: str) -> bool:
    """A yes or no from text; `ValueError` for what is neither."""
    if text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    raise ValueError("must be true or false")


def pair(text: str) -> tuple[str, str]:
    """A name and a value from ``NAME=VALUE``; `ValueError` for anything else."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise ValueError("must be NAME=VALUE")
    return key, value


def which(text: str) -> str | int:
    """A whole number where the text is one, else the text."""
    return int(text) if text.isdecimal() else text


def seconds(text: str) -> float:
    """Seconds from a number, or from ``[HH:]MM:SS``; `ValueError` for anything else."""
    with suppress(ValueError):
        return float(text)
    clock = _CLOCK.fullmatch(text)
    if clock is None:
        raise ValueError("must be seconds, or [HH:]MM:SS")
    hours, minutes, rest = clock.groups("0")
    return 3600 * int(hours) + 60 * int(minutes) + float(rest)


def rectangle(text: str) -> tuple[float, ...]:
    """Four numbers from ``X,Y,WIDTH,HEIGHT``; `ValueError` for anything else."""
    try:
        values = tuple(float(value) for value in text.split(","))
    except ValueError:
        values = ()
    if len(values) != 4:
        raise ValueError("must be X,Y,WIDTH,HEIGHT")
    return values


def or_auto(text: str) -> int | None:
    """A whole number; None for ``auto``."""
    return None if text == "auto" else int(text)


def auto_or(text: str) -> int | str:
    """A whole number, or ``auto``, where that is more than to say nothing."""
    return text if text == "auto" else int(text)


_KINDS: dict[Callable[[str], Any], str] = {
    int: "a whole number",
    float: "a number",
    or_auto: "a whole number or auto",
    auto_or: "a whole number or auto",
}
"""What a value must be, where its parser does not say so itself."""


class Parser(argparse.ArgumentParser):
    """Shows the control characters of what it refuses, which may be a file's name."""

    def read(self, argv: Sequence[str] | None) -> dict[str, Any]:
        """What the command line gives, by key; its inputs may stand between the options, too."""
        given = sys.argv[1:] if argv is None else list(argv)
        # Behind `--` nothing is an option, which the parser of mixed arguments does not know.
        end = given.index("--") if "--" in given else len(given)
        return vars(self.parse_args(given[end:], self.parse_intermixed_args(given[:end])))

    def error(self, message: str) -> NoReturn:
        super().error(visible(message))


def add_settings(parser: argparse.ArgumentParser, settings: Sequence[Setting]) -> None:
    """Give a parser its options, in groups."""
    groups = {s.group: None for s in settings}  # each once, in order
    made = {name: parser.add_argument_group(name) for name in groups}
    for setting in settings:
        flags = [f"-{setting.short}"] if setting.short else []
        group = made[setting.group]
        text = setting.help
        if setting.default not in (None, False, ()):
            text += f" (default: {setting.default})"
        if setting.is_switch:
            group.add_argument(*flags, f"--{setting.name}", action="store_true", help=text)
        else:
            metavar = setting.metavar or "{" + ",".join(setting.choices or ()) + "}"
            action = "append" if setting.many else "store"
            group.add_argument(
                *flags, f"--{setting.name}", metavar=metavar, help=text, action=action
            )


def resolve(
    flags: Mapping[str, Any],
    environment: Mapping[str, str] | None = None,
    *,
    settings: Sequence[Setting],
    others: Sequence[Setting] = (),
) -> tuple[dict[str, Any], list[str]]:
    """Settle every setting's value.

    Args:
        flags: What the command line gave, by key.
        environment: Variables; None takes the process's own.
        settings: The command's.
        others: Settings of other commands, whose variables may be there too.

    Returns:
        The values by key, and a line for each variable that looks like ours but is not.

    Raises:
        OptionError: A value does not fit, or the configuration file is unreadable or has an
            unknown key.
    """
    environment = os.environ if environment is None else environment
    path = flags.get("config") or environment.get(_PREFIX + "CONFIG")
    stored = read_config(Path(path), (*settings, *others)) if path else {}
    values = {}
    for setting in settings:
        variable = _PREFIX + setting.key.upper()
        if setting.key in flags:
            given, origin = flags[setting.key], f"--{setting.name}"
        elif variable in environment:
            text = environment[variable]
            given, origin = text.split() if setting.many else text, variable
        elif setting.key in stored:
            given, origin = stored[setting.key], f"{setting.name} in {path}"
        else:
            values[setting.key] = setting.default
            continue
        values[setting.key] = _value(setting, given, origin)
    for one, other in (("overwrite", "skip_existing"), ("skip_existing", "overwrite")):
        if one in flags and other not in flags and other in values:
            values[other] = False  # the flag decides between the two
    known = {_PREFIX + setting.key.upper() for setting in (*settings, *others)} | _OTHER_VARIABLES
    strays = sorted(name for name in environment if name.startswith(_PREFIX) and name not in known)
    return values, [f"unknown environment variable {name} ignored" for name in strays]


def read_config(path: Path, settings: Sequence[Setting]) -> dict[str, Any]:
    """Read a configuration file, its keys with underscores.

    Raises:
        OptionError: The file cannot be read, is not TOML, or has an unknown key.
    """
    try:
        stored = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # as some editors save it
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        hint = "; a text needs quotes" if "Invalid value" in str(error) else ""
        raise OptionError(f"cannot read the configuration {path}: {reason}{hint}") from error
    found = {key.replace("-", "_"): value for key, value in stored.items()}
    unknown = sorted(set(found) - {setting.key for setting in settings})
    if unknown:
        known = ", ".join(dict.fromkeys(setting.name for setting in settings))
        raise OptionError(f"unknown key {unknown[0]!r} in {path}; known: {known}")
    return found


def _value(setting: Setting, given: Any, origin: str) -> Any:
    """Check and convert what was given, whatever it came from."""
    if not setting.many:
        return _single(setting, given, origin)
    each = given if isinstance(given, list) else [given]
    return tuple(_single(setting, one, origin) for one in each)


def _single(setting: Setting, given: Any, origin: str) -> Any:
    text = str(given).lower() if isinstance(given, bool) else str(given)
    if isinstance(given, list | dict | bool) and not setting.is_switch:
        kind = _KINDS.get(setting.parse, "text")
        raise OptionError(f"{origin} must be {kind}, got {text}")
    try:
        value = setting.parse(text)
    except ValueError as error:
        kind = _KINDS.get(setting.parse, "a valid value")
        own = setting.parse in (switch, pair, rectangle, path, seconds)
        reason = str(error) if own else f"must be {kind}"
        raise OptionError(f"{origin} {reason}, got {text!r}") from error
    if setting.parse is path and is_too_long(value):
        raise OptionError(f"{origin} must be a shorter name, got {text!r}")
    if setting.name == "model":
        return value  # an unknown model has its own error
    if setting.choices and value not in setting.choices:
        raise OptionError(f"{origin} must be one of {', '.join(setting.choices)}, got {text!r}")
    return value
