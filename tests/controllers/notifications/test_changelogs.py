"""Changelogs: what a deploy brings and whose issues it concerns, from systems that answer, are away, or never answer."""

import pytest

from controllers.foreign import circuits
from controllers.jobs import outbox, transitions
from controllers.notifications import changelogs, delivery_run
from controllers.notifications.changelogs import ChangelogController
from controllers.notifications.deliveries import DeliveryController
from controllers.releases import compare
from models import Delivery, Deploy, Integration
from models.db import clock, now
from tests import factories
from tests.foreign.conftest import database, foreign_settings
from tests.foreign.standins.bitbucket_server import BitbucketServer
from tests.foreign.standins.jira import Jira

__all__ = ["database", "foreign_settings"]
TRACKER = {
    "integration": "jira",
    "project": "SHOP",
    "transitions": {"production": "Done"},
    "versions": {"production": "{application} {release}"},
}
ISSUES = ("SHOP-1", "SHOP-2")
RETURN = "Taken back from production with the return of shop to v1"


@pytest.fixture
def stash(repository, integration):
    """The system that keeps the source: one commit, then two more that name issues, the last one by a pull request."""
    with BitbucketServer(repository) as standin:
        standin.commits = [
            repository.commit({"app.py": "1"}, "Begin"),
            repository.commit({"app.py": "2"}, "SHOP-1: sell tea\n\nAlso UTF-8."),
            repository.commit({"app.py": "3"}, "SHOP-2: sell coffee"),
        ]
        standin.pull_requests[standin.commits[2]] = [(7, "Coffee", "Jo", True)]
        integration("stash", "bitbucket-server", standin.url, {"token": standin.token})
        yield standin


@pytest.fixture
def jira(integration):
    """The tracker."""
    with Jira() as standin:
        integration("jira", "jira", standin.url, {"token": standin.token})
        yield standin


@pytest.fixture
def releases(stash, jira):
    """v1 of the first commit and v2 of the last."""
    source = {"integration": "stash", "repository": stash.name, "branch": "main"}
    shop = factories.application(source=source, tracker=TRACKER)
    return [factories.release(shop, commit=commit) for commit in (stash.commits[0], stash.commits[2])]


def deployed(before, after):
    """Return a deploy of one release after another that has succeeded; nobody was told of it yet."""
    made = factories.deploy([factories.host()], release=after, previous_release=before)
    outbox.on_created(made)
    for state in ("running", "succeeded"):
        assert transitions.move_deploy(made, state)
    return made


def work(again=True):
    """Do all that is due, and what comes of it; `again` has what was put off be due now."""
    if again:
        circuits.forget()
        Integration.update(circuit=None).execute()
        Delivery.update(due_at=now()).where(Delivery.state == "waiting").execute()
    while due := delivery_run.KIND.due():
        for number in due:
            delivery_run.KIND.carry_out(number)


def waiting():
    """Return what waits, by its action."""
    return {row.action: row for row in Delivery.select().where(Delivery.state == "waiting")}


def states_of(deploy, *actions):
    """Return {(action, subject): state} of a deploy's deliveries."""
    rows = Delivery.select().where(Delivery.deploy == deploy, Delivery.action.in_(actions))
    return {(row.action, row.subject): row.state for row in rows}


def of(deploy, administrator):
    """Return a deploy's changelog as people get it."""
    return ChangelogController(administrator).get(deploy.id)


def comments(jira, key):
    return [comment["body"] for comment in jira.issues[key]["comments"]]


def assert_delivered_once(jira, deploy):
    """Assert that both issues were moved, commented and linked once because of a deploy, and its version released."""
    for key in ISSUES:
        assert jira.issues[key]["state"] == "Done"
        assert len([text for text in comments(jira, key) if f"[windlass-deploy-{deploy.id}]" in text]) == 1
        assert [link["title"] for link in jira.issues[key]["links"].values()] == [
            f"shop v2 runs in production (deploy {deploy.id})."
        ]
        assert len(jira.asked(f"POST .*/{key}/transitions")) == 1
    assert [(version["name"], version["released"]) for version in jira.versions["SHOP"]] == [("shop v2", True)]


def test_a_changelog_has_commits_authors_issues_and_pull_requests(releases, jira, administrator):
    deploy = deployed(*releases)
    before = of(deploy, administrator)
    assert (before["state"], before["commits"], before["from"], before["to"]) == ("pending", None, "v1", "v2")
    work()
    found = of(deploy, administrator)
    assert (found["state"], found["is_going_back"], found["notes"]) == ("ready", False, [])
    assert [commit["subject"] for commit in found["commits"]] == ["SHOP-2: sell coffee", "SHOP-1: sell tea"]
    assert found["authors"] == ["Tester"]
    assert [(issue["key"], issue["title"], issue["state"]) for issue in found["issues"]] == [
        ("SHOP-2", "Thing 2", "In Progress"),
        ("SHOP-1", "Thing 1", "In Progress"),
    ]
    assert [(request["number"], request["title"], request["author"]) for request in found["pull_requests"]] == [
        (7, "Coffee", "Jo")
    ]
    assert_delivered_once(jira, deploy)


def test_a_source_that_is_away_is_asked_again_and_then_all_is_told_once(releases, stash, jira, administrator):
    stash.fault("status", status=503, retry_after=3000)
    deploy = deployed(*releases)
    work()
    row = waiting()[outbox.CHANGELOG]
    assert row.attempt == 1 and row.due_at > clock() + 2_900_000, "not before it wants"
    found = of(deploy, administrator)
    assert (found["state"], found["commits"]) == ("pending", None)
    (note,) = found["notes"]
    assert note.startswith("The commits are not known: The integration 'stash' is out of order"), note
    assert jira.requests == [] and not states_of(deploy, outbox.TRANSITION, outbox.VERSION)
    stash.recover()
    for _ in range(2):
        work()
    found = of(deploy, administrator)
    assert (found["state"], len(found["commits"]), len(found["issues"]), found["notes"]) == ("ready", 2, 2, [])
    assert len(found["pull_requests"]) == 1
    assert_delivered_once(jira, deploy)


def test_what_is_known_is_kept_while_the_tracker_is_away(releases, jira, administrator):
    jira.fault("status", status=503)
    deploy = deployed(*releases)
    work()
    found = of(deploy, administrator)
    assert (found["state"], len(found["commits"]), len(found["pull_requests"])) == ("pending", 2, 1)
    assert [(issue["key"], issue["title"]) for issue in found["issues"]] == [("SHOP-2", None), ("SHOP-1", None)]
    (note,) = found["notes"]
    assert note.startswith("Titles and states of issues are not known: The integration 'jira'"), note
    assert {outbox.CHANGELOG, outbox.TRANSITION, outbox.COMMENT, outbox.LINK, outbox.VERSION} <= set(waiting())
    jira.recover()
    for _ in range(2):
        work()
    found = of(deploy, administrator)
    assert (found["state"], found["notes"]) == ("ready", [])
    assert [issue["title"] for issue in found["issues"]] == ["Thing 2", "Thing 1"]
    assert_delivered_once(jira, deploy)


def test_a_later_look_takes_nothing_away_that_was_known(releases, stash, jira, administrator):
    stash.fault("status", on="/pull-requests", status=503)
    deploy = deployed(*releases)
    work()
    found = of(deploy, administrator)
    assert (found["state"], found["pull_requests"]) == ("pending", [])
    assert [issue["title"] for issue in found["issues"]] == ["Thing 2", "Thing 1"]
    assert_delivered_once(jira, deploy)
    stash.recover()
    jira.fault("status", status=503)
    work()
    found = of(deploy, administrator)
    assert len(found["pull_requests"]) == 1 and [issue["title"] for issue in found["issues"]] == ["Thing 2", "Thing 1"]


def test_what_asking_again_cannot_mend_is_told(releases, stash, jira, administrator):
    stash.fault("status", on="/commits", status=403)
    deploy = deployed(*releases)
    work()
    found = of(deploy, administrator)
    assert (found["state"], found["commits"], found["issues"]) == ("ready", None, [])
    (note,) = found["notes"]
    assert note.startswith("The commits are not known: The integration 'stash' does not permit this"), note
    assert states_of(deploy, outbox.CHANGELOG) == {(outbox.CHANGELOG, None): "delivered"}
    assert compare.commits_between(*releases) is None, "who compares is told what else is known"


def test_a_source_that_stayed_away_too_long_says_so_and_can_be_asked_again(releases, stash, jira, administrator):
    stash.fault("status", status=503)
    deploy = deployed(*releases)
    Delivery.update(attempt=len(delivery_run.PAUSES_S)).where(Delivery.action == outbox.CHANGELOG).execute()
    work()
    row = Delivery.get(Delivery.action == outbox.CHANGELOG)
    found = of(deploy, administrator)
    assert (row.state, found["state"], found["commits"]) == ("failed", "ready", None) and "'stash'" in found["notes"][0]
    stash.recover()
    DeliveryController(administrator).resend(row.id)
    assert of(deploy, administrator)["state"] == "pending"
    work()
    assert of(deploy, administrator)["state"] == "ready"
    assert_delivered_once(jira, deploy)


@pytest.fixture
def by_git(stash, jira, integration):
    """The same releases of a server that has git alone, of which this machine holds nothing."""
    credentials = {"username": "x-token-auth", "password": stash.token}
    integration("plain", "git", stash.url, credentials)
    source = {"integration": "plain", "repository": f"{stash.url}/scm/{stash.name}.git", "branch": "main"}
    shop = factories.application(source=source, tracker=TRACKER)
    return [factories.release(shop, commit=commit) for commit in (stash.commits[0], stash.commits[2])]


def test_a_worker_without_the_mirror_fetches_it(by_git, jira, administrator):
    assert compare.commits_between(*by_git) is None, "who compares waits for no fetching"
    deploy = deployed(*by_git)
    work()
    found = of(deploy, administrator)
    assert [commit["subject"] for commit in found["commits"]] == ["SHOP-2: sell coffee", "SHOP-1: sell tea"]
    assert_delivered_once(jira, deploy)
    assert len(compare.commits_between(*by_git)) == 2


def test_a_git_server_that_is_away_is_asked_again(by_git, stash, jira, administrator):
    stash.fault("status", status=503)
    deploy = deployed(*by_git)
    work()
    found = of(deploy, administrator)
    assert found["state"] == "pending" and "could not be fetched" in found["notes"][0], found
    stash.recover()
    work()
    assert len(of(deploy, administrator)["commits"]) == 2
    assert_delivered_once(jira, deploy)


def test_commits_that_are_nowhere_any_more_are_told(by_git, administrator):
    by_git[0].commit = "f" * 40
    by_git[0].save()
    deploy = deployed(*by_git)
    work()
    found = of(deploy, administrator)
    assert (found["state"], found["commits"]) == ("ready", None)
    assert "has no branch, tag or commit 'ffff" in found["notes"][0]


# Going back.


def test_going_back_says_so_and_moves_and_releases_nothing(releases, jira, administrator):
    first, second = releases
    forth = deployed(first, second)
    work()
    jira.issues["SHOP-1"]["state"] = "In Progress"  # People have found out why.
    back = deployed(second, first)
    for _ in range(2):
        work()
    found = of(back, administrator)
    assert found["is_going_back"] and [issue["key"] for issue in found["issues"]] == ["SHOP-2", "SHOP-1"]
    assert [jira.issues[key]["state"] for key in ISSUES] == ["In Progress", "Done"]
    assert not states_of(back, outbox.TRANSITION, outbox.VERSION)
    assert [version["name"] for version in jira.versions["SHOP"]] == ["shop v2"]
    for key in ISSUES:
        runs, taken = comments(jira, key)
        assert runs.startswith(f"shop v2 runs in production (deploy {forth.id}).")
        assert taken.startswith(f"{RETURN} (deploy {back.id}).") and taken.endswith(f"[windlass-deploy-{back.id}]")
        (link,) = jira.issues[key]["links"].values()
        assert link["title"] == f"{RETURN} (deploy {back.id})." and link["url"].endswith(f"/deploys/{back.id}")
    again = deployed(first, second)
    work()
    assert jira.issues["SHOP-1"]["state"] == "Done" and len(comments(jira, "SHOP-1")) == 3
    assert states_of(again, outbox.VERSION) == {(outbox.VERSION, "shop v2"): "delivered"}


def test_the_answer_that_it_went_back_may_be_lost(releases, jira):
    jira.fault("lost", on="POST .*/comment", times=2)
    deploy = deployed(*reversed(releases))
    for _ in range(2):
        work()
    assert [len(comments(jira, key)) for key in ISSUES] == [1, 1]
    assert set(states_of(deploy, outbox.COMMENT, outbox.LINK).values()) == {"delivered"}


def test_what_was_taken_back_before_it_was_told_is_not_told_any_more(releases, jira):
    first, second = releases
    jira.fault("status", status=503)
    forth = deployed(first, second)
    work()
    back = deployed(second, first)
    work()
    jira.recover()
    for _ in range(2):
        work()
    deliveries = states_of(forth, outbox.TRANSITION, outbox.COMMENT, outbox.LINK)
    assert len(deliveries) == 6 and set(deliveries.values()) == {"superseded"}
    for key in ISSUES:
        assert jira.issues[key]["state"] == "In Progress"
        (text,) = comments(jira, key)
        assert text.startswith(f"{RETURN} (deploy {back.id}).")
        assert [link["title"] for link in jira.issues[key]["links"].values()] == [f"{RETURN} (deploy {back.id})."]


def test_the_order_of_releases_tells_what_commits_do_not(jira, administrator):
    shop = factories.application(source={"package": "shop", "integration": None}, tracker=TRACKER)
    first, second = factories.release(shop), factories.release(shop)
    forth, back = deployed(first, second), deployed(second, first)
    work()
    assert states_of(forth, outbox.VERSION) == {(outbox.VERSION, "shop v2"): "delivered"}
    assert states_of(back, outbox.VERSION) == {}
    found = of(back, administrator)
    assert (found["commits"], found["is_going_back"]) == (None, True)
    assert found["notes"] == ["The commits are not known: v2 comes from a package, which has none."]


def test_the_first_deploy_has_nothing_to_compare_with(releases, jira, administrator):
    deploy = deployed(None, releases[0])
    work()
    found = of(deploy, administrator)
    assert (found["state"], found["from"], found["commits"], found["notes"]) == ("ready", None, None, [])
    assert states_of(deploy, outbox.VERSION) == {(outbox.VERSION, "shop v1"): "delivered"}


def test_a_changelog_that_comes_while_a_deploy_ends_is_not_overlooked(releases, jira):
    first, second = releases
    deploy = factories.deploy([factories.host()], release=second, previous_release=first)
    transitions.move_deploy(deploy, "running")
    changelogs.make(Deploy.get_by_id(deploy.id))
    assert transitions.move_deploy(deploy, "succeeded"), "as somebody who read the deploy before"
    work()
    assert_delivered_once(jira, deploy)
