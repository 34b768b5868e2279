"""The engines: run a network fast, on what the machine has, and prove that it computes the same."""

from vidfacedeblur.engines.select import Choice, choose, open_network
from vidfacedeblur.engines.spec import NetworkSpec, deblur_spec, mtcnn_specs

__all__ = ["Choice", "NetworkSpec", "choose", "deblur_spec", "mtcnn_specs", "open_network"]
