"""All foreign systems of a story, as integrations of one Windlass, and what people and systems do in it.

A test module imports the fixtures `stack`, `world` and `targets`; the hosts are conftest's.
"""

import contextlib
import json

import pytest
import requests

from tests.deploying import applications
from tests.foreign.standins.artifactory import Artifactory
from tests.foreign.standins.bitbucket_server import BitbucketServer
from tests.foreign.standins.chat import Receiver
from tests.foreign.standins.github import GitHub
from tests.foreign.standins.jenkins import Jenkins
from tests.foreign.standins.jira import Jira
from tests.stack import Repository, running_stack

JOB = "team/shop"
ENDED = ("delivered", "superseded")
DELIVERY = {"stash": "x-request-id", "hub": "x-github-delivery"}  # Headers that tell a hook from every other.


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A Windlass that may go to the stand-ins on this machine, and keep releases in a folder."""
    folder = tmp_path_factory.mktemp("stack")
    with running_stack(folder, allowed(folder)) as running:
        yield running


def allowed(folder):
    """Return the settings by which a Windlass in `folder` may go to the stand-ins, and keep releases in a folder."""
    return {
        "WINDLASS_NETWORK_ALLOW": '["127.0.0.0/8"]',
        "WINDLASS_ARTIFACTS_LOCAL_PATHS": json.dumps([str(folder / "kept")]),
        "WINDLASS_FOREIGN_READ_TIMEOUT_S": "3",
        "WINDLASS_GIT_TIMEOUT_S": "8",
        "WINDLASS_WORKER_ZONES": '["default"]',
    }


@pytest.fixture
def world(stack, name):
    """All foreign systems of one test."""
    with systems(stack, name) as found:
        yield found


@contextlib.contextmanager
def systems(stack, name):
    """All foreign systems, and the repository they speak of, as integrations whose names end in that of the application."""
    made = Repository(stack.repositories / name)
    made.commit(applications.plain("one"), "Begin")
    with contextlib.ExitStack() as open_:
        found = World(stack, name, made)
        for part, standin in {
            "stash": BitbucketServer(made, f"ACME/{name}"),
            "hub": GitHub(made, f"acme/{name}"),
            "jenkins": Jenkins(),
            "artifactory": Artifactory(),
            "jira": Jira(),
            "chat": Receiver(),
        }.items():
            setattr(found, part, open_.enter_context(standin))
        found.configure()
        yield found


class World:
    """The systems of one test, and what people do with them."""

    def __init__(self, stack, name, repository):
        self.stack, self.name, self.repository = stack, name, repository
        self.folder = stack.folder / "kept" / name

    def of(self, part):
        """Return an integration's name."""
        return f"{part}-{self.name}"

    def configure(self):
        """Make the integrations."""
        self.folder.mkdir(parents=True)
        for part, driver, url, credentials, settings in (
            ("stash", "bitbucket-server", self.stash.url, {"token": self.stash.token}, {}),
            ("hub", "github", self.hub.url, {"token": self.hub.token}, {}),
            ("jenkins", "jenkins", self.jenkins.url, {"username": "deploy", "token": self.jenkins.token}, {}),
            ("here", "local", None, None, {}),
            (
                "artifactory",
                "artifactory",
                f"{self.artifactory.url}/artifactory",
                {"token": self.artifactory.token},
                {"repository": "releases"},
            ),
            ("jira", "jira", self.jira.url, {"token": self.jira.token}, {"projects": ["SHOP"]}),
            ("folder", "directory", None, None, {"folder": str(self.folder)}),
            (
                "chat",
                "webhook",
                f"{self.chat.url}/hook",
                {"secret": self.chat.secret},
                {"applications": [self.name], "events": ["deploy.succeeded", "deploy.failed"]},
            ),
            ("site", "ansible", None, None, {"folder": str(self.stack.playbooks / self.name)}),
        ):
            fields = {
                "name": self.of(part),
                "driver": driver,
                "url": url,
                "credentials": credentials,
                "settings": settings,
            }
            self.stack.call("POST", "/integrations", {key: value for key, value in fields.items() if value})
        self.secrets = {part: self.stack.call("POST", f"/integrations/{self.of(part)}/hook", {})["secret"] for part in DELIVERY}

    def application(self):
        """Make the application, built by Jenkins, kept in Artifactory, with issues in JIRA."""
        self.stack.call(
            "POST",
            "/applications",
            {
                "name": self.name,
                **self.places(),
                "tracker": {
                    "integration": self.of("jira"),
                    "project": "SHOP",
                    "transitions": {"staging": "In Review", "production": "Done"},
                    "versions": {"production": "{application} {release}"},
                },
            },
        )

    def places(self, source="stash", build="jenkins", artifacts="artifactory"):
        """Return the fields of an application that say where it comes from, is built and is kept."""
        return {
            "source": {"integration": self.of(source), "repository": getattr(self, source).name, "branch": "main"},
            "build": {"integration": self.of(build), "job": JOB},
            "artifacts": {"integration": self.of(artifacts), "path": "shop"},
        }

    def move(self, **places):
        """Move the application to other systems."""
        self.stack.call("PATCH", f"/applications/{self.name}", self.places(**places))

    def push(self, commit, part="stash"):
        """Tell Windlass of a push, as a code host does; returns the answer."""
        headers, body = getattr(self, part).push_hook(self.secrets[part], [("branch", "main", commit)])
        headers[DELIVERY[part]] = f"delivery-{commit}"
        return requests.post(
            f"{self.stack.url}/api/v1/hooks/{self.of(part)}",
            data=body,
            headers={**headers, "Content-Type": "application/json"},
            timeout=30,
        )

    def newest(self):
        """Return the newest release."""
        items = self.stack.call("GET", f"/applications/{self.name}/releases")["items"]
        return items[0] if items else None

    def await_release(self, commit, state="ready"):
        """Return the release of a commit once it is in a state."""
        found = self.stack.wait(
            f"/applications/{self.name}/releases",
            lambda page: page["items"] and page["items"][0]["commit"] == commit and page["items"][0]["state"] == state,
        )
        return found["items"][0]

    def last_deploy(self, environment="production"):
        """Return the newest deploy to an environment."""
        return self.stack.call("GET", f"/deploys?application={self.name}&environment={environment}")["items"][0]

    def await_automatic_deploy(self, release):
        """Return the deploy of a release that a rule made, once it has ended well."""
        path = f"/deploys?application={self.name}&environment=staging"
        found = self.stack.wait(path, lambda page: page["items"] and page["items"][0]["release"] == release["version"])
        return self.stack.await_end(found["items"][0]["id"], "succeeded")

    def begin_in_waves(self, version):
        """Begin a rollout to production that changes one host and then waits to be resumed; returns the deploy."""
        strategy = {"kind": "rolling", "batch": 1, "pause_s": "resume"}
        wish = {"application": self.name, "release": version, "environment": "production", "strategy": strategy}
        return self.await_pause(self.stack.call("POST", "/deploys", wish), 2)

    def await_pause(self, deploy, wave):
        """Return a deploy once it waits to be resumed before a wave, and all that was to be delivered by then is delivered."""
        waits = f"waits to be resumed before wave {wave} "
        found = self.stack.wait(f"/deploys/{deploy['id']}", lambda shown: waits in (shown["reason"] or ""))
        self.await_delivered(deploy)
        return found

    def await_delivered(self, deploy, *actions):
        """Wait until everything that a deploy leads to was delivered; returns the deliveries by action."""
        found = self.stack.wait(
            f"/deploys/{deploy['id']}/deliveries",
            lambda page: (
                set(actions) <= {item["action"] for item in page["items"]}
                and all(item["state"] in ENDED for item in page["items"])
            ),
        )
        return {item["action"]: item for item in found["items"]}

    def await_build(self, count):
        """Wait until Jenkins was asked for so many builds in all."""
        self.stack.wait(f"/applications/{self.name}/releases", lambda _: len(self.jenkins.items) == count)

    def await_trying_again(self, version):
        """Return what a release says of a system that is away, once it does."""
        lines = self.await_lines(version, lambda lines: any(line.endswith("Trying again.") for line in lines))
        return next(line for line in lines if line.endswith("Trying again."))

    def begin_build(self, log):
        """Let Jenkins begin what it was asked for, with the beginning of its log; returns the stand-in's build."""
        self.stack.wait(f"/applications/{self.name}/releases", lambda _: self.jenkins.items)
        build = self.jenkins.begin(log=log)
        self.await_lines(self.newest()["version"], lambda lines: any(JOB in line for line in lines))
        return build

    def jenkins_builds(self):
        """Let Jenkins build what it was asked for."""
        build = self.begin_build(b"compiling\n")
        build.log, build.result = build.log + b"all green\n", "SUCCESS"

    def await_lines(self, version, is_done):
        """Return the lines of a release's history once `is_done(lines)`."""
        path = f"/applications/{self.name}/releases/{version}/events"

        def lines(page):
            return [event.get("text") or "" for event in page["items"]]

        return lines(self.stack.wait(path, lambda page: is_done(lines(page))))


def names_of(world):
    """Return the names that users reach the application by."""
    return [f"{world.name}.example.com"]


@pytest.fixture
def targets(stack, world, hosts):
    """Staging on one host, by a rule; production on three, only with what succeeded in staging."""
    world.application()
    make_staging(stack)
    stack.call("PATCH", "/environments/production", {"promote_from": "staging"})
    stack.set_target(hosts[:1], world.name, "staging", rules=[{"branch": "main"}], server_names=names_of(world))
    set_production(stack, world, hosts)
    yield
    stack.call("PATCH", "/environments/production", {"promote_from": None})


def make_staging(stack):
    """Make the environment `staging` unless an earlier test has."""
    if "staging" not in {item["name"] for item in stack.call("GET", "/environments")["items"]}:
        stack.call("POST", "/environments", {"name": "staging"})


def set_production(stack, world, hosts, configure=()):
    """Have production go to three hosts, one of them first; `configure` is what runs on each."""
    canary = {"kind": "canary", "batch": 1}
    fields = {"strategy": canary, "server_names": names_of(world), "configure": list(configure)}
    stack.set_target(hosts[1:], world.name, "production", **fields)
