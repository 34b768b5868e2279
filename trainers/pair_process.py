"""A process that makes pairs: python -m vidfacedeblur.trainers.pair_process HANDLE PARENT."""

from __future__ import annotations

import json
import signal
import sys
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from vidfacedeblur.link import parent_link, receive

if TYPE_CHECKING:
    from torch import Tensor

    from vidfacedeblur.trainers.pairs import PairMaker


def main() -> None:
    """Make what is asked for until nobody asks."""
    # First of all, and torch after it: loading it takes seconds.
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it too, and decides
    link = parent_link(sys.argv)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        _serve(link, receive(link))


def _serve(link: Connection, first: dict[str, Any]) -> None:
    from vidfacedeblur.errors import VidFaceDeblurError
    from vidfacedeblur.video.wire import error_values

    try:
        maker = _maker(first)
        link.send_bytes(b"{}")
        while True:
            levels = _levels(maker, receive(link))
            link.send_bytes(b"{}")
            link.send_bytes(levels.view(-1).numpy().data)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise
    except Exception as error:  # noqa: BLE001 - the parent raises it
        known = isinstance(error, (VidFaceDeblurError, MemoryError))
        if not known and "out of memory" not in str(error):
            traceback.print_exc()  # a mistake of ours: its place is in no message
        link.send_bytes(json.dumps(error_values(error)).encode())


def _maker(first: dict[str, Any]) -> PairMaker:
    from pathlib import Path

    import cv2
    import torch

    from vidfacedeblur.trainers.pack import load_pack
    from vidfacedeblur.trainers.pairs import PairMaker
    from vidfacedeblur.trainers.recipe import BlurMix

    torch.set_num_threads(1)  # there are several such processes
    cv2.setNumThreads(1)
    faces = load_pack(Path(first["pack"]), "train")
    return PairMaker(faces, BlurMix(**first["mix"]), seed=first["seed"], device=first["device"])


def _levels(maker: PairMaker, wish: dict[str, int]) -> Tensor:
    """A batch of images in [-1, 1] as the 256 levels that they have, on the CPU."""
    import torch

    pairs = [((images + 1) * 127.5).round().byte().cpu() for images in maker.batch(**wish)]
    return torch.stack(pairs)


if __name__ == "__main__":
    main()
