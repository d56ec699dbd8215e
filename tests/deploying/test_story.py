"""One story through all foreign systems, and the same application moved to others with nobody noticing.

A push arrives at Bitbucket Server's hook; Jenkins builds it, its log live; the release's bundle goes to Artifactory; staging
takes it by a rule, JIRA's issue moves; production takes it on three hosts; statuses, links and messages go back out.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import shutil

import pytest
import requests

from devkit import serve
from tests.deploying import applications
from tests.fleet.keeper import Keeper
from tests.foreign.standins.artifactory import Artifactory
from tests.foreign.standins.bitbucket_server import BitbucketServer
from tests.foreign.standins.chat import Receiver
from tests.foreign.standins.github import GitHub
from tests.foreign.standins.jenkins import Jenkins
from tests.foreign.standins.jira import Jira
from tests.stack import ENDED, ROOT, Repository, running_stack

HOSTS = 4
SITE = """\
- hosts: {name}_production
  gather_facts: false
  tasks:
    - name: note the release
      copy: {{content: "{{{{ windlass_release }}}} for {{{{ shop }}}}", dest: "{{{{ windlass_root }}}}/{name}-site"}}
"""
VARYING = (r"slot [ab]", r"\d{4}-\d\d-\d\dT[\d:.]+Z", r"[0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{10,12}", r"v\d+", r"#?\d+")


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A Windlass that may go to the stand-ins on this machine, and keep releases in a folder."""
    folder = tmp_path_factory.mktemp("stack")
    allowed = {
        "WINDLASS_NETWORK_ALLOW": '["127.0.0.0/8"]',
        "WINDLASS_ARTIFACTS_LOCAL_PATHS": json.dumps([str(folder / "kept")]),
        "WINDLASS_FOREIGN_READ_TIMEOUT_S": "3",
        "WINDLASS_GIT_TIMEOUT_S": "8",
        "WINDLASS_WORKER_ZONES": '["default"]',
    }
    with running_stack(folder, allowed) as running:
        yield running


@pytest.fixture
def world(stack, name):
    """All foreign systems, and the repository they speak of, configured as integrations of names that end in this test's."""
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

    def of(self, part):
        """Return an integration's name."""
        return f"{part}-{self.name}"

    def configure(self):
        """Make the integrations."""
        folder = self.stack.folder / "kept" / self.name
        folder.mkdir(parents=True)
        for part, driver, url, credentials, settings in (
            ("stash", "bitbucket-server", self.stash.url, {"token": self.stash.token}, {}),
            ("hub", "github", self.hub.url, {"token": self.hub.token}, {}),
            ("jenkins", "jenkins", self.jenkins.url, {"username": "deploy", "token": self.jenkins.token}, {}),
            (
                "artifactory",
                "artifactory",
                f"{self.artifactory.url}/artifactory",
                {"token": self.artifactory.token},
                {"repository": "releases"},
            ),
            ("jira", "jira", self.jira.url, {"token": self.jira.token}, {"projects": ["SHOP"]}),
            ("folder", "directory", None, None, {"folder": str(folder)}),
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
        self.secret = self.stack.call("POST", f"/integrations/{self.of('stash')}/hook", {})["secret"]

    def application(self):
        """Make the application, built by Jenkins, kept in Artifactory, with issues in JIRA."""
        self.stack.call(
            "POST",
            "/applications",
            {
                "name": self.name,
                "source": {"integration": self.of("stash"), "repository": self.stash.name, "branch": "main"},
                "build": {"integration": self.of("jenkins"), "job": "team/shop"},
                "artifacts": {"integration": self.of("artifactory"), "path": "shop"},
                "tracker": {
                    "integration": self.of("jira"),
                    "project": "SHOP",
                    "transitions": {"staging": "In Review", "production": "Done"},
                    "versions": {"production": "{application} {release}"},
                },
            },
        )

    def push(self, commit):
        """Tell Windlass of a push, as Bitbucket Server does; returns the answer."""
        headers, body = self.stash.push_hook(self.secret, [("branch", "main", commit)])
        headers["x-request-id"] = f"delivery-{commit}"
        return requests.post(
            f"{self.stack.url}/api/v1/hooks/{self.of('stash')}",
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

    def await_automatic_deploy(self, release):
        """Return the deploy of a release that a rule made, once it has ended well."""
        path = f"/deploys?application={self.name}&environment=staging"
        found = self.stack.wait(path, lambda page: page["items"] and page["items"][0]["release"] == release["version"])
        return self.stack.await_end(found["items"][0]["id"], "succeeded")

    def await_told(self, deploy, *actions):
        """Wait until everything that a deploy leads to was said; returns the deliveries by action."""
        found = self.stack.wait(
            f"/deploys/{deploy['id']}/deliveries",
            lambda page: (
                set(actions) <= {item["action"] for item in page["items"]}
                and all(item["state"] in ("delivered", "superseded") for item in page["items"])
            ),
        )
        return {item["action"]: item for item in found["items"]}

    def await_build(self, count):
        """Wait until Jenkins was asked for so many builds in all."""
        self.stack.wait(f"/applications/{self.name}/releases", lambda _: len(self.jenkins.items) == count)

    def await_trying_again(self, version):
        """Return what a release says of a system that is away, once it does."""
        path = f"/applications/{self.name}/releases/{version}/events"

        def said(page):
            texts = [event.get("text") or "" for event in page["items"]]
            return next((text for text in texts if text.endswith("Trying again.")), None)

        return said(self.stack.wait(path, said))

    def jenkins_builds(self, commit, log=b"compiling \xc3\xbc\nall green\n"):
        """Let Jenkins build what it was asked for."""
        self.stack.wait(f"/applications/{self.name}/releases", lambda _: self.jenkins.items)
        build = self.jenkins.begin(log=log[:11])  # It ends in the middle of a character.
        version = self.newest()["version"]
        events = f"/applications/{self.name}/releases/{version}/events"
        self.stack.wait(events, lambda page: any("team/shop" in (event.get("text") or "") for event in page["items"]))
        build.log, build.result = log, "SUCCESS"
        return [event.get("text") for event in self.stack.call("GET", events)["items"]]


def names_of(world):
    """Return the names that users reach the application by."""
    return [f"{world.name}.example.com"]


@pytest.fixture
def targets(stack, world, hosts):
    """Staging on one host, by a rule; production on three, only with what succeeded in staging."""
    world.application()
    names = {item["name"] for item in stack.call("GET", "/environments")["items"]}
    if "staging" not in names:
        stack.call("POST", "/environments", {"name": "staging"})
    stack.call("PATCH", "/environments/production", {"promote_from": "staging"})
    stack.set_target(hosts[:1], world.name, "staging", rules=[{"branch": "main"}], server_names=names_of(world))
    set_production(stack, world, hosts)
    yield
    stack.call("PATCH", "/environments/production", {"promote_from": None})


def set_production(stack, world, hosts, configure=()):
    """Have production go to three hosts, one of them first; `configure` is what runs on each."""
    canary = {"kind": "canary", "batch": 1}
    fields = {"strategy": canary, "server_names": names_of(world), "configure": list(configure)}
    stack.set_target(hosts[1:], world.name, "production", **fields)


def test_from_a_push_to_production_and_back_out(stack, world, targets, hosts, cli):
    first = world.repository.git("rev-parse", "HEAD")
    assert (world.push(first).status_code, world.push(first).json()) == (202, {"state": "duplicate"})
    world.jenkins_builds(first)
    begun = world.await_release(first)
    world.await_automatic_deploy(begun)
    stack.deploy(begun["version"], world.name, "production")

    second = world.repository.commit(applications.plain("two"), "SHOP-1: sell tea\n\nAlso UTF-8 and OPS-9.")
    world.push(second)
    world.await_build(2)
    assert world.jenkins.items[1].parameters["WINDLASS_COMMIT"] == second
    world.jenkins_builds(second)
    release = world.await_release(second)
    log = [
        event.get("text")
        for event in stack.call("GET", f"/applications/{world.name}/releases/{release['version']}/events")["items"]
    ]
    assert [line for line in log if line in ("compiling ü", "all green")] == ["compiling ü", "all green"], log

    # The bundle, with its digest.
    kept = stack.wait(f"/applications/{world.name}/releases/{release['version']}", lambda shown: shown["bundle"])[
        "bundle"
    ]
    content = world.artifactory.files[f"releases/{kept['path']}"].content
    assert hashlib.sha256(content).hexdigest() == kept["sha256"]

    # Staging, by its rule.
    staged = world.await_automatic_deploy(release)
    assert staged["requested_by"] == "automation"
    changelog = stack.wait(f"/deploys/{staged['id']}/changelog", lambda shown: shown["state"] == "ready")
    assert [commit["subject"] for commit in changelog["commits"]] == ["SHOP-1: sell tea"]
    assert [issue["key"] for issue in changelog["issues"]] == ["SHOP-1"]
    world.await_told(staged, "transition", "comment", "remote-link", "commit-status", "message", "promote")
    assert world.jira.issues["SHOP-1"]["state"] == "In Review"
    stack.wait(
        f"/applications/{world.name}/targets/staging/automations",
        lambda page: {item["state"] for item in page["items"]} == {"deployed"},
    )

    # Production, by a person, its hosts made ready by Ansible.
    playbooks = stack.playbooks / world.name
    playbooks.mkdir(parents=True)
    (playbooks / "site.yml").write_text(SITE.format(name=world.name))
    site = {"integration": world.of("site"), "run": "site.yml", "before": "ship", "variables": {"shop": "tea"}}
    set_production(stack, world, hosts, [site])
    done = cli("deploy", world.name, release["version"], "--to", "production", "--wait", "--yes")
    deploy = stack.call("GET", f"/deploys?application={world.name}&environment=production")["items"][0]
    assert deploy["state"] == "succeeded", done.stdout
    assert [host.get(server_name=f"{world.name}.example.com") for host in hosts] == [(200, "two")] * 4
    noted = [host.root / f"{world.name}-site" for host in hosts]
    assert not noted[0].exists() and [path.read_text() for path in noted[1:]] == [f"{release['version']} for tea"] * 3
    events = stack.call("GET", f"/deploys/{deploy['id']}/events?limit=200")["items"]
    tasks = [(item["host"], item["text"], item["data"]["state"]) for item in events if item["kind"] == "task"]
    assert sorted(tasks) == sorted((host.name, "note the release", "changed") for host in hosts[1:])
    told = world.await_told(
        deploy, "transition", "comment", "remote-link", "release-version", "commit-status", "message", "promote"
    )
    assert world.jira.issues["SHOP-1"]["state"] == "Done"
    assert list(world.jira.issues["SHOP-1"]["links"]) == [
        f"windlass-{world.name}-staging",
        f"windlass-{world.name}-production",
    ]
    assert [version["name"] for version in world.jira.versions["SHOP"]] == [f"{world.name} v1", f"{world.name} v2"]
    statuses = {key: state for key, state, *_ in world.stash.said(second)}
    assert statuses == {f"windlass/{world.name}/{where}": "success" for where in ("staging", "production")}
    assert [taken["data"].get("deploy") for taken in world.chat.taken.values()].count(deploy["id"]) == 1
    properties = world.artifactory.files[f"releases/{kept['path']}"].properties
    assert properties["windlass.production.deploy"] == str(deploy["id"]) and told["promote"]["state"] == "delivered"

    # The same application, from other systems.
    before = outputs(cli, world, deploy)
    stack.call(
        "PATCH",
        f"/applications/{world.name}",
        {
            "source": {"integration": world.of("hub"), "repository": world.hub.name, "branch": "main"},
            "build": None,
            "artifacts": {"integration": world.of("folder"), "path": "shop"},
        },
    )
    world.repository.commit(applications.plain("three"), "SHOP-2: sell coffee")
    moved = stack.release(world.name)
    stack.deploy(moved["version"], world.name, "staging")
    cli("deploy", world.name, moved["version"], "--to", "production", "--wait", "--yes")
    after = outputs(
        cli, world, stack.call("GET", f"/deploys?application={world.name}&environment=production")["items"][0]
    )
    assert after == before
    kept = stack.wait(f"/applications/{world.name}/releases/{moved['version']}", lambda shown: shown["bundle"])[
        "bundle"
    ]
    assert (
        hashlib.sha256((stack.folder / "kept" / world.name / kept["path"]).read_bytes()).hexdigest() == kept["sha256"]
    )


def outputs(cli, world, deploy):
    """Return what the client shows of an application, without what no two deploys have in common."""
    texts = [
        cli("releases", "show", world.name, deploy["release"]).stdout,
        cli("logs", str(deploy["id"])).stdout,
        cli("status", "--application", world.name).stdout,
    ]
    shown = "\n".join(texts)
    for pattern in VARYING:
        shown = re.sub(pattern, "…", shown)
    return sorted({re.sub(r"[…\s]+", " ", line).strip() for line in shown.splitlines()})


FAULTS = {"down": ("status", {"status": 503}), "slow": ("slow", {}), "lying": ("wrong-type", {})}


@pytest.mark.parametrize("part", ["jira", "artifactory", "chat", "stash"])
def test_a_rollout_takes_no_notice_of_a_system_that_is_down_slow_or_lying(stack, world, hosts, part):
    world.application()
    stack.call("PATCH", f"/applications/{world.name}", {"build": None})
    stack.set_target(hosts[1:], world.name, "production", server_names=names_of(world))
    stack.deploy(stack.release(world.name)["version"], world.name)
    standin = getattr(world, part)
    # A receiver of webhooks that answers with 200 has taken them, whatever it says.
    faults = {fault: how for fault, how in FAULTS.items() if (part, fault) != ("chat", "lying")}
    for number, (fault, (kind, options)) in enumerate(faults.items(), 1):
        world.repository.commit(applications.plain(fault), f"SHOP-{number}: {fault}")
        release = stack.release(world.name)
        bundle = f"/applications/{world.name}/releases/{release['version']}"
        stack.wait(bundle, lambda shown: shown["bundle"])
        standin.fault(kind, **options)
        deploy = stack.deploy(release["version"], world.name)
        assert [host.get(server_name=f"{world.name}.example.com") for host in hosts[1:]] == [(200, fault)] * 3
        told = not_said(stack, deploy)
        assert {item["integration"] for item in told} == {world.of(part)}, told
        assert all(world.of(part) in item["error"] for item in told), told
        standin.recover()
        stack.call("POST", f"/integrations/{world.of(part)}/test", {})  # Closes its circuit.
        for item in told:
            stack.request("POST", f"/deliveries/{item['id']}/resend")
        path = f"/deploys/{deploy['id']}/deliveries"
        stack.wait(path, lambda page: {item["state"] for item in page["items"]} <= {"delivered", "superseded"})
        if part == "jira":
            comments = [comment["body"] for comment in world.jira.issues[f"SHOP-{number}"]["comments"]]
            assert len(comments) == 1 and world.jira.issues[f"SHOP-{number}"]["state"] == "Done"
        if part == "chat":
            assert [taken["data"].get("deploy") for taken in world.chat.taken.values()].count(deploy["id"]) == 1


@pytest.mark.parametrize("part", ["stash", "jenkins"])
def test_a_push_waits_for_a_system_that_is_down_slow_or_lying_and_is_built_once(stack, world, hosts, part):
    world.application()
    if "staging" not in {item["name"] for item in stack.call("GET", "/environments")["items"]}:
        stack.call("POST", "/environments", {"name": "staging"})
    stack.set_target(hosts[:1], world.name, "staging", rules=[{"branch": "main"}], server_names=names_of(world))
    stack.set_target(hosts[1:2], world.name, "production", server_names=names_of(world))
    first = world.repository.git("rev-parse", "HEAD")
    world.push(first)
    world.jenkins_builds(first)
    running = world.await_release(first)
    world.await_automatic_deploy(running)
    for number, (fault, (kind, options)) in enumerate(FAULTS.items(), 2):
        commit = world.repository.commit(applications.plain(fault), f"SHOP-{number}: {fault}")
        getattr(world, part).fault(kind, **options)
        assert world.push(commit).json() == {"state": "accepted"}, (
            "hooks are taken whatever else is wrong with a system"
        )
        if part == "stash":  # Jenkins has built it before its source is asked for the code.
            world.await_build(number)
            world.jenkins_builds(commit)
        stack.wait(f"/applications/{world.name}/releases", lambda page, count=number: len(page["items"]) == count)
        told = world.await_trying_again(f"v{number}")
        assert f"'{world.of(part)}'" in told, told
        stack.deploy(running["version"], world.name, "production")
        getattr(world, part).recover()
        stack.call("POST", f"/integrations/{world.of(part)}/test", {})
        if part == "jenkins":
            world.await_build(number)
            world.jenkins_builds(commit)
        running = world.await_release(commit)
        world.await_automatic_deploy(running)
    made = stack.call("GET", f"/deploys?application={world.name}&environment=staging")["items"]
    assert [deploy["release"] for deploy in made] == ["v4", "v3", "v2", "v1"]
    assert len(world.jenkins.asked("POST .*/buildWithParameters")) == 4, "nothing is built twice"


def test_a_worker_with_a_folder_of_its_own_fetches_releases_from_where_they_are_kept(stack, world, fleet_factory):
    with Keeper() as keeper:
        start_worker(keeper, stack, "dmz")
        stack.call("POST", "/zones", {"name": "dmz"})
        zone = stack.wait("/zones/dmz", lambda zone: zone["public_key"])
        (host,) = fleet_factory(1)
        host.authorize(zone["public_key"])
        stack.call("POST", "/hosts", host.api_payload(zone="dmz"))
        stack.call("POST", f"/hosts/{host.name}/trust", {"fingerprint": host.fingerprint})
        world.application()
        stack.call("PATCH", f"/applications/{world.name}", {"build": None, "tracker": None})
        stack.set_target([host], world.name, "production", server_names=names_of(world))
        release = stack.release(world.name)["version"]
        shown = stack.wait(f"/applications/{world.name}/releases/{release}", lambda shown: shown["bundle"])
        place = f"releases/{shown['bundle']['path']}"

        kept = world.artifactory.files.pop(place)
        assert f"'{world.of('artifactory')}'" in refused(stack, world, release)
        world.artifactory.files[place] = dataclasses.replace(kept, content=b"another" + kept.content)
        assert "changed or damaged" in refused(stack, world, release)
        world.artifactory.files[place] = kept
        world.artifactory.fault("status", on=f"^GET .*{world.name}", status=429, retry_after=86_400)
        assert "artifacts.patience_s" in refused(stack, world, release), "it is not waited for a day"
        plan = same_plan_of_both(stack, world, host, release)
        world.artifactory.recover()
        deploy = away_for_a_while(stack, world, host, release, plan)
        assert host.get(server_name=f"{world.name}.example.com") == (200, "one")
        log = stack.request("GET", f"/deploys/{deploy['id']}/log").text
        assert f"Fetching {release} from {world.of('artifactory')}" in log
        tried = stack.call("POST", f"/integrations/{world.of('site')}/test", {})["checks"]
        assert any(check["name"] == "folder in zone dmz" and "seen by worker" in check["message"] for check in tried), (
            tried
        )

        world.repository.commit(applications.plain("two"))
        later = stack.release(world.name)["version"]
        stack.wait(f"/applications/{world.name}/releases/{later}", lambda shown: shown["bundle"])
        stack.deploy(later, world.name, plan=same_plan_of_both(stack, world, host, later))
        assert host.get(server_name=f"{world.name}.example.com") == (200, "two")
        # What the host has still needs nobody who keeps it.
        world.artifactory.fault("status", status=503)
        shutil.rmtree(stack.folder / "data-dmz" / "store")
        stack.deploy(release, world.name)
        assert host.get(server_name=f"{world.name}.example.com") == (200, "one")


def same_plan_of_both(stack, world, host, release):
    """Plan by the worker that has no files of the release and by the one that built it; returns the latter's number."""
    host.authorize(stack.call("GET", "/zones/default")["public_key"])
    plans = []
    for zone in ("dmz", "default"):
        stack.call("PATCH", f"/hosts/{host.name}", {"zone": zone})
        made = stack.call("POST", "/plans", wish(world, release))
        plans.append(stack.wait(f"/plans/{made['id']}", lambda plan: plan["state"] != "observing"))
    stack.call("PATCH", f"/hosts/{host.name}", {"zone": "dmz"})
    one, other = plans
    assert one["state"] == "ready" and one["hosts"][0]["bytes_to_send"] > 0, one
    assert (one["digest"], one["hosts"]) == (other["digest"], other["hosts"])
    return other["id"]


def away_for_a_while(stack, world, host, release, plan):
    """Deploy while what keeps the release is away, until it is back; returns the deploy."""
    world.artifactory.fault("status", on=f"^GET .*{world.name}", status=503)
    made = stack.call("POST", "/deploys", {**wish(world, release), "plan": plan})
    path = f"/deploys/{made['id']}/hosts"
    page = stack.wait(path, lambda page: "cannot be fetched now" in (page["items"][0]["message"] or ""))
    assert f"'{world.of('artifactory')}'" in page["items"][0]["message"]
    assert stack.call("GET", f"/deploys/{made['id']}")["state"] == "running"
    assert not os.path.lexists(f"{host.root}/{world.name}/current"), "nothing was done to the host"
    world.artifactory.recover()
    return stack.await_end(made["id"], "succeeded")


def wish(world, release):
    """Return what is asked for when a release is to go to production."""
    return {"application": world.name, "release": release, "environment": "production"}


def start_worker(keeper, stack, zone):
    """Start a worker that serves one zone and shares the database and the queue with the others, but no file of a release."""
    folder = stack.folder / f"data-{zone}"
    folder.mkdir()
    (folder / "broker").symlink_to(stack.data / "broker")
    variables = {
        "WINDLASS_DATA": str(folder),
        "WINDLASS_DATABASE_URL": f"sqlite:///{stack.data}/windlass.db",
        "WINDLASS_SECRET_KEY_FILE": str(stack.data / "secret.key"),
        "WINDLASS_WORKER_ZONES": json.dumps([zone]),
        "WINDLASS_WORKER_CENTRAL": "false",
    }
    return keeper.start(
        serve.worker_command(), stack.folder / f"worker-{zone}.log", env={**stack.environment, **variables}, cwd=ROOT
    )


def refused(stack, world, release):
    """Deploy what cannot be had; returns what is said of it, once nothing was touched."""
    made = stack.call("POST", "/deploys", wish(world, release))
    ended = stack.wait(f"/deploys/{made['id']}", lambda deploy: deploy["state"] in ENDED)
    log = stack.request("GET", f"/deploys/{made['id']}/log").text
    assert ended["state"] in ("failed", "rolled_back") and "Nothing was touched" in log, log
    return log


def not_said(stack, deploy):
    """Return the deliveries of a deploy that were tried in vain, once there are any."""
    path = f"/deploys/{deploy['id']}/deliveries"
    page = stack.wait(path, lambda page: any(item["error"] and item["state"] != "superseded" for item in page["items"]))
    return [item for item in page["items"] if item["error"] and item["state"] != "superseded"]
