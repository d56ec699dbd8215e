"""Releases: asked for, listed, followed and compared."""

import json
import threading

import pytest

import store
from controllers import events
from controllers.actor import Actor
from controllers.errors import Conflict, Invalid, NotFound
from controllers.jobs import queue, states, transitions
from controllers.releases import build
from controllers.releases.releases import ReleaseController
from models import Release, db
from tests import factories

pytestmark = pytest.mark.both_databases

ACTOR = Actor("tester")


@pytest.fixture(autouse=True)
def sent_tasks(database, monkeypatch):
    """What was enqueued."""
    enqueued = []
    monkeypatch.setattr(queue, "enqueue", lambda *what, zone=None: enqueued.append(what))
    return enqueued


def package(name="httpbin"):
    """Register an application that is a package."""
    return factories.application(name, source={"integration": None, "package": name})


def tree(files):
    """Put {path: text} into the store; returns the digest."""
    return store.add_manifest([[path, 0o644, *reversed(store.add_bytes(text.encode()))] for path, text in files.items()])


# Asking.


def test_a_release_is_building_until_somebody_built_it(sent_tasks):
    shop = factories.application()
    made = ReleaseController(ACTOR).create("shop", {})
    assert (made["version"], made["number"], made["state"], made["ref"], made["requested_by"]) == (
        "v1",
        1,
        "building",
        "main",
        "tester",
    )
    assert made["digest"] is made["error"] is made["ended_at"] is None
    row = Release.get(Release.application == shop)
    assert sent_tasks == [("windlass.build", row.id)]
    assert events.read(f"release-{row.id}")[0]["data"] == {"state": "building", "version": "v1"}


def test_what_was_configured_is_kept_with_the_release():
    shop = factories.application()
    ReleaseController(ACTOR).create("shop", {"ref": "v1.2"})
    shop.source = {**shop.source, "repository": "https://elsewhere.example/x"}
    shop.save()
    row = Release.get(Release.application == shop)
    assert (row.ref, row.source["repository"]) == ("v1.2", "https://git.example.com/shop.git")


def test_numbers_count_for_each_application():
    factories.application()
    package()
    assert [ReleaseController(ACTOR).create(name, {})["version"] for name in ("shop", "httpbin", "shop")] == [
        "v1",
        "v1",
        "v2",
    ]


def test_many_at_once_get_numbers_of_their_own():
    factories.application()
    made = []

    def ask():
        with db.connection():
            made.append(ReleaseController(ACTOR).create("shop", {})["number"])

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == list(range(1, 9))


@pytest.mark.parametrize(
    "name, fields, field",
    [
        ("shop", {"package_version": "1.0"}, "package_version"),
        ("httpbin", {"ref": "main"}, "ref"),
        ("shop", {"ref": "--upload-pack=x"}, "ref"),
        ("shop", {"ref": "a..b"}, "ref"),
        ("shop", {"ref": "main^{tree}"}, "ref"),
    ],
)
def test_what_does_not_fit_the_source_is_refused(sent_tasks, name, fields, field):
    factories.application()
    package()
    with pytest.raises(Invalid) as caught:
        ReleaseController(ACTOR).create(name, fields)
    assert [item["field"] for item in caught.value.errors] == [field]
    assert Release.select().count() == 0 and sent_tasks == []


def test_an_unknown_application_is_told(database):
    with pytest.raises(NotFound, match="no application 'nothing'"):
        ReleaseController(ACTOR).create("nothing", {})


# Looking.


def test_releases_are_listed_newest_first_a_page_at_a_time():
    shop = factories.application()
    for state in ("ready", "failed", "ready"):
        factories.release(shop, state)
    factories.release(factories.application("other"))
    first = ReleaseController(ACTOR).listing("shop", limit=2)
    assert [item["version"] for item in first["items"]] == ["v3", "v2"]
    second = ReleaseController(ACTOR).listing("shop", limit=2, after=first["next"])
    assert ([item["version"] for item in second["items"]], second["next"]) == (["v1"], None)
    assert [item["version"] for item in ReleaseController(ACTOR).listing("shop", state="failed")["items"]] == ["v2"]


def test_one_release_is_shown_with_its_dependencies():
    shop = factories.application()
    factories.release(shop, lock=f"# note\nflask==3.1.0 \\\n    --hash=sha256:{'1' * 64}\n")
    shown = ReleaseController(ACTOR).get("shop", "v1")
    assert shown["dependencies"] == {"flask": "3.1.0"} and shown["environments"] == []
    assert ReleaseController(ACTOR).get("shop", "latest")["version"] == "v1"
    for version in ("v2", "", "v1\0"):
        with pytest.raises(NotFound):
            ReleaseController(ACTOR).get("shop", version)


def test_latest_is_the_newest_that_is_ready():
    shop = factories.application()
    with pytest.raises(NotFound, match="no release that is ready"):
        ReleaseController(ACTOR).get("shop", "latest")
    for state in ("ready", "ready", "failed", "building"):
        factories.release(shop, state)
    assert ReleaseController(ACTOR).get("shop", "latest")["version"] == "v2"


def test_a_build_is_followed_to_its_end():
    shop = factories.application()
    ReleaseController(ACTOR).create("shop", {})
    row = Release.get(Release.application == shop)
    followed = ReleaseController(ACTOR).follow("shop", "v1")
    assert next(followed)["data"]["state"] == "building"
    events.append(f"release-{row.id}", [{"kind": "output", "text": "one"}])
    assert next(followed)["text"] == "one"
    transitions.move_release(row, "failed", error="it did not work")
    assert [event["text"] for event in followed] == ["it did not work"]
    assert list(ReleaseController(ACTOR).follow("shop", "v1", after=3)) == []
    assert [event["number"] for event in ReleaseController(ACTOR).history("shop", "v1", after=1)["items"]] == [2, 3]
    assert ReleaseController(ACTOR).history("shop", "v1", limit=2)["next"] == 2


def test_a_release_s_end_cannot_be_changed():
    release = factories.release(state="building")
    other = Release.get_by_id(release.id)
    assert transitions.move_release(release, "ready")
    assert not transitions.move_release(other, "failed", error="too late")
    with pytest.raises(states.IllegalTransition):
        transitions.move_release(release, "failed")
    assert Release.get_by_id(release.id).state == "ready"


# Comparing.


def test_two_releases_are_compared():
    shop = factories.application()
    common = {"application": shop}
    factories.release(
        **{"of": common["application"]},
        digest=tree({"a.py": "1", "b.py": "22", "same.py": "x"}),
        lock="flask==3.0\nold==1\n",
        python_version="3.11",
        processes={"web": "a", "worker": "w"},
    )
    factories.release(
        shop,
        digest=tree({"a.py": "1234", "c.py": "3", "same.py": "x"}),
        lock="flask==3.1\nnew==2\n",
        python_version="3.12",
        processes={"web": "b", "clock": "c"},
    )
    compared = ReleaseController(ACTOR).compare("shop", "v1", "v2")
    assert (compared["from"], compared["to"]) == ("v1", "v2")
    assert compared["files"] == [
        {"path": "a.py", "change": "changed", "size_before": 1, "size": 4},
        {"path": "b.py", "change": "removed", "size_before": 2, "size": None},
        {"path": "c.py", "change": "added", "size_before": None, "size": 1},
    ]
    assert compared["files_total"] == 3
    assert compared["dependencies"] == {
        "added": [{"name": "new", "version": "2"}],
        "removed": [{"name": "old", "version": "1"}],
        "changed": [{"name": "flask", "from": "3.0", "to": "3.1"}],
    }
    assert compared["python"] == {"from": "3.11", "to": "3.12"}
    assert compared["processes"] == {
        "added": {"clock": "c"},
        "removed": {"worker": "w"},
        "changed": {"web": {"from": "a", "to": "b"}},
    }
    assert compared["commits"] is None, "releases without a commit have no commits between them"


def test_a_release_is_the_same_as_itself():
    shop = factories.application()
    factories.release(shop, digest=tree({"a": "1"}), lock="flask==3.0\n", commit="a" * 40)
    compared = ReleaseController(ACTOR).compare("shop", "v1", "v1")
    assert compared["files"] == compared["commits"] == [] and not any(compared["dependencies"].values())


def test_what_is_not_on_this_machine_is_null(settings):
    shop = factories.application()
    for number in (1, 2):
        factories.release(shop, commit=f"{number}" * 40)
    compared = ReleaseController(ACTOR).compare("shop", "v1", "v2")
    assert compared["files"] is compared["commits"] is None
    json.dumps(compared)


def test_commits_between_two_releases_are_told(repository):
    shop = factories.application(source={"repository": str(repository.folder), "branch": "main"})
    for number in (1, 2, 3):
        repository.commit({"a": str(number)}, f"Change {number}")
        if number != 2:
            ReleaseController(ACTOR).create("shop", {})
            build.KIND.carry_out(Release.get(Release.application == shop, Release.state == "building").id)
    forth, back = (
        ReleaseController(ACTOR).compare("shop", "v1", "v2"),
        ReleaseController(ACTOR).compare("shop", "v2", "v1"),
    )
    assert [commit["subject"] for commit in forth["commits"]] == ["Change 3", "Change 2"] and forth["reverted_commits"] == []
    assert [commit["subject"] for commit in back["reverted_commits"]] == ["Change 3", "Change 2"] and back["commits"] == []


def test_only_what_is_ready_is_compared():
    shop = factories.application()
    factories.release(shop)
    factories.release(shop, "failed")
    with pytest.raises(Conflict, match="v2 of shop is failed"):
        ReleaseController(ACTOR).compare("shop", "v1", "v2")
    with pytest.raises(NotFound):
        ReleaseController(ACTOR).compare("shop", "v1", "v9")
