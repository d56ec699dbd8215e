"""The table of fault cases: every test with the mark `fault(area, case, seen)` is a line of it.

The words of a mark may name the test's parameters: `@pytest.mark.fault("worker", "SIGKILL {moment} {step}", "…")`. A run of
fault cases alone prints the table at its end, also under xdist and with -q; among other tests it would bury what failed, so
only its count is told there. `--write-table` puts the cases into docs/reliability.md, or into another file with
`--write-table=FILE`, when they were collected.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- the fault cases, written by --write-table -->", "<!-- the end of the fault cases -->"
PROPERTY = "fault"
COLUMNS = ("Area", "Case", "What is seen")


def pytest_addoption(parser):
    """Add --write-table."""
    parser.addoption(
        "--write-table",
        nargs="?",
        const=str(PAGE),
        metavar="FILE",
        help="write the table of fault cases into docs/reliability.md (or FILE) from the tests that were collected",
    )


def pytest_configure(config):
    """Make the mark known."""
    config.addinivalue_line("markers", "fault(area, case, seen): a case of the fault suite, a line of its table")


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
    """Hand each test's words on to its report, and write the table where that is asked for."""
    faults = {item.nodeid: fault_of(item) for item in items}
    for item in items:
        if faults[item.nodeid]:
            item.user_properties.append((PROPERTY, repr(faults[item.nodeid])))
    if config.getoption("write_table"):
        write(Path(config.getoption("write_table")), [fault for fault in faults.values() if fault])


def table(cases):
    """Return the lines of a Markdown table of cases (area, case, what is seen), in the order of the areas' names."""
    cases = sorted(dict.fromkeys(cases), key=lambda case: case[0])
    rows = [COLUMNS, ("---",) * len(COLUMNS), *cases]
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]


def write(path, cases):
    """Put the table of cases between the two marks of a page."""
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text("\n".join([f"{before}{BEGIN}", *table(cases), f"{END}{after}"]), encoding="utf-8")


def pytest_terminal_summary(terminalreporter):
    """Print each case with its outcome and the seconds it took, or how many passed when other tests ran too."""
    lines, others = {}, 0
    for outcome in ("passed", "failed", "error", "skipped", "xfailed"):
        for report in terminalreporter.stats.get(outcome, ()):
            fault = dict(getattr(report, "user_properties", ())).get(PROPERTY)
            if fault is not None:
                lines[report.nodeid] = (*ast.literal_eval(fault), f"{outcome} {report.duration:.1f} s")
            else:
                others += 1
    if not lines:
        return
    if others > len(lines):
        passed = sum(line[-1].startswith("passed") for line in lines.values())
        terminalreporter.line(
            f"{passed} of {len(lines)} fault cases passed; `dev.py test tests/faults -q` prints their table"
        )
        return
    rows = sorted(lines.values(), key=lambda line: line[0])
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    terminalreporter.section(f"{len(rows)} fault cases")
    for row in rows:
        terminalreporter.line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
