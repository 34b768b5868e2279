"""Reaching a Ray cluster, or starting one of this machine alone, without its noise."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vidfacedeblur.engines.threads import usable_cores
from vidfacedeblur.errors import EngineError, OptionError, first_line

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 30.0
"""For a question to a cluster; of these a busy machine takes ten to load Ray."""
_STORE_BYTES = 80 << 20
"""Of a local object store: nearly the least that Ray takes; nothing is put there."""
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # it would send the working folder to all nodes
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # of which it warns in each worker
}


def load() -> Any:
    """The module ``ray``.

    Raises:
        OptionError: It is not installed.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise OptionError("--executor ray needs Ray: pip install 'vidfacedeblur[ray]'") from error
    return ray


def connect(address: str | None) -> Any:
    """Join a cluster, or start one of this machine alone; the module ``ray``.

    Args:
        address: ``HOST:PORT``, ``auto`` for the cluster that this machine is a node of, or None.

    Raises:
        OptionError: Ray is not installed, or the address is none.
        EngineError: The cluster cannot be reached or used.
    """
    if address is None:
        return _started()
    place = _place(address)
    ray = load()
    if place is not None:
        _check_reachable(address, place)
    _init(ray, f"--ray-address {address} cannot be used", address=address)
    return ray


def _started() -> Any:
    # Whoever reaches a port of Ray may run anything: it listens on loopback only, and asks for a
    # token. That address alone is not enough, for Ray puts the machine's own in its place.
    own = {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(16),
    }
    with _environment(own):
        ray = load()
        _init(
            ray,
            "Ray cannot be started",
            address="local",
            num_cpus=usable_cores(),
            include_dashboard=False,
            object_store_memory=_STORE_BYTES,
            _node_ip_address="127.0.0.1",
        )
    return ray


def _init(ray: Any, complaint: str, **options: Any) -> None:
    with _signals_kept():
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
        except (
            RuntimeError,
            ValueError,
            OSError,
            AssertionError,
            ray.exceptions.RayError,
        ) as error:
            why = first_line(error).split(". ")[0]  # it goes on about flags that are not ours
            raise EngineError(f"{complaint}: {why}") from error
    # It has no option for it: the last lines of a lost node's log go to standard output.
    ray._private.worker._worker_logs_enabled = False


def room_of(node: Mapping[str, Any], cores: int, gpus: float) -> int:
    """Workers for which a node, as Ray tells of it, has the cores and GPUs."""
    if not node["Alive"]:
        return 0
    has = node["Resources"]
    room = int(has.get("CPU", 0) // cores)
    # Ray counts in ten thousandths; three times a third of a GPU are one.
    return min(room, int((has.get("GPU", 0) + 1e-4) // gpus)) if gpus else room


def _place(address: str) -> tuple[str, int] | None:
    """Host and port of a cluster; None where only Ray knows.

    Raises:
        OptionError: The address is none.
    """
    if address == "auto":
        named = os.environ.get("RAY_ADDRESS")
        with suppress(OSError):
            named = named or Path("/tmp/ray/ray_current_cluster").read_text().strip()  # noqa: S108
        return _place(named) if named and named != "auto" else None
    if address.startswith("ray://"):
        raise OptionError(
            f"--ray-address {address}: Ray Client is not served; run this on a node of the cluster,"
            " with --ray-address auto"
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise OptionError(f"--ray-address must be auto or HOST:PORT, got {address!r}")
    return host.strip("[]"), int(port)


def _check_reachable(address: str, place: tuple[str, int]) -> None:
    """Ray itself would try for minutes."""
    at = f"{place[0]}:{place[1]}"
    try:
        socket.create_connection(place, timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        raise EngineError(
            f"--ray-address {address}: nothing answers at {at} ({error.strerror or error});"
            " is the cluster up?"
        ) from error
    # In a process of its own, which can be ended, and whose complaints nobody reads.
    asks = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--skip-version-check"]
    try:
        subprocess.run(
            [*asks, "--address", at], capture_output=True, timeout=_ANSWER_SECONDS, check=True
        )
    except subprocess.SubprocessError as error:
        raise EngineError(
            f"--ray-address {address}: what answers at {at} is no Ray cluster, or wants another"
            " token (RAY_AUTH_TOKEN)"
        ) from error


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray takes SIGTERM for itself; the command has its own plans for it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
