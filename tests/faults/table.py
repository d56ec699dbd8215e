"""The table of fault cases: every test with the mark `fault(area, case, seen)` is a line of it.

The words of a mark may name the test's parameters: `@pytest.mark.fault("worker", "SIGKILL {moment} {step}", "…")`. A run of
fault cases alone prints the table at its end, also under xdist and with -q; among other tests it would bury what failed, so
only its count is told there. `--write-table` puts the table, with the outcomes of the run and when it was, into
docs/reliability.md, or into another file with `--write-table=FILE`. With --collect-only it puts the cases alone there: what is
known of the outcomes stays.
"""

import ast
import datetime
import os
import re
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- the fault cases, written by --write-table -->", "<!-- the end of the fault cases -->"
PROPERTY = "fault"
COLUMNS = ("Area", "Case", "What is seen")
OUTCOMES = ("passed", "failed", "error", "skipped", "xfailed")
NOT_RUN = "not run yet"
COLLECTED, BEGUN = pytest.StashKey(), pytest.StashKey()


def pytest_addoption(parser):
    """Add --write-table."""
    parser.addoption(
        "--write-table",
        nargs="?",
        const=str(PAGE),
        metavar="FILE",
        help="write the table of fault cases, with the outcomes of this run, into docs/reliability.md (or FILE)",
    )


def pytest_configure(config):
    """Make the mark known."""
    config.addinivalue_line("markers", "fault(area, case, seen): a case of the fault suite, a line of its table")
    config.stash[BEGUN] = time.monotonic()


def fault_of(item):
    """Return (area, case, what is seen) of a test, its parameters filled in, or None if it is no fault case."""
    mark = item.get_closest_marker("fault")
    if mark is None:
        return None
    if len(mark.args) != len(COLUMNS):
        raise pytest.UsageError(f"{item.nodeid}: write fault(area, case, what is seen)")
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    return tuple(text.format_map(parameters) for text in mark.args)


def pytest_collection_modifyitems(config, items):
    """Hand each test's words on to its report."""
    faults = {item.nodeid: fault_of(item) for item in items}
    for item in items:
        if faults[item.nodeid]:
            item.user_properties.append((PROPERTY, repr(faults[item.nodeid])))
    config.stash[COLLECTED] = [fault for fault in faults.values() if fault]


def cells(line):
    """Return the cells of a line of a Markdown table."""
    return tuple(cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1])


def table(rows):
    """Return the lines of a Markdown table of (area, case, what is seen, outcome), in order."""
    rows = sorted(dict.fromkeys(rows))  # Cases run by several processes come in any order.
    head = (*COLUMNS, "Outcome")
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in (head, ["---"] * len(head), *rows)]


def parted(page):
    """Return a page's (text before the table, lines about the last run, {case: its outcome}, text after the table)."""
    before, _, rest = page.partition(BEGIN)
    middle, _, after = rest.partition(END)
    lines = [line for line in middle.splitlines() if line]
    rows = [cells(line) for line in lines if line.startswith("|")][2:]
    return before, [line for line in lines if not line.startswith("|")], {row[:3]: row[3] for row in rows}, after


def write(path, cases, outcomes, duration_s):
    """Put the table between the two marks of a page; `outcomes` is {case: outcome} of those that ran, if any did."""
    before, introduction, earlier, after = parted(path.read_text(encoding="utf-8"))
    if outcomes:
        passed = sum(outcome == "passed" for outcome in outcomes.values())
        introduction = [
            f"The run of {datetime.date.today()}: {passed} of {len(outcomes)} cases passed, "
            f"in {duration_s / 60:.0f} minutes on {os.cpu_count()} cores."
        ]
    rows = [(*case, outcomes.get(case) or earlier.get(case, NOT_RUN)) for case in cases]
    text = "\n".join([f"{before}{BEGIN}", *introduction, "", *table(rows), f"{END}{after}"])
    path.write_text(text, encoding="utf-8")


def reported(terminalreporter):
    """Return ({test: (case, outcome, seconds)} of the fault cases that ran, how many other tests did)."""
    ran, others = {}, 0
    for outcome in OUTCOMES:
        for report in terminalreporter.stats.get(outcome, ()):
            fault = dict(getattr(report, "user_properties", ())).get(PROPERTY)
            if fault is not None:
                ran[report.nodeid] = (ast.literal_eval(fault), outcome, report.duration)
            else:
                others += 1
    return ran, others


def pytest_terminal_summary(terminalreporter, config):
    """Print each case with its outcome and the seconds it took, or how many passed when other tests ran too."""
    ran, others = reported(terminalreporter)
    outcomes = {case: outcome for case, outcome, _ in ran.values()}
    if path := config.getoption("write_table"):
        cases = outcomes or config.stash.get(COLLECTED, ())
        write(Path(path), cases, outcomes, time.monotonic() - config.stash[BEGUN])
    if ran and others > len(ran):
        passed = sum(outcome == "passed" for _, outcome, _ in ran.values())
        terminalreporter.line(f"{passed} of {len(ran)} fault cases passed; `dev.py test tests/faults -q` prints their table")
    elif ran:
        show(terminalreporter, [(*case, f"{outcome} {seconds:.1f} s") for case, outcome, seconds in ran.values()])


def show(terminalreporter, rows):
    """Print rows as a table, in order."""
    rows = sorted(rows)
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    terminalreporter.section(f"{len(rows)} fault cases")
    for row in rows:
        terminalreporter.line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
