"""Applications and their surroundings that do not do what they should: rolled back, reported, never a false success."""

import contextlib
import json
import os
import socket
import time

import pytest

from tests.deploying import applications
from tests.deploying.conftest import hammer
from tests.faults import oracle
from tests.faults.stack import running_fault_stack

TIME_LIMIT_S = 6
HEALTH = {"path": "/", "timeout_s": 4, "expect_status": 200}
DIES_AT_ONCE = "print('no database here', flush=True); sys.exit(3)"
DIES_SOON = "import time; print('no licence', flush=True); time.sleep(1.3); sys.exit(0)"
NEVER_ANSWERS = "import time; Handler.do_GET = lambda self: time.sleep(600)"
DIES_ON_SIGNAL = """
import threading, time
def watch():
    while not os.path.exists({0!r}):
        time.sleep(0.05)
    os._exit(3)
os.path.exists({0!r}) and sys.exit(3)
threading.Thread(target=watch, daemon=True).start()
"""
STUBBORN = """\
#!/bin/sh
trap '' TERM
(trap '' TERM; while :; do sleep 0.1; done) &
echo $$ $! > {0}
echo "this takes for ever"
while :; do sleep 0.1; done
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A Windlass that gives a host's part of a deploy, and so the `release` process, little time."""
    limit = {"WINDLASS_DEPLOY_TIME_LIMIT_S": str(TIME_LIMIT_S)}
    with running_fault_stack(tmp_path_factory.mktemp("stack"), limit) as running:
        yield running


@pytest.fixture
def make(stack, repository, name):
    """`make(files)` commits and makes a release; returns its version."""

    def made(files):
        repository.commit(files)
        return stack.release(name)["version"]

    return made


@pytest.fixture
def deployed(stack, hosts, make, name):
    """Release "one" runs; nobody asks for it, because the case breaks the application."""
    stack.set_target(hosts, name, health=HEALTH)
    stack.deploy(make(applications.plain("one")), name)


def check_then_go_on(stack, hosts, make, name, deploy_id, states=("rolled_back",)):
    """The oracle holds, and a release "three" that is in order can be deployed; returns the deploy."""
    make(applications.plain("three"))
    return oracle.check(stack, hosts, name, deploy_id, states=states)


# Processes that do not stay up, or do not answer.


@pytest.mark.fault("application", "{case}", "rolled back with the reason, the release before never stopped serving")
@pytest.mark.parametrize(
    ("case", "before", "words"),
    [
        ("ends at once, FATAL in supervisord", DIES_AT_ONCE, ["web", "does not stay up", "no database here"]),
        ("dies soon after its start", DIES_SOON, ["web", "no licence"]),
        ("accepts and never answers", NEVER_ANSWERS, ["did not answer / with 200 within 4 seconds"]),
    ],
)
def test_a_release_that_does_not_start(stack, hosts, make, name, first, case, before, words):
    stack.set_target(hosts, name, health=HEALTH)
    deploy = oracle.await_rest(stack, stack.ask(name, make(applications.plain("two", before=before))), ("rolled_back",))
    assert deploy["reason"].startswith(f"{hosts[0].name}: check: "), deploy["reason"]
    assert [word for word in words if word not in deploy["reason"]] == [], deploy["reason"]
    assert hosts[0].get(server_name=f"{name}.example.com") == (200, "one")
    check_then_go_on(stack, hosts, make, name, deploy["id"])


@pytest.mark.fault("application", "a process beside web that dies", "rolled back with the reason")
def test_a_worker_process_that_dies(stack, hosts, make, name, first):
    files = applications.plain("two", processes={"worker": "echo no queue here; sleep 0.3; exit 3"})
    deploy = oracle.await_rest(stack, stack.ask(name, make(files)), ("rolled_back",))
    assert "'worker'" in deploy["reason"] and "no queue here" in deploy["reason"], deploy["reason"]
    check_then_go_on(stack, hosts, make, name, deploy["id"])


@pytest.mark.fault("application", "healthy, then {case} while baking", "rolled back with the reason")
@pytest.mark.parametrize("case", ["500", "dead"])
def test_a_release_that_turns_bad_under_watch(stack, hosts, make, name, deployed, case):
    signal_file = str(hosts[0].folder / f"{name}.told")
    status, before = (
        (f"500 if os.path.exists({signal_file!r}) else 200", "") if case == "500" else (200, DIES_ON_SIGNAL.format(signal_file))
    )
    version = make(applications.plain("two", status=status, before=before))
    deploy_id = stack.ask(name, version, strategy={"kind": "canary", "batch": 1, "bake_s": 600})
    stack.wait(f"/deploys/{deploy_id}/hosts", lambda runs: runs["items"][0]["state"] == "succeeded")
    assert hosts[0].get(server_name=f"{name}.example.com") == (200, "two")
    open(signal_file, "w").close()
    deploy = oracle.await_rest(stack, deploy_id, ("rolled_back",))
    assert ": bake: " in deploy["reason"], deploy["reason"]
    # A dead one is seen in one of three ways.
    assert "status 500" in deploy["reason"] or case == "dead", deploy["reason"]
    assert hosts[0].get(server_name=f"{name}.example.com") == (200, "one")
    check_then_go_on(stack, hosts, make, name, deploy_id)


# The `release` process.


def alive(pids):
    """Return which of the processes have not ended."""
    return [pid for pid in pids if os.path.exists(f"/proc/{pid}")]


@pytest.mark.fault(
    "application",
    "release process ignores TERM, its child holds stdout open: {case}",
    "killed with its child within seconds, said",
)
@pytest.mark.parametrize("case", ["time limit", "cancelled"])
def test_a_release_process_that_ignores_being_told_to_end(stack, hosts, make, name, first, case):
    pids_file = hosts[0].folder / f"{name}.pids"
    files = applications.plain("two", processes={"release": "sh ./stubborn"})
    deploy_id = stack.ask(name, make({**files, "stubborn": STUBBORN.format(pids_file)}))
    pids = await_pids(pids_file)
    assert len(alive(pids)) == 2
    if case == "cancelled":
        stack.call("POST", f"/deploys/{deploy_id}/cancel")
    deploy = oracle.await_rest(stack, deploy_id, ("cancelled",) if case == "cancelled" else ("rolled_back",))
    assert case == "cancelled" or f"did not end within {TIME_LIMIT_S} seconds" in deploy["reason"], deploy["reason"]
    assert alive(pids) == []
    assert hosts[0].get(server_name=f"{name}.example.com") == (200, "one")
    check_then_go_on(stack, hosts, make, name, deploy_id, (deploy["state"],))


def await_pids(path):
    """Return the process ids that a script writes to a file, once they are there."""
    deadline = time.monotonic() + 30
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.monotonic() < deadline, "the script was not started"
        time.sleep(0.02)
    return [int(word) for word in path.read_text().split()]


# nginx.


@pytest.mark.fault("nginx", "somebody's broken file beside ours", "said with nginx's words, our site as before")
def test_somebody_elses_broken_site(stack, hosts, make, name, first):
    sites = hosts[0].folder / "nginx" / "sites"
    site, other = sites / f"windlass-{name}.conf", sites / "zz-other.conf"
    before = site.read_text()
    version = make(applications.plain("two"))
    stack.set_target(hosts, name, server_names=[f"{name}.example.com", f"more-{name}.example.com"])
    other.write_text("this is no nginx configuration\n")
    try:
        deploy = oracle.await_rest(stack, stack.ask(name, version), ("rolled_back",))
    finally:
        other.unlink()
    assert f"{hosts[0].name}: configure: nginx does not accept its configuration" in deploy["reason"], deploy["reason"]
    assert "zz-other.conf" in deploy["reason"] and site.read_text() == before
    oracle.check(stack, hosts, name, deploy["id"])


@pytest.mark.fault("nginx", "another site has our server name", "said with the name before anything is touched")
def test_another_site_has_our_server_name(stack, hosts, make, name, first):
    sites = hosts[0].folder / "nginx" / "sites"
    other = sites / "aa-other.conf"
    listen = hosts[0].settings["nginx"]["listen"]
    other.write_text(f"server {{ listen {listen}; server_name taken.example.com; return 200 other; }}\n")
    before = (sites / f"windlass-{name}.conf").read_text()
    try:
        version = make(applications.plain("two"))
        stack.set_target(hosts, name, server_names=[f"{name}.example.com", "taken.example.com"])
        deploy = oracle.await_rest(stack, stack.ask(name, version), ("rolled_back",))
        assert f"{hosts[0].name}: configure: " in deploy["reason"] and "taken.example.com" in deploy["reason"], deploy["reason"]
        assert (sites / f"windlass-{name}.conf").read_text() == before
        stack.set_target(hosts, name)
        oracle.check(stack, hosts, name, deploy["id"])
    finally:
        other.unlink()


# Addresses.


@contextlib.contextmanager
def foreign_listener(address):
    """Listen at a port of this machine or a path, as a process that Windlass knows nothing of."""
    with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
        yield


def ports_of(host, name):
    """Return the ports of an application's slots."""
    return json.loads((host.root / name / "state" / "ports.json").read_text())


@pytest.fixture
def on_port(stack, hosts, make, name):
    """Release "one" runs on a port, and is asked for all the time; no request may fail."""
    stack.set_target(hosts, name)
    stack.deploy(make(applications.plain("one", binding="PORT")), name)
    with hammer(hosts[0], name) as asking:
        asking.await_version("one")
        yield asking
        asking.await_requests(3)
    assert asking.failures == []


@pytest.mark.fault("host", "the new slot's port was taken before the deploy", "another port is used")
def test_the_port_was_taken_before(stack, hosts, make, name, on_port):
    version = make(applications.plain("two", binding="PORT"))
    taken = ports_of(hosts[0], name)["b"]
    with foreign_listener(("127.0.0.1", taken)):
        oracle.check(stack, hosts, name, stack.ask(name, version), ("succeeded",))
        assert ports_of(hosts[0], name)["b"] != taken


@pytest.mark.fault("host", "the new slot's port is taken during the deploy", "said, the release before serves")
def test_the_port_is_taken_meanwhile(stack, hosts, make, name, on_port):
    version = make(applications.plain("two", binding="PORT"))
    stack.points.arm("host_run.environment.before", "wait")
    deploy_id = stack.ask(name, version)
    stack.points.await_reached("host_run.environment.before")
    taken = ports_of(hosts[0], name)["b"]
    with foreign_listener(("127.0.0.1", taken)):
        stack.points.let_go("host_run.environment.before")
        deploy = oracle.await_rest(stack, deploy_id, ("rolled_back",))
        assert f"listens on port {taken}" in deploy["reason"] and "Deploy again" in deploy["reason"], deploy["reason"]
        oracle.check(stack, hosts, name, deploy_id)


@pytest.mark.fault("host", "somebody listens on the new slot's socket", "said, the release before serves")
def test_the_socket_is_in_use(stack, hosts, name, second, first):
    with foreign_listener(str(hosts[0].root / name / "run" / "b.sock")):
        deploy = oracle.await_rest(stack, stack.ask(name, second), ("rolled_back",))
        assert "b.sock" in deploy["reason"] and "End that process" in deploy["reason"], deploy["reason"]
    oracle.check(stack, hosts, name, deploy["id"])
