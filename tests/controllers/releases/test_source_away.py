"""A source that is away for a while costs nobody a release; one that refuses, or stays away, fails it with the reason."""

import pytest

from controllers import events
from controllers.releases import build
from models import Release
from tests import factories
from tests.controllers.releases.test_build import asked, sent_tasks
from tests.foreign.conftest import foreign_settings
from tests.foreign.standins.bitbucket_server import BitbucketServer
from tests.stack import Repository

__all__ = ["foreign_settings", "sent_tasks"]
AWAY = {"down": ("status", {"status": 503}), "limited": ("status", {"status": 429}), "cut": ("reset", {})}


@pytest.fixture
def stash(tmp_path, integration):
    repository = Repository(tmp_path / "shop")
    repository.commit({"app.py": "x = 1\n"})
    with BitbucketServer(repository, "ACME/shop") as standin:
        integration("stash", "bitbucket-server", standin.url, {"token": standin.token})
        yield standin


@pytest.fixture
def release(stash):
    source = {"integration": "stash", "repository": "ACME/shop", "branch": "main"}
    return asked(factories.application("shop", source=source))


def attempt(release):
    """Let a worker try once, whenever that is due; returns the release."""
    Release.update(due_at=None).where(Release.id == release.id).execute()
    build.KIND.carry_out(release.id)
    return Release.get_by_id(release.id)


def lines_of(release):
    return [event["text"] for event in events.read(f"release-{release.id}", limit=10_000) if event["kind"] == "output"]


@pytest.mark.parametrize("fault", AWAY)
def test_a_source_that_is_away_is_asked_again_later(release, stash, fault):
    kind, options = AWAY[fault]
    stash.fault(kind, **options)
    row = attempt(release)
    assert (row.state, row.missed, row.lease_owner) == ("building", 1, None) and row.due_at
    assert [line for line in lines_of(row) if "'stash' could not be fetched" in line and line.endswith("Trying again.")]
    stash.recover()
    row = attempt(release)
    assert row.state == "ready", row.error


def test_a_source_that_is_silent_is_given_up_for_now(release, stash, settings):
    settings.git.timeout_s = 4
    stash.fault("slow")
    row = attempt(release)
    assert (row.state, row.missed) == ("building", 1) and "Trying again." in lines_of(row)[-1]


def test_a_source_that_stays_away_fails_the_release_and_is_named(release, stash):
    Release.update(missed=len(build.AWAY_S)).where(Release.id == release.id).execute()
    stash.fault("status", status=503)
    row = attempt(release)
    assert row.state == "failed" and "'stash' could not be fetched" in row.error


@pytest.mark.parametrize(
    "kind, options, why",
    [
        ("status", {"status": 401}, "refused the login"),
        ("status", {"status": 404}, "no repository at this address"),
        ("wrong-type", {}, "a page to log in"),
    ],
)
def test_what_asking_again_cannot_mend_fails_at_once(release, stash, kind, options, why):
    stash.fault(kind, **options)
    row = attempt(release)
    assert row.state == "failed" and "'stash'" in row.error and why in row.error


def test_where_windlass_may_not_go_it_does_not_go_again(release, stash, settings):
    settings.network.allow = []
    row = attempt(release)
    assert row.state == "failed" and "network.allow" in row.error and stash.requests == []
