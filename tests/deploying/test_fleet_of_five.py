"""Five hosts through every kind of deploy, while clients ask each host's nginx all the time: no request may fail."""

import contextlib

import pytest

from tests.deploying import applications
from tests.deploying.conftest import hammer

HOSTS = 5
GUNICORN_AND_MORE = applications.GUNICORN + "six==1.17.0\n"


class ByApi:
    """Drive deploys with the JSON API."""

    def __init__(self, stack, cli, name):
        self.stack, self.name = stack, name

    def release(self):
        return self.stack.release(self.name)["version"]

    def deploy(self, version, state="succeeded"):
        return self.stack.deploy(version, self.name, state=state)

    def rollback(self, deploy):
        return self.stack.rollback(deploy)


class ByClient(ByApi):
    """Drive deploys with the command-line client, whose exit code tells the outcome."""

    def __init__(self, stack, cli, name):
        super().__init__(stack, cli, name)
        self.cli = cli

    def release(self):
        self.cli("releases", "create", self.name, "--ref", "main", "--wait")
        return self.stack.call("GET", f"/applications/{self.name}/releases")["items"][0]["version"]

    def deploy(self, version, state="succeeded"):
        done = self.cli("deploy", self.name, version, "--to", "production", "--wait", "--yes", check=False)
        assert done.returncode == (0 if state == "succeeded" else 3), done.stderr
        return self.newest(state)

    def rollback(self, deploy):
        self.cli("rollback", self.name, "--in", "production", "--wait", "--yes")
        return self.newest("succeeded")

    def newest(self, state):
        newest = self.stack.call("GET", f"/deploys?application={self.name}")["items"][0]
        assert newest["state"] == state, newest
        return newest


@pytest.fixture(params=[ByApi, ByClient], ids=["api", "client"])
def driver(request, stack, cli, name, repository):
    return request.param(stack, cli, name)


def states(stack, deploy):
    return {run["state"] for run in stack.host_runs(deploy).values()}


@pytest.mark.timeout(420)
def test_no_request_fails_through_every_kind_of_deploy(stack, hosts, driver, repository, name):
    stack.set_target(hosts, name, server_names=[f"{name}.example.com"])
    repository.commit(applications.gunicorn("one"))
    first = driver.deploy(driver.release())
    assert states(stack, first) == {"succeeded"}
    with contextlib.ExitStack() as hammering:
        hammers = [hammering.enter_context(hammer(host, name)) for host in hosts]
        for one in hammers:
            one.await_version("one")

        repository.commit(applications.gunicorn("two"))
        code_only = driver.release()
        second = driver.deploy(code_only)
        assert states(stack, second) == {"succeeded"}
        for one in hammers:
            one.await_version("two")

        assert states(stack, driver.deploy(code_only)) == {"unchanged"}

        repository.commit(applications.gunicorn("three", requirements=GUNICORN_AND_MORE))
        third = driver.deploy(driver.release())
        for one in hammers:
            one.await_version("three")

        repository.commit(applications.gunicorn("broken", status="500 Internal Server Error", requirements=GUNICORN_AND_MORE))
        failed = driver.deploy(driver.release(), state="rolled_back")
        assert "500" in failed["reason"]
        for one in hammers:
            one.await_requests(5)
            assert one.changes[-1][1] == "three"

        back = driver.rollback(third)
        assert states(stack, back) == {"succeeded"}
        for one in hammers:
            one.await_version("two")
            one.await_requests(5)
    for one in hammers:
        assert one.failures == []
        assert [version for _, version in one.changes if version == "broken"] == []
        assert one.requests > 50
