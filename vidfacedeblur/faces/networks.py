"""The face detector, ready to run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from vidfacedeblur.engines import Choice, NetworkSpec, mtcnn_specs, open_network
from vidfacedeblur.engines.by_size import BySize
from vidfacedeblur.engines.threads import default_threads
from vidfacedeblur.faces.detect import MtcnnDetector
from vidfacedeblur.turns import OneAtATime
from vidfacedeblur.types import Network


def open_detector(
    choice: Choice,
    *,
    threads: int | None = None,
    on_status: Callable[[str], None] = lambda line: None,
) -> MtcnnDetector:
    """Open the detector's networks; threads may share them. Takes what `open_network` takes.

    Raises:
        WeightsError: As `open_network` says.
        EngineError: Likewise.
    """
    with ExitStack() as opened:

        def ready(spec: NetworkSpec, threads: int | None) -> Network:
            network = open_network(spec, choice, threads=threads, on_status=on_status)
            opened.callback(network.close)
            return network

        networks = _networks(ready, choice, threads)
        opened.pop_all()
    return MtcnnDetector(*(OneAtATime(network) for network in networks))


def _networks(
    ready: Callable[[NetworkSpec, int | None], Network], choice: Choice, threads: int | None
) -> tuple[Network, Network, Network]:
    """P-, R- and O-Net. Threads that help with little cost more than they save; see `BySize`."""
    pnet, rnet, onet = mtcnn_specs()
    # Torch's number of threads is the whole process's.
    if choice.engine != "openvino" or (threads or default_threads()) == 1:
        return ready(pnet, threads), ready(rnet, threads), ready(onet, threads)
    # O-Net is mostly given the one face that is followed, R-Net all that a search proposes.
    return BySize(ready(pnet, 1), ready(pnet, threads)), ready(rnet, threads), ready(onet, 1)
