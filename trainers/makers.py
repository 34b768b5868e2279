"""Processes that make pairs, for a GPU that learns faster than one Python can feed it.

Threads that make pairs share Python's lock with the steps that learn from them: an H200 that takes
64 steps a second of deblurgan with the same batch took 34 of them so. A process has its own lock;
it costs a GPU some memory.
"""

from __future__ import annotations

import json
import signal
import sys
from contextlib import suppress
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol

import cv2
import torch
from torch import Tensor

from vidfacedeblur.link import Child, parent_link, receive
from vidfacedeblur.trainers.pack import load_pack
from vidfacedeblur.trainers.pairs import PairMaker
from vidfacedeblur.trainers.recipe import BlurMix

PROCESSES = 3


class Maker(Protocol):
    """What makes batches: a `PairMaker`, or processes that have one each."""

    @property
    def device(self) -> str: ...

    def batch(self, number: int, count: int, crop: int) -> tuple[Tensor, Tensor]:
        """Make one batch of (count, 3, crop, crop) pairs, (blurred, sharp) in [-1, 1]."""
        ...

    def close(self) -> None:
        """Let go of what it holds."""
        ...


def open_maker(pack: Path, mix: BlurMix, *, seed: int, device: str) -> Maker:
    """What makes the pairs of a pack's training side: processes for a GPU; close it in the end."""
    if device.startswith("cuda"):
        return Makers(pack, mix, seed=seed, device=device)
    return PairMaker(load_pack(pack, "train"), mix, seed=seed, device=device)


class Makers:
    """Makes the batches that a `PairMaker` of the same arguments would, in several processes.

    Threads may share it; each gets a process to itself while it waits for its batch.

    Args:
        pack: Faces, of which the training side is used.
        mix: How they are blurred.
        seed: Of all chance.
        device: Where pairs are made, and where they are wanted.
        processes: How many.
    """

    def __init__(
        self, pack: Path, mix: BlurMix, *, seed: int, device: str, processes: int = PROCESSES
    ) -> None:
        self.device = device
        first = {"pack": str(pack.absolute()), "mix": asdict(mix), "seed": seed, "device": device}
        self._children = [Child(__name__, first) for _ in range(processes)]
        self._free: SimpleQueue[Child] = SimpleQueue()
        for child in self._children:
            self._free.put(child)

    def batch(self, number: int, count: int, crop: int) -> tuple[Tensor, Tensor]:
        """Make one batch of (count, 3, crop, crop) pairs, (blurred, sharp) in [-1, 1].

        Raises:
            MemoryError: Memory runs out there.
            RuntimeError: Something else goes wrong there.
        """
        child = self._free.get()
        try:
            levels = _asked(child, {"number": number, "count": count, "crop": crop})
        finally:
            self._free.put(child)
        blurred, sharp = 2 * (levels.to(self.device).float() / 255) - 1
        return blurred, sharp

    def close(self) -> None:
        """End the processes."""
        for child in self._children:
            child.close()


def _asked(child: Child, wish: dict[str, int]) -> Tensor:
    """What a process makes: (2, count, 3, crop, crop) uint8."""
    levels = torch.empty((2, wish["count"], 3, wish["crop"], wish["crop"]), dtype=torch.uint8)
    try:
        child.send(wish)
        answer = child.receive()
        if not answer:
            child.link.recv_bytes_into(levels.view(-1).numpy().data)
    except (OSError, EOFError):
        raise RuntimeError(f"a process that makes pairs is gone: {child.ending()}") from None
    if answer:
        raise (MemoryError if answer["memory"] else RuntimeError)(answer["error"])
    return levels


def _serve(link: Connection) -> None:
    """In the child: make what is asked for until nobody asks."""
    first = receive(link)
    maker: PairMaker | None = None
    while True:
        wish = receive(link)
        try:
            maker = maker or _maker(first)
            levels = torch.stack([_levels(images) for images in maker.batch(**wish)])
        except Exception as error:  # noqa: BLE001 - the parent raises it
            memory = isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError))
            answer = {"error": str(error) or type(error).__name__, "memory": memory}
            link.send_bytes(json.dumps(answer).encode())
        else:
            link.send_bytes(b"{}")
            link.send_bytes(levels.view(-1).numpy().data)


def _maker(first: dict[str, Any]) -> PairMaker:
    faces = load_pack(Path(first["pack"]), "train")
    return PairMaker(faces, BlurMix(**first["mix"]), seed=first["seed"], device=first["device"])


def _levels(images: Tensor) -> Tensor:
    """Images in [-1, 1] as the 256 levels that they have, on the CPU."""
    return ((images + 1) * 127.5).round().byte().cpu()


def main() -> None:
    """A child: python -m vidfacedeblur.trainers.makers HANDLE PARENT."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it too, and decides
    link = parent_link(sys.argv)
    torch.set_num_threads(1)  # there are several such processes
    cv2.setNumThreads(1)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        _serve(link)


if __name__ == "__main__":
    main()
