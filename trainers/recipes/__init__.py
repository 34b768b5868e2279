"""The recipes that ship, one TOML file for each model and recipe."""
