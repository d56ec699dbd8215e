"""The stand-in for many supervisords, asked by the agent's own client, and the comparison of few with many."""

import socket
import sys
from pathlib import Path

import pytest

from bench.fleet_cost import Rollout, missed, ratios, table
from remote.agent.failures import Fault
from remote.agent.supervision import supervisord_calls
from tests.fleet.keeper import Keeper, await_process
from tests.stack import ROOT


@pytest.fixture
def supervisor(tmp_path_factory):
    """The client of one simulated host; its folder is `folder`."""
    folder = tmp_path_factory.mktemp("hosts")
    for name in ("programs", "run"):
        (folder / "0" / name).mkdir(parents=True)
    with Keeper() as keeper:
        argv = [sys.executable, ROOT / "bench" / "many_supervisors.py", folder, 1]
        await_process(keeper.start(argv, folder / "log"), (folder / "ready").exists)
        client = supervisord_calls.SupervisorRpc(f"unix://{folder}/0/supervisor.sock")
        client.folder = folder / "0"
        yield client


def write_program(folder):
    """Write the program file of one slot, as Windlass does."""
    program = f"[program:app-a-web]\ncommand={folder}/run/a-web\nstdout_logfile={folder}/web.log\n"
    (folder / "programs" / "app-a.conf").write_text(f"{program}[group:app-a]\nprograms=app-a-web\n")


def code_of(call, *arguments):
    """Return the code of the fault that a call raises."""
    with pytest.raises(Fault) as caught:
        call(*arguments)
    return caught.value.code


def test_a_group_comes_and_goes_as_with_supervisord(supervisor):
    assert code_of(supervisor.add, "app-a") == supervisord_calls.FAULT_BAD_NAME
    write_program(supervisor.folder)
    assert supervisor.reread() == {"added": ["app-a"], "changed": [], "removed": []}
    supervisor.add("app-a")
    assert code_of(supervisor.add, "app-a") == supervisord_calls.FAULT_ALREADY_ADDED
    assert code_of(supervisor.start, "app-a:app-a-web") == supervisord_calls.FAULT_ALREADY_STARTED
    assert supervisor.states("app-a", ["app-a-web", "app-a-other"])["app-a-web"]["state"] == "RUNNING"
    assert code_of(supervisor.remove, "app-a") == supervisord_calls.FAULT_STILL_RUNNING
    supervisor.stop("app-a:app-a-web")
    assert code_of(supervisor.stop, "app-a:app-a-web") == supervisord_calls.FAULT_NOT_RUNNING
    assert supervisor.all_states()["app-a"]["app-a-web"]["state"] == "STOPPED"
    Path(supervisor.folder / "programs" / "app-a.conf").unlink()
    assert supervisor.reread() == {"added": [], "changed": [], "removed": ["app-a"]}
    supervisor.remove("app-a")
    assert supervisor.all_states() == {}


def test_a_started_web_process_answers(supervisor):
    write_program(supervisor.folder)
    supervisor.reread()
    supervisor.add("app-a")
    supervisor.version()  # The server opens its sockets between two requests.
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(supervisor.folder / "run" / "a.sock"))
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")


def rollout(hosts, cpu_ms):
    return Rollout(hosts, "canary", 10.0, 100.0, cpu_ms, 60.0, 80.0, 30.0, 5000.0, 90.0)


def test_what_is_not_flat_is_told():
    flat, steep = [rollout(50, 200.0), rollout(500, 215.0)], [rollout(50, 200.0), rollout(500, 300.0)]
    flat += [Rollout(hosts, "waves", 10.0, 100.0, 200.0, 60.0, 80.0, 30.0, 5000.0, 90.0) for hosts in (50, 500)]
    steep += flat[2:]
    assert missed(flat) == []
    assert missed(steep) == [("canary", "cpu_ms", 1.5)]
    assert ratios(steep)["waves", "rows"] == 1
    assert "canary, CPU ms per host, many against few: 1.50×" in table(steep, {"/status": (5.0, 100)})
