"""Where an option's value comes from: flag over variable over file over default."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vidfacedeblur.cli import options
from vidfacedeblur.cli.live_settings import LIVE_SETTINGS
from vidfacedeblur.cli.settings import SETTINGS, build_parser
from vidfacedeblur.errors import OptionError


def resolve(
    given: dict[str, object], environment: dict[str, str]
) -> tuple[dict[str, Any], list[str]]:
    return options.resolve(given, environment, settings=SETTINGS)


def flags(*argv: str) -> dict[str, object]:
    return vars(build_parser().parse_args(["in.mp4", "-o", "out.mp4", *argv]))


def test_precedence(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('strength = 0.1\ncrop-size = 128\nmodel = "deepdeblur"\noverwrite = true\n')
    given = flags("--config", str(config), "--strength", "0.3")
    values, notes = resolve(given, {"VIDFACEDEBLUR_STRENGTH": "0.2", "VIDFACEDEBLUR_CRF": "20"})
    assert values["strength"] == 0.3
    assert values["crf"] == 20
    assert values["crop_size"] == 128
    assert values["model"] == "deepdeblur"
    assert values["overwrite"] is True
    assert values["min_score"] == 0.9
    assert notes == []
    assert resolve(flags("--config", str(config)), {"VIDFACEDEBLUR_STRENGTH": "0.2"})[0][
        "strength"
    ] == pytest.approx(0.2)


def test_faces_are_chosen_alike_on_the_command_line_and_in_a_file(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('faces = 2\nregion = ["0,0,9,9", "1,2,3,4.5"]\nmin-track = 5\n')
    argv = ("--faces", "2", "--region", "0,0,9,9", "--region", "1,2,3,4.5", "--min-track", "5")
    for given in (flags(*argv), flags("--config", str(config))):
        values, _ = resolve(given, {})
        assert (values["faces"], values["min_track"]) == (2, 5)
        assert values["region"] == ((0, 0, 9, 9), (1, 2, 3, 4.5))
    assert resolve(flags("--faces", "largest"), {})[0]["faces"] == "largest"
    for wrong in ("1,2,3", "a,b,c,d", ""):
        with pytest.raises(OptionError, match="--exclude must be X,Y,WIDTH,HEIGHT"):
            resolve(flags("--exclude", wrong), {})


def test_an_unknown_key_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text("strenght = 1\n")
    with pytest.raises(OptionError, match="unknown key 'strenght'"):
        resolve(flags("--config", str(config)), {})


@pytest.mark.parametrize("content", [b"strength = ", b"\xff\xfe"])
def test_an_unreadable_configuration_is_refused(tmp_path: Path, content: bytes) -> None:
    config = tmp_path / "c.toml"
    config.write_bytes(content)
    with pytest.raises(OptionError, match="cannot read the configuration"):
        resolve(flags("--config", str(config)), {})
    with pytest.raises(OptionError, match="cannot read the configuration"):
        resolve(flags("--config", str(tmp_path / "none.toml")), {})


def test_a_stray_variable_is_mentioned() -> None:
    _, notes = resolve(flags(), {"VIDFACEDEBLUR_STRENGHT": "1", "VIDFACEDEBLUR_DATA": "/x"})
    assert notes == ["unknown environment variable VIDFACEDEBLUR_STRENGHT ignored"]


@pytest.mark.parametrize(
    ("flag", "value", "says"),
    [
        ("--strength", "much", "--strength must be a number"),
        ("--min-face", "3.5", "--min-face must be a whole number"),
        ("--engine", "warp", "--engine must be one of auto"),
        ("--crop-size", "big", "--crop-size must be"),
    ],
)
def test_a_wrong_flag_names_itself(flag: str, value: str, says: str) -> None:
    with pytest.raises(OptionError, match=says):
        resolve(flags(flag, value), {})


def test_every_setting_is_a_flag_with_help() -> None:
    text = build_parser().format_help()
    for setting in SETTINGS:
        assert f"--{setting.name}" in text


def test_a_configuration_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text("strength = 0.25\n", encoding="utf-8-sig")
    assert resolve(flags("--config", str(config)), {})[0]["strength"] == 0.25


def test_an_unknown_key_names_each_known_one_once(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text("strenght = 1\n")
    with pytest.raises(OptionError) as caught:
        options.resolve(flags("--config", str(config)), {}, settings=SETTINGS, others=LIVE_SETTINGS)
    known = str(caught.value).partition("known: ")[2].split(", ")
    assert len(known) == len(set(known)) > len(SETTINGS)
