"""Playbooks that run before and after steps of a deploy: their output, what their failure leads to, plans that name them."""

import pytest

from tests.deploying import applications
from tests.fleet.reaper import processes

MARK = """\
- hosts: {group}
  gather_facts: false
  tasks:
    - name: leave a mark
      copy:
        content: "{{{{ word }}}} {{{{ windlass_release }}}} {{{{ windlass_variables.PASSWORD }}}}"
        dest: "{{{{ windlass_root }}}}/{mark}"
    - name: show the password
      debug:
        var: windlass_variables
"""
BREAK = """\
- hosts: all
  gather_facts: false
  tasks:
    - name: check the licence
      fail:
        msg: the licence is over
"""
WAIT = """\
- hosts: all
  gather_facts: false
  tasks:
    - name: wait long
      command: sh -c 'echo $$ > {{ windlass_root }}/waiting; exec sleep 600'
"""
MANIFEST = 'file { "${windlass_root}/puppet": content => "${word} ${windlass_release} ${windlass_variables[\'PASSWORD\']}" }\n'


@pytest.fixture(scope="module")
def playbooks(stack):
    """The folder of the integration `ansible`."""
    folder = stack.playbooks / "ours"
    folder.mkdir(parents=True)
    stack.call("POST", "/integrations", {"name": "ansible", "driver": "ansible", "settings": {"folder": str(folder)}})
    assert stack.call("POST", "/integrations/ansible/test", {})["ok"]
    return folder


def entry(run, **where):
    """Return an entry of a target's `configure`."""
    return {"integration": "ansible", "run": run, **where}


def set_target(stack, hosts, name, *entries):
    """Have playbooks run in the deploys of an application."""
    stack.set_target(hosts, name, server_names=[f"{name}.example.com"], configure=list(entries))
    variables = {"variables": {"PASSWORD": {"value": "open-sesame", "secret": True}}}
    stack.call("PUT", f"/applications/{name}/targets/production/variables", variables)


def events_of(stack, deploy):
    """Return all events of a deploy."""
    return stack.call("GET", f"/deploys/{deploy['id']}/events?limit=200")["items"]


def test_playbooks_run_at_their_places_and_a_plan_names_them(stack, hosts, playbooks, repository, name):
    host = hosts[0]
    for mark, group in (("before", f"{name}_production"), ("after", "zone_default")):
        (playbooks / f"{name}-{mark}.yml").write_text(MARK.format(group=group, mark=f"{name}-{mark}"))
    before = entry(f"{name}-before.yml", before="ship", variables={"word": "{{ now() }}"})
    after = entry(f"{name}-after.yml", after="clean", variables={"word": "two"})
    set_target(stack, hosts, name, after, before)
    repository.commit(applications.plain("one"))
    release = stack.release(name)["version"]
    asked = {"application": name, "release": release, "environment": "production"}

    plan = stack.call("POST", "/plans", asked)
    plan = stack.wait(f"/plans/{plan['id']}", lambda shown: shown["state"] != "observing")
    listed = plan["hosts"][0]["configure"]
    assert [(item["run"], item["when"]) for item in listed] == [
        (after["run"], "after clean"),
        (before["run"], "before ship"),
    ]
    assert not list(host.root.glob(f"{name}-*")), "a plan changes nothing"

    deploy = stack.deploy(release, name, plan=plan["id"])
    assert (host.root / f"{name}-before").read_text() == f"{{{{ now() }}}} {release} open-sesame"
    assert (host.root / f"{name}-after").read_text() == f"two {release} open-sesame"
    steps = stack.host_runs(deploy)[host.name]["steps"]
    names = [step["name"] for step in steps]
    assert names.index(f"ansible:{before['run']}") + 1 == names.index("ship")
    assert names[-2:] == ["clean", f"ansible:{after['run']}"]
    assert {step["message"] for step in steps if step["name"].startswith("ansible:")} == {"changed the host"}
    events = events_of(stack, deploy)
    tasks = [(item["text"], item["data"]["state"]) for item in events if item["kind"] == "task"]
    assert tasks == [("leave a mark", "changed"), ("show the password", "ok")] * 2
    assert "open-sesame" not in str(events) and "PASSWORD" in str(events)

    repository.commit(applications.plain("two"))
    plan = stack.call("POST", "/plans", {**asked, "release": stack.release(name)["version"]})
    stack.wait(f"/plans/{plan['id']}", lambda shown: shown["state"] == "ready")
    (playbooks / before["run"]).write_text(BREAK)
    stale = stack.deploy(plan["release"], name, plan=plan["id"], state="failed")
    assert "plan-stale" in stale["reason"] and stack.host_runs(stale)[host.name]["code"] == "plan-stale"


def test_a_manifest_is_applied_by_the_hosts_puppet(stack, hosts, playbooks, repository, name):
    host = hosts[0]
    (playbooks / "site.pp").write_text(MANIFEST)
    settings = {"folder": str(playbooks), "command": host.puppet_command()}
    stack.call("POST", "/integrations", {"name": "puppet", "driver": "puppet", "settings": settings})
    manifest = {"integration": "puppet", "run": "site.pp", "before": "ship", "variables": {"word": "well"}}
    set_target(stack, hosts, name, manifest)
    repository.commit(applications.plain("one"))
    release = stack.release(name)["version"]

    deploy = stack.deploy(release, name)
    assert host.get(server_name=f"{name}.example.com") == (200, "one")
    assert (host.root / "puppet").read_text() == f"well {release} open-sesame"
    steps = {step["name"]: step["message"] for step in stack.host_runs(deploy)[host.name]["steps"]}
    assert steps["puppet:site.pp"] == "changed the host"
    events = events_of(stack, deploy)
    assert [item["data"]["state"] for item in events if item["kind"] == "task"] == ["changed"]
    assert "open-sesame" not in str(events)


def test_what_fails_fails_the_host_in_the_playbooks_words(stack, hosts, playbooks, repository, name):
    host = hosts[0]
    (playbooks / "break.yml").write_text(BREAK)
    set_target(stack, hosts, name)
    repository.commit(applications.plain("one"))
    stack.deploy(stack.release(name)["version"], name)

    repository.commit(applications.plain("two"))
    second = stack.release(name)["version"]
    for where, state in (({"before": "connect"}, "failed"), ({"after": "clean"}, "rolled_back")):
        set_target(stack, hosts, name, entry("break.yml", **where))
        deploy = stack.deploy(second, name, state=state)
        assert "check the licence" in deploy["reason"] and "the licence is over" in deploy["reason"]
        assert host.get(server_name=f"{name}.example.com") == (200, "one")
    done = {step["name"]: step["state"] for step in stack.host_runs(deploy)[host.name]["steps"]}
    assert done["ansible:break.yml"] in ("failed", "pending")  # The last attempt is that of going back.


def test_a_cancelled_deploy_ends_its_playbook(stack, hosts, playbooks, repository, name):
    host = hosts[0]
    (playbooks / "wait.yml").write_text(WAIT)
    set_target(stack, hosts, name, entry("wait.yml", before="configure"))
    repository.commit(applications.plain("one"))
    asked = {"application": name, "release": stack.release(name)["version"], "environment": "production"}
    deploy = stack.call("POST", "/deploys", asked)
    mark = host.root / "waiting"
    stack.wait(f"/deploys/{deploy['id']}", lambda _: mark.exists() and mark.read_text().strip())
    stack.call("POST", f"/deploys/{deploy['id']}/cancel")
    stack.await_end(deploy["id"], "cancelled")
    pid = int(mark.read_text())
    stack.wait(f"/deploys/{deploy['id']}", lambda _: pid not in processes())


def test_a_target_is_refused_what_could_not_run(stack, hosts, playbooks, name, repository):
    stack.call("POST", "/integrations", {"name": "code", "driver": "git"})
    for fields, message in (
        (entry("x.yml", before="switch"), "before switch"),
        (entry("../x.yml", before="ship"), "without .."),
        ({**entry("x.yml", before="ship"), "integration": "code"}, "needs one of driver ansible or puppet"),
        ({**entry("x.yml", before="ship"), "integration": "nobody"}, "no integration 'nobody'"),
        (entry("x.yml", before="ship", variables={"ansible_host": "x"}), "ansible_"),
    ):
        answer = stack.request(
            "PUT",
            f"/applications/{name}/targets/production",
            json={"hosts": [hosts[0].name], "configure": [fields]},
        )
        assert answer.status_code == 422 and message in answer.text, answer.text
    set_target(stack, hosts, name, entry("x.yml", before="ship"))
    assert stack.request("DELETE", "/integrations/ansible").status_code == 409
