"""``python -m windlass_cli`` is the same as ``windlass``."""

from windlass_cli.main import entry

if __name__ == "__main__":
    entry()
