"""Still pictures: what is not a face stays, down to the EXIF data and the colour profile."""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

from vidfacedeblur.config import VideoOptions
from vidfacedeblur.errors import (
    DamagedInputError,
    InputError,
    LossError,
    OptionError,
    OutputError,
    OutputExistsError,
)
from vidfacedeblur.types import Frame, Region
from vidfacedeblur.video import open_canvas, open_source, output_suffix
from vidfacedeblur.video.picture_bytes import exif_orientation, kind_of

Go = Callable[..., Any]
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def pixels(size: tuple[int, int] = (60, 44)) -> NDArray[np.uint8]:
    y, x = np.mgrid[: size[1], : size[0]]
    return np.stack([x * 4, y * 5, 255 - x * 2 - y], axis=-1).astype(np.uint8)


def exif(orientation: int = 1) -> Image.Exif:
    data = Image.Exif()
    data[0x010F] = "Camera"
    data[0x0112] = orientation
    return data


def write(path: Path, mode: str = "RGB", **options: Any) -> Path:
    Image.fromarray(pixels()).convert(mode).save(path, **options)
    return path


def shown(path: Path) -> NDArray[np.int64]:
    """The picture as a viewer shows it."""
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB")).astype(int)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1"])
def test_png_is_lossless(run: Go, tmp_path: Path, mode: str) -> None:
    path = write(tmp_path / "a.png", mode)
    out = run(path, tmp_path / "b.png").written
    assert (shown(out) == shown(path)).all()
    with Image.open(path) as before, Image.open(out) as after:
        alphas = [np.asarray(image.convert("RGBA"))[..., 3] for image in (before, after)]
    assert (alphas[0] == alphas[1]).all()


@pytest.mark.parametrize("subsampling", [0, 1, 2], ids=["444", "422", "420"])
def test_jpeg_is_as_good_as_lossless(run: Go, tmp_path: Path, subsampling: int) -> None:
    path = write(tmp_path / "a.jpg", quality=92, subsampling=subsampling)
    out = run(path, tmp_path / "b.jpg", strict=True).written
    assert np.abs(shown(out) - shown(path)).max() <= 6
    with Image.open(path) as before, Image.open(out) as after:
        ratios = [_chroma_ratio(image) for image in (before, after)]
    assert ratios[0] == ratios[1]


def _chroma_ratio(image: Any) -> tuple[float, float]:
    (_, across, down, _), (_, chroma_across, chroma_down, _), _ = image.layer
    return across / chroma_across, down / chroma_down


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(run: Go, tmp_path: Path, orientation: int, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", exif=exif(orientation))
    seen = []
    out = run(path, tmp_path / f"b{suffix}", edit=lambda f: seen.append(open_canvas(f).rgb()))
    assert out.frames[0].orientation == orientation
    assert np.abs(seen[0] - shown(path)).mean() < 2
    assert np.abs(shown(out.written) - shown(path)).max() <= 8


@pytest.mark.parametrize("target", [".jpg", ".png"])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_exif_and_profile_are_carried_over(
    run: Go, tmp_path: Path, suffix: str, target: str
) -> None:
    path = write(tmp_path / f"a{suffix}", exif=exif(6), icc_profile=PROFILE)
    out = run(path, tmp_path / f"b{target}", comment="done").written
    with Image.open(out) as image:
        assert dict(image.getexif()) == dict(exif(6))
        assert image.info["icc_profile"] == PROFILE
        said = image.info["vidfacedeblur" if target == ".png" else "comment"]
    assert said in ("done", b"vidfacedeblur: done")


def test_a_profile_of_many_segments(run: Go, tmp_path: Path) -> None:
    profile = PROFILE + np.random.default_rng(0).bytes(150_000)
    path = write(tmp_path / "a.png", icc_profile=profile)
    with Image.open(run(path, tmp_path / "b.jpg").written) as image:
        assert image.info["icc_profile"] == profile
    with Image.open(run(tmp_path / "b.jpg", tmp_path / "c.png").written) as image:
        assert image.info["icc_profile"] == profile


def video_of(pictures: list[bytes], path: Path, codec: str) -> Path:
    """A video of pictures, which its container says are of 60x44."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_mux_stream(codec, rate=25, width=60, height=44)
        for number, picture in enumerate(pictures):
            packet: Any = av.Packet(picture)
            packet.stream, packet.time_base = stream, Fraction(1, 25)
            packet.pts = packet.dts = number
            container.mux(packet)
    return path


def test_a_video_of_pictures_with_profiles(run: Go, tmp_path: Path) -> None:
    # FFmpeg's JPEG encoder ends the process at a profile that is larger than the picture.
    profile = PROFILE + np.random.default_rng(0).bytes(150_000)
    picture = write(tmp_path / "a.jpg", icc_profile=profile, exif=exif(6)).read_bytes()
    path = video_of([picture] * 3, tmp_path / "a.mov", "mjpeg")
    result = run(path, tmp_path / "b.mov")
    assert len(result.frames) == 3


def test_text_in_a_png_is_kept(run: Go, tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "mine")
    path = write(tmp_path / "a.png", pnginfo=info)
    with Image.open(run(path, tmp_path / "b.png", comment="done ✓").written) as image:
        assert image.info["Comment"] == "mine"
        assert image.info["vidfacedeblur"] == "done ✓"


def test_sixteen_bits_are_kept(run: Go, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (20, 30)).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    with Image.open(run(tmp_path / "a.png", tmp_path / "b.png", strict=True).written) as image:
        assert (np.asarray(image) == values).all()


def test_only_the_region_changes(run: Go, tmp_path: Path) -> None:
    def brighten(frame: Frame) -> None:
        open_canvas(frame).add(Region(5, 6, 15, 18), np.full((12, 10, 3), -0.1, np.float32))

    path = write(tmp_path / "a.png")
    change = shown(run(path, tmp_path / "b.png", edit=brighten).written) - shown(path)
    assert (change[6:18, 5:15] < 0).any(axis=-1).all()
    change[6:18, 5:15] = 0
    assert not change.any()


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_cut_short(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 4])
    with pytest.raises(DamagedInputError, match="cut short"):
        open_source(path, VideoOptions())


def test_a_picture_bomb(tmp_path: Path) -> None:
    Image.new("1", (5000, 5000)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="5000x5000 is over"):
        open_source(tmp_path / "a.png", VideoOptions(max_pixels=10_000_000))


def test_a_picture_bomb_in_a_video(tmp_path: Path) -> None:
    Image.new("1", (5000, 5000)).save(tmp_path / "bomb.png")
    bomb = (tmp_path / "bomb.png").read_bytes()
    small = write(tmp_path / "a.png").read_bytes()
    options = VideoOptions(max_pixels=10_000_000)
    with pytest.raises(InputError, match="5000x5000 is over"):
        open_source(video_of([bomb] * 2, tmp_path / "a.mov", "png"), options)
    # One that comes later is refused by the decoder, before it allocates the picture.
    path = video_of([small, bomb, small], tmp_path / "b.mov", "png")
    with open_source(path, options) as source:
        frames = list(source)
        assert source.bad_packets >= 1
        assert len(frames) + source.bad_packets == 3


def test_losses(run: Go, tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", "RGBA")
    assert run(path, tmp_path / "b.jpg").sink.warnings
    with pytest.raises(LossError, match=r"\.jpg cannot hold"):
        run(path, tmp_path / "c.jpg", strict=True)


def test_refusals(run: Go, tmp_path: Path) -> None:
    path = write(tmp_path / "a.png")
    with pytest.raises(OptionError, match=r"\.png or \.jpg only"):
        run(path, tmp_path / "b.mp4")
    with pytest.raises(OutputExistsError):
        run(path, path, overwrite=True)
    with pytest.raises(OutputError, match="one decoded frame"):
        run(path, tmp_path / "b.png", edit=lambda f: setattr(f, "picture", pixels()))
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_the_suffix_of_the_output(tmp_path: Path) -> None:
    assert output_suffix(write(tmp_path / "a.jpeg")) == ".jpeg"
    assert output_suffix(write(tmp_path / "a.PNG")) == ".png"
    assert output_suffix(write(tmp_path / "b.png").rename(tmp_path / "b.jpg")) == ".png"


def test_an_animated_png_is_a_video(make_clip: Go, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.apng", frames=3, encoder="apng", pix_fmt="rgb24", settings={})
    with open_source(path.rename(tmp_path / "a.png"), VideoOptions()) as source:
        assert len(list(source)) == 3
        assert source.info.format_name == "apng"


def test_broken_exif_is_no_orientation() -> None:
    whole = exif(5).tobytes().removeprefix(b"Exif\0\0")
    assert exif_orientation(whole) == 5
    for end in range(len(whole)):
        assert exif_orientation(whole[:end]) in (1, 5)
    assert exif_orientation(b"II*\0\xff\xff\xff\xff") == 1
    assert exif_orientation(None) == 1


def test_kinds() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, "GIF")
    assert kind_of(stream.getvalue()) is None
    assert kind_of(b"") is None
