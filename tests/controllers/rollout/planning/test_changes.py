"""What a rollout changes on a host is worked out from plain data; a wrong answer is one that somebody agreed to."""

import copy
import hashlib

import pytest

from controllers.desired import diffs, spec
from controllers.rollout.planning import changes

SIZES = {"aa": 10, "bb": 20, "cc": 40, "ee": 80}
OLD_FILES = [["app.py", 0o644, 100, "aa"], ["gone.py", 0o644, 5, "aa"], ["link", "link", "app.py"]]
NEW_FILES = [["app.py", 0o644, 120, "bb"], ["link", "link", "other.py"], ["other.py", 0o755, 7, "cc"]]
ENVIRONMENT = [["bin/tool", 0o755, 300, "ee"]]


def seal(text):
    return hashlib.sha256(b"key" + text.encode()).hexdigest()


def digest_of(text):
    return hashlib.sha256(text.encode()).hexdigest()


def desired(**more):
    made = {
        "release": "new",
        "environment": "env",
        "processes": {"web": {}, "worker": {}},
        "web": "web",
        "variables": {"A": "1"},
        "keep_warm": True,
        "supervisor": {slot: {"path": f"app-{slot}.conf", "text": f"program of {slot}\n"} for slot in "ab"},
        "nginx": {"path": "app.conf", "text": {"a": "site\n", "b": "site\n"}},
        "spec_digest": "s-new",
    }
    return {**made, **more}


def held(release="old", digest="s-old", up=("web", "worker"), variables=None):
    return {
        "release": release,
        "version": "v1",
        "spec_digest": digest,
        "serving": True,
        "variables": {name: digest_of(value) for name, value in (variables or {}).items()},
        "processes": {name: {"state": "RUNNING" if name in up else "STOPPED", "pid": 1} for name in ("web", "worker")},
    }


def state(a=None, b=None, active=None, texts=None, releases=(), environments=()):
    texts = {"supervisor-a": None, "supervisor-b": None, "nginx": None, **(texts or {})}
    active_slot = {"a": a, "b": b}.get(active)
    return {
        "application": {
            "current": active_slot and active_slot["release"],
            "active": active,
            "slots": {"a": a, "b": b},
            "ports": {"a": 1, "b": 2},
            "texts": texts,
            "files": {what: text and digest_of(text) for what, text in texts.items()},
            "releases": list(releases),
            "environments": list(environments),
        }
    }


def found(seen, specification=None, before=None, known=None, sizes=SIZES):
    before = before or {"version": "v1", "lock": "six==1.16.0\nold==1.0\n", "files": OLD_FILES}
    after = {
        "version": "v2",
        "lock": "six==1.17.0\nnew==2.0\n",
        "files": NEW_FILES,
        "environment": ENVIRONMENT,
        "known": known or {"release": set(), "environment": set()},
    }
    return changes.of_host("web-1", specification or desired(), seen, before, after, sizes, seal)


RUNNING = {
    "a": held(),
    "active": "a",
    "texts": {"supervisor-a": "program of a\n", "nginx": "site\n"},
    "releases": ["old"],
}


def test_files_packages_and_bytes():
    changed = found(state(**RUNNING))
    assert changed["files"] == {
        "added": [{"path": "other.py", "size": 7}],
        "changed": [{"path": "app.py", "size": 120}, {"path": "link", "size": None}],
        "removed": [{"path": "gone.py", "size": 5}],
        "counts": {"added": 1, "changed": 2, "removed": 1},
    }
    assert changed["packages"] == {
        "added": [{"name": "new", "version": "2.0"}],
        "removed": [{"name": "old", "version": "1.0"}],
        "upgraded": [{"name": "six", "from": "1.16.0", "to": "1.17.0"}],
    }
    assert changed["bytes_to_send"] == 20 + 40 + 80


def test_only_files_the_host_cannot_reuse_are_sent():
    assert (
        found(state(**RUNNING), known={"release": {("bb", 0o644), ("cc", 0o644)}, "environment": set()})["bytes_to_send"]
        == 40 + 80
    ), "the mode counts"
    assert found(state(**{**RUNNING, "environments": ["env"]}))["bytes_to_send"] == 60
    assert found(state(**{**RUNNING, "releases": ["old", "new"], "environments": ["env"]}))["bytes_to_send"] == 0


def test_what_was_not_built_here_is_said_to_be_unknown():
    changed = found(state(**RUNNING), before={"version": "v0", "lock": None, "files": None})
    assert changed["files"] is None and changed["packages"] is None


def test_long_lists_are_cut_and_counted():
    many = [[f"{number:04}", 0o644, 1, "aa"] for number in range(500)]
    listed = changes.file_changes([], many)
    assert len(listed["added"]) == changes.MOST_FILES and listed["counts"]["added"] == 500
    diff = diffs.unified("f", None, "line\n" * 5000)
    assert len(diff.splitlines()) == diffs.MOST_DIFF_LINES + 1 and "more lines" in diff.splitlines()[-1]


def test_the_free_slot_is_filled_and_the_old_web_process_stays_warm():
    changed = found(state(**RUNNING))
    assert changed["processes"] == {
        "start": [{"name": "web", "slot": "b"}, {"name": "worker", "slot": "b"}],
        "stop": [{"name": "worker", "slot": "a"}],
    }
    cold = found(state(**RUNNING), desired(keep_warm=False))
    assert {"name": "web", "slot": "a"} in cold["processes"]["stop"]
    replaced = found(state(**RUNNING, b=held("older", "s-older", up=("web",))))
    assert {"name": "web", "slot": "b"} in replaced["processes"]["stop"], "the one kept warm until now makes room"


def test_a_slot_that_still_runs_the_release_is_only_switched_to():
    warm = {**RUNNING, "b": held("new", "s-new", up=("web",)), "releases": ["old", "new"], "environments": ["env"]}
    seen = state(**{**warm, "texts": {**RUNNING["texts"], "supervisor-b": "program of b\n"}})
    changed = found(seen)
    assert changed["processes"] == {
        "start": [{"name": "worker", "slot": "b"}],
        "stop": [{"name": "worker", "slot": "a"}],
    }
    assert changed["configuration"] == []
    edited = state(**{**warm, "texts": {**RUNNING["texts"], "supervisor-b": "edited\n"}})
    assert {"name": "web", "slot": "b"} in found(edited)["processes"]["start"], "an edited program file makes it start anew"


def configuration_of(seen, specification=None):
    return {item["file"]: item["diff"] for item in found(seen, specification)["configuration"]}


def test_configuration_is_compared_with_what_is_really_there():
    edited = {**RUNNING, "texts": {"supervisor-a": "edited program\n", "nginx": "edited\n"}}
    assert configuration_of(state(**edited)) == {
        "app-b.conf": "--- app-b.conf\n+++ app-b.conf\n@@ -1 +1 @@\n-edited program\n+program of a\n",
        "app.conf": "--- app.conf\n+++ app.conf\n@@ -1 +1 @@\n-edited\n+site\n",
    }
    assert configuration_of(state())["app-a.conf"].startswith("--- /dev/null\n+++ app-a.conf\n")


def test_a_program_is_compared_with_the_one_that_runs_and_not_with_what_its_slot_held_before():
    ran_before_last = {**RUNNING["texts"], "supervisor-b": "what slot b held two releases ago\n"}
    seen = state(**{**RUNNING, "b": held("older", "s-older", up=()), "texts": ran_before_last})
    assert configuration_of(seen) == {}
    more = {slot: {"path": f"app-{slot}.conf", "text": f"program of {slot}\nbeat\n"} for slot in "ab"}
    assert configuration_of(seen, desired(supervisor=more)) == {
        "app-b.conf": "--- app-b.conf\n+++ app-b.conf\n@@ -1 +1,2 @@\n program of a\n+beat\n"
    }


def test_variables_are_named_and_never_shown():
    seen = state(**{**RUNNING, "a": held(variables={"A": "0", "SAME": "x", "OLD": "y"})})
    changed = found(seen, desired(variables={"A": "hunter2", "SAME": "x", "NEW": "z"}))
    assert changed["variables"] == {"added": ["NEW"], "changed": ["A"], "removed": ["OLD"]}
    assert "hunter2" not in repr(changed) and digest_of("hunter2") not in repr(changed)


def test_what_runs_exactly_this_is_unchanged():
    seen = state(
        a=held("new", "s-new", variables={"A": "1"}),
        active="a",
        texts=RUNNING["texts"],
        releases=["new"],
        environments=["env"],
    )
    changed = found(seen, before={"version": "v2", "lock": "six==1.17.0\nnew==2.0\n", "files": NEW_FILES})
    assert (
        changed["unchanged"]
        and changed["configuration"] == []
        and changed["processes"] == {"start": [], "stop": []}
        and changed["bytes_to_send"] == 0
    )
    assert (
        not any(changed["files"]["counts"].values())
        and not any(changed["packages"].values())
        and not any(changed["variables"].values())
    )


def test_ports_that_are_not_given_out_yet_have_stand_ins():
    assert changes.with_shown_ports(state())["application"]["ports"] == {
        "a": "<port of slot a>",
        "b": "<port of slot b>",
    }
    assert changes.with_shown_ports(state(**RUNNING))["application"]["ports"] == {"a": 1, "b": 2}


def test_the_digest_is_the_same_for_the_same_and_only_then():
    first = found(state(**RUNNING))["digest"]
    assert found(copy.deepcopy(state(**RUNNING)))["digest"] == first
    others = [
        found(state(**{**RUNNING, "texts": {**RUNNING["texts"], "supervisor-a": "edited\n"}})),
        found(state(**RUNNING), desired(spec_digest="s-secret-changed")),
        found(state(**{**RUNNING, "a": held("other")})),
        found(state(**{**RUNNING, "a": held(digest="s-other")})),
        found(state(**{**RUNNING, "a": held(up=("web",))})),
    ]
    others += [found(state(**{**RUNNING, kind: ["old", "kept"]})) for kind in ("releases", "environments")]
    assert len({first, *(other["digest"] for other in others)}) == 1 + len(others)


def test_the_digest_is_the_same_however_well_another_machine_compresses():
    one, other = found(state(**RUNNING)), found(state(**RUNNING), sizes={name: 2 * SIZES[name] for name in SIZES})
    assert one["bytes_to_send"] != other["bytes_to_send"] and one["digest"] == other["digest"]


def test_a_process_that_is_started_again_and_again_is_no_change_by_itself():
    seen = state(**RUNNING)
    first = found(seen)["digest"]
    for its_state in ("STARTING", "BACKOFF", "EXITED", "FATAL"):
        seen["application"]["slots"]["a"]["processes"]["worker"]["state"] = its_state
        assert found(seen)["digest"] == first


@pytest.mark.parametrize(
    "change, says",
    [
        ({"texts": {**RUNNING["texts"], "nginx": "edited\n"}}, "nginx's site was edited"),
        ({"texts": {"supervisor-a": "program of a\n"}}, "nginx's site is gone"),
        ({"texts": {**RUNNING["texts"], "supervisor-b": "x\n"}}, "the supervisor's configuration of slot b is new"),
        ({"a": held("third", "s-third")}, "it runs v3, not v1"),
        ({"a": held(up=("web",))}, "v1 with web up"),
        ({"releases": ["old", "kept"]}, "it keeps other releases or virtualenvs"),
    ],
)
def test_what_moved_is_told(change, says):
    planned, seen = found(state(**RUNNING)), state(**{**RUNNING, **change})
    before = {"version": "v3" if "third" in repr(change) else "v1", "lock": "", "files": OLD_FILES}
    now = found(seen, before=before)
    changed = changes.moved(planned, now, state(**RUNNING)["application"]["texts"], seen["application"]["texts"])
    assert says in "; ".join(item["message"] for item in changed), changed
    assert all(item["diff"] for item in changed if item["what"] in changes.FILES)


def test_a_difference_that_is_not_of_the_host_is_told_too():
    planned, now = found(state(**RUNNING)), found(state(**RUNNING), desired(spec_digest="s-else"))
    assert "how the processes are started" in changes.moved(planned, now, {}, {})[0]["message"]


def test_the_slot_is_chosen_as_the_agent_does():
    application = state(a=held(), active="a")["application"]
    assert changes.choose_slot(desired(), application) == ("b", False)
    assert changes.choose_slot(desired(), state()["application"]) == ("a", False)
    assert spec.SLOTS == ("a", "b")
