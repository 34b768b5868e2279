"""Exported graphs without their weights, made by ``python -m vidfacedeblur.engines.skeleton``."""
