"""The networks, as plain torch modules, with their registry and their weights files."""
