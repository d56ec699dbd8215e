"""`hosts prepare` on bare hosts: everything is really made, the second time nothing changes, and what is deployed there runs."""

import json
import stat
import venv

import pytest

from controllers.fleet import preparation_run
from models import Preparation
from tests import factories
from tests.deploying import applications
from tests.faults.conftest import stack
from tests.fleet.bare import bare_host
from tests.fleet.fixtures import skipped_if_unavailable
from tests.stack import ROOT

__all__ = ["stack"]

HELD = "/opt/held"
# While HELD is there, the host's dpkg does not answer.
SLOW_DPKG = f"""\
printf '#!/bin/sh\\nwhile [ -e {HELD} ]; do sleep 0.1; done\\nexec /usr/bin/dpkg-query "$@"\\n' > usr/local/bin/dpkg-query
chmod 0755 usr/local/bin/dpkg-query
"""
ALPINE = """\
rm -f etc/os-release
printf 'ID=alpine\\nVERSION_ID=3.20.3\\nPRETTY_NAME="Alpine Linux v3.20"\\n' > etc/os-release
"""
OURS = (
    "/etc/windlass",
    "/srv/windlass",
    "/home/deploy/.ssh",
    "/etc/sudoers.d",
    "/etc/nginx/conf.d",
    "/etc/systemd/system",
)


@pytest.fixture
def bare():
    """A bare host."""
    with skipped_if_unavailable(), bare_host() as host:
        yield host


@pytest.fixture(scope="module")
def slow(stack):
    """A bare host that is trusted, lets Windlass in, and whose dpkg can be held."""
    with skipped_if_unavailable(), bare_host(SLOW_DPKG) as host:
        register(stack, host)
        let_in(stack, host)
        yield host


def register(stack, host, **changes):
    """Register a host as it will be, and pin its key."""
    body = {"name": host.name, "address": host.address, "port": host.port, "user": "deploy", **changes}
    stack.call("POST", "/hosts", {**body, "settings": {"nginx": {"listen": f"{host.address}:{host.nginx_port}"}}})
    stack.call("POST", f"/hosts/{host.name}/trust", {"fingerprint": host.fingerprint})


def let_in(stack, host):
    host.authorize(stack.call("GET", "/zones/default")["public_key"])


def start(stack, host, **fields):
    """Ask for a preparation; returns it."""
    return stack.call("POST", f"/hosts/{host.name}/prepare", fields)


def ended(stack, preparation, state):
    """Wait for a preparation's end, which must be `state`; returns it."""
    path = f"/preparations/{preparation['id']}"
    found = stack.wait(path, lambda found: found["state"] not in ("pending", "running"))
    assert found["state"] == state, (found, stack.call("GET", f"{path}/events")["items"])
    return found


def tasks(stack, preparation):
    """Return {name: state} of the tasks in a preparation's history, whose numbers have no gaps."""
    items = stack.call("GET", f"/preparations/{preparation['id']}/events?limit=1000")["items"]
    assert [item["number"] for item in items] == list(range(1, len(items) + 1))
    return {item["text"]: item["data"]["state"] for item in items if item["kind"] == "task"}


def footprint(host):
    """Return everything of ours on a host: paths with owner, mode and time of the last change."""
    found = {}
    for place in (host.path(name) for name in OURS):
        for path in [place, *place.rglob("*")]:
            status = path.lstat()
            found[str(path)] = (status.st_uid, status.st_gid, oct(status.st_mode), status.st_mtime_ns)
    return found


def test_a_bare_host_becomes_one_that_is_deployed_to(stack, bare, cli, name, repository):
    register(stack, bare)
    refused = cli("hosts", "prepare", bare.name, check=False)
    key = stack.call("GET", "/zones/default")["public_key"]
    assert refused.returncode == 3 and "does not let Windlass log in as root" in refused.stderr
    assert f"Add this line to ~root/.ssh/authorized_keys there, then prepare it again: {key}" in refused.stderr
    let_in(stack, bare)

    trial = cli("hosts", "prepare", bare.name, "--check")
    assert "would change" in trial.stdout and "Would install python3" in trial.stdout
    assert not bare.path("/usr/bin/python3").is_symlink() and not bare.path("/etc/windlass").exists()

    made = json.loads(cli("hosts", "prepare", bare.name, "--json").stdout)
    assert (made["state"], made["message"]) == ("succeeded", None)
    for task in ("Install python3", "Make the user deploy", "Let the zone's key log in as deploy"):
        assert task in made["changed"] and tasks(stack, made)[task] == "changed"
    assert_made(bare, key)

    before = footprint(bare)
    again = cli("hosts", "prepare", bare.name)
    assert again.stdout == f"Nothing changed: {bare.name} is as it should be.\n"
    assert "ok       Write the configuration" in again.stderr
    assert footprint(bare) == before

    bare.start_services("deploy")
    checked = stack.call("POST", f"/hosts/{bare.name}/check", {})
    assert (checked["state"], checked["problems"]) == ("ready", [])
    stack.set_target([bare], name, server_names=[f"{name}.example.com"])
    repository.commit(applications.plain("one"))
    stack.deploy(stack.release(name)["version"], name)
    assert bare.get(server_name=f"{name}.example.com") == (200, "one")


def assert_made(host, key):
    """The host has what docs/machines.md promises, no more rights than that, and what the script would have made."""
    user, group = host.run("id", "-u", "deploy").strip(), host.run("id", "-g", "deploy").strip()
    for name in ("/srv/windlass", "/etc/windlass/programs", "/etc/windlass/sites"):
        status = host.path(name).stat()
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (int(user), int(group), 0o755)
    assert host.path("/etc/windlass").stat().st_uid == 0
    keys = host.path("/home/deploy/.ssh/authorized_keys")
    assert (keys.read_text(), stat.S_IMODE(keys.stat().st_mode), keys.stat().st_uid) == (f"{key}\n", 0o600, int(user))
    may = host.run("sudo", "-l", "-U", "deploy")
    assert "(root) NOPASSWD: /usr/sbin/nginx -t, /usr/sbin/nginx -s reload" in may
    assert host.run("setpriv", f"--reuid={user}", f"--regid={group}", "--init-groups", "sudo", "-n", "nginx", "-t") == ""
    script = (ROOT / "etc" / "provision.sh").read_text()
    host.path("/opt/provision.sh").write_text(script)
    assert host.run("bash", "/opt/provision.sh", "--check", "target") == ""


def test_another_system_is_refused_before_anything_is_done(stack):
    with skipped_if_unavailable(), bare_host(ALPINE) as host:
        register(stack, host)
        let_in(stack, host)
        failed = ended(stack, start(stack, host), "failed")
        assert "This host runs Alpine Linux v3.20; only Debian 12 and newer can be prepared." in failed["message"]
        assert failed["changed"] == [] and not host.path("/home/deploy").exists()


def test_one_at_a_time_which_can_be_cancelled(stack, slow):
    slow.path(HELD).touch()
    try:
        going_on = start(stack, slow, check=True)
        stack.wait(f"/preparations/{going_on['id']}", lambda found: found["state"] == "running")
        second = stack.request("POST", f"/hosts/{slow.name}/prepare", json={})
        assert (second.status_code, second.json()["code"]) == (409, "being-prepared")
        removed = stack.request("DELETE", f"/hosts/{slow.name}")
        assert (removed.status_code, removed.json()["code"]) == (409, "in-use")
        stack.call("POST", f"/preparations/{going_on['id']}/cancel", {})
        cancelled = ended(stack, going_on, "cancelled")
        assert cancelled["message"].startswith("cancelled by admin") and cancelled["changed"] == []
    finally:
        slow.path(HELD).unlink()
    ended(stack, start(stack, slow, check=True), "succeeded")


@pytest.mark.parametrize("point", ["preparation.play.before", "preparation.ended.before"])
def test_a_dead_workers_preparation_is_taken_up_again(stack, slow, point):
    stack.points.arm(point)
    try:
        preparation = start(stack, slow, check=True)
        stack.points.await_reached(point)
        done = ended(stack, preparation, "succeeded")
    finally:
        stack.points.disarm()
    assert done["changed"] == ["Would install python3"]


@pytest.fixture
def prepared_here(settings, request):
    """Prepare the slow host in this process, as a worker of its own does: call it for the row at its end."""
    stack, slow = request.getfixturevalue("stack"), request.getfixturevalue("slow")
    settings.ssh.key_file = str(stack.data / "ssh" / "default.key")
    settings.ansible.python = ""
    where = {"address": slow.address, "port": slow.port, "host_key": slow.host_key}
    row = factories.preparation(factories.host(slow.name, **where))

    def prepare():
        preparation_run.KIND.carry_out(row.id)
        return Preparation.get_by_id(row.id)

    return prepare


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_one_that_takes_too_long_is_ended(database, slow, prepared_here, settings):
    settings.prepare.time_limit_s = 8
    slow.path(HELD).touch()
    try:
        row = prepared_here()
    finally:
        slow.path(HELD).unlink()
    assert (row.state, row.changed, row.lease_owner) == ("failed", [], None)
    assert "did not end within" in row.message


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_worker_without_ansible_says_what_to_install(database, prepared_here, settings, tmp_path):
    venv.create(tmp_path / "bare", symlinks=True)
    settings.ansible.python = str(tmp_path / "bare" / "bin" / "python3")
    row = prepared_here()
    assert row.state == "failed" and "Install ansible-core and ansible-runner for the workers" in row.message
