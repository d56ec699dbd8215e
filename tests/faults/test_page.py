"""docs/reliability.md tells of every fault case and every failpoint, and of no others."""

import re
import shutil
import subprocess
import sys

from tests.faults import table
from tests.stack import ROOT

POINT = re.compile(r'failpoints\.reach\(f?"([a-z.{}_-]+)"')


def test_the_page_lists_the_cases(tmp_path):
    copy = tmp_path / "reliability.md"
    shutil.copy(table.PAGE, copy)
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "tests/faults",
        "--collect-only",
        "-q",
        f"--write-table={copy}",
        "-p",
        "no:xdist",
    ]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
    assert copy.read_text() == table.PAGE.read_text(), (
        "write the table anew: env/bin/python -m pytest tests/faults --collect-only -q --write-table"
    )


def test_the_page_lists_the_points():
    page = table.PAGE.read_text()
    for path in ROOT.glob("controllers/**/*.py"):
        for point in POINT.findall(path.read_text(encoding="utf-8")):
            area, _, moment = point.replace("{name}", "<step>").replace("{why}", "<why>").rpartition(".")
            area = area.replace("{what}", "hostrun")
            assert f"`{area}." in page and (f".{moment}`" in page), f"{path.name}: {point}"
