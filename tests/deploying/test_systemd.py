"""A host whose supervisor is systemd: the way there from supervisord, plans, drift, a crash loop, rollback, a reboot."""

import os
from pathlib import Path

import pytest

from tests.deploying import applications
from tests.deploying.test_drift import look, status
from tests.fleet.hammer import Hammer
from tests.fleet.systemd import SystemdOf

SECRET = "hunter2-hunter2-hunter2"
WORKER = "import time\nwhile True: time.sleep(60)\n"
CRASH = 'print("the cellar is flooded", flush=True); sys.exit(3)'


def release(stack, repository, name, version, **more):
    files = applications.plain(version, processes={"worker": "python worker.py"}, **more)
    repository.commit({**files, "worker.py": WORKER})
    return stack.release(name)["version"]


@pytest.fixture(scope="module")
def host(hosts):
    """The module's host."""
    return hosts[0]


@pytest.fixture(scope="module")
def systemd(host):
    """A running systemd on the host, which the host's settings do not name yet."""
    made = SystemdOf(host)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def target(stack, host, systemd, name, repository):
    """The application's name; its target has a secret variable."""
    stack.set_target([host], name, server_names=[f"{name}.example.com"])
    secret = {"PASSWORD": {"value": SECRET, "secret": True}}
    stack.call("PATCH", f"/applications/{name}/targets/production/variables", {"variables": secret})
    return name


def use(stack, host, settings):
    supervisor = {"kind": "supervisord", **settings["supervisor"]}
    return stack.call("PATCH", f"/hosts/{host.name}", {"settings": {**settings, "supervisor": supervisor}})


def slot_of(host, name):
    return os.readlink(host.root / name / "run" / "current.sock")[0]


def running(systemd, name):
    """Return the application's units that are up."""
    states = systemd.states()
    return {unit for unit, state in states.items() if state == "active" and unit.startswith(f"windlass-{name}-")}


@pytest.mark.timeout(240)
def test_a_host_moves_from_supervisord_to_systemd_with_the_next_deploys(stack, host, systemd, target, repository):
    use(stack, host, host.settings)
    stack.deploy(release(stack, repository, target, "one"), target)
    with Hammer(host.url, f"{target}.example.com") as asking:
        asking.await_version("one")
        assert use(stack, host, systemd.settings)["settings"]["supervisor"]["kind"] == "systemd"
        stack.deploy(release(stack, repository, target, "two"), target)
        asking.await_version("two")
        live = {f"windlass-{target}-b.{process}.service" for process in ("web", "worker")}
        assert running(systemd, target) == live == systemd.enabled()
        # The web process of before stays, as the way back; its worker has ended.
        before = host.supervisorctl("status").stdout
        assert "RUNNING" in before and before.count(f"{target}-a-worker") == 1

        stack.deploy(release(stack, repository, target, "three"), target)
        asking.await_version("three")
    assert asking.failures == []
    assert target not in host.supervisorctl("status").stdout
    assert not list((host.folder / "supervisor" / "programs").glob(f"windlass-{target}-*"))
    web = f"windlass-{target}-{{}}.web.service"
    assert running(systemd, target) == {web.format("a"), web.format("b"), f"windlass-{target}-a.worker.service"}
    assert systemd.enabled() == running(systemd, target)
    texts = "".join(path.read_text() for path in systemd.units.glob("*.service"))
    assert SECRET not in texts and (host.root / target / "run" / "a-web").stat().st_mode & 0o777 == 0o700
    check_rollback_and_reboot(stack, host, systemd, target)


def check_rollback_and_reboot(stack, host, systemd, target):
    """Rollback takes the slot that still runs; a machine that starts anew runs the live slot again."""
    reloads = systemd.reloads()
    last = stack.call("GET", f"/deploys?application={target}")["items"][0]
    stack.rollback(last)
    assert host.get(server_name=f"{target}.example.com") == (200, "two")
    assert systemd.reloads() == reloads  # No unit differed.
    systemd.stop()
    systemd.start()
    with Hammer(host.url, f"{target}.example.com") as asking:
        asking.await_version("two")
    assert f"windlass-{target}-{slot_of(host, target)}.worker.service" in running(systemd, target)


@pytest.mark.timeout(240)
def test_plan_drift_and_a_process_that_does_not_stay_up(stack, host, systemd, target, repository):
    use(stack, host, systemd.settings)
    first = release(stack, repository, target, "one")
    made = stack.call("POST", "/plans", {"application": target, "release": first, "environment": "production"})
    made = stack.wait(f"/plans/{made['id']}", lambda found: found["state"] != "observing")
    diff = next(item["diff"] for item in made["hosts"][0]["configuration"] if item["file"].endswith(".service"))
    assert f"+# unit windlass-{target}-a.web.service" in diff and "+Restart=always" in diff
    stack.deploy(first, target, plan=made["id"])
    assert look(stack, host, target)["drift"] == []

    check_drift(stack, host, systemd, target, first)

    crashing = release(stack, repository, target, "two", before=CRASH)
    failed = stack.deploy(crashing, target, state="rolled_back")
    assert "does not stay up" in failed["reason"] and "the cellar is flooded" in failed["reason"]
    assert host.get(server_name=f"{target}.example.com") == (200, "one")
    other = "b" if slot_of(host, target) == "a" else "a"
    assert not list(systemd.units.glob(f"windlass-{target}-{other}.*"))


def check_drift(stack, host, systemd, target, version):
    """An edited unit and a stopped one are shown, and a deploy of the same release puts them right."""
    slot = slot_of(host, target)
    unit = systemd.units / f"windlass-{target}-{slot}.worker.service"
    unit.write_text(unit.read_text().replace("RestartSec=1", "RestartSec=9"))
    systemd.systemctl("stop", "--no-block", unit.name)
    found = {item["kind"]: item for item in look(stack, host, target)["drift"]}
    assert set(found) == {"systemd", "processes"}, found
    assert "one of systemd's unit files was edited" in found["systemd"]["message"]
    assert "+RestartSec=9" in found["systemd"]["diff"]
    stack.deploy(version, target)
    assert look(stack, host, target)["drift"] == []
    assert status(stack, target)


def test_a_host_whose_systemd_cannot_be_used_says_what_to_do(stack, host, systemd):
    cases = {
        "supervisor-missing": {"command": [str(Path(host.folder) / "bin" / "no-systemctl")]},
        "supervisor-unreachable": {"command": ["/usr/bin/env", "WINDLASS_TEST_SYSTEMD=/nowhere", *unreachable()]},
        "programs-dir-missing": {"units": str(host.folder / "nowhere")},
    }
    for code, changes in cases.items():
        settings = {**systemd.settings, "supervisor": {**systemd.settings["supervisor"], **changes}}
        use(stack, host, settings)
        seen = stack.call("POST", f"/hosts/{host.name}/check")
        problem = next(item for item in seen["problems"] if item["code"] == code)
        assert problem["remedy"] and seen["state"] == "problems", seen
    use(stack, host, systemd.settings)
    assert stack.call("POST", f"/hosts/{host.name}/check")["problems"] == []


def unreachable():
    """Return the argv of a systemctl that finds no systemd."""
    return ["/usr/bin/python3", "-IS", str(Path(__file__).parents[1] / "fleet" / "systemctl.py")]
