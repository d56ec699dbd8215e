"""Foreign systems down, slow or lying during a rollout: it goes on, errors name the remedy, each delivery comes once."""

import contextlib
import json
import re

import pytest

from tests.deploying import applications
from tests.deploying.story import ENDED, make_staging, names_of, stack, systems, world

__all__ = ["stack", "world"]

HOSTS = 4
FAULTS = {"down": ("status", {"status": 503}), "slow": ("slow", {}), "lying": ("wrong-type", {})}
REMEDY = re.compile(r"[Ll]ook whether it is (mounted and )?well|Check its URL|looked up before it is sent again|: delete ")


class Folder:
    """A folder that keeps releases, as something that misbehaves: it is away, no folder, or its files are damaged."""

    def __init__(self, place):
        self.place, self.aside = place, place.with_name(f"{place.name}-aside")

    def fault(self, kind, **_):
        """Misbehave from now on, in the way that comes nearest to a server's."""
        if kind == "wrong-type":
            for description in self.place.rglob("*.windlass.json"):
                description.rename(f"{description}-aside")
                description.write_text("{")
            return
        self.place.rename(self.aside)
        if kind == "slow":
            self.place.write_text("no folder")

    def recover(self):
        """Behave again."""
        if self.aside.exists():
            self.place.unlink(missing_ok=True)
            self.aside.rename(self.place)
        for aside in self.place.rglob("*.windlass.json-aside"):
            aside.rename(aside.with_name(aside.name.removesuffix("-aside")))


@pytest.fixture(scope="module")
def shared(stack, hosts):
    """One application for all these tests, with its first release in production on three hosts."""
    with systems(stack, "turns") as found:
        found.folder_of_releases = Folder(found.folder)
        found.application()
        found.move(build="here")
        stack.set_target(hosts[1:], found.name, "production", server_names=names_of(found))
        stack.deploy(stack.release(found.name)["version"], found.name)
        yield found


PLACES = {"hub": {"source": "hub"}, "folder": {"artifacts": "folder"}}
PARTS = ["stash", "hub", "artifactory", "folder", "jira", "chat"]


@pytest.mark.parametrize("part", PARTS)
def test_a_rollout_under_way_takes_no_notice_and_nothing_is_told_twice(stack, shared, hosts, part):
    world, issue = shared, f"SHOP-{PARTS.index(part) + 1}"
    world.move(**{"build": "here", **PLACES.get(part, {})})
    commit = world.repository.commit(applications.plain(part), f"{issue}: {part}")
    release = stack.release(world.name)
    stack.wait(f"/applications/{world.name}/releases/{release['version']}", lambda shown: shown["bundle"])
    system = world.folder_of_releases if part == "folder" else getattr(world, part)
    deploy = world.begin_in_waves(release["version"])
    with mended(world, part, system):
        misbehave(system, "down")
        stack.call("POST", f"/deploys/{deploy['id']}/resume")
        world.await_pause(deploy, 3)
    with mended(world, part, system):
        misbehave(system, "slow")
        stack.call("POST", f"/deploys/{deploy['id']}/resume")
        stack.await_end(deploy["id"], "succeeded")
        assert [host.get(server_name=names_of(world)[0]) for host in hosts[1:]] == [(200, part)] * 3
        failed = in_vain(world, part, deploy)
    # A receiver of webhooks that answers with 200 has taken them, whatever it says.
    for fault in ("down",) if part == "chat" else ("down", "lying"):
        with mended(world, part, system):
            misbehave(system, fault)
            resend(stack, failed)
            in_vain(world, part, deploy)
    resend(stack, failed)
    world.await_delivered(deploy)
    assert_delivered_once(world, deploy, commit, issue, part)


def misbehave(system, fault):
    """Let a system be down, slow or lying."""
    kind, options = FAULTS[fault]
    system.fault(kind, **options)


@contextlib.contextmanager
def mended(world, part, system):
    """Let a system be well again at the end of a block, and Windlass see it, which closes its circuit."""
    try:
        yield
    finally:
        system.recover()
    world.stack.call("POST", f"/integrations/{world.of(part)}/test", {})


def in_vain(world, part, deploy):
    """Return a deploy's deliveries to a system that misbehaves, tried in vain and with a remedy; all others are delivered."""

    def is_tried(page):
        ours = [item for item in page["items"] if item["integration"] == world.of(part) and item["state"] not in ENDED]
        others = [item for item in page["items"] if item["integration"] != world.of(part)]
        return ours and all(item["error"] for item in ours) and all(item["state"] in ENDED for item in others)

    items = world.stack.wait(f"/deploys/{deploy['id']}/deliveries", is_tried)["items"]
    failed = [item for item in items if item["state"] not in ENDED]
    for item in failed:
        assert f"'{world.of(part)}'" in item["error"] and REMEDY.search(item["error"]), item
    return failed


def resend(stack, deliveries):
    """Send deliveries again that were tried in vain; what is under way just then is waited for."""
    for item in deliveries:
        path = f"/deliveries/{item['id']}"
        stack.wait(path, lambda _, path=path: stack.request("POST", f"{path}/resend").status_code < 400)


def assert_delivered_once(world, deploy, commit, issue, part):
    """Assert that everything that a deploy leads to was done, and done once, where the application is now."""
    host = world.hub if part == "hub" else world.stash
    sent = [request.json["state"] for request in host.did(f"POST .*{commit}")]
    assert len([state for state in sent if state in ("success", "SUCCESSFUL")]) == 1, sent
    found = world.jira.issues[issue]
    assert found["state"] == "Done" and len(world.jira.did(f"POST .*/{issue}/transitions")) == 1
    assert len(found["comments"]) == 1 and list(found["links"]) == [f"windlass-{world.name}-production"]
    versions = [version["name"] for version in world.jira.versions["SHOP"]]
    assert versions.count(f"{world.name} {deploy['release']}") == 1
    assert [taken["data"].get("deploy") for taken in world.chat.taken.values()].count(deploy["id"]) == 1
    assert marked(world, part).count(str(deploy["id"])) == 1


def marked(world, part):
    """Return the deploys to production that the releases are marked with, where they are kept."""
    if part == "folder":
        described = [json.loads(path.read_text()) for path in world.folder.rglob("*.windlass.json")]
        found = [description["properties"] for description in described]
    else:
        found = [file.properties for file in world.artifactory.files.values()]
    return [properties.get("windlass.production.deploy") for properties in found]


@pytest.mark.parametrize("part", ["stash", "jenkins"])
def test_a_push_waits_for_a_system_that_is_down_slow_or_lying_and_is_built_once(stack, world, hosts, part):
    world.application()
    make_staging(stack)
    stack.set_target(hosts[:1], world.name, "staging", rules=[{"branch": "main"}], server_names=names_of(world))
    stack.set_target(hosts[1:3], world.name, "production", server_names=names_of(world))
    first = world.repository.git("rev-parse", "HEAD")
    world.push(first)
    world.jenkins_builds()
    running = world.await_release(first)
    world.await_automatic_deploy(running)
    for number, fault in enumerate(FAULTS, 2):
        commit = world.repository.commit(applications.plain(fault), f"SHOP-{number}: {fault}")
        rollout = world.begin_in_waves(running["version"])
        with mended(world, part, getattr(world, part)):
            misbehave(getattr(world, part), fault)
            assert world.push(commit).json() == {"state": "accepted"}, "hooks are taken whatever else is wrong"
            if part == "stash":  # Jenkins has built it before its source is asked for the code.
                world.await_build(number)
                world.jenkins_builds()
            path = f"/applications/{world.name}/releases"
            stack.wait(path, lambda page, count=number: len(page["items"]) == count)
            line = world.await_trying_again(f"v{number}")
            assert f"'{world.of(part)}'" in line and REMEDY.search(line), line
            stack.call("POST", f"/deploys/{rollout['id']}/resume")
            stack.await_end(rollout["id"], "succeeded")
        if part == "jenkins":
            world.await_build(number)
            world.jenkins_builds()
        running = world.await_release(commit)
        world.await_automatic_deploy(running)
    made = stack.call("GET", f"/deploys?application={world.name}&environment=staging")["items"]
    assert [deploy["release"] for deploy in made] == ["v4", "v3", "v2", "v1"]
    assert len(world.jenkins.asked("POST .*/buildWithParameters")) == 4, "nothing is built twice"
