"""Hosts that cannot be deployed to: a clear error with host, step and remedy, the old release serving, nothing to clean up.

What goes wrong in the middle of a deploy is in tests/faults/.
"""

import pytest

from tests.deploying import applications
from tests.fleet.hammer import Hammer


@pytest.fixture
def served(stack, host, name, repository):
    """A host of its own with release "one" deployed and asked for all the time; no request may fail."""
    host.name = f"{name}-host"
    stack.add_host(host)
    stack.set_target([host], name, server_names=[f"{name}.example.com"])
    repository.commit(applications.plain("one"))
    stack.deploy(stack.release(name)["version"], name)
    with Hammer(host.url, f"{name}.example.com") as asking:
        asking.await_version("one")
        yield host
        asking.await_requests(3)
    assert asking.failures == []


def release_two(stack, repository, name):
    repository.commit(applications.plain("two"))
    return stack.release(name)["version"]


def change_host(stack, host, **changes):
    stack.call("PATCH", f"/hosts/{host.name}", changes)


def check_error(stack, deploy, host, step, *words):
    """The deploy's reason names host and step, and holds the words of problem and remedy."""
    reason = deploy["reason"]
    assert reason.startswith(f"{host.name}: {step}: "), reason
    for word in words:
        assert word in reason, reason
    run = stack.host_runs(deploy)[host.name]
    assert run["state"] in ("failed", "unreachable") and run["code"]
    assert {entry["name"]: entry["state"] for entry in run["steps"]}[step] == "failed"


def check_next_deploy_works(stack, host, name, version):
    deploy = stack.deploy(version, name)
    assert stack.host_runs(deploy)[host.name]["state"] == "succeeded"
    assert host.get(server_name=f"{name}.example.com") == (200, "two")


def test_a_host_that_is_down(stack, served, repository, name):
    version = release_two(stack, repository, name)
    served.stop_sshd()
    failed = stack.deploy(version, name, state="failed")
    check_error(stack, failed, served, "connect", str(served.port), "sshd")
    served.start_sshd()
    check_next_deploy_works(stack, served, name, version)


def test_a_changed_host_key_is_refused_with_its_fingerprint(stack, served, repository, name):
    version = release_two(stack, repository, name)
    served.rotate_host_key()
    failed = stack.deploy(version, name, state="failed")
    check_error(stack, failed, served, "connect", served.fingerprint, "pinned")
    refused = stack.request("POST", f"/hosts/{served.name}/trust", json={})
    assert refused.status_code == 409 and served.fingerprint in refused.json()["detail"]
    stack.call("POST", f"/hosts/{served.name}/trust", {"fingerprint": served.fingerprint})
    check_next_deploy_works(stack, served, name, version)


def test_an_unknown_host_key_is_refused_with_its_fingerprint(stack, host, name, repository):
    host.name = f"{name}-host"
    host.authorize(stack.call("GET", "/zones/default")["public_key"])
    stack.call("POST", "/hosts", host.api_payload())
    stack.set_target([host], name)
    version = release_two(stack, repository, name)
    failed = stack.deploy(version, name, state="failed")
    check_error(stack, failed, host, "connect", host.fingerprint, "trust")


def test_a_refused_key(stack, served, repository, name):
    version = release_two(stack, repository, name)
    keys = served.folder / "ssh" / "authorized_keys"
    allowed = keys.read_text()
    keys.write_text("")
    failed = stack.deploy(version, name, state="failed")
    check_error(stack, failed, served, "connect", "refuses the zone's key", "authorized_keys")
    keys.write_text(allowed)
    check_next_deploy_works(stack, served, name, version)


def test_no_python(stack, served, repository, name):
    version = release_two(stack, repository, name)
    change_host(stack, served, settings=served.without_python())
    failed = stack.deploy(version, name, state="failed")
    check_error(stack, failed, served, "connect", "python-that-is-not-there", "Install Python")
    change_host(stack, served, settings=served.settings)
    check_next_deploy_works(stack, served, name, version)


def test_no_nginx(stack, served, repository, name):
    version = release_two(stack, repository, name)
    change_host(stack, served, settings=served.without_nginx())
    failed = stack.deploy(version, name, state="failed")
    check_error(stack, failed, served, "preflight", "nginx")
    change_host(stack, served, settings=served.settings)
    check_next_deploy_works(stack, served, name, version)


def test_no_supervisord(stack, served, repository, name):
    version = release_two(stack, repository, name)
    change_host(stack, served, settings=served.without_supervisor())
    failed = stack.deploy(version, name, state="failed")
    check_error(stack, failed, served, "preflight", "supervisor")
    change_host(stack, served, settings=served.settings)
    check_next_deploy_works(stack, served, name, version)


def test_supervisord_is_not_running(stack, host, name, repository):
    host.name = f"{name}-host"
    stack.add_host(host)
    stack.set_target([host], name)
    version = release_two(stack, repository, name)
    host.stop_supervisord()
    failed = stack.deploy(version, name, state="failed")
    check_error(stack, failed, host, "preflight", "supervisord")
    host.start_supervisord()
    assert stack.deploy(version, name)["state"] == "succeeded"
