"""Rows of plans: written once, looked at again when a message was lost, given up in the end."""

import pytest

from controllers.actor import Actor
from controllers.errors import NotFound
from controllers.jobs import queue
from controllers.rollout.planning import plan_rows, plan_run
from controllers.rollout.planning.plans import PlanController
from models import HostRun, Plan, PlanHost
from models.db import clock
from tests import factories

pytestmark = pytest.mark.usefixtures("database")
ANN = Actor("ann")


@pytest.fixture
def enqueued(monkeypatch):
    """The tasks that were enqueued."""
    sent = []
    monkeypatch.setattr(queue, "enqueue", lambda task, *ids, zone=None: sent.append((task, *ids, zone)))
    return sent


def make(hosts=2, age_ms=0, **columns):
    release = factories.release()
    plan = Plan.create(
        application=release.application,
        environment=factories.environment(),
        release=release,
        strategy={},
        snapshot={},
        requested_by="ann",
        created_at=clock() - age_ms,
        **columns,
    )
    return plan, [
        PlanHost.create(plan=plan, host=host, host_name=host.name, enqueued_at=clock() - age_ms)
        for host in (factories.host() for _ in range(hosts))
    ]


def found(digest="d1", unchanged=False):
    return {"digest": digest, "unchanged": unchanged}


def test_a_plan_is_ready_when_every_host_was_looked_at_and_failed_when_one_could_not_be():
    plan, rows = make()
    assert PlanController(ANN).get(plan.id)["state"] == "observing"
    plan_rows.write_changes(rows[0], found(), {})
    assert PlanController(ANN).get(plan.id)["state"] == "observing" and PlanController(ANN).get(plan.id)["digest"] is None
    plan_rows.write_changes(rows[1], found("d2", True), {})
    shown = PlanController(ANN).get(plan.id)
    assert shown["state"] == "ready" and shown["digest"] and shown["unchanged"] is False
    other, rows = make()
    plan_rows.write_changes(rows[0], found(), {})
    plan_rows.write_error(rows[1], {"code": "key-refused", "message": "m", "remedy": "r"})
    shown = PlanController(ANN).get(other.id)
    assert shown["state"] == "failed" and shown["digest"] is None
    assert shown["errors"] == [{"host": rows[1].host_name, "code": "key-refused", "message": "m", "remedy": "r"}]


def test_a_host_is_written_once_however_often_it_is_looked_at():
    _, rows = make(1)
    plan_rows.write_changes(rows[0], found("first"), {})
    plan_rows.write_changes(rows[0], found("second"), {})
    plan_rows.write_error(rows[0], {"code": "x"})
    assert PlanHost.get_by_id(rows[0].id).digest == "first"
    assert PlanHost.get_by_id(rows[0].id).state == "ready"


def test_a_plan_s_digest_tells_other_changes_and_other_strategies_apart():
    digests = set()
    for digest, strategy in (("d1", {}), ("d2", {}), ("d1", {"kind": "rolling"})):
        plan, rows = make(1)
        Plan.update(strategy=strategy).where(Plan.id == plan.id).execute()
        PlanHost.update(host_name="web-1").where(PlanHost.id == rows[0].id).execute()
        plan_rows.write_changes(rows[0], found(digest), {})
        digests.add(PlanController(ANN).get(plan.id)["digest"])
    assert len(digests) == 3


def test_hosts_that_were_left_out_are_told_and_part_of_the_digest():
    digests = set()
    for skipped in ([], [{"host": "web-2", "reason": "in maintenance: disk"}]):
        plan, rows = make(1, skipped=skipped)
        PlanHost.update(host_name="web-1").where(PlanHost.id == rows[0].id).execute()
        plan_rows.write_changes(rows[0], found(), {})
        shown = PlanController(ANN).get(plan.id)
        assert (shown["state"], shown["skipped"]) == ("ready", skipped)
        digests.add(shown["digest"])
    assert len(digests) == 2


def test_a_host_that_a_plan_left_out_is_stale_when_it_comes_back():
    host = factories.host()
    plan, _ = make(1, skipped=[{"host": host.name, "reason": "in maintenance: disk"}])
    run = HostRun.get(HostRun.deploy == factories.deploy([host], plan=plan))
    (item,) = plan_rows.hold(run, found(), {})
    assert item["what"] == "host" and "the plan does not know this host" in item["message"]
    assert "in maintenance: disk" in item["message"]


def test_what_a_deploy_did_on_a_host_that_it_had_left_out_at_first_is_kept():
    host = factories.host()
    plan, (row,) = make(1, skipped=[{"host": host.name, "reason": "in maintenance: disk"}], is_kept=True)
    plan_rows.write_changes(row, found(), {})
    run = HostRun.get(HostRun.deploy == factories.deploy([host], plan=plan))
    assert plan_rows.hold(run, found("d2"), {}) == []
    shown = PlanController(ANN).get(plan.id)
    assert (shown["state"], len(shown["hosts"]), shown["skipped"]) == ("ready", 2, [])


def test_lost_messages_are_sent_again_and_hosts_that_nobody_looks_at_are_given_up(enqueued):
    _, fresh = make(1)
    _, lost = make(1, age_ms=plan_rows.ENQUEUE_AGAIN_MS + 1000)
    _, old = make(1, age_ms=plan_run.GIVE_UP_AFTER_MS + 1000)
    _, own = make(1, age_ms=plan_rows.ENQUEUE_AGAIN_MS + 1000, is_kept=True)
    plan_run.KIND.enqueue_due()
    plan_run.KIND.enqueue_due()
    assert enqueued == [("windlass.plan_host", lost[0].id, "default")]
    assert PlanHost.get_by_id(old[0].id).error["code"] == "no-worker"
    assert {PlanHost.get_by_id(rows[0].id).state for rows in (fresh, lost, own)} == {"observing"}


def test_a_host_that_was_deleted_meanwhile_is_given_up(enqueued):
    plan, rows = make(1, age_ms=plan_rows.ENQUEUE_AGAIN_MS + 1000)
    rows[0].host.delete_instance()
    plan_run.observe(rows[0].id)
    plan_run.KIND.enqueue_due()
    assert PlanController(ANN).get(plan.id)["state"] == "failed" and enqueued == []


def test_what_is_not_there_is_said_so_and_late_messages_do_nothing():
    plan_run.observe(12345)
    with pytest.raises(NotFound):
        PlanController(ANN).get(12345)
