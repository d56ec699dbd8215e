"""SIGKILL of the worker while hosts go back: by a rollback that somebody asked for, and by one of the reconciler's own."""

import pytest

from tests.deploying import applications
from tests.faults import oracle

HOSTS = 2
POINTS = ("connect.before", "check.before", "switch.before", "switch.after", "drain.after")
# The second host's server finds that it is not the first there, and fails its health check.
ONLY_ON_ONE = """
import pathlib
if not pathlib.Path({mark!r}).exists():
    pathlib.Path({mark!r}).write_text(os.environ["SOCKET"])
elif pathlib.Path({mark!r}).read_text() != os.environ["SOCKET"]:
    raise SystemExit("only one of us")
"""


@pytest.mark.fault("worker", "SIGKILL in a rollback: {point}", "the rollback goes on and ends on the release before")
@pytest.mark.parametrize("point", POINTS)
def test_the_worker_dies_in_a_rollback(stack, hosts, name, second, first, point):
    deployed = stack.deploy(second, name)
    first.await_version("two")
    stack.points.arm(f"host_run.{point}")
    deploy_id = stack.call("POST", f"/deploys/{deployed['id']}/rollback")["id"]
    stack.points.await_reached(f"host_run.{point}")
    oracle.await_rest(stack, deploy_id, ("succeeded",))
    first.await_version("one")
    oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))


@pytest.mark.fault("worker", "SIGKILL while a failed rollout goes back: {point}", "every switched host is back; rolled_back")
@pytest.mark.parametrize("point", POINTS)
def test_the_worker_dies_while_a_failed_rollout_goes_back(stack, hosts, repository, name, first, point, tmp_path):
    repository.commit(applications.plain("two", before=ONLY_ON_ONE.format(mark=str(tmp_path / "there"))))
    version = stack.release(name)["version"]
    repository.commit(applications.plain("three"))
    stack.release(name)
    stack.points.arm(f"restore.{point}")
    deploy_id = stack.ask(name, version, strategy={"kind": "rolling", "batch": 1, "on_failure": "rollback"})
    stack.points.await_reached(f"restore.{point}")
    deploy = oracle.await_rest(stack, deploy_id, ("rolled_back",))
    assert "only one of us" in deploy["reason"]
    assert [host.get(server_name=f"{name}.example.com") for host in hosts] == [(200, "one")] * HOSTS
    oracle.check(stack, hosts, name, deploy_id, states=("rolled_back",))
