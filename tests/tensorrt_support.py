"""TensorRT for the GPUs of `gpu_support`: what the real one leaves undefined is an error here.

Plans are ONNX, and OpenVINO computes what they say.
"""

from __future__ import annotations

import json
from enum import Enum, IntEnum
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
from gpu_support import Gpus, Stream

from vidfacedeblur.engines.openvino import compile_graph, infer


class Severity(IntEnum):
    ERROR = 1


class Mode(Enum):
    INPUT = 1
    OUTPUT = 2


class Type(Enum):
    FLOAT = onnx.TensorProto.FLOAT
    HALF = onnx.TensorProto.FLOAT16
    INT64 = onnx.TensorProto.INT64


class Logger:
    ERROR = Severity.ERROR

    def __init__(self, least: Severity) -> None:
        assert isinstance(least, Severity)


class TypedFlag(IntEnum):
    STRONGLY_TYPED = 1


class TensorRT:
    """The module `tensorrt`, of version 11: no flag for strongly typed networks, none for types."""

    __name__ = "tensorrt"
    __version__ = "11.4.1"
    network_flags = 0
    Logger = Logger
    TensorIOMode = Mode
    DataType = Type
    LayerType = Enum("LayerType", ["CONVOLUTION", "OTHER"])
    MemoryPoolType = Enum("MemoryPoolType", ["WORKSPACE"])
    BuilderFlag = Enum("BuilderFlag", ["TF32"])
    NetworkDefinitionCreationFlag = Enum("NetworkDefinitionCreationFlag", ["PREFER_JIT"])

    class IProgressMonitor:
        """What a build tells."""

    def __init__(self, gpus: Gpus) -> None:
        self.gpus = gpus
        self.built = 0
        self.recorded = 0
        self.targets: list[str] = []
        """What its plans must be built for; none: what is usual."""
        self.contexts = 0
        self.starts = True
        """Whether the driver is new enough."""
        self.fails: set[int] = set()
        """Sides of pictures for which nothing can be built."""

    def Runtime(self, logger: Logger) -> Runtime:  # noqa: N802
        self._start(logger)
        return Runtime(self)

    def Builder(self, logger: Logger) -> Builder:  # noqa: N802
        self._start(logger)
        return Builder(self)

    def OnnxParser(self, network: Network, logger: Logger) -> Parser:  # noqa: N802
        assert isinstance(logger, Logger)
        return Parser(network)

    def _start(self, logger: Logger) -> None:
        assert isinstance(logger, Logger)
        if not self.starts:
            raise TypeError("pybind11::init(): factory function returned nullptr")


class TensorRT10(TensorRT):
    """Version 10, where networks may be weakly typed."""

    __version__ = "10.3.0"
    NetworkDefinitionCreationFlag = TypedFlag
    network_flags = 1 << TypedFlag.STRONGLY_TYPED


class RTX(TensorRT10):
    """The module `tensorrt_rtx`, whose plans run on Turing only if built for that alone."""

    __name__ = "tensorrt_rtx"
    __version__ = "1.7.1.116"
    ComputeCapability = SimpleNamespace(SM75="SM75", CURRENT="CURRENT")


class Builder:
    def __init__(self, trt: TensorRT) -> None:
        self._trt = trt

    def create_network(self, flags: int) -> Network:
        assert flags == self._trt.network_flags
        return Network()

    def create_builder_config(self) -> Config:
        return Config(self._trt)

    def create_optimization_profile(self) -> Profile:
        return Profile()

    def build_serialized_network(self, network: Network, config: Config) -> bytes | None:
        assert config.pool == 2 << 30
        assert hasattr(config, "timings") == (self._trt.__name__ == "tensorrt")
        assert config.targets == self._trt.targets
        (profile,) = config.profiles
        inputs = network.model.graph.input
        assert set(profile.shapes) == {given.name for given in inputs}
        if profile.shapes[inputs[0].name][0][-1] in self._trt.fails:
            return None
        monitor = config.progress_monitor
        monitor.phase_start("build", None, 4)
        for step in range(4):
            if not monitor.step_complete("build", step):
                return None
        monitor.phase_finish("build")
        self._trt.built += 1
        cuda = self._trt.gpus.cuda
        head = {"profile": profile.shapes, "gpu": cuda.names[self._trt.gpus.current]}
        return json.dumps(head).encode() + b"\n" + network.model.SerializeToString()


class Config:
    __slots__ = (
        "builder_optimization_level",
        "num_compute_capabilities",
        "pool",
        "profiles",
        "progress_monitor",
        "targets",
        "timings",
        "trt",
    )

    def __init__(self, trt: TensorRT) -> None:
        self.trt = trt
        self.profiles: list[Profile] = []
        self.num_compute_capabilities = 0
        self.targets: list[str] = []

    def set_compute_capability(self, capability: str, index: int) -> bool:
        assert index == len(self.targets) < self.num_compute_capabilities
        self.targets.append(capability)
        return True

    def set_memory_pool_limit(self, kind: Enum, size: int) -> None:
        assert kind is TensorRT.MemoryPoolType["WORKSPACE"]
        self.pool = size

    def add_optimization_profile(self, profile: Profile) -> int:
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def clear_flag(self, flag: Enum) -> None:
        assert flag is TensorRT.BuilderFlag["TF32"]

    def create_timing_cache(self, content: bytes) -> Timings | None:
        assert self.trt.__name__ == "tensorrt", "it has none without a GPU"
        return None if content == b"damaged" else Timings()

    def set_timing_cache(self, cache: Timings, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        self.timings = cache
        return True


class Timings:
    def serialize(self) -> bytes:
        return b"timings"


class Profile:
    def __init__(self) -> None:
        self.shapes: dict[str, tuple[tuple[int, ...], ...]] = {}

    def set_shape(self, name: str, *shapes: tuple[int, ...]) -> None:
        least, _, most = self.shapes[name] = shapes
        assert all(a <= b <= c for a, b, c in zip(*shapes, strict=True))
        assert len(least) == len(most) == 4


class Parser:
    num_errors = 0

    def __init__(self, network: Network) -> None:
        self._network = network

    def parse(self, content: bytes) -> bool:
        self._network.model = onnx.load_model_from_string(content)
        onnx.checker.check_model(self._network.model)
        return True


class Network:
    model: Any

    def get_input(self, number: int) -> Any:
        return self.model.graph.input[number]

    @property
    def num_layers(self) -> int:
        return len(self.model.graph.node)

    def get_layer(self, number: int) -> Any:
        return Layer(self.model.graph, number)


class Layer:
    def __init__(self, graph: Any, number: int) -> None:
        self._graph, self._node = graph, graph.node[number]
        convolves = self._node.op_type == "Conv"
        self.name = self._node.name
        self.type = TensorRT.LayerType["CONVOLUTION" if convolves else "OTHER"]

    def get_output(self, number: int) -> Any:
        values = {v.name: v for v in (*self._graph.value_info, *self._graph.output)}
        kind = values[self._node.output[number]].type.tensor_type.elem_type
        return Tensors(dtype=Type(kind))


class Tensors:
    def __init__(self, dtype: Type) -> None:
        self.dtype = dtype


class Runtime:
    def __init__(self, trt: TensorRT) -> None:
        self._trt, self._number = trt, trt.gpus.current

    def deserialize_cuda_engine(self, plan: bytes) -> Engine | None:
        assert self._trt.gpus.current == self._number, "a runtime of another GPU"
        head, _, content = plan.partition(b"\n")
        try:
            said = json.loads(head)
        except ValueError:
            return None
        if said["gpu"] != self._trt.gpus.cuda.names[self._number]:
            return None
        return Engine(self._trt, content, said["profile"])


class Engine:
    def __init__(self, trt: TensorRT, content: bytes, profile: dict[str, Any]) -> None:
        self.trt, self.profile, self.number = trt, profile, trt.gpus.current
        model = onnx.load_model_from_string(content)
        self.inputs = [value.name for value in model.graph.input]
        self.outputs = [value.name for value in model.graph.output]
        self.compiled = compile_graph(content, 1)
        self.num_io_tensors = len(self.inputs) + len(self.outputs)

    def get_tensor_name(self, number: int) -> str:
        return [*self.outputs, *self.inputs][number]  # in no order that anyone may count on

    def get_tensor_mode(self, name: str) -> Mode:
        return Mode.INPUT if name in self.inputs else Mode.OUTPUT

    def create_execution_context(self) -> Context | None:
        assert self.trt.gpus.current == self.number
        self.trt.contexts += 1
        return Context(self)


class Context:
    """Remembers what it may not do yet."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._shape: tuple[int, ...] | None = None
        self._addresses: dict[str, int] = {}
        self._ran = False
        self._on: Stream | None = None
        self._request = engine.compiled.create_infer_request()

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert type(shape) is tuple
        assert all(type(side) is int for side in shape)
        least, _, most = self._engine.profile[name]
        if not all(a <= b <= c for a, b, c in zip(least, shape, most, strict=True)):
            return False
        self._shape, self._ran = shape, False
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        assert self._shape is not None, "its shape is not known yet"
        outputs = infer(self._request, np.zeros(self._shape, np.float32))
        return tuple(outputs[self._engine.outputs.index(name)].shape)

    def set_tensor_address(self, name: str, address: int) -> bool:
        assert name in (*self._engine.inputs, *self._engine.outputs)
        self._addresses[name] = address
        return address % 256 == 0

    def execute_async_v3(self, handle: int) -> bool:
        gpus = self._engine.trt.gpus
        stream = gpus.by_handle[handle]
        assert self._engine.number == stream.number == gpus.current
        assert set(self._addresses) == {*self._engine.inputs, *self._engine.outputs}
        assert self._ran or not stream.recorded_by, "recorded before it ran with this shape"
        assert self._on is None or self._on is stream or not self._on.waiting
        self._engine.trt.recorded += stream.recorded_by is not None
        shape, places, self._on, self._ran = self._shape, dict(self._addresses), stream, True
        images, *_ = self._engine.inputs

        def work() -> None:
            assert (self._shape, self._addresses) == (shape, places), "changed since"
            there = {name: gpus.memory[place] for name, place in places.items()}
            assert {tensor.number for tensor in there.values()} == {self._engine.number}
            assert there[images].values.shape == shape
            outputs = infer(self._request, there[images].values)
            for name, output in zip(self._engine.outputs, outputs, strict=True):
                assert there[name].values.shape == output.shape
                there[name].values[...] = output

        stream.queue(work)
        return True
