"""Output without end or shape, from the `release` process and the application: bounded everywhere, the rollout unharmed."""

import sqlite3

import pytest

from tests.deploying import applications
from tests.faults import oracle

LINES = 100_000
MEGABYTE = 1 << 20
FLOOD = f"import sys\nfor number in range({LINES}):\n    print('line', number, 'of', {LINES})\nsys.stdout.flush()\n"
ONE_LINE = f"import sys\nfor _ in range(50):\n    sys.stdout.write('x' * {MEGABYTE})\nsys.stdout.write('\\nafter it\\n')\n"
NO_TEXT = r"import sys; sys.stdout.buffer.write(b'nul \x00 here\ninvalid \xff\xfe\xc3( here\n\x1b[31mred\x1b[0m\r\nlast')" + "\n"
MOST_ROWS = 600
MOST_TEXT = 2 * MEGABYTE
MOST_MEMORY = 100 * MEGABYTE


def peak_memory(pid):
    """Return the most memory a process ever had, in bytes."""
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM:"))


def reset_peak(pid):
    """Make a process's peak what it has now (proc_pid_clear_refs(5))."""
    with open(f"/proc/{pid}/clear_refs", "w") as file:
        file.write("5")


@pytest.fixture
def bounded(stack):
    """Neither the workers' memory nor the database grows by much during the test."""
    before = {}
    for pid in stack.workers():
        reset_peak(pid)
        before[pid] = peak_memory(pid)
    yield
    assert set(stack.workers()) == set(before), "a worker died"
    for pid, was in before.items():
        assert peak_memory(pid) - was < MOST_MEMORY
    with sqlite3.connect(f"file:{stack.data}/windlass.db?mode=ro", uri=True) as rows:
        largest = rows.execute("SELECT max(length(text)) FROM event").fetchone()[0]
    assert largest < MOST_TEXT


def output_lines(stack, deploy_id):
    """Return the lines that a deploy's history holds of the step start, checked for how many and how large they are."""
    events = oracle.history(stack, deploy_id)
    assert len(events) < MOST_ROWS
    text = "".join(event["text"] for event in events if event["kind"] == "output" and event.get("step") == "start")
    assert len(text) < MOST_TEXT
    return text.splitlines()


def deploy(stack, repository, name, script, process):
    """Deploy release "two" with a script that is run by its `release` process or before its web process serves."""
    files = applications.plain("two", processes={"release": "python noise.py"} if process == "release" else None)
    if process == "web":
        files["Procfile"] = "web: python noise.py; exec python server.py $SOCKET\n"
    repository.commit({**files, "noise.py": script})
    return stack.ask(name, stack.release(name)["version"])


@pytest.mark.fault("output", "100,000 lines at once from the release process", "thinned out, said how many were left out")
def test_a_flood_from_the_release_process(stack, hosts, repository, name, first, bounded):
    deploy_id = deploy(stack, repository, name, FLOOD, "release")
    oracle.await_rest(stack, deploy_id, ("succeeded",))
    lines = output_lines(stack, deploy_id)
    left_out = sum(int(line.split("[")[1].split()[0]) for line in lines if "lines left out" in line)
    assert left_out > LINES / 2
    assert left_out + sum(line.startswith("line ") for line in lines) == LINES, "each line is there or counted"
    oracle.check(stack, hosts, name, deploy_id, ("succeeded",))


@pytest.mark.fault("output", "100,000 lines at once from the application", "in its log on the host, not in the history")
def test_a_flood_from_the_application(stack, hosts, repository, name, first, bounded):
    deploy_id = deploy(stack, repository, name, FLOOD, "web")
    oracle.check(stack, hosts, name, deploy_id, ("succeeded",))
    assert output_lines(stack, deploy_id) == []
    logs = list((hosts[0].root / name / "shared" / "logs").glob("web.log*"))
    assert 0 < sum(path.stat().st_size for path in logs) <= 70 * MEGABYTE


@pytest.mark.fault("output", "a line of 50 MB from the release process", "cut, said how much was left out")
def test_a_line_of_50_megabytes(stack, hosts, repository, name, first, bounded):
    deploy_id = deploy(stack, repository, name, ONE_LINE, "release")
    oracle.check(stack, hosts, name, deploy_id, ("succeeded",))
    lines = output_lines(stack, deploy_id)
    assert any(line.startswith("xxx") and "bytes of this line left out" in line for line in lines), lines
    assert "after it" in lines


@pytest.mark.fault("output", "a line of 50 MB from an application that dies", "the message holds its end alone")
def test_an_application_that_dies_after_50_megabytes(stack, hosts, repository, name, first, bounded):
    repository.commit({**applications.plain("two", before="sys.exit(3)"), "noise.py": ONE_LINE})
    repository.commit({"Procfile": "web: python noise.py; exec python server.py $SOCKET\n"})
    deploy_id = stack.ask(name, stack.release(name)["version"])
    deploy = oracle.await_rest(stack, deploy_id, ("rolled_back",))
    assert "after it" in deploy["reason"] and len(deploy["reason"]) < 20_000
    repository.commit(applications.plain("three"))
    stack.release(name)
    oracle.check(stack, hosts, name, deploy_id, ("rolled_back",))


@pytest.mark.fault("output", "NUL, invalid UTF-8 and no last newline", "shown as text, replaced where it is none")
def test_bytes_that_are_no_text(stack, hosts, repository, name, first, bounded):
    deploy_id = deploy(stack, repository, name, NO_TEXT, "release")
    oracle.check(stack, hosts, name, deploy_id, ("succeeded",))
    lines = output_lines(stack, deploy_id)
    assert "nul \ufffd here" in lines and "last" in lines
    assert any(line.startswith("invalid \ufffd") and line.endswith("( here") for line in lines), lines
