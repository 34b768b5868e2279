"""Who makes the pairs of a run: the process itself, or others beside it.

A GPU learns faster than one Python can feed it: threads that make pairs share Python's lock with
the steps that learn from them, and an H200 that takes 64 steps a second of deblurgan with one batch
took 34 when threads made its pairs. A process has a lock of its own, and costs a GPU the memory of
the pack and of torch once more.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol

import torch
from torch import Tensor

from vidfacedeblur.errors import OptionError
from vidfacedeblur.link import Child
from vidfacedeblur.trainers.pack import load_pack
from vidfacedeblur.trainers.pairs import PairMaker
from vidfacedeblur.trainers.recipe import BlurMix
from vidfacedeblur.video.wire import error_of

_PROCESSES = 3


class Maker(Protocol):
    """What makes batches."""

    device: str
    lanes: int
    """How many threads may as well ask for batches at once."""

    def batch(self, number: int, count: int, crop: int) -> tuple[Tensor, Tensor]:
        """Make one batch of (count, 3, crop, crop) pairs, (blurred, sharp) in [-1, 1]."""
        ...

    def close(self) -> None:
        """Let go of what it holds."""
        ...


def open_maker(
    pack: Path, mix: BlurMix, *, seed: int, device: str, processes: int | None = None
) -> Maker:
    """What makes the pairs of a pack's training side; close it in the end.

    Args:
        pack: Faces.
        mix: How they are blurred.
        seed: Of all chance.
        device: Where pairs are made, and where they are wanted.
        processes: How many share the work; 0: none, this one does it. None: 3 for a GPU, else 0.

    Raises:
        InputError: The pack is unusable.
        OptionError: Memory does not hold the pack so many times.
    """
    if processes is None:
        processes = _PROCESSES if device.startswith("cuda") else 0
    if processes:
        return Makers(pack, mix, seed=seed, device=device, processes=processes)
    return PairMaker(load_pack(pack, "train"), mix, seed=seed, device=device)


class Makers:
    """Makes the batches that a `PairMaker` would, in several processes.

    Threads may share it; each has a process to itself while it waits for its batch.
    """

    def __init__(self, pack: Path, mix: BlurMix, *, seed: int, device: str, processes: int) -> None:
        self.device, self.lanes = device, processes
        self._children: list[Child] = []
        self._free: SimpleQueue[Child] = SimpleQueue()
        first = {"pack": str(pack.absolute()), "mix": asdict(mix), "seed": seed, "device": device}
        try:
            for _ in range(processes):
                self._children.append(Child("vidfacedeblur.trainers.pair_process", first))
            for child in self._children:
                _hear(child)
                self._free.put(child)
        except MemoryError as error:
            self.close()
            raise OptionError(
                f"memory does not hold the pack {processes} times, once for each process that makes"
                f" pairs: take fewer (--makers), 0 for none ({error})"
            ) from None
        except BaseException:
            self.close()
            raise

    def batch(self, number: int, count: int, crop: int) -> tuple[Tensor, Tensor]:
        """Make one batch of (count, 3, crop, crop) pairs, (blurred, sharp) in [-1, 1].

        Raises:
            MemoryError: Memory runs out there.
            RuntimeError: Something else goes wrong there.
        """
        levels = torch.empty((2, count, 3, crop, crop), dtype=torch.uint8)
        child = self._free.get()
        try:
            child.send({"number": number, "count": count, "crop": crop})
            _hear(child)
            child.link.recv_bytes_into(levels.view(-1).numpy().data)
        except BaseException as error:
            child.kill()  # there may be more to read from it, and it would be another batch's
            if isinstance(error, (OSError, EOFError)):
                raise _gone(child) from None
            raise
        finally:
            self._free.put(child)
        blurred, sharp = 2 * (levels.to(self.device).float() / 255) - 1
        return blurred, sharp

    def close(self) -> None:
        """End the processes; threads that wait for them get an error."""
        for child in self._children:
            child.kill()
        for child in self._children:
            child.close()


def _hear(child: Child) -> None:
    """Wait until a process has done what it was to do.

    Raises:
        MemoryError: Memory ran out there.
        VidFaceDeblurError: What it raised.
        RuntimeError: Anything else.
    """
    try:
        answer: dict[str, Any] = child.receive()
    except EOFError:
        raise _gone(child) from None
    if not answer:
        return
    error = error_of(answer)
    if "MemoryError" in str(error) or "out of memory" in str(error):  # Python's, torch's, CUDA's
        raise MemoryError(str(error))
    raise error


def _gone(child: Child) -> RuntimeError:
    how = child.ending()
    hint = "; if for want of memory, take fewer (--makers)" if "SIGKILL" in how else ""
    return RuntimeError(f"a process that makes pairs is gone: {how}{hint}")
