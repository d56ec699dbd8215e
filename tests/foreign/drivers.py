"""A test case for each driver that speaks HTTP: its stand-in, a call that reads and one that writes; for suites over all."""

import io
from dataclasses import dataclass, replace
from typing import Any

from controllers import foreign
from controllers.foreign.artifacts.base import Digests
from controllers.foreign.notify.base import Message
from controllers.foreign.source.base import Status
from tests.foreign.standins.artifactory import Artifactory, digests_of
from tests.foreign.standins.bitbucket_cloud import BitbucketCloud
from tests.foreign.standins.bitbucket_server import BitbucketServer
from tests.foreign.standins.chat import Receiver, Slack
from tests.foreign.standins.frame import Reply, StandIn, route
from tests.foreign.standins.gitea import Gitea
from tests.foreign.standins.github import GitHub
from tests.foreign.standins.github_issues import GitHubIssues
from tests.foreign.standins.gitlab import GitLab
from tests.foreign.standins.jenkins import Jenkins
from tests.foreign.standins.jira import Jira

TOKEN = "the-token-of-tests"
CONTENT = b"bundle" * 500
MESSAGE = Message("windlass-7", "deploy.failed", "shop v3 has failed", "web-1 is down", {"deploy": 7})


class Index(StandIn):
    """A package index (PEP 691) with one package of one file."""

    token = TOKEN

    @route("GET", "/simple/server/")
    def files(self, request):
        url, digests = f"{self.url}/files/server-1.0-py3-none-any.whl", {"sha256": digests_of(CONTENT)["sha256"]}
        listed = [{"filename": "server-1.0-py3-none-any.whl", "url": url, "hashes": digests, "size": len(CONTENT)}]
        return Reply({"files": listed}, kind="application/vnd.pypi.simple.v1+json")

    @route("GET", "/files/(?P<name>.+)")
    def file(self, request, name):
        return Reply(CONTENT, kind="application/octet-stream")


@dataclass
class Driver:
    """One of them at work: `look` only asks, `do` changes something and can be repeated, `done` counts what came of it."""

    standin: Any
    driver: Any
    look: Any
    do: Any = None
    done: Any = None
    sends: str = "^POST"

    def another(self):
        """Return the driver as another worker has it, which remembers nothing."""
        return type(self.driver)(replace(self.driver.access))


def made(standin, name, url=None, credentials=None, settings=None):
    """Return a driver of the integration `main`."""
    credentials = {"token": getattr(standin, "token", TOKEN)} if credentials is None else credentials
    return foreign.drivers()[name](foreign.Access("main", standin.url if url is None else url, settings or {}, credentials, name))


def source(make, name):
    """Return what makes a source driver's case."""

    def start(standin):
        commit, repository = standin.repository.git("rev-parse", "HEAD"), standin.name
        status = Status("windlass/shop", "success", "https://windlass.example.net/deploys/7", "shop", "v7 runs")
        return Driver(
            standin,
            made(standin, name, credentials={"token": TOKEN}),
            lambda driver: list(driver.refs(repository)),
            lambda driver: driver.set_status(repository, commit, status),
            lambda: len(standin.statuses_of(commit)),
        )

    return make, start


def jenkins(standin):
    """Return the case of Jenkins."""
    parameters = {"WINDLASS_COMMIT": "c" * 40, "WINDLASS_REF": "main"}
    standin.begin(standin.add("team/shop"))
    return Driver(
        standin,
        made(standin, "jenkins", credentials={"username": "deploy", "token": standin.token}),
        lambda driver: driver.look({"job": "team/shop", "key": "key-0", "number": 1}, {"start": 0, "rest": ""}),
        lambda driver: driver.find("team/shop", "key-1") or driver.start("team/shop", parameters, "key-1"),
        lambda: len(standin.items) - 1,
    )


def artifactory(standin):
    """Return the case of Artifactory."""
    standin.add("releases/there", CONTENT)
    digests, other = Digests(**digests_of(CONTENT)), "releases/shop/v1.tar.gz"
    return Driver(
        standin,
        made(standin, "artifactory", f"{standin.url}/artifactory", settings={"repository": "releases"}),
        lambda driver: driver.fetch("there", io.BytesIO(), digests.sha256),
        lambda driver: driver.publish("shop/v1.tar.gz", io.BytesIO(CONTENT), digests),
        lambda: int(other in standin.files),
        "^PUT",
    )


def index(standin):
    """Return the case of a package index, to which nothing is sent."""
    path, sha256 = "server/server-1.0-py3-none-any.whl", digests_of(CONTENT)["sha256"]
    driver = made(standin, "package-index", f"{standin.url}/simple", {"token": TOKEN})
    return Driver(standin, driver, lambda driver: driver.fetch(path, io.BytesIO(), sha256))


def tracker(standin, name, key, done, credentials=None, settings=None, deed="comment"):
    """Return the case of a tracker and one of the changes made in it."""
    deeds = {
        "comment": lambda driver: driver.comment(key, "Runs.", "windlass-deploy-7"),
        "link": lambda driver: driver.link(key, "windlass-shop", "https://windlass.example.net/deploys/7", "v1 runs"),
        "transition": lambda driver: driver.transition(key, "closed" if name == "github-issues" else "Done"),
        "version": lambda driver: driver.release_version(key.rpartition("#")[0] or "SHOP", "shop v1", "runs"),
    }
    return Driver(
        standin,
        made(standin, name, credentials=credentials, settings=settings),
        lambda driver: driver.issue(key),
        deeds[deed],
        lambda: done(standin)[deed],
        "^(POST|PATCH)",
    )


def done_in_jira(standin):
    issue = standin.issues["SHOP-1"]
    return {
        "comment": len(issue["comments"]),
        "link": len(issue["links"]),
        "transition": int(issue["state"] == "Done"),
        "version": len(standin.versions["SHOP"]),
    }


def done_in_github(standin):
    issue = standin.issues[1]
    return {
        "comment": len(issue["comments"]),
        "link": len(issue["comments"]),
        "transition": int(issue["state"] == "closed"),
        "version": len(standin.milestones),
    }


def jira(is_cloud, deed="comment"):
    """Return what makes JIRA's case."""

    def start(standin):
        person = {"email": "bot@example.net", "token": standin.token} if is_cloud else None
        return tracker(standin, "jira", "SHOP-1", done_in_jira, person, deed=deed)

    return (lambda _: Jira(is_cloud)), start


def github_issues(deed="comment"):
    """Return what makes the case of GitHub's issues."""
    settings = {"repository": "team/shop"}
    return (lambda _: GitHubIssues()), lambda standin: tracker(
        standin, "github-issues", "team/shop#1", done_in_github, settings=settings, deed=deed
    )


def webhook(standin):
    """Return the case of a webhook, whose receiver knows a repetition by its id."""
    driver = made(standin, "webhook", f"{standin.url}/hook", {"secret": standin.secret})
    return Driver(standin, driver, None, lambda driver: driver.send(MESSAGE), lambda: len(standin.taken))


def slack(standin):
    """Return the case of Slack, which knows no repetitions."""
    driver = made(standin, "slack", "", {"webhook_url": standin.url + standin.path})
    return Driver(standin, driver, None, lambda driver: driver.send(MESSAGE), lambda: len(standin.posted))


def alone(kind):
    """Return a stand-in's kind as what takes a repository and needs none."""
    return lambda _: kind()


DRIVERS = {
    "bitbucket-server": source(BitbucketServer, "bitbucket-server"),
    "bitbucket-cloud": source(BitbucketCloud, "bitbucket-cloud"),
    "github": source(GitHub, "github"),
    "gitlab": source(GitLab, "gitlab"),
    "gitea": source(Gitea, "gitea"),
    "jenkins": (alone(Jenkins), jenkins),
    "artifactory": (alone(Artifactory), artifactory),
    "package-index": (alone(Index), index),
    "jira-server": jira(False),
    "jira-cloud": jira(True),
    "github-issues": github_issues(),
    "webhook": (alone(Receiver), webhook),
    "slack": (alone(Slack), slack),
}
# Everything else that trackers are told.
DEEDS = {
    f"{name} {deed}": make(deed)
    for name, make in {
        "jira-server": lambda deed: jira(False, deed),
        "jira-cloud": lambda deed: jira(True, deed),
        "github-issues": github_issues,
    }.items()
    for deed in ("transition", "link", "version")
}
