"""The command-line client of Windlass: it speaks HTTP to the API, version 1, and imports nothing of the server."""

__version__ = "0.1.0"
