"""Exported graphs without weights, shipped, so that a first run fills one in instead of exporting.

Exporting takes torch up to half a minute; filling weights into a graph takes a tenth of a second
and works for any weights of the same structure. A network whose structure has no graph here is
exported. Either way, what comes out is compared with torch before it is used.

``python -m vidfacedeblur.engines.skeleton`` makes the graphs of everything bundled anew.
"""

from __future__ import annotations

import hashlib
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from vidfacedeblur.engines.export import export_onnx, for_cpu
from vidfacedeblur.engines.spec import OPSET, SCHEMA, NetworkSpec
from vidfacedeblur.errors import EngineError


def filled(spec: NetworkSpec) -> bytes | None:
    """A network as ONNX, from the shipped graph of its structure; None if there is none."""
    import onnx  # 0.3 s, and needed once

    module = for_cpu(spec)
    graph = resources.files("vidfacedeblur.engines.graphs") / _file_name(spec, module)
    if not graph.is_file():
        return None
    model = onnx.load_model_from_string(graph.read_bytes())
    weights = module.state_dict()
    for initializer in model.graph.initializer:
        if initializer.name in weights:
            initializer.raw_data = _bytes(weights[initializer.name].numpy())
    return bytes(model.SerializeToString())


def write_skeleton(spec: NetworkSpec, folder: Path) -> Path:
    """Export a network and write its graph without the weights.

    Raises:
        EngineError: The exporter changed or renamed a weight, so that it could not be filled in.
    """
    import onnx

    module = for_cpu(spec)
    model = onnx.load_model_from_string(export_onnx(module, spec))
    for name, value in module.state_dict().items():
        _take_out(model.graph, spec, name, _bytes(value.numpy()))
    for node in model.graph.node:
        del node.metadata_props[:]  # where each node came from in the source, paths included
        node.doc_string = ""
    del model.graph.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    path = folder / _file_name(spec, module)
    path.write_bytes(model.SerializeToString())
    return path


def _take_out(graph: Any, spec: NetworkSpec, name: str, content: bytes) -> None:
    """Empty the initializer that holds a weight, and give it the weight's name.

    The exporter may have reshaped it, under another name; its bytes are the same then.
    """
    holders = [held for held in graph.initializer if held.raw_data == content]
    named = [held for held in holders if held.name == name]
    if len(named or holders) != 1:
        raise EngineError(f"the exported graph of {spec.name} does not hold {name} as it is")
    holder = (named or holders)[0]
    for node in graph.node:
        node.input[:] = [name if given == holder.name else given for given in node.input]
    holder.name = name
    holder.raw_data = b""


def _file_name(spec: NetworkSpec, module: nn.Module) -> str:
    """Named after the network, and after all that its graph depends on but its code."""
    shapes = [(key, tuple(value.shape)) for key, value in module.state_dict().items()]
    structure = f"{SCHEMA} {OPSET} {spec.side} {spec.settings} {module!r} {shapes}"
    return f"{spec.name}-{hashlib.sha256(structure.encode()).hexdigest()[:12]}.onnx"


def _bytes(values: Any) -> bytes:
    return bytes(np.ascontiguousarray(values, "<f4").tobytes())


def main() -> None:
    """Make the graphs of everything bundled, in place of those that are there."""
    from vidfacedeblur.engines.spec import deblur_spec, mtcnn_specs
    from vidfacedeblur.models.bundle import bundled, find_weights
    from vidfacedeblur.models.registry import MODELS

    folder = Path(__file__).parent / "graphs"
    for old in folder.glob("*.onnx"):
        old.unlink()
    names = [name for name in MODELS if bundled(name)]
    for spec in (*(deblur_spec(find_weights(name)) for name in names), *mtcnn_specs()):
        path = write_skeleton(spec, folder)
        sys.stdout.write(f"{path.name}: {path.stat().st_size} bytes\n")


if __name__ == "__main__":
    main()
