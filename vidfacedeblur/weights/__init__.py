"""The bundled weights, with their cards and licence: data, not code."""
