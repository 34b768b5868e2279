"""The face detector's weights: files of facenet-pytorch 2.5.3 (MIT). Importing this loads no torch.

They are read where it is installed; the package itself is never imported: it needs torchvision.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from vidfacedeblur.errors import WeightsError

SHA256 = {
    "pnet": "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f",
    "rnet": "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86",
    "onet": "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
}
"""Of the content of each network's file."""
_REINSTALL = 'pip install --force-reinstall --no-deps "facenet-pytorch==2.5.3"'


def detector_file(name: str) -> bytes:
    """Content of a network's weights file, checked.

    Args:
        name: ``pnet``, ``rnet`` or ``onet``.

    Raises:
        WeightsError: facenet-pytorch is not installed, or the file is missing or altered.
    """
    path = _folder() / f"{name}.pt"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror}); {_REINSTALL}") from error
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        raise WeightsError(f"{path} is not the file that this version expects; {_REINSTALL}")
    return content


def _folder() -> Path:
    spec = importlib.util.find_spec("facenet_pytorch")
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError(
            "the face detector's weights come with facenet-pytorch, which is not installed:"
            ' pip install --no-deps "facenet-pytorch==2.5.3"'
        )
    return Path(spec.submodule_search_locations[0]) / "data"
