"""The best pictures of each face: which they are, and the files that they become."""

from vidfacedeblur.best.dump import dump, load
from vidfacedeblur.best.gather import MOST, Gatherer
from vidfacedeblur.best.watcher import BestFaces

__all__ = ["MOST", "BestFaces", "Gatherer", "dump", "load"]
