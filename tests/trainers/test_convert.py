"""Published checkpoints are converted: every tensor lands where the published network used it.

The published networks are described here once more, as lists of keys and shapes and as plain
function calls on those keys, written from the published layer order and not from the converter.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from vidfacedeblur.errors import (
    OptionError,
    OutputError,
    OutputExistsError,
    UnknownModelError,
    WeightsError,
)
from vidfacedeblur.models.registry import make_network
from vidfacedeblur.models.weights import load_model
from vidfacedeblur.trainers.convert import convert, write_converted

State = dict[str, Tensor]
Shapes = list[tuple[str, tuple[int, ...]]]

TOLERANCE = 1e-4
"""Two orders of the same float32 sums; a misplaced tensor moves the output by more than 0.1."""


@pytest.fixture(autouse=True)
def single_thread() -> Iterator[None]:
    # Many small layers: threads that wait for each other cost a hundred times what they save.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def filled(shapes: Shapes) -> State:
    """Seeded values that keep activations near one, so that every tensor matters to the output."""
    generator = torch.Generator().manual_seed(len(shapes))
    state: State = OrderedDict()
    for key, shape in shapes:
        values = torch.randn(shape, generator=generator)
        fan_in = max(1, values[0].numel()) if len(shape) > 1 else 1
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(7)
        elif key.endswith("running_var"):
            state[key] = 1 + 0.3 * values.tanh()
        elif len(shape) == 1:
            state[key] = 0.3 * values + (0 if key.endswith(("bias", "running_mean")) else 1)
        else:
            state[key] = values * (2 / fan_in) ** 0.5
    return state


def picture() -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return 0.3 * torch.rand((1, 3, 32, 32), generator=generator) - 0.1


def ours(path: Path, model: str, blurred: Tensor) -> Tensor:
    config, state = convert(path, model)
    network = make_network(model, config).eval()
    network.load_state_dict(state, strict=True)
    with torch.no_grad():
        output: Tensor = network(blurred)
    return output


def assert_same(output: Tensor, expected: Tensor, blurred: Tensor) -> None:
    assert (expected - blurred).std() > 0.1  # the network does something that could differ
    assert (expected.abs() < 1).float().mean() > 0.5  # and the clamp does not hide it
    assert (output - expected).abs().max() < TOLERANCE


def norm(features: Tensor) -> Tensor:
    return F.instance_norm(features)


def statistics(key: str, width: int) -> Shapes:
    return [
        (f"{key}.running_mean", (width,)),
        (f"{key}.running_var", (width,)),
        (f"{key}.num_batches_tracked", ()),
    ]


# DeblurGAN: a list of 28 layers, residual blocks at 10 to 18.


def deblurgan_shapes(*, dropout: bool = True) -> Shapes:
    second = 6 if dropout else 5
    shapes: Shapes = [("model.1.weight", (64, 3, 7, 7)), ("model.1.bias", (64,))]
    shapes += statistics("model.2", 64)
    shapes += [("model.4.weight", (128, 64, 3, 3)), ("model.4.bias", (128,))]
    shapes += statistics("model.5", 128)
    shapes += [("model.7.weight", (256, 128, 3, 3)), ("model.7.bias", (256,))]
    shapes += statistics("model.8", 256)
    for n in range(10, 19):
        for place in (1, second):
            key = f"model.{n}.conv_block.{place}"
            shapes += [(f"{key}.weight", (256, 256, 3, 3)), (f"{key}.bias", (256,))]
            shapes += statistics(f"model.{n}.conv_block.{place + 1}", 256)
    shapes += [("model.19.weight", (256, 128, 3, 3)), ("model.19.bias", (128,))]
    shapes += statistics("model.20", 128)
    shapes += [("model.22.weight", (128, 64, 3, 3)), ("model.22.bias", (64,))]
    shapes += statistics("model.23", 64)
    return [*shapes, ("model.26.weight", (3, 64, 7, 7)), ("model.26.bias", (3,))]


def deblurgan(s: State, x: Tensor, *, second: int = 6) -> Tensor:
    def conv(key: str, x: Tensor, pad: int) -> Tensor:
        return F.conv2d(F.pad(x, (pad,) * 4, "reflect"), s[f"{key}.weight"], s[f"{key}.bias"])

    def halve(key: str, x: Tensor) -> Tensor:
        return F.conv2d(x, s[f"{key}.weight"], s[f"{key}.bias"], stride=2, padding=1)

    def double(key: str, x: Tensor) -> Tensor:
        return F.conv_transpose2d(x, s[f"{key}.weight"], s[f"{key}.bias"], 2, 1, 1)

    y = norm(conv("model.1", x, 3)).relu()
    y = norm(halve("model.4", y)).relu()
    y = norm(halve("model.7", y)).relu()
    for n in range(10, 19):
        z = norm(conv(f"model.{n}.conv_block.1", y, 1)).relu()
        y = y + norm(conv(f"model.{n}.conv_block.{second}", z, 1))
    y = norm(double("model.19", y)).relu()
    y = norm(double("model.22", y)).relu()
    return (x + conv("model.26", y, 3).tanh()).clamp(-1, 1)


@pytest.mark.parametrize("dropout", [True, False])
def test_deblurgan_computes_what_was_published(tmp_path: Path, dropout: bool) -> None:
    state, blurred = filled(deblurgan_shapes(dropout=dropout)), picture()
    torch.save(state, path := tmp_path / "latest_net_G.pth")
    expected = deblurgan(state, blurred, second=6 if dropout else 5)
    assert_same(ours(path, "deblurgan", blurred), expected, blurred)
    config, _ = convert(path, "deblurgan")
    assert (config.upsampling, config.dropout) == ("transposed", 0.5 if dropout else 0.0)


def test_the_file_may_be_old_parallel_and_without_counters(tmp_path: Path) -> None:
    state, blurred = filled(deblurgan_shapes()), picture()
    saved = {f"module.{k}": v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    path = tmp_path / "latest_net_G.pth"
    torch.save(saved, path, _use_new_zipfile_serialization=False)
    assert_same(ours(path, "deblurgan", blurred), deblurgan(state, blurred), blurred)


def test_blocks_of_one_convolution_are_refused(tmp_path: Path) -> None:
    shapes = [item for item in deblurgan_shapes() if ".conv_block.6." not in item[0]]
    torch.save(filled(shapes), path := tmp_path / "latest_net_G.pth")
    with pytest.raises(WeightsError, match=r"holds one convolution per residual block.*March 2019"):
        convert(path, "deblurgan")


# DeblurGAN-v2: what both backbones share. Levels are numbered from the finest, 0, to 4.


def pyramid_shapes(widths: tuple[int, ...], c: int, h: int) -> Shapes:
    shapes: Shapes = []
    for n in (1, 2, 3):
        shapes += [(f"fpn.td{n}.0.weight", (c, c, 3, 3)), (f"fpn.td{n}.0.bias", (c,))]
        shapes += statistics(f"fpn.td{n}.1", c)
    for n in (4, 3, 2, 1):
        shapes.append((f"fpn.lateral{n}.weight", (c, widths[n], 1, 1)))
        shapes.append((f"head{n}.block0.weight", (h, c, 3, 3)))
        shapes.append((f"head{n}.block1.weight", (h, h, 3, 3)))
    shapes.append(("fpn.lateral0.weight", (c // 2, widths[0], 1, 1)))
    shapes += [("smooth.0.weight", (h, 4 * h, 3, 3)), ("smooth.0.bias", (h,))]
    shapes += statistics("smooth.1", h)
    shapes += [("smooth2.0.weight", (h // 2, h, 3, 3)), ("smooth2.0.bias", (h // 2,))]
    shapes += statistics("smooth2.1", h // 2)
    return [*shapes, ("final.weight", (3, h // 2, 3, 3)), ("final.bias", (3,))]


def pyramid(s: State, x: Tensor, enc: list[Tensor]) -> Tensor:
    def conv(key: str, x: Tensor) -> Tensor:
        return F.conv2d(x, s[f"{key}.weight"], s.get(f"{key}.bias"), padding=1)

    def grow(x: Tensor, factor: int) -> Tensor:
        return x.repeat_interleave(factor, 2).repeat_interleave(factor, 3)

    def head(n: int, x: Tensor) -> Tensor:
        return conv(f"head{n}.block1", conv(f"head{n}.block0", x).relu()).relu()

    lateral = [F.conv2d(enc[n], s[f"fpn.lateral{n}.weight"]) for n in range(5)]
    map4 = lateral[4]
    map3 = norm(conv("fpn.td1.0", lateral[3] + grow(map4, 2))).relu()
    map2 = norm(conv("fpn.td2.0", lateral[2] + grow(map3, 2))).relu()
    map1 = norm(conv("fpn.td3.0", lateral[1] + grow(map2, 2))).relu()
    maps = [grow(head(4, map4), 8), grow(head(3, map3), 4), grow(head(2, map2), 2), head(1, map1)]
    y = grow(norm(conv("smooth.0", torch.cat(maps, 1))).relu(), 2)
    y = grow(norm(conv("smooth2.0", y + lateral[0])).relu(), 2)
    return (conv("final", y).tanh() + x).clamp(-1, 1)


def batch_norm(s: State, key: str, x: Tensor, eps: float = 1e-5) -> Tensor:
    mean, var = s[f"{key}.running_mean"], s[f"{key}.running_var"]
    return F.batch_norm(x, mean, var, s[f"{key}.weight"], s[f"{key}.bias"], eps=eps)


def batch_norm_shapes(key: str, width: int) -> Shapes:
    return [(f"{key}.weight", (width,)), (f"{key}.bias", (width,)), *statistics(key, width)]


def save_v2(state: State, path: Path) -> Path:
    torch.save({"model": OrderedDict((f"module.{k}", v) for k, v in state.items())}, path)
    return path


# MobileNetV2, as a list of blocks: (list index, channels in, channels out, stride, expansion).

BLOCKS = [
    *[(1, 32, 16, 1, 1), (2, 16, 24, 2, 6), (3, 24, 24, 1, 6), (4, 24, 32, 2, 6)],
    *[(5, 32, 32, 1, 6), (6, 32, 32, 1, 6), (7, 32, 64, 2, 6), (8, 64, 64, 1, 6)],
    *[(9, 64, 64, 1, 6), (10, 64, 64, 1, 6), (11, 64, 96, 1, 6), (12, 96, 96, 1, 6)],
    *[(13, 96, 96, 1, 6), (14, 96, 160, 2, 6), (15, 160, 160, 1, 6)],
]
TAPS = {1: "enc0", 3: "enc1", 6: "enc2", 10: "enc3", 15: "enc4"}
"""The last block of each stage."""


def mobilenet_shapes() -> Shapes:
    shapes: Shapes = [("fpn.features.0.0.weight", (32, 3, 3, 3))]
    shapes += batch_norm_shapes("fpn.features.0.1", 32)
    for index, width, out, _, expansion in BLOCKS:
        key, hidden = f"fpn.features.{index}.conv", width * expansion
        at = 0
        if expansion > 1:
            shapes += [(f"{key}.0.weight", (hidden, width, 1, 1))]
            shapes += batch_norm_shapes(f"{key}.1", hidden)
            at = 3
        shapes += [(f"{key}.{at}.weight", (hidden, 1, 3, 3))]
        shapes += batch_norm_shapes(f"{key}.{at + 1}", hidden)
        shapes += [(f"{key}.{at + 3}.weight", (out, hidden, 1, 1))]
        shapes += batch_norm_shapes(f"{key}.{at + 4}", out)
    # Of the three blocks that no stage takes, one tensor each.
    shapes += [("fpn.features.16.conv.0.weight", (960, 160, 1, 1))]
    shapes += [("fpn.features.17.conv.1.running_mean", (960,)), ("fpn.features.18.1.bias", (1280,))]
    return shapes + pyramid_shapes((16, 24, 32, 64, 160), 128, 64)


def with_stages(state: State) -> State:
    """Add the second name under which the published modules appear."""
    names, stage, first = {}, 0, 0
    for index in range(16):
        names[index] = f"fpn.enc{stage}.{index - first}"
        if index in TAPS:
            stage, first = stage + 1, index + 1
    twice: State = OrderedDict()
    for key, value in state.items():
        twice[key] = value
        parts = key.split(".", 3)
        if parts[1] == "features" and int(parts[2]) in names:
            twice[f"{names[int(parts[2])]}.{parts[3]}"] = value
    return twice


def mobilenet(s: State, x: Tensor) -> list[Tensor]:
    y = F.conv2d(x, s["fpn.features.0.0.weight"], stride=2, padding=1)
    y = batch_norm(s, "fpn.features.0.1", y).clamp(0, 6)
    taps = []
    for index, width, out, stride, expansion in BLOCKS:
        key, z, at = f"fpn.features.{index}.conv", y, 0
        if expansion > 1:
            z = batch_norm(s, f"{key}.1", F.conv2d(z, s[f"{key}.0.weight"])).clamp(0, 6)
            at = 3
        z = F.conv2d(z, s[f"{key}.{at}.weight"], None, stride, 1, 1, z.shape[1])
        z = batch_norm(s, f"{key}.{at + 1}", z).clamp(0, 6)
        z = batch_norm(s, f"{key}.{at + 4}", F.conv2d(z, s[f"{key}.{at + 3}.weight"]))
        y = y + z if stride == 1 and width == out else z
        taps += [y] if index in TAPS else []
    return taps


@pytest.fixture(scope="module")
def mobile() -> State:
    return filled(mobilenet_shapes())


@pytest.mark.parametrize("names", ["both", "list", "stages"])
def test_the_mobilenet_pyramid_computes_what_was_published(
    tmp_path: Path, mobile: State, names: str
) -> None:
    blurred = picture()
    saved = mobile if names == "list" else with_stages(mobile)
    if names == "stages":
        old = (".features.", "num_batches_tracked")  # PyTorch 0.4.0 kept no counters
        saved = {key: value for key, value in saved.items() if not any(o in key for o in old)}
    path = save_v2(saved, tmp_path / "fpn_mobilenet.h5")
    expected = pyramid(mobile, blurred, mobilenet(mobile, blurred))
    assert_same(ours(path, "deblurganv2", blurred), expected, blurred)


def test_two_names_with_different_values_are_refused(tmp_path: Path, mobile: State) -> None:
    saved = with_stages(mobile)
    saved["fpn.enc2.0.conv.0.weight"] = saved["fpn.enc2.0.conv.0.weight"] + 1
    path = save_v2(saved, tmp_path / "fpn_mobilenet.h5")
    with pytest.raises(WeightsError, match=r"two different tensors for one layer"):
        convert(path, "deblurganv2")


# Inception-ResNet-v2: (key, channels in, channels out, kernel height, kernel width) of each unit
# of convolution, batch norm and ReLU.

Units = list[tuple[str, int, int, int, int]]


def inception_units() -> Units:
    units: Units = [
        *[("conv2d_1a", 3, 32, 3, 3), ("conv2d_2a", 32, 32, 3, 3), ("conv2d_2b", 32, 64, 3, 3)],
        *[("conv2d_3b", 64, 80, 1, 1), ("conv2d_4a", 80, 192, 3, 3)],
        ("mixed_5b.branch0", 192, 96, 1, 1),
        *[("mixed_5b.branch1.0", 192, 48, 1, 1), ("mixed_5b.branch1.1", 48, 64, 5, 5)],
        *[("mixed_5b.branch2.0", 192, 64, 1, 1), ("mixed_5b.branch2.1", 64, 96, 3, 3)],
        *[("mixed_5b.branch2.2", 96, 96, 3, 3), ("mixed_5b.branch3.1", 192, 64, 1, 1)],
        ("mixed_6a.branch0", 320, 384, 3, 3),
        *[("mixed_6a.branch1.0", 320, 256, 1, 1), ("mixed_6a.branch1.1", 256, 256, 3, 3)],
        ("mixed_6a.branch1.2", 256, 384, 3, 3),
        *[("mixed_7a.branch0.0", 1088, 256, 1, 1), ("mixed_7a.branch0.1", 256, 384, 3, 3)],
        *[("mixed_7a.branch1.0", 1088, 256, 1, 1), ("mixed_7a.branch1.1", 256, 288, 3, 3)],
        *[("mixed_7a.branch2.0", 1088, 256, 1, 1), ("mixed_7a.branch2.1", 256, 288, 3, 3)],
        ("mixed_7a.branch2.2", 288, 320, 3, 3),
    ]
    for n in range(10):
        k = f"repeat.{n}"
        units += [(f"{k}.branch0", 320, 32, 1, 1), (f"{k}.branch1.0", 320, 32, 1, 1)]
        units += [(f"{k}.branch1.1", 32, 32, 3, 3), (f"{k}.branch2.0", 320, 32, 1, 1)]
        units += [(f"{k}.branch2.1", 32, 48, 3, 3), (f"{k}.branch2.2", 48, 64, 3, 3)]
    for n in range(20):
        k = f"repeat_1.{n}"
        units += [(f"{k}.branch0", 1088, 192, 1, 1), (f"{k}.branch1.0", 1088, 128, 1, 1)]
        units += [(f"{k}.branch1.1", 128, 160, 1, 7), (f"{k}.branch1.2", 160, 192, 7, 1)]
    return units


def inception_shapes() -> Shapes:
    shapes: Shapes = []
    for key, width, out, height, across in inception_units():
        shapes += [(f"fpn.inception.{key}.conv.weight", (out, width, height, across))]
        shapes += batch_norm_shapes(f"fpn.inception.{key}.bn", out)
    for part, times, joined, out in (("repeat", 10, 128, 320), ("repeat_1", 20, 384, 1088)):
        for n in range(times):
            key = f"fpn.inception.{part}.{n}.conv2d"
            shapes += [(f"{key}.weight", (out, joined, 1, 1)), (f"{key}.bias", (out,))]
    # Of the layers that the pyramid does not run, one tensor each.
    shapes += [("fpn.inception.repeat_2.0.branch0.bn.bias", (192,))]
    shapes += [("fpn.inception.block8.conv2d.bias", (2080,))]
    shapes += [("fpn.inception.conv2d_7b.bn.bias", (1536,))]
    shapes += [("fpn.inception.last_linear.bias", (1000,))]
    return shapes + pyramid_shapes((32, 64, 192, 1088, 2080), 256, 128)


INCEPTION_STAGES = [
    *[("conv2d_1a.", "enc0."), ("conv2d_2a.", "enc1.0."), ("conv2d_2b.", "enc1.1.")],
    *[("conv2d_3b.", "enc2.0."), ("conv2d_4a.", "enc2.1."), ("mixed_5b.", "enc3.0.")],
    *[("repeat.", "enc3.1."), ("mixed_6a.", "enc3.2.")],
    *[("repeat_1.", "enc4.0."), ("mixed_7a.", "enc4.1.")],
]


def inception(s: State, x: Tensor) -> list[Tensor]:
    """The five stages, padded as this package pads them (the published ones are not)."""

    def unit(key: str, x: Tensor, stride: int = 1) -> Tensor:
        weight = s[f"fpn.inception.{key}.conv.weight"]
        pad = (weight.shape[2] // 2, weight.shape[3] // 2)
        y = F.conv2d(x, weight, stride=stride, padding=pad)
        return batch_norm(s, f"fpn.inception.{key}.bn", y, 1e-3).relu()

    def chain(key: str, x: Tensor, length: int, last: int = 1) -> Tensor:
        for n in range(length):
            x = unit(f"{key}.{n}", x, last if n == length - 1 else 1)
        return x

    def pool(x: Tensor) -> Tensor:
        return F.max_pool2d(x, 3, 2, 1)

    def residual(key: str, x: Tensor, lengths: tuple[int, ...], scale: float) -> Tensor:
        parts = [unit(f"{key}.branch0", x)]
        parts += [chain(f"{key}.branch{n}", x, length) for n, length in enumerate(lengths, 1)]
        weight, bias = (s[f"fpn.inception.{key}.conv2d.{what}"] for what in ("weight", "bias"))
        return (x + scale * F.conv2d(torch.cat(parts, 1), weight, bias)).relu()

    enc0 = unit("conv2d_1a", x, 2)
    enc1 = pool(unit("conv2d_2b", unit("conv2d_2a", enc0)))
    enc2 = pool(unit("conv2d_4a", unit("conv2d_3b", enc1)))
    average = F.avg_pool2d(enc2, 3, 1, 1, count_include_pad=False)
    parts = [unit("mixed_5b.branch0", enc2), chain("mixed_5b.branch1", enc2, 2)]
    parts += [chain("mixed_5b.branch2", enc2, 3), unit("mixed_5b.branch3.1", average)]
    y = torch.cat(parts, 1)
    for n in range(10):
        y = residual(f"repeat.{n}", y, (2, 3), 0.17)
    parts = [unit("mixed_6a.branch0", y, 2), chain("mixed_6a.branch1", y, 3, 2), pool(y)]
    enc3 = y = torch.cat(parts, 1)
    for n in range(20):
        y = residual(f"repeat_1.{n}", y, (3,), 0.10)
    parts = [chain(f"mixed_7a.branch{n}", y, length, 2) for n, length in enumerate((2, 2, 3))]
    return [enc0, enc1, enc2, enc3, torch.cat([*parts, pool(y)], 1)]


def test_every_weight_of_the_inception_pyramid_lands_in_its_place(tmp_path: Path) -> None:
    state, blurred = filled(inception_shapes()), picture()
    saved = dict(state)
    for key, value in state.items():
        for name, place in INCEPTION_STAGES:
            if key.startswith(f"fpn.inception.{name}"):
                saved[key.replace(f"inception.{name}", place, 1)] = value
    path = save_v2(saved, tmp_path / "fpn_inception.h5")
    expected = pyramid(state, blurred, inception(state, blurred))
    assert_same(ours(path, "deblurganv2-inception", blurred), expected, blurred)


# Writing, and what is refused.


def test_what_is_written_is_loaded_as_a_model(tmp_path: Path, mobile: State) -> None:
    path, out = save_v2(mobile, tmp_path / "fpn_mobilenet.h5"), tmp_path / "w.safetensors"
    digest = write_converted(path, "deblurganv2", out)
    loaded = load_model("deblurganv2", out)
    config, state = convert(path, "deblurganv2")
    assert loaded.sha256 == digest
    assert asdict(loaded.config) == asdict(config)
    for key, value in loaded.network.state_dict().items():
        assert torch.allclose(value.float(), state[key].float(), atol=1e-3, rtol=1e-3), key


def test_the_checkpoint_itself_is_not_written_over(tmp_path: Path, mobile: State) -> None:
    path = save_v2(mobile, tmp_path / "fpn_mobilenet.h5")
    with pytest.raises(OutputExistsError, match="is the checkpoint itself"):
        write_converted(path, "deblurganv2", path)


def test_an_output_without_a_folder_is_refused(tmp_path: Path, mobile: State) -> None:
    path = save_v2(mobile, tmp_path / "fpn_mobilenet.h5")
    with pytest.raises(OutputError, match="there is no folder"):
        write_converted(path, "deblurganv2", tmp_path / "nosuch" / "w.safetensors")


def test_a_value_beyond_float16_is_refused(tmp_path: Path, mobile: State) -> None:
    saved = mobile | {"final.bias": torch.tensor([1e6, 0, 0])}
    path = save_v2(saved, tmp_path / "fpn_mobilenet.h5")
    with pytest.raises(WeightsError, match=r"final\.bias .* float16"):
        write_converted(path, "deblurganv2", tmp_path / "w.safetensors")


def test_models_without_a_published_checkpoint_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="of deepdeblur can be converted; available: deblurgan,"):
        convert(tmp_path / "any.pth", "deepdeblur")
    with pytest.raises(UnknownModelError):
        convert(tmp_path / "any.pth", "nosuch")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"cannot read .*nosuch\.pth: No such file"):
        convert(tmp_path / "nosuch.pth", "deblurgan")


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("the pickle ran",)


@pytest.mark.parametrize(
    "content",
    [b"", b"not weights", b"<!DOCTYPE html>", b"PK\x03\x04cut", pickle.dumps(Bomb())],
)
def test_what_is_no_checkpoint_is_refused(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "latest_net_G.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="no PyTorch checkpoint of plain tensors"):
        convert(path, "deblurgan")
    assert "pickle ran" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [{"model": Bomb()}, torch.nn.Conv2d(1, 1, 1)])
def test_pickled_objects_are_never_made(
    tmp_path: Path, content: object, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(content, path := tmp_path / "latest_net_G.pth")
    with pytest.raises(WeightsError, match="only plain tensors are read"):
        convert(path, "deblurgan")
    assert "pickle ran" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [torch.zeros(3), {}, {"model": {"a": 1}}, {3: torch.zeros(3)}])
def test_a_checkpoint_without_named_tensors_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, path := tmp_path / "latest_net_G.pth")
    with pytest.raises(WeightsError, match="no table of tensors by name"):
        convert(path, "deblurgan")


def test_an_unknown_network_is_refused(tmp_path: Path) -> None:
    torch.save({"model.0.weight": torch.zeros(3)}, path := tmp_path / "latest_net_D.pth")
    with pytest.raises(WeightsError, match=r"no published generator.*1 tensors, model\.0\.weight"):
        convert(path, "deblurgan")


def test_another_models_file_is_refused(tmp_path: Path, mobile: State) -> None:
    path = save_v2(mobile, tmp_path / "fpn_mobilenet.h5")
    for model in ("deblurgan", "deblurganv2-inception"):
        with pytest.raises(WeightsError, match=f"weights of deblurganv2, not of {model}"):
            convert(path, model)
    block = {"model.10.conv_block.1.weight": torch.zeros(1)}
    torch.save(block, path := tmp_path / "latest_net_G.pth")
    with pytest.raises(WeightsError, match="weights of deblurgan, not of deblurganv2"):
        convert(path, "deblurganv2")


def test_keys_that_do_not_fit_are_counted_and_named(tmp_path: Path, mobile: State) -> None:
    saved = mobile | {"fpn.td1.1.weight": torch.zeros(128), "final.bias": torch.zeros(4)}
    del saved["fpn.lateral0.weight"], saved["smooth.0.weight"]
    path = save_v2(saved, tmp_path / "fpn_mobilenet.h5")
    with pytest.raises(WeightsError) as caught:
        convert(path, "deblurganv2")
    message = str(caught.value)
    assert "2 missing (pyramid.laterals.0.weight)" in message
    assert "1 unexpected (pyramid.top_down.0.1.weight)" in message
    assert "1 of another shape (final.bias)" in message
    assert "\n" not in message
