"""Trackers: one suite for all of them, whatever their API, and what is particular to each."""

from dataclasses import dataclass

import pytest

from controllers import foreign
from controllers.foreign import ForeignError, errors
from controllers.foreign.errors import Unclear
from tests.foreign.standins.github_issues import GitHubIssues
from tests.foreign.standins.jira import Jira

pytestmark = pytest.mark.usefixtures("foreign_settings")


@dataclass
class Kind:
    """A tracker under test: its stand-in, its driver, an issue's key, a state to move to, and requests by what they do."""

    standin: object
    driver: object
    key: str
    done: str
    project: str
    move: str
    comment: str

    @property
    def comments(self):
        return next(iter(self.standin.issues.values()))["comments"]


def jira(is_cloud):
    standin = Jira(is_cloud)
    credentials = {"email": "bot@example.net", "token": standin.token} if is_cloud else {"token": standin.token}
    api = "/rest/api/" + ("3" if is_cloud else "2")
    return (
        standin,
        "jira",
        credentials,
        {"projects": ["SHOP"]},
        ("SHOP-1", "Done", "SHOP", f"POST {api}/issue/SHOP-1/transitions", f"POST {api}/issue/SHOP-1/comment"),
    )


def github():
    standin = GitHubIssues()
    api = "/api/v3/repos/team/shop/issues/1"
    return (
        standin,
        "github-issues",
        {"token": standin.token},
        {"repository": "team/shop"},
        ("team/shop#1", "closed", "team/shop", f"PATCH {api}$", f"POST {api}/comments"),
    )


KINDS = {"jira-server": lambda: jira(False), "jira-cloud": lambda: jira(True), "github-issues": github}


@pytest.fixture(params=KINDS)
def tracker(request, integration):
    standin, name, credentials, settings, parts = KINDS[request.param]()
    with standin:
        integration("tracker", name, standin.url, credentials, settings)
        yield Kind(standin, foreign.driver_named("tracker", "tracker"), *parts)


def test_an_issue_is_described(tracker):
    issue = tracker.driver.issue(tracker.key)
    assert (issue.key, issue.title) == (tracker.key, "Thing 1") and issue.url.startswith(tracker.standin.url)


def test_an_issue_is_moved_once(tracker):
    assert tracker.driver.transition(tracker.key, tracker.done) == {"state": tracker.done, "changed": True}
    assert tracker.driver.issue(tracker.key).state == tracker.done
    assert tracker.driver.transition(tracker.key, tracker.done.upper())["changed"] is False
    assert len(tracker.standin.asked(tracker.move)) == 1


def test_a_state_that_is_not_there_is_reported(tracker):
    with pytest.raises(ForeignError) as failed:
        tracker.driver.transition(tracker.key, "Shipped")
    assert failed.value.kind == errors.REFUSED and not failed.value.may_pass and "Shipped" in failed.value.detail
    assert not tracker.standin.asked(tracker.move)


def test_a_comment_is_there_once_however_often_it_is_said(tracker):
    for _ in range(3):
        tracker.driver.comment(tracker.key, "Runs in production.", "windlass-deploy-7")
    tracker.driver.comment(tracker.key, "Runs in production.", "windlass-deploy-8")
    assert len(tracker.comments) == 2


def test_a_comment_is_found_on_a_later_page(tracker):
    tracker.driver.comment(tracker.key, "first", "windlass-deploy-1")
    for number in range(50):
        tracker.driver.comment(tracker.key, "more", f"other-{number}") if number < 2 else tracker.comments.append(
            {"id": 1000 + number, "body": "chatter"}
        )
    tracker.driver.comment(tracker.key, "first", "windlass-deploy-1")
    assert len(tracker.comments) == 51


@pytest.mark.parametrize("what", ["move", "comment"])
def test_a_lost_answer_is_looked_up_and_nothing_is_said_twice(tracker, what):
    pattern = getattr(tracker, what)
    tracker.standin.fault("lost", on=pattern, times=1)
    if what == "move":
        tracker.driver.transition(tracker.key, tracker.done)
        assert tracker.driver.issue(tracker.key).state == tracker.done
    else:
        tracker.driver.comment(tracker.key, "Runs.", "windlass-deploy-7")
        assert len(tracker.comments) == 1
    assert len(tracker.standin.asked(pattern)) == 1


@pytest.mark.parametrize("what", ["move", "comment"])
def test_what_never_arrived_is_unclear_and_said_by_the_next_attempt(tracker, what):
    pattern = getattr(tracker, what)
    tracker.standin.fault("reset", on=pattern, times=1)

    def comment():
        if what == "move":
            return tracker.driver.transition(tracker.key, tracker.done)
        return tracker.driver.comment(tracker.key, "Runs.", "windlass-deploy-7")

    with pytest.raises(Unclear):
        comment()
    assert comment()["changed"] is True


def test_a_link_is_changed_and_never_doubled(tracker):
    tracker.driver.link(tracker.key, "windlass-shop-production", "https://windlass.example.net/deploys/7", "v1 runs")
    tracker.driver.link(tracker.key, "windlass-shop-production", "https://windlass.example.net/deploys/8", "v2 runs")
    issue = next(iter(tracker.standin.issues.values()))
    links = issue.get("links") or {item["id"]: item["body"] for item in issue["comments"]}
    assert len(links) == 1 and "deploys/8" in str(links)


def test_a_version_is_made_released_and_left_alone(tracker):
    for _ in range(2):
        tracker.driver.release_version(tracker.project, "shop v1", "runs in production")
    versions = getattr(tracker.standin, "milestones", None) or tracker.standin.versions["SHOP"]
    (version,) = versions
    assert version.get("released") is True or version["state"] == "closed"


def test_a_version_that_waits_is_released(tracker):
    if isinstance(tracker.standin, Jira):
        tracker.standin.versions["SHOP"].append({"id": "9", "name": "shop v1", "released": False})
    else:
        tracker.standin.milestones.append({"number": 1, "title": "shop v1", "state": "open"})
    tracker.driver.release_version(tracker.project, "shop v1", "runs")
    versions = getattr(tracker.standin, "milestones", None) or tracker.standin.versions["SHOP"]
    assert versions[0].get("released") is True or versions[0]["state"] == "closed"


def test_a_version_whose_answer_was_lost_is_made_once(tracker):
    tracker.standin.fault("lost", on="POST .*(version|milestones)$", times=1)
    tracker.driver.release_version(tracker.project, "shop v1", "runs")
    assert len(getattr(tracker.standin, "milestones", None) or tracker.standin.versions["SHOP"]) == 1


def test_it_is_proved_and_says_what_is_wrong(tracker, integration):
    assert tracker.driver.prove().describe()["ok"]
    tracker.standin.token = "another"
    proof = foreign.driver_named("tracker", "tracker").prove().describe()
    assert not proof["ok"] and "refuses the credentials" in proof["checks"][0]["message"]


# JIRA.


@pytest.fixture
def server(integration):
    with Jira() as standin:
        integration("tracker", "jira", standin.url, {"token": standin.token}, {})
        yield standin


def test_a_server_that_says_yes_and_does_nothing_is_found_out(server):
    server.does_nothing = True
    with pytest.raises(ForeignError, match="left it in In Progress"):
        foreign.driver_named("tracker", "tracker").transition("SHOP-1", "Done")


def test_a_transition_that_wants_a_field_is_reported(server):
    server.ways["In Progress"] = [("31", "Finish", "Done", {"resolution": {"name": "Resolution", "required": True}})]
    with pytest.raises(ForeignError, match="wants Resolution"):
        foreign.driver_named("tracker", "tracker").transition("SHOP-1", "Done")


def test_of_several_ways_to_a_state_one_without_wishes_is_taken(server):
    server.ways["In Progress"] = [
        ("31", "Finish with words", "Done", {"comment": {"name": "Comment", "required": True}}),
        ("32", "Finish", "Done", {"resolution": {"required": True, "hasDefaultValue": True}}),
    ]
    assert foreign.driver_named("tracker", "tracker").transition("SHOP-1", "Done")["changed"]
    assert server.asked("POST .*transitions")[0].json == {"transition": {"id": "32"}}


@pytest.mark.parametrize(
    "status, headers",
    [
        (403, {"X-Authentication-Denied-Reason": "CAPTCHA_CHALLENGE"}),
        (200, {"X-Seraph-LoginReason": "AUTHENTICATION_DENIED"}),
    ],
)
def test_a_captcha_stops_everything_at_once(server, status, headers):
    driver = foreign.driver_named("tracker", "tracker")
    driver.issue("SHOP-1")
    server.fault("status", status=status, headers=headers, body={"x": 1})
    before = len(server.requests)
    for _ in range(3):
        with pytest.raises(ForeignError) as failed:
            foreign.driver_named("tracker", "tracker").issue("SHOP-1")
    assert failed.value.kind in (errors.REFUSED_CREDENTIALS, errors.CIRCUIT_OPEN)
    assert len(server.requests) == before + 1, "a wrong password is never tried again"


@pytest.mark.parametrize(
    "text, projects, keys",
    [
        ("SHOP-1: fix, see OPS-22 and SHOP-1", None, ["SHOP-1", "OPS-22"]),
        ("UTF-8 and SHOP-12", ["SHOP"], ["SHOP-12"]),
        ("xSHOP-1 SHOP-1x shop-1 SHOP-01 A-1 SHOP-", None, []),
        ("feature/SHOP-7_x (SHOP-8)", None, ["SHOP-8"]),
    ],
)
def test_keys_are_found_in_what_commits_say(integration, text, projects, keys):
    integration("tracker", "jira", "https://jira.example.net", {"token": "t"}, {"projects": projects} if projects else {})
    assert foreign.driver_named("tracker", "tracker").keys_in(text) == keys


@pytest.mark.parametrize(
    "text, keys",
    [
        ("Fixes #12, #12 and other/lib#3.", ["team/shop#12", "other/lib#3"]),
        ("a#1 &#39; x/#4 page#anchor #0 #12abc", []),
    ],
)
def test_numbers_of_github_are_found_with_their_repository(integration, text, keys):
    integration("tracker", "github-issues", None, {"token": "t"}, {"repository": "team/shop"})
    assert foreign.driver_named("tracker", "tracker").keys_in(text) == keys
