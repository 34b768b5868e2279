"""Eight-bit networks for CPUs, by OpenVINO's NNCF: post-training, from sample crops.

Needs the ``train`` extra; what it writes needs OpenVINO alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from vidfacedeblur.engines.batches import Batch
from vidfacedeblur.engines.export import export_onnx
from vidfacedeblur.engines.fold import folded
from vidfacedeblur.engines.openvino import no_telemetry, openvino_core, openvino_problem
from vidfacedeblur.engines.spec import NetworkSpec
from vidfacedeblur.errors import EngineUnavailableError, OptionError


def quantize(spec: NetworkSpec, crops: Iterable[Batch], path: Path) -> None:
    """Write a network with eight-bit weights and activations in OpenVINO's own format.

    Args:
        spec: The network.
        crops: Inputs, (1, 3, H, W) float32 in [-1, 1], like those that it will be given; the ranges
            of the activations are taken from them.
        path: Where to write, ending in ``.xml``; the weights go beside it, ending in ``.bin``.

    Raises:
        EngineUnavailableError: OpenVINO or NNCF is not installed.
        OptionError: There are no crops.
    """
    problem = openvino_problem()
    if problem:
        raise EngineUnavailableError(f"quantising needs OpenVINO: {problem}")
    try:
        with no_telemetry():
            import nncf
    except ImportError as error:
        raise EngineUnavailableError(
            "quantising needs NNCF; pip install 'vidfacedeblur[train]'"
        ) from error
    import openvino

    samples = list(crops)
    if not samples:
        raise OptionError("quantising needs one crop or more")
    nncf.set_log_level(40)  # errors only
    small = nncf.quantize(
        openvino_core().read_model(export_onnx(folded(spec.module), spec)),
        nncf.Dataset(samples),
        subset_size=len(samples),
        preset=nncf.QuantizationPreset.MIXED,
    )
    openvino.save_model(small, path)
