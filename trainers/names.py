"""What the command's help names of the modules behind it, so that it need not load them."""

from __future__ import annotations

LAYOUTS = ("celeba", "lfw", "youtube_faces", "faces9x", "manifest", "pictures", "videos")
"""How a data set may be laid out."""
SETS = ("synthetic-faces", "averaged-video", "published")
"""The fixed evaluation sets."""
CONVERTIBLE = ("deblurgan", "deblurganv2", "deblurganv2-inception")
"""Models of which checkpoints were published."""
QUALITY = 98
"""WebP's of packed faces, of 100: 7 KB and 45 dB a face. 90 takes half of that, at 41 dB."""
