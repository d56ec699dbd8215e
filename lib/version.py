"""Versions of Windlass and of the command-line clients it works with."""

VERSION = "0.1.0"
CLIENT_MINIMUM = "0.1.0"
CLIENT_DESIRED = "0.1.0"
CLIENT_UPGRADE = "pip install --upgrade windlass-cli"
