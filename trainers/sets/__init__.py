"""Lists of the fixed evaluation sets: names, sha256, seeds; never pixels."""
