"""Pages to look through in a browser: one of a run over one file, and the index of an archive.

Each is one file that holds all it needs and asks for nothing: it works from a disk, in a mail and
years later. Everything that comes from outside (names, messages, tags) is shown as text.
"""

from vidfacedeblur.report.index import IndexEntry, write_index
from vidfacedeblur.report.page import write_page
from vidfacedeblur.report.pictures import prune
from vidfacedeblur.report.record import RunRecord

__all__ = ["IndexEntry", "RunRecord", "prune", "write_index", "write_page"]
