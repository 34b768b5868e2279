"""What a recording's compression does to a crop: JPEG, and H.264 as between two frames of a video.

The only place in the trainers that speaks to codecs; everything stays in memory.
"""

from __future__ import annotations

from fractions import Fraction

import av
import cv2
import numpy as np
import torch
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray
from torch import Tensor

_RATE = Fraction(25)


def jpeg(image: Tensor, quality: int) -> Tensor:
    """Compress (3, H, W) in [0, 1] as JPEG of a quality from 1 to 100, and decode it again."""
    bgr = cv2.cvtColor(_pixels(image[None])[0], cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
    assert decoded is not None
    return _images(np.asarray(decoded[None], np.uint8), image)[0]


def h264(images: Tensor, crf: int) -> Tensor:
    """Compress (N, 3, H, W) in [0, 1] as H.264 of a rate factor from 0 to 51, and decode it again.

    Each image is the second frame of a clip of two whose first is the image moved by two pixels:
    most of a video's frames are predicted from others, and look different from single pictures.
    H and W must be even.
    """
    moved = images.roll((2, 2), (-2, -1))
    frames = torch.stack((moved, images), 1).flatten(0, 1)
    return _images(_round_trip(_pixels(frames), crf), images)


def _round_trip(frames: NDArray[np.uint8], crf: int) -> NDArray[np.uint8]:
    """Encode (N, H, W, 3), every other frame a key frame; decode the others, (N / 2, H, W, 3)."""
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.height, encoder.width = frames.shape[1:3]
    encoder.pix_fmt = "yuv420p"
    encoder.framerate = _RATE
    encoder.time_base = 1 / _RATE
    encoder.gop_size = 2
    encoder.thread_count = 1
    encoder.options = {
        "crf": str(crf),
        "preset": "veryfast",
        "tune": "zerolatency",
        "x264-params": "scenecut=0:keyint=2:min-keyint=2:log-level=none",
    }
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    # One for all frames: to set a scaler up takes ten times as long as to scale so small a frame.
    there, back = VideoReformatter(), VideoReformatter()
    packets = []
    for time, pixels in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame = there.reformat(frame, format="yuv420p", threads=1)
        frame.pts = time
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    pictures = [picture for packet in [*packets, None] for picture in decoder.decode(packet)]
    return np.stack(
        [back.reformat(p, format="rgb24", threads=1).to_ndarray() for p in pictures[1::2]]
    )


def _pixels(images: Tensor) -> NDArray[np.uint8]:
    """(N, 3, H, W) in [0, 1] as (N, H, W, 3) bytes."""
    levels = (255 * images).round().clamp(0, 255).byte()
    return np.ascontiguousarray(levels.permute(0, 2, 3, 1).cpu().numpy())


def _images(pixels: NDArray[np.uint8], like: Tensor) -> Tensor:
    """The reverse of `_pixels`, on the device of `like`."""
    return (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255).to(like.device)
