"""A long video in pieces: surveyed once, deblurred by several processes, put together without loss.

    survey -> work_piece, work_piece, ... -> join

The survey decodes the whole video and finds its faces as a run over the whole would, so that tracks
go on over the seams. A piece begins at a key frame; whoever works on it decodes it again, makes
sure that each picture is the one that was surveyed, deblurs the faces that were found there, and
encodes it. Joining copies the packets. Decoded, the result is that of a run over the whole, up to
what an encoder that is not lossless makes of it.

All that one step hands on to the next is in files of one folder, each of which appears when it is
whole: work that was broken off goes on with the pieces that are missing.
"""

from vidfacedeblur.pieces.folder import Ready, pieces_ready
from vidfacedeblur.pieces.joining import join
from vidfacedeblur.pieces.surveying import survey
from vidfacedeblur.pieces.values import Survey
from vidfacedeblur.pieces.working import work_piece
from vidfacedeblur.video import why_whole

__all__ = ["Ready", "Survey", "join", "pieces_ready", "survey", "why_whole", "work_piece"]
