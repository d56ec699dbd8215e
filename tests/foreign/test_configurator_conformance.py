"""Ansible and puppet for real, on a host with an sshd of its own: one suite for both, over what a configurator promises."""

import threading
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from controllers import foreign, zonekeys
from controllers.foreign.configurator.base import Job
from controllers.foreign.errors import FAILED, NOT_FOUND, STOPPED, TIMED_OUT, UNAVAILABLE, UNUSABLE, ForeignError
from tests.fleet.reaper import processes

SECRET = 'hush-"it\'s"-{{ 6 * 7 }}-${hush}'


class AnsibleCase:
    """What the suite needs of Ansible."""

    driver, suffix, opened = "ansible", "yml", "playbooks"
    play = "- hosts: {hosts}\n  gather_facts: false\n  tasks:\n"
    write = '  - name: write it\n    copy: {content: "{{ greeting }} {{ windlass_variables.WORD }}", dest: "{{ place }}"}\n'
    fail = "  - name: break it\n    command: sh -c 'echo alas >&2; exit 3'\n"
    wait = "  - name: wait long\n    command: sh -c 'echo $$ > {{ place }}; exec sleep 600'\n"
    wrong = "- hosts: all\n  tasksz: []\n"

    def text(self, *tasks, hosts="all"):
        """Return a playbook."""
        return self.play.format(hosts=hosts) + "".join(tasks)

    def settings(self, host):
        """Return further settings of the integration."""
        return {}


class PuppetCase:
    """What the suite needs of Puppet."""

    driver, suffix, opened = "puppet", "pp", "manifests"
    write = "file { $place: content => \"${greeting} ${windlass_variables['WORD']}\", show_diff => true }\n"
    fail = "exec { 'break it': command => '/bin/sh -c \"echo alas >&2; exit 3\"', logoutput => true }\n"
    wait = "exec { 'wait long': command => \"/bin/sh -c 'echo \\$\\$ > ${place}; exec sleep 600'\", timeout => 0 }\n"
    wrong = "file { 'a'\n"

    def text(self, *resources):
        """Return a manifest."""
        return "".join(resources)

    def settings(self, host):
        """Return settings with which puppet keeps what it keeps in the host's own folder."""
        return {"command": host.puppet_command()}


@pytest.fixture(scope="module")
def machine(fleet_factory):
    """The host of this module."""
    return fleet_factory(1)[0]


@pytest.fixture(params=[AnsibleCase, PuppetCase], ids=["ansible", "puppet"])
def case(request, machine, settings, tmp_path):
    """A case with a folder of its own, the host as a row, and a way to run something there."""
    made = request.param()
    made.folder = tmp_path / "folder"
    made.folder.mkdir()
    getattr(settings, made.driver).__dict__[made.opened] = [str(tmp_path)]
    machine.authorize(zonekeys.public_key("default"))
    made.host = SimpleNamespace(
        name=machine.name,
        address=machine.address,
        port=machine.port,
        user=machine.user,
        host_key=machine.host_key,
        transport="ssh",
        root=str(machine.root),
        settings=machine.settings,
        tags=["web"],
        zone=SimpleNamespace(name="default"),
    )
    made.place = machine.root / f"written-{tmp_path.name}"
    made.access = foreign.Access(
        "site", None, {"folder": str(made.folder), "time_limit_s": 120, **made.settings(machine)}, {}, made.driver
    )
    made.events = []
    return made


def run(case, *parts, name="site", limit_s=120, stop=None, on_event=None, host=None, **options):
    """Write a playbook or manifest of these parts and run it."""
    path = case.folder / f"{name}.{case.suffix}"
    path.parent.mkdir(exist_ok=True)
    path.write_text(parts[0] if len(parts) == 1 and parts[0] == case.wrong else case.text(*parts))
    variables = {"greeting": SECRET, "place": str(case.place), "windlass_variables": {"WORD": "well"}}
    job = Job(
        host=host or case.host,
        run=f"{name}.{case.suffix}",
        variables=variables,
        on_event=on_event or case.events.append,
        stop=stop or threading.Event(),
        limit_s=limit_s,
        key=f"test-{time.monotonic_ns()}",
        groups=("zone_default",),
        secrets=(SECRET,),
        **options,
    )
    return foreign.drivers()[case.driver](case.access).carry_out(job)


def failure(case, *parts, **options):
    """Return the error that a run ends with."""
    with pytest.raises(ForeignError) as caught:
        run(case, *parts, **options)
    return caught.value


def awaited(condition, limit_s=90):
    """Wait until a condition holds."""
    over = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < over, "it did not come about"
        time.sleep(0.05)


def is_alive(pid):
    """Say whether a process of this machine, which is the host's as well, is there."""
    return pid in processes()


def test_what_it_changes_is_heard_live_and_not_changed_again(case):
    assert run(case, case.write, is_check=True) is (case.driver == "ansible")  # puppet --noop tells of no change
    assert not case.place.exists()
    case.events.clear()
    assert run(case, case.write) is True
    assert case.place.read_text() == f"{SECRET} well"  # As it is: nothing in it was taken for a template.
    changed = [event["text"] for event in case.events if event["kind"] == "task" and event["data"]["state"] == "changed"]
    assert len(changed) == 1 and (changed == ["write it"] or str(case.place) in changed[0]), changed
    output = "\n".join(event["text"] for event in case.events)
    assert "hush" not in output and "output" in [event["kind"] for event in case.events]
    assert run(case, case.write) is False


def test_a_failed_task_is_reported_in_its_own_words(case):
    error = failure(case, case.fail)
    assert error.kind == FAILED and "site" in error.detail
    assert "break it" in error.detail and "3" in error.detail
    assert "alas" in error.detail + "".join(event["text"] for event in case.events)
    assert (error.system, error.driver) == ("site", case.driver)


def test_what_cannot_be_read_is_said(case):
    error = failure(case, case.wrong)
    assert "site" in error.detail and ("tasksz" in error.detail or "yntax" in error.detail)


def test_what_leads_out_of_the_folder_is_refused(case, tmp_path, settings):
    outside = tmp_path / f"outside.{case.suffix}"
    outside.write_text(case.text(case.write))
    driver = foreign.drivers()[case.driver](case.access)
    (case.folder / f"link.{case.suffix}").symlink_to(outside)
    for path in (f"../outside.{case.suffix}", str(outside), f"link.{case.suffix}", f"x/../../outside.{case.suffix}"):
        with pytest.raises(ForeignError) as caught:
            driver.place(path)
        assert caught.value.kind == UNUSABLE and "folder" in caught.value.detail
    with pytest.raises(ForeignError) as caught:
        driver.place(f"absent.{case.suffix}")
    assert caught.value.kind == NOT_FOUND
    getattr(settings, case.driver).__dict__[case.opened] = [str(tmp_path / "elsewhere")]
    with pytest.raises(ForeignError) as caught:
        driver.place(f"link.{case.suffix}")
    assert f"{case.driver}.{case.opened}" in caught.value.detail
    assert not driver.prove().describe()["ok"]


def test_a_change_in_the_folder_changes_its_digest(case):
    driver = foreign.drivers()[case.driver](case.access)
    (case.folder / "roles").mkdir()
    part = case.folder / "roles" / "part"
    part.write_text("one")
    before = driver.digest()
    assert driver.digest() == before
    part.write_text("two")
    assert driver.digest() != before


def test_a_host_that_is_not_there_is_said_to_be_so(case):
    gone = SimpleNamespace(**{**vars(case.host), "port": 1})
    error = failure(case, case.write, host=gone)
    assert error.kind == UNAVAILABLE and "reach" in error.detail and not case.place.exists()


def test_a_host_with_another_key_than_the_pinned_one_is_not_touched(case):
    other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3UoV0Mv5n2b8n0u7yq7yZ8h2S7pC6W9n1eGm3s8Vxk"
    error = failure(case, case.write, host=SimpleNamespace(**{**vars(case.host), "host_key": other}))
    assert error.kind == UNAVAILABLE and "pinned" in error.detail and not case.place.exists()


@contextmanager
def waiting(case):
    """Let something run that waits long; yields its thread's findings once it waits, with the process id of what waits."""
    found = SimpleNamespace(error=None, stop=threading.Event())

    def go():
        found.error = failure(case, case.wait, stop=found.stop)

    thread = threading.Thread(target=go)
    thread.start()
    awaited(lambda: case.place.exists() and case.place.read_text().strip())
    found.pid = int(case.place.read_text())
    yield found
    thread.join(60)
    assert not thread.is_alive()


def test_cancelled_it_ends_with_all_its_processes(case):
    with waiting(case) as found:
        assert is_alive(found.pid)
        found.stop.set()
    assert found.error.kind == STOPPED
    awaited(lambda: not is_alive(found.pid))
    assert not list(Path(case.folder.parent, "data", "scratch").glob("*"))  # The key and the variables are gone.


def test_after_its_time_limit_it_is_ended(case):
    error = failure(case, case.wait, limit_s=8)
    assert error.kind == TIMED_OUT and "8 s" in error.detail
    if case.place.exists() and case.place.read_text().strip():  # Else it had not come that far.
        awaited(lambda: not is_alive(int(case.place.read_text())))


def test_an_integration_says_what_it_has(case):
    (case.folder / "site").write_text("")
    proof = foreign.drivers()[case.driver](case.access).prove().describe()
    assert proof["ok"] and "1 files" in str(proof)


only_ansible = pytest.mark.parametrize("case", [AnsibleCase], ids=["ansible"], indirect=True)
only_puppet = pytest.mark.parametrize("case", [PuppetCase], ids=["puppet"], indirect=True)


@only_ansible
def test_ansible_that_is_not_there_is_said_with_a_remedy(case, settings):
    for python in ("/usr/bin/python3", "/nonexistent/python"):
        settings.ansible.python = python
        error = failure(case, case.write)
        assert error.kind == UNUSABLE and "ansible.python" in error.detail
        assert not foreign.drivers()["ansible"](case.access).prove().describe()["ok"]


@only_ansible
def test_a_playbook_for_other_hosts_is_no_success(case):
    (case.folder / "other.yml").write_text(case.text(case.write, hosts="elsewhere"))
    job = Job(case.host, "other.yml", {}, case.events.append, threading.Event(), 60, "other", groups=("zone_default",))
    with pytest.raises(ForeignError) as caught:
        foreign.drivers()["ansible"](case.access).carry_out(job)
    assert "zone_default" in caught.value.detail


@only_puppet
def test_a_host_without_puppet_is_said_to_lack_it(case):
    case.access.settings["command"] = ["no-such-puppet"]
    assert "no-such-puppet" in failure(case, case.write).detail


@only_puppet
def test_a_manifest_for_other_nodes_is_no_success(case):
    assert "site.pp" in failure(case, "node 'other.example.net' { }\n").detail
    assert "node" in "".join(event["text"] for event in case.events)


@only_puppet
def test_puppets_modules_go_along(case):
    module = case.folder / "modules" / "greeting" / "manifests"
    module.mkdir(parents=True)
    (module / "init.pp").write_text("class greeting($place) { file { $place: content => 'from a module' } }\n")
    assert run(case, "class { 'greeting': place => $place }\n") is True
    assert case.place.read_text() == "from a module"
    (module / "outside.pp").symlink_to("/etc/hostname")
    assert "outside.pp" in failure(case, case.write).detail
