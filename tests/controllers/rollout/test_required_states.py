"""A deploy waits until its issues are in the states that its environment requires, and while that is not known."""

import pytest

from controllers.catalog.integrations import IntegrationController
from controllers.jobs import outbox
from controllers.notifications import delivery_run
from controllers.releases import compare
from controllers.rollout import reconcile
from models import Application, Delivery, Deploy
from models.db import clock, now
from tests import factories
from tests.controllers.rollout.test_reconcile import sent_tasks
from tests.foreign.conftest import database, foreign_settings
from tests.foreign.standins.github import GitHub
from tests.foreign.standins.jira import Jira
from tests.stack import Repository

__all__ = ["database", "foreign_settings", "sent_tasks"]
pytestmark = pytest.mark.usefixtures("database", "sent_tasks")
TRACKER = {"integration": "jira", "project": "SHOP", "require": {"production": ["Ready", "Done"]}}


@pytest.fixture
def jira(integration):
    with Jira() as standin:
        integration("jira", "jira", standin.url, {"token": standin.token})
        yield standin


@pytest.fixture
def hub(integration, tmp_path):
    with GitHub(Repository(tmp_path / "shop"), "acme/shop") as standin:
        integration("hub", "github", standin.url, {"token": standin.token})
        yield standin


@pytest.fixture
def shop(jira, hub):
    return factories.application(source={"integration": "hub", "repository": "acme/shop"}, tracker=TRACKER)


@pytest.fixture
def older(shop, hub):
    """A release of the first commit."""
    return factories.release(shop, commit=hub.repository.commit({"a": "1"}))


@pytest.fixture
def newer(shop, hub, older):
    """A release that brings one issue."""
    return factories.release(shop, commit=hub.repository.commit({"a": "2"}, "SHOP-1 Sell more than UTF-8"))


@pytest.fixture
def ask(older, newer):
    """Ask for a deploy of the newer release where the older one runs: ask(**columns)."""

    def made(**columns):
        host = factories.host()
        deploy = factories.deploy([host], **{"release": newer, "previous_release": older, **columns})
        outbox.on_created(deploy)
        return deploy

    return made


def look(deploy):
    """Let the reconciler look, then who asks the tracker, then the reconciler again; returns the deploy."""
    reconcile.reconcile(deploy.id)
    carry_out(outbox.REQUIRE)
    reconcile.reconcile(deploy.id)
    return Deploy.get_by_id(deploy.id)


def carry_out(action):
    for row in Delivery.select().where(Delivery.id.in_(delivery_run.KIND.due()), Delivery.action == action):
        delivery_run.KIND.carry_out(row.id)


def look_later(deploy):
    """Look once what was found before counts no more and every pause is over."""
    found = Deploy.get_by_id(deploy.id).issues_check
    if found:
        Deploy.update(issues_check={**found, "until": 0}).where(Deploy.id == deploy.id).execute()
    Delivery.update(due_at=None).execute()
    return look(deploy)


def waiting_words(deploy):
    assert deploy.state == "queued", f"it is {deploy.state}"
    return deploy.reason


def test_a_deploy_waits_for_its_issues_and_goes_once_they_are_moved(ask, jira):
    deploy = ask()
    words = waiting_words(look(deploy))
    assert "SHOP-1 is In Progress; production requires Ready or Done" in words and "override" in words
    assert "UTF" not in words, "what only looks like an issue is none of the project"
    carry_out(outbox.CHANGELOG)
    jira.issues["SHOP-1"]["state"] = "ready"
    assert look_later(deploy).state == "running"


def test_what_was_found_counts_for_a_while(ask, jira):
    deploy = ask()
    look(deploy)
    asked = len(jira.asked("GET .*/issue/"))
    waiting_words(look(deploy))
    assert len(jira.asked("GET .*/issue/")) == asked


@pytest.mark.parametrize("way", ["override", "rollback"])
def test_an_override_and_a_rollback_pass(ask, jira, way):
    before = factories.deploy([factories.host()], state="succeeded", release=ask().release)
    deploy = ask(override="it burns") if way == "override" else ask(rollback_of=before)
    reconcile.reconcile(deploy.id)
    Deploy.update(state="cancelled").where(Deploy.state == "queued", Deploy.id < deploy.id).execute()
    assert look(deploy).state == "running"


def test_a_deploy_that_goes_back_to_an_older_release_passes(ask, jira, older, newer):
    deploy = ask(release=older, previous_release=newer)
    assert look(deploy).state == "running", "the issues are those it takes away"


def test_the_first_deploy_passes(ask):
    assert look(ask(previous_release=None)).state == "running"


def test_refused_credentials_are_told_and_the_deploy_goes_once_they_are_right(ask, jira, administrator):
    jira.issues["SHOP-1"]["state"] = "Done"
    jira.token = "another"
    deploy = ask()
    words = waiting_words(look(deploy))
    assert "'jira'" in words and "credentials" in words and "asked about" not in words
    asked = len(jira.requests)
    waiting_words(look_later(deploy))
    assert len(jira.requests) == asked, "wrong credentials are not repeated"
    IntegrationController(administrator).update("jira", {"credentials": {"token": jira.token}})
    assert look_later(deploy).state == "running"


def test_a_tracker_that_was_away_is_asked_again(ask, jira):
    jira.issues["SHOP-1"]["state"] = "Done"
    jira.fault("status", status=503)
    deploy = ask()
    assert "'jira'" in waiting_words(look(deploy))
    Delivery.update(attempt=99).where(Delivery.action == outbox.REQUIRE).execute()
    assert "'jira'" in waiting_words(look_later(deploy)), "it is never given up while the deploy waits"
    jira.recover()
    assert look_later(deploy).state == "running"


def test_a_tracker_that_wants_to_be_left_alone_is(ask, jira):
    jira.fault("status", status=429, retry_after=3000)
    deploy = ask()
    assert "'jira'" in waiting_words(look(deploy))
    assert Deploy.get_by_id(deploy.id).issues_check["until"] > clock() + 2_900_000
    asked = len(jira.requests)
    waiting_words(look(deploy))
    assert len(jira.requests) == asked


def test_where_the_source_does_not_tell_the_commits_the_gate_is_shut(ask, jira, hub):
    jira.issues["SHOP-1"]["state"] = "Done"
    hub.fault("status", status=503)
    deploy = ask()
    words = waiting_words(look(deploy))
    assert "hub" in words and "override" in words
    hub.recover()
    assert look_later(deploy).state == "running"


def test_a_release_without_a_commit_is_held_back(ask, shop):
    package = factories.release(shop, package_version="2.1")
    assert "not known" in waiting_words(look(ask(release=package)))


def test_more_commits_than_are_looked_at_are_not_taken_for_all(ask, monkeypatch):
    monkeypatch.setattr(compare, "MOST_COMMITS", 1)
    assert "more" in waiting_words(look(ask()))


def test_what_was_so_days_ago_is_looked_at_again_when_a_deploy_begins(ask, jira):
    jira.issues["SHOP-1"]["state"] = "Done"
    deploy = ask(state="scheduled", start_at=clock() + 3_600_000)
    assert look(deploy).state == "scheduled"
    jira.issues["SHOP-1"]["state"] = "In Progress"
    Deploy.update(start_at=now()).execute()
    due = look_later(deploy)
    assert due.state == "scheduled" and "SHOP-1 is In Progress" in due.reason
    jira.issues["SHOP-1"]["state"] = "Done"
    assert look_later(deploy).state == "running"


def test_what_was_required_after_the_deploy_was_asked_for_counts(ask, shop, jira):
    Application.update(tracker={**TRACKER, "require": {}}).execute()
    deploy = ask(state="pending_approval")
    look(deploy)
    Application.update(tracker=TRACKER).execute()
    Deploy.update(state="queued").execute()
    assert "SHOP-1 is In Progress" in waiting_words(look(deploy))


def test_a_tracker_that_took_the_place_of_another_is_asked(ask, jira, integration):
    deploy = ask()
    waiting_words(look(deploy))
    with Jira() as other:
        other.issues["SHOP-1"]["state"] = "Done"
        integration("cloud", "jira", other.url, {"token": other.token})
        Application.update(tracker={**TRACKER, "integration": "cloud"}).execute()
        assert look_later(deploy).state == "running"


def test_a_deploy_that_was_cancelled_needs_its_issues_no_more(ask):
    deploy = ask()
    Deploy.update(state="cancelled").execute()
    look(deploy)
    assert Delivery.get(Delivery.action == outbox.REQUIRE).state == "superseded"
