"""docs/reliability.md tells of every fault case, with its outcome in a run, and every failpoint, and of no others."""

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
        "write the table anew: python3 dev.py test tests/faults -q --write-table"
        " (or the cases alone: env/bin/python -m pytest tests/faults --collect-only -q --write-table)"
    )


def test_the_table_keeps_the_outcomes_of_a_run(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{table.BEGIN}\n{table.END}\nafter\n")
    one, two = ("worker", "one | of two", "goes on"), ("api", "two", "goes on")
    table.write(page, [one, two], {one: "passed", two: "failed"}, 90)
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n")
    assert "1 of 2 cases passed, in 2 minutes" in text
    assert text.index("| api | two | goes on | failed |") < text.index(r"| worker | one \| of two | goes on | passed |")
    table.write(page, [one, two], {}, 1)
    assert page.read_text() == text, "collecting changes neither the outcomes nor what was said of the run"
    new = ("api", "three", "goes on")
    table.write(page, [one, new], {}, 1)
    assert "| api | three | goes on | not run yet |" in page.read_text() and "two | goes on | failed" not in page.read_text()


def test_the_page_lists_the_points():
    page = table.PAGE.read_text()
    for path in ROOT.glob("controllers/**/*.py"):
        for point in POINT.findall(path.read_text(encoding="utf-8")):
            area, _, moment = point.replace("{name}", "<step>").replace("{why}", "<why>").rpartition(".")
            area = area.replace("{what}", "host_run")
            assert f"`{area}." in page and (f".{moment}`" in page), f"{path.name}: {point}"
