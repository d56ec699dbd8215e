"""One story through all foreign systems, and the same application moved to others with nobody noticing.

A push arrives at Bitbucket Server's hook; Jenkins builds it, its log live; the release's bundle goes to Artifactory; staging
takes it by a rule, JIRA's issue moves; production takes it on three hosts; statuses, links and messages go back out.
"""

import copy
import hashlib
import re

from tests.deploying import applications
from tests.deploying.story import names_of, set_production, stack, targets, world

__all__ = ["stack", "targets", "world"]

HOSTS = 4
BOTH = ("production", "staging")
SITE = """\
- hosts: {name}_production
  gather_facts: false
  tasks:
    - name: note the release
      copy: {{content: "{{{{ windlass_release }}}} for {{{{ shop }}}}", dest: "{{{{ windlass_root }}}}/{name}-site"}}
"""
VARYING = (
    r"slot [ab]",
    r"\d{4}-\d\d-\d\dT[\d:.]+Z",
    r"[0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{10,12}",
    r"v\d+",
    r"[\d.]+ [kM]?B\b",
    r"#?\d+",
)


def test_from_a_push_to_production_and_back_out(stack, world, targets, hosts, cli):
    first = world.repository.git("rev-parse", "HEAD")
    assert (world.push(first).status_code, world.push(first).json()) == (202, {"state": "duplicate"})
    world.jenkins_builds()
    begun = world.await_release(first)
    world.await_automatic_deploy(begun)
    stack.deploy(begun["version"], world.name, "production")

    second = world.repository.commit(applications.plain("two"), "SHOP-1: sell tea\n\nAlso UTF-8 and OPS-9.")
    world.push(second)
    world.await_build(2)
    assert world.jenkins.items[1].parameters["WINDLASS_COMMIT"] == second
    release = built_before_our_eyes(world, second)
    in_staging(stack, world, release, "SHOP-1")
    bundle = bundle_of(stack, world, release)
    content = world.artifactory.files[f"releases/{bundle['path']}"].content
    assert hashlib.sha256(content).hexdigest() == bundle["sha256"]

    make_ready_by_ansible(stack, world, hosts)
    before, deploy = through_the_client(cli, world, release)
    assert [host.get(server_name=names_of(world)[0]) for host in hosts] == [(200, "two")] * 4
    made_ready(stack, world, hosts, deploy, release)
    assert_delivered_once(world, deploy, release, "SHOP-1")
    assert statuses(world.stash, second) == [(f"windlass/{world.name}/{where}", "success") for where in BOTH]
    assert [version["name"] for version in world.jira.versions["SHOP"]] == [f"{world.name} v1", f"{world.name} v2"]
    properties = world.artifactory.files[f"releases/{bundle['path']}"].properties
    assert properties["windlass.production.deploy"] == str(deploy["id"])

    # The same application, from other systems.
    world.move(source="hub", build="here", artifacts="folder")
    third = world.repository.commit(applications.plain("three"), "SHOP-2: sell tea")
    assert world.push(third, "hub").status_code == 202
    moved = world.await_release(third)
    in_staging(stack, world, moved, "SHOP-2")
    after, deploy = through_the_client(cli, world, moved)
    for shown, was in before.items():
        assert after[shown] == was, shown
    assert [host.get(server_name=names_of(world)[0]) for host in hosts] == [(200, "three")] * 4
    made_ready(stack, world, hosts, deploy, moved)
    assert_delivered_once(world, deploy, moved, "SHOP-2")
    assert statuses(world.hub, third) == [(f"windlass/{world.name}/{where}", "success") for where in BOTH]
    assert world.stash.statuses_of(third) == [] and len(world.jenkins.items) == 2, "nothing goes to where it was before"
    bundle = bundle_of(stack, world, moved)
    assert hashlib.sha256((world.folder / bundle["path"]).read_bytes()).hexdigest() == bundle["sha256"]

    going_back_leaves_issues_alone(stack, world, hosts, deploy, "SHOP-2")


def built_before_our_eyes(world, commit):
    """Let Jenkins build a commit, and see each line of its log before the build has ended; returns the release."""
    build = world.begin_build(b"checked out\ncompiling \xc3")  # It ends in the middle of a character.
    version = world.newest()["version"]
    lines = world.await_lines(version, lambda lines: "checked out" in lines)
    assert build.result is None and not [line for line in lines if line.startswith("compiling")], lines
    build.log += b"\xbc\n"
    world.await_lines(version, lambda lines: "compiling ü" in lines)
    assert build.result is None
    build.log, build.result = build.log + b"all green\n", "SUCCESS"
    release = world.await_release(commit)
    log = world.await_lines(version, lambda lines: "all green" in lines)
    expected = ["checked out", "compiling ü", "all green"]
    assert [line for line in log if line in expected] == expected, log
    return release


def in_staging(stack, world, release, issue):
    """Await a release in staging by its rule, and what follows from that."""
    staged = world.await_automatic_deploy(release)
    assert staged["requested_by"] == "automation"
    changelog = stack.wait(f"/deploys/{staged['id']}/changelog", lambda shown: shown["state"] == "ready")
    assert changelog["commits"], changelog
    assert [commit["subject"] for commit in changelog["commits"]] == [f"{issue}: sell tea"]
    assert [found["key"] for found in changelog["issues"]] == [issue]
    world.await_delivered(staged, "transition", "comment", "remote-link", "commit-status", "message", "promote")
    assert world.jira.issues[issue]["state"] == "In Review"
    stack.wait(
        f"/applications/{world.name}/targets/staging/automations",
        lambda page: {item["state"] for item in page["items"]} == {"deployed"},
    )


def bundle_of(stack, world, release):
    """Return where a release is kept, once it is."""
    path = f"/applications/{world.name}/releases/{release['version']}"
    return stack.wait(path, lambda shown: shown["bundle"])["bundle"]


def make_ready_by_ansible(stack, world, hosts):
    """Have Ansible make the hosts of production ready."""
    playbooks = stack.playbooks / world.name
    playbooks.mkdir(parents=True)
    (playbooks / "site.yml").write_text(SITE.format(name=world.name))
    site = {"integration": world.of("site"), "run": "site.yml", "before": "ship", "variables": {"shop": "tea"}}
    set_production(stack, world, hosts, [site])


def made_ready(stack, world, hosts, deploy, release):
    """Assert that Ansible has made the hosts of production ready, live in the deploy's events, and no other."""
    noted = [host.root / f"{world.name}-site" for host in hosts]
    assert not noted[0].exists() and [path.read_text() for path in noted[1:]] == [f"{release['version']} for tea"] * 3
    events = stack.call("GET", f"/deploys/{deploy['id']}/events?limit=200")["items"]
    tasks = [(item["host"], item["text"], item["data"]["state"]) for item in events if item["kind"] == "task"]
    assert sorted(tasks) == sorted((host.name, "note the release", "changed") for host in hosts[1:])


def assert_delivered_once(world, deploy, release, issue):
    """Assert that all systems got their deliveries about a deploy to production, once."""
    actions = ("transition", "comment", "remote-link", "release-version", "commit-status", "message", "promote")
    assert world.await_delivered(deploy, *actions)["promote"]["state"] == "delivered"
    found = world.jira.issues[issue]
    assert found["state"] == "Done"
    assert sorted(found["links"]) == [f"windlass-{world.name}-{where}" for where in BOTH]
    runs = f"{world.name} {release['version']} runs in "
    assert sorted(comment["body"].partition(runs)[2].split()[0] for comment in found["comments"]) == list(BOTH)
    assert [taken["data"].get("deploy") for taken in world.chat.taken.values()].count(deploy["id"]) == 1


def going_back_leaves_issues_alone(stack, world, hosts, deploy, issue):
    """Roll production back; an issue that somebody has taken up again stays there, and gets a comment. No version changes."""
    found, versions = world.jira.issues[issue], copy.deepcopy(world.jira.versions)
    found["state"] = "In Progress"
    back = stack.rollback(deploy)
    deliveries = world.await_delivered(back, "comment", "remote-link", "commit-status", "message", "promote", "changelog")
    assert not {"transition", "release-version"} & set(deliveries), deliveries
    assert (found["state"], world.jira.versions) == ("In Progress", versions)
    text = f"Taken back from production with the return of {world.name} to {back['release']} (deploy {back['id']})."
    (taken,) = [comment["body"] for comment in found["comments"] if "Taken back from production" in comment["body"]]
    assert taken.startswith(text)
    assert found["links"][f"windlass-{world.name}-production"]["title"] == text
    assert [host.get(server_name=names_of(world)[0]) for host in hosts[1:]] == [(200, "two")] * 3


def statuses(host, commit):
    """Return [(key, state)] of a commit, without those of deploys that were under way."""
    return sorted((key, state) for key, state, *_ in host.statuses_of(commit) if state != "pending")


def through_the_client(cli, world, release):
    """Plan and deploy a release to production; returns what the client shows of it, by command, and the deploy."""
    plan = cli("plan", world.name, release["version"], "--to", "production")
    cli("deploy", world.name, release["version"], "--to", "production", "--wait", "--yes")
    deploy = world.last_deploy()
    assert deploy["state"] == "succeeded" and deploy["release"] == release["version"]
    world.stack.wait(f"/deploys/{deploy['id']}/changelog", lambda shown: shown["state"] == "ready")
    shown = {
        "plan": plan,
        "changelog": cli("deploys", "changelog", str(deploy["id"])),
        "release": cli("releases", "show", world.name, deploy["release"]),
        "comparison": cli("releases", "compare", world.name, deploy["previous_release"], deploy["release"]),
        "status": cli("status", "--application", world.name),
        "log": cli("logs", str(deploy["id"])),
    }
    lines = {command: lines_of(done.stdout) for command, done in shown.items()}
    lines["log"] = sorted(set(lines["log"]))  # Hosts are changed side by side, in no order.
    return lines, deploy


def lines_of(text):
    """Return the lines of what the client shows, without what no two deploys have in common.

    The first of them also finds nothing in its slots that is to be stopped.
    """
    for pattern in VARYING:
        text = re.sub(pattern, "…", text)
    lines = [re.sub(r"\s+", " ", line).strip() for line in text.splitlines()]
    return [line for line in lines if not line.startswith("stop web")]
