"""Hosts that are taken out of service after a deploy was asked for: left out as long as nothing was done to them."""

import pytest

import secretbox
from controllers import transports
from controllers.actor import Actor
from controllers.errors import Conflict
from controllers.rollout import deploys, host_run
from controllers.rollout.deploys import DeployController
from controllers.rollout.pauses import PauseController
from models import Deploy, Host, HostRun, Step
from models.db import now
from remote.ssh import Unreachable
from tests import factories
from tests.controllers.rollout.test_reconcile import end, enqueued_hosts, hosts, reconcile_once, runs_of, sent_tasks

__all__ = ["hosts", "sent_tasks"]
pytestmark = pytest.mark.usefixtures("database")
ANN = Actor("ann")
LEFT_OUT = "in maintenance: new disk"


@pytest.fixture
def unspoken_to(monkeypatch):
    """The hosts that somebody connected to; none of them can be reached."""
    names = []

    def open_host(host):
        names.append(host.name)
        raise Unreachable("no route", "unreachable", "None.")

    monkeypatch.setattr(transports, "open_host", open_host)
    return names


def take_out(*hosts, reason="new disk"):
    """Take hosts out of service, or put them back (reason=None)."""
    Host.update(maintenance_reason=reason).where(Host.id.in_([host.id for host in hosts])).execute()


def hosts_of(deploy):
    """Return {host: (state, wave, message)} of a deploy's runs."""
    return {run.host.name: (run.state, run.wave, run.message) for run in runs_of(deploy)}


def with_release_process(hosts, **columns):
    """Return a deploy that has a `release` process, which its first host runs."""
    release = factories.release(processes={"release": "migrate"})
    return factories.deploy(hosts, lead_host=True, release=release, **columns)


def test_one_that_is_out_of_service_when_the_deploy_begins_is_skipped_and_the_others_go(sent_tasks, hosts):
    deploy = factories.deploy(hosts[:2], {"kind": "rolling", "batch": 1})
    take_out(hosts[0])
    reconcile_once(deploy)
    assert hosts_of(deploy) == {"app1": ("skipped", 0, LEFT_OUT), "app2": ("pending", 0, None)}
    assert enqueued_hosts(sent_tasks) == [runs_of(deploy)[1].id]
    end(runs_of(deploy)[1], "succeeded")
    ended = reconcile_once(deploy)
    assert (ended.state, ended.reason) == ("succeeded", "left out: app1")


def test_another_host_leads_then_and_alone_runs_the_release_process(sent_tasks, hosts):
    deploy = with_release_process(hosts, strategy={"kind": "rolling", "batch": 2})
    take_out(hosts[0])
    reconcile_once(deploy)
    assert {name: wave for name, (_, wave, _) in hosts_of(deploy).items()} == {
        "app1": 1,
        "app2": 0,
        "app3": 1,
        "app4": 1,
    }
    assert enqueued_hosts(sent_tasks) == [runs_of(deploy)[1].id]


def test_one_that_is_out_of_service_when_the_deploy_is_asked_for_never_leads_either(sent_tasks, hosts):
    release = factories.release(processes={"release": "migrate"})
    deploy = factories.deploy([], release=release)
    take_out(hosts[1])
    deploys.write_host_runs(deploy, [Host.get_by_id(host.id) for host in hosts[:2]], lead_host=True)
    assert hosts_of(deploy) == {"app1": ("pending", 0, None), "app2": ("skipped", 1, LEFT_OUT)}


def test_one_that_is_taken_out_during_the_rollout_is_skipped_when_its_turn_comes(sent_tasks, hosts, unspoken_to):
    deploy = factories.deploy(hosts[:3], {"kind": "rolling", "batch": 1})
    reconcile_once(deploy)
    take_out(hosts[1])
    end(runs_of(deploy)[0], "succeeded")
    reconcile_once(deploy)
    host_run.KIND.carry_out(runs_of(deploy)[1].id)
    assert hosts_of(deploy)["app2"] == ("skipped", 1, LEFT_OUT)
    assert enqueued_hosts(sent_tasks) == [run.id for run in runs_of(deploy)], "the next one follows at once"


def test_one_that_a_worker_has_changed_goes_on(sent_tasks, hosts, unspoken_to):
    snapshot = {"processes": {}, "variables": secretbox.seal('{"values": {}, "secrets": []}')}
    deploy = factories.deploy(hosts[:1], snapshot=snapshot)
    reconcile_once(deploy)
    (run,) = runs_of(deploy)
    HostRun.update(before={"active": "a", "current": None}, state="running").where(HostRun.id == run.id).execute()
    Step.create(host_run=run, attempt=1, position=0, name="ship", state="running", started_at=now())
    take_out(hosts[0])
    host_run.KIND.carry_out(run.id)
    assert unspoken_to == ["app1"], "another attempt was begun"


def test_one_that_is_to_go_back_goes_back(sent_tasks, hosts):
    deploy = factories.deploy(hosts[:2], {"kind": "rolling", "batch": 1})
    reconcile_once(deploy)
    end(runs_of(deploy)[0], "succeeded", before={"active": "a"})
    reconcile_once(deploy)
    end(runs_of(deploy)[1], "failed", message="app2 broke.")
    take_out(*hosts[:2])
    sent_tasks.clear()
    assert reconcile_once(deploy).state == "rolling_back"
    assert enqueued_hosts(sent_tasks) == [runs_of(deploy)[0].id] and hosts_of(deploy)["app1"][0] == "pending"


def test_without_the_host_that_is_to_lead_nothing_begins(sent_tasks, hosts, unspoken_to):
    deploy = with_release_process(hosts[:2])
    reconcile_once(deploy)
    take_out(hosts[0])
    host_run.KIND.carry_out(runs_of(deploy)[0].id)
    ended = Deploy.get_by_id(deploy.id)
    assert ended.state == "failed" and [state for state, _, _ in hosts_of(deploy).values()] == ["failed", "skipped"]
    assert "app1: in maintenance: new disk, and it is to run the release process" in ended.reason
    assert runs_of(deploy)[0].code == "in-maintenance" and unspoken_to == []


def test_a_retry_leaves_them_out_and_takes_those_in_that_are_back(sent_tasks, hosts, unspoken_to):
    deploy = factories.deploy(hosts[:3])
    take_out(hosts[0])
    reconcile_once(deploy)
    for run in runs_of(deploy)[1:]:
        HostRun.update(before={"active": "a"}).where(HostRun.id == run.id).execute()
        end(run, "failed", message="broke.")
    assert reconcile_once(deploy).state == "failed"
    take_out(hosts[0], reason=None)
    take_out(hosts[1])
    DeployController(ANN).retry(deploy.id)
    reconcile_once(deploy)
    host_run.KIND.carry_out(runs_of(deploy)[1].id)
    assert [hosts_of(deploy)[host.name][0] for host in hosts[:3]] == ["pending", "skipped", "pending"]
    assert unspoken_to == []


def test_trying_one_again_by_name_is_refused(sent_tasks, hosts):
    deploy = factories.deploy(hosts[:2], {"max_failures": 1})
    reconcile_once(deploy)
    PauseController(ANN).pause(deploy.id)
    end(runs_of(deploy)[0], "failed", message="broke.")
    take_out(hosts[0])
    with pytest.raises(Conflict, match=r"in maintenance: new disk\. Put it back into service first") as refused:
        PauseController(ANN).retry_host(deploy.id, "app1")
    assert refused.value.code == "in-maintenance" and hosts_of(deploy)["app1"][0] == "failed"
