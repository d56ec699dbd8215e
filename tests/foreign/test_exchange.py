"""An application moves from one code host to another: its releases and their comparisons stay the same."""

import contextlib
import shutil
from pathlib import Path

import pytest

from controllers.jobs import queue
from controllers.releases import build
from models import Release
from tests.foreign.test_source_conformance import HOSTS, driver_name
from tests.stack import Repository

VARYING = ("version", "number", "created_at", "ended_at")


@pytest.fixture
def repository(tmp_path, settings):
    """A repository of an application without dependencies, with two versions of it."""
    made = Repository(tmp_path / "repositories" / "shop")
    settings.git.local_paths = [str(made.folder.parent)]
    made.commit({"Procfile": "web: serve $SOCKET\n", "app.py": "one", "old.txt": "old"}, "First\n\nWith a body.")
    made.git("tag", "--annotate", "--message", "The first version", "v1.0")
    made.commit({"app.py": "two"}, "SHOP-1 Second")
    made.commit({"old.txt": None, "bin/run": "#!/bin/sh\n"}, "Third: ümlaut")
    return made


def plain(described):
    """Return a release without what differs between any two."""
    return {name: value for name, value in described.items() if name not in VARYING}


def releases_of(api, name):
    """Make a release of the tag and one of the branch; returns what the API tells of them and of what is between them."""
    made = []
    for ref in ("v1.0", None):
        asked = api.post(f"/applications/{name}/releases", {"ref": ref}).json
        build.KIND.carry_out(Release.get(Release.version == asked["version"]).id)
        made.append(api.get(f"/applications/{name}/releases/{asked['version']}").json)
        assert made[-1]["state"] == "ready", made[-1]["error"]
    older, newer = (release["version"] for release in made)
    comparisons = [api.get(f"/applications/{name}/releases/{a}/compare/{b}").json for a, b in ((older, newer), (newer, older))]
    return [plain(release) for release in made], [
        {key: value for key, value in comparison.items() if key not in ("from", "to")} for comparison in comparisons
    ]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_an_application_moves_through_all_systems_without_anyone_noticing(api, repository, settings, monkeypatch):
    monkeypatch.setattr(queue, "enqueue", lambda *what, zone=None: None)
    asked = {"name": "shop", "source": {"repository": str(repository.folder)}}
    assert api.post("/applications", asked).status_code == 201
    expected = releases_of(api, "shop")
    commits = expected[1][0]["commits"]
    assert [commit["subject"] for commit in commits] == ["Third: ümlaut", "SHOP-1 Second"]
    with contextlib.ExitStack() as open_:
        for host, (make, options, credentials) in HOSTS.items():
            standin = open_.enter_context(make(repository, **options))
            fields = {"driver": driver_name(host), "url": standin.url, "credentials": credentials}
            answer = api.post("/integrations", {"name": host, **fields})
            assert answer.status_code == 201, answer.text
            source = {"integration": host, "repository": standin.name}
            answer = api.patch("/applications/shop", {"source": source})
            assert answer.status_code == 200, answer.text
            assert releases_of(api, "shop") == expected, host
            assert standin.asked("git-upload-pack")
            newest = [item["version"] for item in api.get("/applications/shop/releases").json["items"]]
            shutil.rmtree(Path(settings.data, "git"))
            comparison = api.get(f"/applications/shop/releases/{newest[1]}/compare/{newest[0]}").json
            assert comparison["commits"] == commits, f"{host}: a server without the mirror asks the system"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_name_that_is_none_there_is_refused_when_the_application_moves(api, repository):
    with HOSTS["gitea"][0](repository) as standin:
        fields = {"driver": "gitea", "url": standin.url, "credentials": HOSTS["gitea"][2]}
        api.post("/integrations", {"name": "code", **fields})
        api.post("/applications", {"name": "shop", "source": {"repository": str(repository.folder)}})
        for name in ("shop", "https://elsewhere.example.com/acme/shop.git"):
            answer = api.patch("/applications/shop", {"source": {"integration": "code", "repository": name}})
            assert answer.status_code == 422 and answer.json["errors"][0]["field"] == "source.repository", answer.text
        assert api.get("/applications/shop").json["source"]["repository"] == str(repository.folder)
