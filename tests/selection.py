"""Which tests an everyday run leaves out; `python3 dev.py test --all` leaves out none.

Two kinds of repetition cost a third of the time and find little more each day, so a run without --all makes a choice that is
the same on every machine (a checksum of the test's name decides, never the order of a run):

The two databases. A test of the fixture `database` runs on SQLite or on PostgreSQL, not on both. What differs between the two is
    how rows are claimed and locked, what waits for whom, how a broken constraint ends a transaction, what is aggregated and in
    which order rows come: tests about that are marked `both_databases` and run on both, always. What the others check happens in
    Python, above statements that Peewee writes for either database. As the tests of all but the smallest files are parted about
    in halves, what they share is carried out on both all the same. Schema and migrations are tested on both.

After a fault. The oracle (tests/faults/oracle.py) checks what a fault left behind, after every case. That the next deploy and
    rollback need no cleaning up is tried after every fourth case of a file, at least one, and after others each week, so that
    four weeks have them all: what could stand in their way (a held lock, a run that has not ended, half a release, an epoch that
    went backwards) is looked for after every case anyway. WINDLASS_TESTS_WEEK has a week's choice again.

A test that is run alone is run thoroughly, on the database that its name says.
"""

import os
import time
import zlib

import pytest

DATABASES = ("sqlite", "postgresql")
TURNS = 4  # Weeks until each case of a fault has been followed to its end.
IS_THOROUGH = pytest.StashKey()


def pytest_addoption(parser):
    """Add --all."""
    parser.addoption("--all", action="store_true", help="run everything: all on both databases, every fault to its end")


def pytest_configure(config):
    """Make the mark known."""
    config.addinivalue_line("markers", "both_databases: what it checks differs by database, so it always runs on both")


def pytest_report_header(config):
    """Say that this is not everything."""
    return None if config.getoption("all") else "everything is run with --all; what is left out: tests/selection.py"


def pytest_collection_modifyitems(config, items):
    """Leave out what need not run every time, and say of each fault case whether it is followed to its end."""
    is_everything = config.getoption("all")
    mark_thorough(items, 1 if is_everything else TURNS)
    left_out = [] if is_everything else on_the_other_database(items)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        unwanted = set(left_out)
        items[:] = [item for item in items if item not in unwanted]


def mark_thorough(items, turns):
    """Mark one in `turns` of each file's tests, at least one: those whose turn it is this week."""
    files = {}
    for item in items:
        item.stash[IS_THOROUGH] = False
        files.setdefault(item.nodeid.partition("::")[0], []).append(item)
    for tests in files.values():
        tests.sort(key=lambda item: checksum(item.nodeid))
        for item in tests[week() % turns :: turns] or tests[:1]:
            item.stash[IS_THOROUGH] = True


def week():
    """Return the number of the week, counted from 1970, or the one that is to be repeated."""
    return int(os.environ.get("WINDLASS_TESTS_WEEK") or time.time() // (7 * 86400))


def on_the_other_database(items):
    """Return one test of each pair that differs in nothing but the database, unless both are asked for always."""
    pairs = {}
    for item in items:
        kind = item.callspec.params.get("database") if hasattr(item, "callspec") else None
        if kind in DATABASES and not item.get_closest_marker("both_databases"):
            function, _, parameters = item.nodeid.partition("[")
            pairs.setdefault(f"{function}[{parameters.replace(kind, '', 1)}", {})[kind] = item
    return [pair[DATABASES[checksum(name) % 2]] for name, pair in pairs.items() if len(pair) == 2]


def checksum(name):
    """Return a number that is the same for a name in every process (Python's own hash of a text is not)."""
    return zlib.crc32(name.encode())
