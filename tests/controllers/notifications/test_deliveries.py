"""Deliveries about deploys: written with them, sent once, tried again, given up, sent again on demand."""

import pytest
from peewee import OperationalError

from controllers.catalog.webhooks import WebhookController
from controllers.errors import Conflict
from controllers.jobs import outbox, transitions
from controllers.notifications import actions, delivery_run
from controllers.notifications.deliveries import DeliveryController
from models import Delivery, Deploy, Release
from models.db import clock, now
from tests import factories
from tests.foreign.conftest import foreign_settings
from tests.foreign.standins.chat import Receiver

pytestmark = pytest.mark.both_databases

__all__ = ["foreign_settings"]


@pytest.fixture
def receiver():
    with Receiver() as running:
        yield running


@pytest.fixture
def webhook(integration, receiver):
    """Make a webhook: webhook(name, **settings)."""
    return lambda name="ops", **chosen: integration(name, "webhook", f"{receiver.url}/hook", {"secret": receiver.secret}, chosen)


@pytest.fixture
def deploy(database):
    return factories.deploy([factories.host()], release=factories.release(commit="c" * 40))


def moved(deploy, *ways):
    for state in ways:
        assert transitions.move_deploy(deploy, state)
    return deploy


def waiting():
    return list(Delivery.select().where(Delivery.state == "waiting").order_by(Delivery.id))


def carry_out_due():
    for number in delivery_run.KIND.due():
        delivery_run.KIND.carry_out(number)


def make_due():
    Delivery.update(due_at=now()).execute()


def test_a_rollout_is_told_from_its_beginning_to_its_end(deploy, webhook, receiver):
    webhook()
    moved(deploy, "running", "succeeded")
    carry_out_due()
    types = [taken["type"] for taken in receiver.taken.values()]
    assert types == ["deploy.running", "deploy.succeeded"]
    data = list(receiver.taken.values())[1]["data"]
    assert (data["application"], data["environment"], data["release"]) == ("shop", "production", "v1")
    assert data["url"].endswith(f"/deploys/{deploy.id}")


@pytest.mark.parametrize(
    "chosen, expected",
    [
        ({"events": ["deploy.failed"]}, []),
        ({"events": ["deploy.*"], "applications": ["sh*"]}, ["deploy.running"]),
        ({"applications": ["other"]}, []),
        ({"environments": ["staging", "prod*"]}, ["deploy.running"]),
    ],
)
def test_an_integration_chooses_what_it_is_told(deploy, webhook, receiver, chosen, expected):
    webhook(**chosen)
    moved(deploy, "running")
    assert [row.payload["event"] for row in waiting()] == expected


def test_nothing_is_written_for_a_change_that_was_not_made(deploy, webhook):
    webhook()
    transitions.move_deploy(deploy, "running")
    stale = Deploy.get_by_id(deploy.id)
    stale.state = "queued"
    assert not transitions.move_deploy(stale, "running")
    assert len(waiting()) == 1


def test_what_is_written_twice_is_said_once(deploy, webhook):
    webhook()
    moved(deploy, "running")
    outbox.on_state(deploy, "running")
    assert len(waiting()) == 1


def test_a_system_that_is_away_is_asked_again_later_and_not_before_it_wants(deploy, webhook, receiver):
    webhook()
    moved(deploy, "running")
    receiver.fault("status", status=429, retry_after=3000, times=1)
    carry_out_due()
    (row,) = waiting()
    assert row.attempt == 1 and "asked too often" in row.error and row.due_at > now_ms() + 2_900_000
    assert delivery_run.KIND.due() == []
    make_due()
    carry_out_due()
    assert Delivery.get_by_id(row.id).state == "delivered" and len(receiver.taken) == 1


def now_ms():
    from models.db import clock

    return clock()


def test_a_lost_answer_is_sent_again_as_the_same_message(deploy, webhook, receiver):
    webhook()
    moved(deploy, "running")
    receiver.fault("lost", times=1)
    carry_out_due()
    make_due()
    carry_out_due()
    assert len(receiver.requests) == 2 and len(receiver.taken) == 1, "the receiver knows it by its id"


def test_what_trying_again_cannot_mend_is_given_up_at_once(deploy, webhook, receiver):
    webhook()
    moved(deploy, "running")
    receiver.fault("status", status=401)
    carry_out_due()
    (row,) = Delivery.select()
    assert (row.state, row.attempt) == ("failed", 1) and "refuses the credentials" in row.error


def test_a_system_that_stays_away_is_given_up_after_all(deploy, webhook, receiver):
    webhook()
    moved(deploy, "running")
    Delivery.update(attempt=len(delivery_run.PAUSES_S)).execute()
    receiver.fault("status", status=503)
    carry_out_due()
    assert Delivery.get().state == "failed"


def test_an_integration_that_was_deleted_fails_what_was_for_it(deploy, webhook):
    row = webhook()
    moved(deploy, "running")
    row.delete_instance()
    carry_out_due()
    assert (Delivery.get().state, "'ops'" in Delivery.get().error) == ("failed", True)


def test_what_is_switched_off_is_told_nothing_and_what_waited_for_it_can_be_sent_later(deploy, webhook, receiver, administrator):
    webhook()
    moved(deploy, "running")
    assert WebhookController(administrator).get("ops")["enabled"] is True
    assert WebhookController(administrator).update("ops", {"enabled": False})["enabled"] is False
    carry_out_due()
    transitions.move_deploy(deploy, "succeeded")
    (row,) = Delivery.select()
    assert (row.state, receiver.taken) == ("failed", {}) and "switched off" in row.error
    WebhookController(administrator).update("ops", {"enabled": True, "events": ["deploy.*"]})
    DeliveryController(administrator).resend(row.id)
    carry_out_due()
    assert [taken["type"] for taken in receiver.taken.values()] == ["deploy.running"]


def test_ten_messages_about_one_delivery_say_it_once(deploy, webhook, receiver):
    webhook()
    moved(deploy, "running")
    (number,) = delivery_run.KIND.due()
    for _ in range(10):
        delivery_run.KIND.carry_out(number)
    assert len(receiver.requests) == 1


def test_a_delivery_is_sent_again_on_demand(deploy, webhook, receiver, administrator):
    webhook()
    moved(deploy, "running")
    receiver.fault("status", status=404, times=1)
    carry_out_due()
    shown = DeliveryController(administrator).resend(Delivery.get().id)
    assert (shown["state"], shown["attempts"], shown["error"]) == ("waiting", 0, None)
    carry_out_due()
    assert DeliveryController(administrator).get(shown["id"])["state"] == "delivered"


def test_a_delivery_under_way_is_not_sent_twice(deploy, webhook, administrator):
    webhook()
    moved(deploy, "running")
    Delivery.update(lease_owner="another", lease_expires_at=now() + 60_000).execute()
    with pytest.raises(Conflict) as refused:
        DeliveryController(administrator).resend(Delivery.get().id)
    assert refused.value.code == "delivery-under-way"


def test_an_older_status_of_a_commit_is_overtaken(deploy, monkeypatch):
    monkeypatch.setattr(
        outbox,
        "commit_status",
        lambda deploy, state, configured: [outbox.item(deploy, "commit-status", "git", "c", about=state)],
    )
    moved(deploy, "running", "failed")
    assert [row.state for row in Delivery.select().order_by(Delivery.id)] == ["superseded", "waiting"]


def test_a_release_is_published_where_its_application_keeps_releases(database):
    release = factories.release(state="building", partners={"artifacts": {"integration": "files", "path": "releases/shop/"}})
    assert transitions.move_release(release, "ready")
    (row,) = waiting()
    assert (row.action, row.subject) == ("publish", f"releases/shop/shop-{release.version}.tar.gz")


def test_a_promotion_waits_for_the_release_to_be_published(deploy):
    release = deploy.release
    Delivery.insert(outbox.columns(("release", release.id), "publish", "files", "p", release=release.id)).execute()
    Delivery.insert(outbox.item(deploy, "promote", "files", "v1", {"properties": {}})).execute()
    carry_out = next(row.id for row in waiting() if row.action == "promote")
    delivery_run.KIND.carry_out(carry_out)
    assert "not been published yet" in Delivery.get_by_id(carry_out).error
    Delivery.update(state="failed").where(Delivery.action == "publish").execute()
    make_due()
    delivery_run.KIND.carry_out(carry_out)
    assert Delivery.get_by_id(carry_out).state == "superseded"


def test_every_action_that_is_written_can_be_said():
    written = {value for name, value in vars(outbox).items() if name.isupper() and isinstance(value, str)}
    assert written == set(actions.ACTIONS)


def test_issues_are_told_once_the_deploy_has_succeeded_and_its_changelog_is_known(deploy):
    tracker = {
        "integration": "jira",
        "project": "SHOP",
        "transitions": {"production": "Done"},
        "versions": {"production": "{application} {release}"},
    }
    deploy.application.tracker = tracker
    deploy.application.save()
    issues = [{"key": "SHOP-1", "title": None, "state": None, "url": None}]
    moved(deploy, "running")
    Deploy.update(changelog={"commits": [], "is_going_back": False, "issues": issues}).execute()
    outbox.on_changelog(Deploy.get_by_id(deploy.id))
    assert waiting() == []
    moved(Deploy.get_by_id(deploy.id), "succeeded")
    found = {(row.action, row.subject) for row in waiting()}
    assert found == {
        ("transition", "SHOP-1"),
        ("comment", "SHOP-1"),
        ("remote-link", "SHOP-1"),
        ("release-version", "shop v1"),
    }
    outbox.on_changelog(Deploy.get_by_id(deploy.id))
    assert len(waiting()) == 4, "whichever comes last writes them, and nobody twice"


def test_a_page_of_deliveries_tells_what_each_is_about(deploy, webhook, administrator):
    webhook()
    moved(deploy, "running")
    Delivery.insert(outbox.columns(("release", 1), "publish", "files", "p", release=Release.get().id)).execute()
    first, second = DeliveryController(administrator).listing()["items"]
    assert (first["action"], first["environment"], first["release"]) == ("publish", None, "v1")
    assert (second["action"], second["environment"], second["application"]) == ("message", "production", "shop")


@pytest.mark.parametrize("state", ["waiting", "delivered", "failed"])
def test_the_tracker_is_asked_again_however_the_look_before_ended(deploy, state):
    deploy.application.tracker = {"integration": "jira", "require": {"production": ["Done"]}}
    outbox.ask_for_states(deploy)
    Delivery.update(state=state, attempt=7, due_at=now() + 60_000, ended_at=now()).execute()
    outbox.ask_for_states(deploy)
    (row,) = waiting()
    assert (row.action, row.attempt, row.ended_at, delivery_run.KIND.due()) == ("require-states", 0, None, [row.id])


def test_what_the_database_does_not_take_again_and_again_is_given_up_like_anything_else(deploy, webhook, monkeypatch):
    def fail(row):
        raise OperationalError("too many SQL variables")

    webhook()
    moved(deploy, "running")
    monkeypatch.setattr(actions, "deliver", fail)
    carry_out_due()
    (row,) = waiting()
    assert "OperationalError: too many SQL variables" in row.error and row.due_at > clock()
    Delivery.update(attempt=len(delivery_run.PAUSES_S), due_at=None).execute()
    carry_out_due()
    assert Delivery.get().state == "failed"
