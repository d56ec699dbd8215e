"""What becomes of a host run before any host is spoken to."""

import pytest

from controllers import transports
from controllers.jobs import queue
from controllers.rollout import host_run
from models import Deploy, HostRun
from tests import factories

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.both_databases]


@pytest.fixture
def run(monkeypatch):
    """A run that is under way and whose lease is free: its last worker died."""
    monkeypatch.setattr(queue, "enqueue", lambda *_, **__: None)
    monkeypatch.setattr(transports, "open_host", lambda host: pytest.fail("no host is to be spoken to"))
    deploy = factories.deploy([factories.host("web-1")], state="running")
    HostRun.update(state="running").where(HostRun.deploy == deploy).execute()
    return HostRun.get(HostRun.deploy == deploy)


def test_a_run_that_kills_its_workers_is_given_up(run):
    HostRun.update(attempt=host_run.MOST_DEATHS).where(HostRun.id == run.id).execute()
    host_run.KIND.carry_out(run.id)
    ended = HostRun.get_by_id(run.id)
    assert (ended.state, ended.lease_owner) == ("failed", None)
    assert ended.message.startswith("web-1: the worker died in each of 20 attempts.")
    assert Deploy.get_by_id(run.deploy_id).state == "failed"


def test_a_run_of_a_deploy_that_has_ended_is_left_alone(run):
    Deploy.update(state="cancelled").where(Deploy.id == run.deploy_id).execute()
    host_run.KIND.carry_out(run.id)
    left = HostRun.get_by_id(run.id)
    assert (left.state, left.lease_owner) == ("running", None)
