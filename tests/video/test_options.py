"""Options of reading and writing that people ask for by name."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
from av.sidedata.sidedata import Type

from vidfacedeblur.errors import InputError, LossError, OptionError
from vidfacedeblur.provenance import provenance
from vidfacedeblur.video import hdr

Make = Callable[..., Path]
Go = Callable[..., Any]

LINE = json.dumps(provenance(model="m", weights="w" * 64, options="o" * 64, source="s" * 64))
TAGS = {"title": "Birthday", "location": "+48.85+002.35/", "com.apple.quicktime.make": "Phone"}


def tags_of(path: Path) -> dict[str, str]:
    with av.open(str(path)) as container:
        return {key.lower(): value for key, value in container.metadata.items()}


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_the_tag_is_read_back(make_clip: Make, run: Go, tmp_path: Path, suffix: str) -> None:
    encoder = "libvpx-vp9" if suffix == ".webm" else "libx264"
    path = make_clip(tmp_path / f"a{suffix}", encoder=encoder, tags={"title": "T"})
    done = run(path, tmp_path / f"b{suffix}", comment=LINE)
    assert done.sink.tag.lower() == "vidfacedeblur"
    said = tags_of(done.written)
    assert "\n" not in said["vidfacedeblur"]
    assert json.loads(said["vidfacedeblur"]) == {
        "version": json.loads(LINE)["version"],
        "model": "m",
        "weights_sha256": "w" * 64,
        "options_sha256": "o" * 64,
        "input_sha256": "s" * 64,
    }
    assert said["title"] == "T"


def test_a_container_without_tags_is_told(make_clip: Make, run: Go, tmp_path: Path) -> None:
    done = run(make_clip(tmp_path / "a.ts"), tmp_path / "b.ts", comment=LINE)
    assert done.sink.tag is None
    assert ["no place to say what was done" in line for line in done.sink.warnings] == [True]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_metadata_is_stripped_but_for_what_was_done(
    make_clip: Make, run: Go, tmp_path: Path, suffix: str
) -> None:
    path = make_clip(
        tmp_path / f"a{suffix}",
        tags={**TAGS, "creation_time": "2024-02-29T12:34:56Z"},
        sound=True,
        orientation=6,
        subtitles=["hello"] if suffix == ".mkv" else [],
    )
    done = run(path, tmp_path / f"b{suffix}", comment=LINE, strip_metadata=True)
    known = {"vidfacedeblur", "encoder", "major_brand", "minor_version", "compatible_brands"}
    assert set(tags_of(done.written)) <= known
    assert "vidfacedeblur" in tags_of(done.written)
    with av.open(str(done.written)) as container:
        assert [s.type for s in container.streams][:2] == ["video", "audio"]
        if suffix == ".mkv":
            assert container.streams[2].language in ("deu", "ger")
        assert next(container.decode(video=0)).rotation % 360 == 270
    bare = run(path, tmp_path / f"c{suffix}", comment=LINE, strip_metadata=True, provenance=False)
    assert "vidfacedeblur" not in tags_of(bare.written)
    assert "vidfacedeblur" not in " ".join(bare.sink.warnings)


def test_a_picture_is_stripped_but_stays_upright(run: Go, tmp_path: Path) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Phone"
    for suffix in (".jpg", ".png"):
        Image.new("RGB", (64, 48), "gray").save(tmp_path / f"a{suffix}", exif=exif, comment="me")
        done = run(tmp_path / f"a{suffix}", tmp_path / f"b{suffix}", strip_metadata=True)
        with Image.open(done.written) as image:
            assert dict(image.getexif()) == {0x0112: 6}
            assert b"Phone" not in done.written.read_bytes()
            assert "comment" not in image.info


def test_options_of_the_encoder(make_clip: Make, run: Go, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=30)
    done = run(path, tmp_path / "b.mp4", encoder_options=(("g", "5"), ("sc_threshold", "0")))
    with av.open(str(done.written)) as container:
        keys = [p.is_keyframe for p in container.demux(video=0) if p.size]
    assert keys == [n % 5 == 0 for n in range(30)]
    with pytest.raises(OptionError, match="libx264 has no option bogus"):
        run(path, tmp_path / "c.mp4", encoder_options=(("bogus", "1"),))
    with pytest.raises(OptionError, match="cannot be used here"):
        run(path, tmp_path / "c.mp4", encoder_options=(("preset", "warp"),))
    assert not (tmp_path / "c.mp4").exists()


def mastering(colours: int = 1, luminances: int = 1, below: int = 50_000) -> bytes:
    """A display of BT.2020's colours in D65, from 0.0001 to 1000 cd/m2, as FFmpeg stores it."""
    places = (35_400, 14_600, 8_500, 39_850, 6_550, 2_300, 15_635, 16_450)
    fractions = [number for place in places for number in (place, below)]
    return struct.pack("=22i", *fractions, 1, 10_000, 1000, 1, colours, luminances)


def test_encoders_are_told_of_light_in_their_own_units() -> None:
    light = struct.pack("=2I", 1000, 400)
    data = {Type.MASTERING_DISPLAY_METADATA: mastering(), Type.CONTENT_LIGHT_LEVEL: light}
    x265 = "G(8500,39850)B(6550,2300)R(35400,14600)WP(15635,16450)L(10000000,1)"
    av1 = (
        "G(0.170000,0.797000)B(0.131000,0.046000)R(0.708000,0.292000)"
        "WP(0.312700,0.329000)L(1000.000000,0.000100)"
    )
    begin = ["hdr10=1", "repeat-headers=1"]
    assert hdr.x265_parameters(data) == [*begin, f"master-display={x265}", "max-cll=1000,400"]
    assert hdr.svtav1_parameters(data) == [f"mastering-display={av1}", "content-light=1000,400"]
    for kind, text in ((Type.MASTERING_DISPLAY_METADATA, x265), (Type.CONTENT_LIGHT_LEVEL, "")):
        one = {kind: data[kind]}
        assert hdr.has_static_hdr(one)
        assert not hdr.has_dynamic_hdr(one)
        told = f"master-display={text}" if text else "max-cll=1000,400"
        assert hdr.x265_parameters(one) == [*begin, told]
        assert len(hdr.svtav1_parameters(one)) == 1


@pytest.mark.parametrize(
    "display", [mastering(colours=0), mastering(luminances=0), mastering()[:87], b""]
)
def test_a_display_that_is_not_described_whole_is_not_told(display: bytes) -> None:
    data = {Type.MASTERING_DISPLAY_METADATA: display, Type.CONTENT_LIGHT_LEVEL: b"\0" * 7}
    assert hdr.x265_parameters(data) == hdr.svtav1_parameters(data) == []


def test_a_place_without_a_denominator_is_zero() -> None:
    data = {Type.MASTERING_DISPLAY_METADATA: mastering(below=0)}
    (display,) = hdr.svtav1_parameters(data)
    assert "G(0.000000,0.000000)" in display
    assert display.endswith("L(1000.000000,0.000100)")


def test_the_same_comes_out_each_time(make_clip: Make, run: Go, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", size=(66, 50))
    outputs = [run(path, tmp_path / f"{n}.mp4").written.read_bytes() for n in range(20)]
    assert len(set(outputs)) == 1


def test_a_codec_can_be_allowed(make_clip: Make, run: Go, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.avi", encoder="wmv2")
    with pytest.raises(InputError, match="--allow-decoder wmv2 accepts it"):
        run(path, tmp_path / "b.mkv")
    assert run(path, tmp_path / "b.mkv", allow_decoders=("wmv2",)).written.exists()


def test_an_encoder_whose_codec_is_not_read_by_default(
    make_clip: Make, run: Go, tmp_path: Path
) -> None:
    path = make_clip(tmp_path / "a.mkv")
    assert run(path, tmp_path / "b.avi", encoder="wmv2").written.exists()


def test_a_stream_that_begins_on_the_way_is_told(make_clip: Make, run: Go, tmp_path: Path) -> None:
    """PyAV ends with an IndexError at the end of such a file."""
    silent = make_clip(tmp_path / "1.ts", frames=250)
    loud = make_clip(tmp_path / "2.ts", times=[10_000 + 40 * n for n in range(30)], sound=True)
    path = tmp_path / "a.ts"
    path.write_bytes(silent.read_bytes() + loud.read_bytes())
    done = run(path, tmp_path / "b.ts")
    assert len(done.frames) == 280
    if done.source.reader.late_streams:  # whether PyAV notices is up to chance
        assert "begin on the way" in " ".join(done.source.warnings)
        with pytest.raises(LossError, match="begin on the way"):
            run(path, tmp_path / "c.ts", strict=True)
