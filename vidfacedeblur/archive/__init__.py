"""Thousands of files: planned, worked off by many workers, written down, and gone on with.

    plan -> choose (by the journal) -> driver <-> executor: workers -> tables

The driver alone writes the journal, loads no networks and opens no media file; workers do, and may
crash.
"""
