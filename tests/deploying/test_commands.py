"""Commands that people run by hand, on real hosts: output, ends, limits; a dead worker neither loses nor repeats one."""

import json
import os
import signal

import pytest

from tests.deploying import applications
from tests.faults.conftest import stack

__all__ = ["stack"]

HOSTS = 2
SECRET = "hush-hush-7"


@pytest.fixture
def deployed(stack, hosts, name, repository):
    """An application that runs on both hosts; returns its name."""
    stack.set_target(hosts, name, server_names=[f"{name}.example.com"])
    variables = {"GREETING": "hello", "KEY": {"value": SECRET, "secret": True}}
    stack.call("PATCH", f"/applications/{name}/targets/production/variables", {"variables": variables})
    repository.commit(applications.plain("one"))
    stack.deploy(stack.release(name)["version"], name)
    return name


def run(stack, argv, hosts=None, **fields):
    """Start a command; returns it."""
    where = {"hosts": [host.name for host in hosts]} if hosts else {}
    return stack.call("POST", "/commands", {"argv": argv, **where, **fields})


def ended(stack, command, state):
    """Wait for a command's end, which must be `state`; returns its runs by host."""
    found = stack.wait(f"/commands/{command['id']}", lambda found: found["state"] != "running")
    assert found["state"] == state, found
    return {item["host"]: item for item in found["hosts"]}


def events(stack, command):
    items = stack.call("GET", f"/commands/{command['id']}/events?limit=1000")["items"]
    assert [item["number"] for item in items] == list(range(1, len(items) + 1))
    return items


def output(stack, command, host):
    return "".join(item["text"] for item in events(stack, command) if item["kind"] == "output" and item["host"] == host.name)


def worker_pids(stack):
    """Return the worker processes of this stack, the parent first."""
    found = []
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                argv = file.read().split(b"\0")
            with open(f"/proc/{pid}/environ", "rb") as file:
                environment = file.read().split(b"\0")
        except OSError:
            continue  # It ended while we looked.
        if b"celery" in argv and f"WINDLASS_ADMIN_TOKEN={stack.token}".encode() in environment:
            found.append(pid)
    return sorted(found)


def test_each_host_tells_its_output_and_its_status(stack, hosts):
    command = run(stack, ["sh", "-c", "pwd; printf '%s\\n' \"$0\"; exit $1", "a b", "3"], hosts)
    runs = ended(stack, command, "failed")
    for host in hosts:
        assert (runs[host.name]["state"], runs[host.name]["exit_code"]) == ("failed", 3)
        assert runs[host.name]["message"] == "ended with status 3"
        assert output(stack, command, host) == f"{os.path.expanduser('~')}\na b\n"
    assert ended(stack, run(stack, ["true"], hosts), "succeeded")[hosts[0].name]["exit_code"] == 0
    runs = ended(stack, run(stack, ["no-such-program"], hosts[:1]), "failed")
    assert "no program 'no-such-program'" in runs[hosts[0].name]["message"]


def test_it_runs_in_the_release_with_its_variables_and_shows_no_secret(stack, hosts, deployed):
    script = "import os; print(os.environ['GREETING'], os.environ['KEY'], open('Procfile').read()[:3])"
    command = run(stack, ["python", "-c", script], application=deployed, environment="production")
    ended(stack, command, "succeeded")
    assert output(stack, command, hosts[1]) == "hello •••••• web\n"
    launcher = f"{hosts[0].root}/{deployed}/run/a-web"
    seen = run(stack, ["cat", launcher], hosts[:1])
    ended(stack, seen, "succeeded")
    assert "GREETING" in output(stack, seen, hosts[0]), "it is the file with the variables"
    assert SECRET not in json.dumps([events(stack, command), events(stack, seen)])


def test_it_goes_on_beside_a_rollout(stack, hosts, deployed, repository, tmp_path):
    go_on = tmp_path / "go on"
    waiting = ["sh", "-c", f"echo began; until [ -e '{go_on}' ]; do sleep 0.1; done; pwd"]
    command = run(stack, waiting, application=deployed, environment="production")
    stack.wait(f"/commands/{command['id']}/events", lambda found: "began" in json.dumps(found))
    repository.commit(applications.plain("two"))
    stack.deploy(stack.release(deployed)["version"], deployed)
    go_on.touch()
    ended(stack, command, "succeeded")
    assert "/releases/" in output(stack, command, hosts[0])


def test_one_that_takes_too_long_and_one_that_is_cancelled_end_with_their_children(stack, hosts, tmp_path):
    pids = tmp_path / "pids"
    stubborn = ["sh", "-c", f"trap '' TERM; echo $$ >> {pids}; (trap '' TERM; sleep 600) & sleep 600; wait"]
    runs = ended(stack, run(stack, stubborn, hosts[:1], time_limit_s=1), "failed")
    assert "not ended within 1 s" in runs[hosts[0].name]["message"] and runs[hosts[0].name]["exit_code"] == 137
    command = run(stack, stubborn, hosts[:1])
    stack.wait(f"/commands/{command['id']}", lambda _: len(pids.read_text().splitlines()) == 2)
    asked = stack.call("POST", f"/commands/{command['id']}/cancel")
    assert asked["cancel_requested_by"] == "admin"
    runs = ended(stack, command, "cancelled")
    assert runs[hosts[0].name]["message"] == "cancelled by admin"
    for pid in pids.read_text().split():
        with pytest.raises(ProcessLookupError):
            os.killpg(int(pid), 0)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_dead_worker_neither_loses_nor_repeats_it(stack, hosts, tmp_path, how):
    marks, go_on = tmp_path / "marks", tmp_path / "go on"
    command = run(
        stack,
        ["sh", "-c", f"echo x >> {marks}; echo began; until [ -e '{go_on}' ]; do sleep 0.1; done; echo ended"],
        hosts,
    )
    stack.wait(f"/commands/{command['id']}/events", lambda found: json.dumps(found).count('"began') == 2)
    assert worker_pids(stack)
    for pid in worker_pids(stack) if how == signal.SIGKILL else worker_pids(stack)[:1]:
        os.kill(pid, how)
    go_on.touch()
    runs = ended(stack, command, "succeeded")
    for host in hosts:
        assert runs[host.name]["exit_code"] == 0
        assert output(stack, command, host) == "began\nended\n"
    assert marks.read_text() == "x\nx\n"


@pytest.mark.parametrize("point", ["command.asked.before", "command.ended.before"])
def test_a_worker_that_dies_before_it_asks_or_before_it_writes_the_end_down(stack, hosts, tmp_path, point):
    mark = tmp_path / "mark"
    stack.points.arm(point)
    command = run(stack, ["sh", "-c", f"echo x >> {mark}; echo done"], hosts[:1])
    stack.points.await_reached(point)
    ended(stack, command, "succeeded")
    assert mark.read_text() == "x\n" and output(stack, command, hosts[0]) == "done\n"


def test_one_that_vanished_from_its_host_is_unclear(stack, hosts, tmp_path):
    mark = tmp_path / "mark"
    command = run(stack, ["sh", "-c", f"echo $PPID $$ > {mark}; sleep 600"], hosts[:1])
    stack.wait(f"/commands/{command['id']}", lambda _: mark.exists() and mark.read_text().endswith("\n"))
    keeper, shell = map(int, mark.read_text().split())
    os.kill(keeper, signal.SIGKILL)  # As when the machine lost its power.
    os.killpg(shell, signal.SIGKILL)
    runs = ended(stack, command, "failed")
    assert runs[hosts[0].name]["state"] == "unclear" and "not repeated" in runs[hosts[0].name]["message"]


def test_a_host_that_is_cut_off_for_a_while_tells_afterwards(stack, hosts, tmp_path):
    mark, go_on = tmp_path / "mark", tmp_path / "go on"
    command = run(stack, ["sh", "-c", f"echo x >> {mark}; until [ -e '{go_on}' ]; do sleep 0.1; done; echo done"], hosts[:1])
    stack.wait(f"/commands/{command['id']}", lambda _: mark.exists())
    hosts[0].stop_sshd()
    go_on.touch()
    hosts[0].start_sshd()
    ended(stack, command, "succeeded")
    assert mark.read_text() == "x\n" and output(stack, command, hosts[0]) == "done\n"


def test_a_host_that_is_down_was_not_reached(stack, hosts):
    hosts[1].stop_sshd()
    try:
        runs = ended(stack, run(stack, ["true"], hosts), "failed")
    finally:
        hosts[1].start_sshd()
    assert (runs[hosts[0].name]["state"], runs[hosts[1].name]["state"]) == ("succeeded", "unreachable")
    assert str(hosts[1].port) in runs[hosts[1].name]["message"]


def test_the_client_shows_every_host_and_tells_by_its_exit_code(stack, hosts, deployed, cli):
    first, second = sorted(host.name for host in hosts)
    done = cli("run", deployed, "--to", "production", "--", "sh", "-c", "echo $GREETING")
    assert sorted(done.stdout.splitlines()) == [f"{first}  hello", f"{second}  hello"]
    failed = cli("run", "--host", first, "--", "sh", "-c", "echo no >&2; exit 4", check=False)
    assert failed.returncode == 3 and failed.stdout == f"{first}  no\n" and "ended with status 4" in failed.stderr
    answer = json.loads(cli("run", "--json", "--host", first, "--", "echo", "it").stdout)
    assert answer["hosts"][0]["output"] == "it\n" and answer["state"] == "succeeded"
    assert "4" in cli("commands", "list").stdout
    late = cli("run", "--host", first, "--timeout", "1", "--", "sleep", "600", check=False)
    number = late.stderr.split("windlass commands cancel ")[1].split()[0]
    assert late.returncode == 5
    cli("commands", "cancel", number)
    assert cli("commands", "show", number, "--follow", check=False).returncode == 3
