"""Between the worker and a host: transfers that break off, networks that hang, sshds that die, servers that never speak."""

import json
import os
import signal

import pytest

from tests.deploying import applications
from tests.faults import oracle
from tests.faults.stack import running_fault_stack
from tests.faults.wire import Wire

SILENCE_S = 3
SOON = {"WINDLASS_SSH_SILENCE_TIMEOUT_S": str(SILENCE_S), "WINDLASS_SSH_CONNECT_TIMEOUT_S": "2"}
AMID = 300_000  # Bytes sent: the agent has arrived, the release's files have not.


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A Windlass that loses patience with a silent host soon."""
    with running_fault_stack(tmp_path_factory.mktemp("stack"), SOON) as running:
        yield running


@pytest.fixture(scope="module")
def wire(stack, fleet_factory):
    """The network to the module's host, which has no other; `wire.host` is the host."""
    host = fleet_factory(1)[0]
    with Wire(host.address, (host.address, host.port)) as made:
        made.host = host
        stack.add_host(host, port=made.port)
        yield made


@pytest.fixture(scope="module")
def hosts(wire):
    """The host behind the wire."""
    return [wire.host]


@pytest.fixture(autouse=True)
def mended(wire):
    """The network is whole after each test."""
    yield
    wire.mend()


@pytest.fixture
def large(stack, repository, name, first):
    """Release "two", which takes more bytes than the wire lets through before it breaks; returns its version."""
    repository.commit({**applications.plain("two"), "large.txt": os.urandom(500_000).hex()})
    return stack.release(name)["version"]


@pytest.fixture
def slow(stack, repository, name, first):
    """Release "two", which takes some seconds to start; returns its version."""
    repository.commit(applications.plain("two", before="import time; time.sleep(2)"))
    return stack.release(name)["version"]


def attempts(stack, deploy, host):
    """Return how many attempts a host took."""
    return stack.host_runs(deploy)[host.name]["attempt"]


@pytest.mark.fault("connection", "cut off in the middle of a transfer, back at once", "the next attempt sends it again")
def test_a_host_is_cut_off_in_the_middle_of_a_transfer(stack, wire, hosts, name, large, first):
    wire.break_after(AMID, "cut")
    deploy_id = stack.ask(name, large)
    wire.await_broken()
    wire.mend()
    deploy = oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))
    assert attempts(stack, deploy, hosts[0]) >= 2


@pytest.mark.fault("connection", "hangs in the middle of a transfer, later back", "the next attempt fences the one that hangs")
def test_the_network_hangs_in_the_middle_of_a_transfer(stack, wire, hosts, name, large, first):
    wire.break_after(AMID, "hang")
    deploy_id = stack.ask(name, large)
    wire.await_broken()
    wire.let_others_through()
    deploy = oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))
    assert attempts(stack, deploy, hosts[0]) >= 2


@pytest.mark.fault(
    "connection", "hangs in the middle of a transfer for good", "unreachable within a bound, the release before serves"
)
def test_a_host_that_never_comes_back(stack, wire, hosts, name, large, first):
    wire.break_after(AMID, "hang")
    deploy_id = stack.ask(name, large)
    deploy = oracle.await_rest(stack, deploy_id, states=("failed",))
    run = stack.host_runs(deploy)[hosts[0].name]
    assert run["state"] == "unreachable" and run["attempt"] == 3
    assert deploy["reason"].startswith(f"{hosts[0].name}: connect: ") and "no answer" in deploy["reason"], deploy["reason"]
    wire.mend()
    oracle.check(stack, hosts, name, deploy_id, states=("failed",))


@pytest.mark.fault("connection", "a server that accepts and never speaks", "unreachable within a bound, said so")
def test_a_server_that_accepts_and_never_speaks(stack, wire, hosts, name, second, first):
    wire.break_now("hang")
    deploy = oracle.await_rest(stack, stack.ask(name, second), states=("failed",))
    assert "accepts connections but SSH cannot be agreed on" in deploy["reason"], deploy["reason"]
    assert stack.host_runs(deploy)[hosts[0].name]["state"] == "unreachable"
    wire.mend()
    oracle.check(stack, hosts, name, deploy["id"], states=("failed",))


@pytest.mark.fault("connection", "a login shell that never answers", "unreachable within a bound, said so")
def test_a_login_that_never_answers(stack, hosts, name, second, first):
    host = hosts[0]
    host.write_script("bin/silent", "#!/bin/sh\nexec sleep 600\n")
    stack.call("PATCH", f"/hosts/{host.name}", {"settings": {**host.settings, "python": f"{host.folder}/bin/silent"}})
    try:
        deploy = oracle.await_rest(stack, stack.ask(name, second), states=("failed",))
    finally:
        stack.call("PATCH", f"/hosts/{host.name}", {"settings": host.settings})
    assert f"silent for {SILENCE_S} seconds" in deploy["reason"] and "had not started" in deploy["reason"], deploy
    oracle.check(stack, hosts, name, deploy["id"], states=("failed",))


@pytest.mark.fault("host", "sshd's session killed in the middle of a command", "the next attempt goes on from what it finds")
def test_a_session_is_killed_in_the_middle_of_a_command(stack, hosts, name, slow, first):
    deploy_id = stack.ask(name, slow)
    stack.step_of(deploy_id, "check")
    hosts[0].cut_connections()
    deploy = oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))
    assert attempts(stack, deploy, hosts[0]) >= 2


@pytest.mark.fault("host", "sshd's listener killed in the middle of a command", "the connection that is open goes on to the end")
def test_the_listener_is_killed_in_the_middle_of_a_command(stack, hosts, name, slow, first):
    deploy_id = stack.ask(name, slow)
    stack.step_of(deploy_id, "check")
    hosts[0].stop_sshd(sessions=False)
    try:
        deploy = oracle.await_rest(stack, deploy_id, states=("succeeded",))
    finally:
        hosts[0].start_sshd()
    assert attempts(stack, deploy, hosts[0]) == 1
    oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))


@pytest.mark.fault("host", "the agent killed in the middle of a command", "the next attempt goes on from what it finds")
def test_the_agent_is_killed_in_the_middle_of_a_command(stack, hosts, name, slow, first):
    deploy_id = stack.ask(name, slow)
    stack.step_of(deploy_id, "check")
    holder = json.loads((hosts[0].root / name / "state" / "lock").read_text())
    assert holder["deploy"] == deploy_id
    os.kill(holder["pid"], signal.SIGKILL)
    deploy = oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))
    assert attempts(stack, deploy, hosts[0]) >= 2


@pytest.mark.fault("host", "dead for good in the middle of a command", "unreachable within a bound, the release before serves")
def test_a_host_dies_for_good_in_the_middle_of_a_command(stack, hosts, name, slow, first):
    deploy_id = stack.ask(name, slow)
    stack.step_of(deploy_id, "check")
    hosts[0].stop_sshd()
    try:
        deploy = oracle.await_rest(stack, deploy_id, states=("failed",))
    finally:
        hosts[0].start_sshd()
    run = stack.host_runs(deploy)[hosts[0].name]
    assert run["state"] == "unreachable" and deploy["reason"].startswith(f"{hosts[0].name}: connect: ")
    oracle.check(stack, hosts, name, deploy_id, states=("failed",))
