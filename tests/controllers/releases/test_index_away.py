"""A package index that is away for a while costs nobody a release; where Windlass may not go it does not go again."""

import socket

import pytest

from controllers import events
from controllers.releases import build
from models import BuiltEnvironment, Release
from tests.controllers.releases.test_build import application, asked, sent_tasks
from tests.controllers.servers import wheel

__all__ = ["sent_tasks"]


@pytest.fixture
def release(repository, index, packages):
    """A release whose virtualenv needs a package."""
    digest = wheel(packages, "server")
    repository.commit({"app.py": "", "requirements.txt": f"server==1.0 --hash=sha256:{digest}\n"})
    return asked(application(repository))


def attempt(release):
    """Let a worker try once, whenever that is due; returns the release."""
    Release.update(due_at=None).where(Release.id == release.id).execute()
    build.KIND.carry_out(release.id)
    return Release.get_by_id(release.id)


def lines_of(release):
    return [event["text"] for event in events.read(f"release-{release.id}", limit=10_000) if event["kind"] == "output"]


def unused_port():
    with socket.create_server(("127.0.0.1", 0)) as plug:
        return plug.getsockname()[1]


@pytest.mark.parametrize("answer", ["503 Service Unavailable", "429 Too Many Requests"])
def test_an_index_that_is_out_of_order_is_asked_again_later(release, index, answer):
    index.away = answer
    row = attempt(release)
    assert (row.state, row.missed, row.lease_owner) == ("building", 1, None) and row.due_at
    assert answer in lines_of(row)[-1] and lines_of(row)[-1].endswith("Trying again.")
    assert BuiltEnvironment.select().count() == 0
    index.away = None
    row = attempt(release)
    assert row.state == "ready", row.error


def test_an_index_that_nobody_answers_for_is_asked_again_and_given_up_in_the_end(release, settings):
    settings.build.index_url = f"http://127.0.0.1:{unused_port()}/simple/"
    row = attempt(release)
    assert (row.state, row.missed) == ("building", 1) and "127.0.0.1" in lines_of(row)[-1]
    Release.update(missed=len(build.AWAY_S)).where(Release.id == release.id).execute()
    row = attempt(release)
    assert row.state == "failed" and "The dependencies cannot be installed: " in row.error and "127.0.0.1" in row.error


def test_what_asking_again_cannot_mend_fails_at_once(release, index, settings):
    index.away = "404 Not Found"
    assert attempt(release).state == "failed"


def test_where_windlass_may_not_go_it_does_not_go_again(release, index, settings):
    settings.network.allow = []
    row = attempt(release)
    assert row.state == "failed" and "network.allow" in row.error and index.record.paths == []
