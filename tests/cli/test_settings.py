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
    return build_parser().read(["in.mp4", "-o", "out.mp4", *argv])


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


def test_a_text_without_quotes_is_explained(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text("strength = 1\ngate = off\n")
    with pytest.raises(OptionError, match=r"at line 2, column 8.*; a text needs quotes"):
        resolve(flags("--config", str(config)), {})


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
        ("--report", "", "--report must not be empty"),
        ("--start", "1:75", r"--start must be seconds, or \[HH:\]MM:SS, got '1:75'"),
        ("--start", "1:60:00", "--start must be seconds"),
        ("--duration", "soon", "--duration must be seconds"),
    ],
)
def test_a_wrong_flag_names_itself(flag: str, value: str, says: str) -> None:
    with pytest.raises(OptionError, match=says):
        resolve(flags(flag, value), {})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2.5", 2.5), ("1:30", 90), ("90:00", 5400), ("00:00:01", 1), ("1:02:03.25", 3723.25)],
)
def test_a_moment_may_be_written_as_on_a_clock(text: str, seconds: float, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text(f'start = "{text}"\n')
    assert resolve(flags("--config", str(config)), {})[0]["start"] == seconds
    assert resolve(flags("--duration", text), {})[0]["duration"] == seconds


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


@pytest.mark.parametrize(
    "argv",
    [
        ["a", "-o", "out/", "b", "-q", "-c.mp4"],
        ["a", "b", "-q", "-o", "out/", "-c.mp4"],
        ["-q", "-o", "out/", "a", "b", "-c.mp4"],
    ],
)
def test_inputs_may_stand_anywhere(argv: list[str]) -> None:
    found = build_parser().read([*argv[:-1], "--", argv[-1]])
    assert found == {
        "inputs": [Path("a"), Path("b"), Path("-c.mp4")],
        "output": "out/",
        "quiet": True,
    }


@pytest.mark.parametrize("argv", [[""], ["a", "-o", "out/", ""], ["a", "-o", "out/", "--", ""]])
def test_an_empty_input_is_not_the_current_folder(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        build_parser().read(argv)
    assert caught.value.code == 2
    assert "argument INPUT: invalid path value: ''" in capsys.readouterr().err


def test_text_in_a_file_is_one_value(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('match = "my clip *.mp4"\nignore = ["a b", "c"]\n')
    values, _ = resolve(flags("--config", str(config)), {"VIDFACEDEBLUR_ALLOW_DECODER": "x y"})
    assert values["match"] == ("my clip *.mp4",)
    assert values["ignore"] == ("a b", "c")
    assert values["allow_decoder"] == ("x", "y")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("report = false", "report in .* must be text, got false"),
        ('weights = ["a", "b"]', "weights in .* must be text, got"),
        ("crf = true", "crf in .* must be a number, got true"),
        ("[faces]\nstrength = 1", "faces in .* must be text, got"),
        ('html = ""', "html in .* must not be empty"),
    ],
)
def test_a_value_of_another_kind_is_refused(content: str, says: str, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text(content)
    with pytest.raises(OptionError, match=says):
        resolve(flags("--config", str(config)), {})
