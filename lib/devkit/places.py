"""Where things are in a checkout of Windlass."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENV = ROOT / "env"
PYTHON = ENV / "bin" / "python"
VENDOR = ROOT / "lib" / "vendor"
STATIC_VENDOR = ROOT / "static" / "vendor"
VENDOR_LOCK = ROOT / "lib" / "vendor.txt"
ENV_LOCK = ROOT / "env.txt"
TESTS_LOCK = ROOT / "tests" / "requirements.txt"
NPM_LOCK = ROOT / "static" / "package-lock.json"
NODE_LOCK = ROOT / "static" / "node.txt"
