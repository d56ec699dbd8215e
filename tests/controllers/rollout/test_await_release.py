"""A worker that lacks a release while what keeps it is away: it waits without touching the host, and not for ever."""

import pytest

import secretbox
import store
from controllers import events, transports
from controllers.actor import Actor
from controllers.jobs import outbox, queue
from controllers.notifications import delivery_run
from controllers.rollout import host_run, reconcile
from controllers.rollout.deploy_views import DeployViewController
from controllers.rollout.deploys import DeployController
from models import Delivery, Deploy, HostRun, Release
from models.db import clock, now
from tests import factories
from tests.controllers.conftest import integration
from tests.foreign.conftest import database, foreign_settings
from tests.foreign.standins.artifactory import Artifactory

__all__ = ["database", "foreign_settings", "integration"]
NO_VARIABLES = '{"values": {}, "secrets": []}'
PATH = "shop/shop-v1.tar.gz"
AWAY = {
    "down": ("status", {"status": 503}),
    "limited": ("status", {"status": 429}),
    "bad gateway": ("status", {"status": 502}),
    "cut": ("reset", {}),
    "half": ("truncate", {}),
}
# With it the release is fetched before the host is spoken to.
FIRST = [{"integration": "site", "run": "site.yml", "before": "connect"}]


@pytest.fixture
def artifactory(integration):
    with Artifactory() as standin:
        url = f"{standin.url}/artifactory"
        integration("kept", "artifactory", url, {"token": standin.token}, {"repository": "releases"})
        yield standin


@pytest.fixture
def run(database, artifactory, settings, tmp_path, monkeypatch):
    """A run on a worker with an empty folder, of a release that is published; its host is not to be spoken to."""
    monkeypatch.setattr(queue, "enqueue", lambda *_, **__: True)
    monkeypatch.setattr(transports, "open_host", lambda host: pytest.fail("no host is to be spoken to"))
    sha256, size = store.add_bytes(b"print(1)\n")
    digest = store.add_manifest([["app.py", 0o644, size, sha256]])
    release = factories.release(digest=digest, lock="", commit="c" * 40)
    about = outbox.columns(("release", release.id), outbox.PUBLISH, "kept", PATH, release=release.id)
    Delivery.insert({**about, "due_at": now()}).execute()
    delivery_run.KIND.carry_out(Delivery.get().id)
    settings.data = str(tmp_path / "elsewhere")
    snapshot = {"processes": {}, "configure": FIRST, "variables": secretbox.seal(NO_VARIABLES)}
    made = factories.deploy(
        [factories.host("web-1"), factories.host("web-2")],
        {"on_failure": "stop"},
        state="running",
        release=Release.get_by_id(release.id),
        snapshot=snapshot,
    )
    return HostRun.get(HostRun.deploy == made)


def attempt(run):
    """Let a worker try once, whenever that is due; returns the run."""
    HostRun.update(due_at=None).where(HostRun.id == run.id).execute()
    host_run.KIND.carry_out(run.id)
    return HostRun.get_by_id(run.id)


def lines_of(run):
    return [event["text"] for event in events.read(f"deploy-{run.deploy_id}", limit=10_000) if event["kind"] == "output"]


@pytest.mark.parametrize("fault", AWAY)
def test_what_keeps_the_release_is_asked_again_while_it_is_away(run, artifactory, fault):
    kind, options = AWAY[fault]
    artifactory.fault(kind, on="^GET", **options)
    for missed in (1, 2):
        waits = attempt(run)
        assert (waits.state, waits.lease_owner, waits.attempt, waits.away["missed"]) == ("pending", None, 0, missed)
        assert waits.due_at > clock() and waits.message.startswith("v1 cannot be had now: The integration 'kept'")
        assert lines_of(run)[-1] == waits.message and "nothing is done to the host meanwhile" in waits.message
    assert Deploy.get_by_id(run.deploy_id).state == "running"
    shown = DeployViewController(Actor("ann")).hosts(run.deploy_id)["items"][0]
    assert shown["message"] == waits.message and {step["state"] for step in shown["steps"]} == {"pending"}
    artifactory.recover()
    gone_on = attempt(run)
    assert "there is no integration 'site'" in gone_on.message.lower(), "it is here, and what comes next has begun"
    assert gone_on.away is None and store.has(run.deploy.release.digest)


def test_it_is_left_alone_for_as_long_as_it_asks_for(run, artifactory):
    artifactory.fault("status", on="^GET", status=503, retry_after=90)
    before = clock()
    waits = attempt(run)
    assert waits.state == "pending" and waits.due_at >= before + 90_000 and "Trying again in 90 s" in waits.message


def test_one_that_wants_to_be_left_alone_for_too_long_is_not_waited_for(run, artifactory):
    artifactory.fault("status", on="^GET", status=429, retry_after=86_400)
    assert_failed(attempt(run))


def test_one_that_stays_away_fails_the_run_which_says_what_to_do(run, artifactory, settings):
    artifactory.fault("status", on="^GET", status=503)
    waits = attempt(run)
    since = clock() - settings.artifacts.patience_s * 1000
    HostRun.update(away={**waits.away, "since": since}).where(HostRun.id == run.id).execute()
    failed = attempt(run)
    assert_failed(failed)
    assert Deploy.get_by_id(run.deploy_id).state == "failed"
    assert [row.state for row in HostRun.select().order_by(HostRun.id)] == ["failed", "skipped"]


def assert_failed(run):
    """Assert that a failed run names the step, the system, that nothing happened, and what to do."""
    assert run.state == "failed" and run.message.startswith("web-1: preflight: v1 could not be had")
    for words in ("'kept'", "artifacts.patience_s", "Nothing was touched.", "windlass integrations test kept", "retry"):
        assert words in run.message, run.message


def test_a_circuit_that_is_open_is_waited_for(run, artifactory):
    artifactory.fault("status", on="^GET", status=503)
    for _ in range(5):
        waits = attempt(run)
    asked = len(artifactory.asked("^GET"))
    artifactory.recover()
    waits = attempt(run)
    assert waits.state == "pending" and "is left alone until" in waits.message
    assert len(artifactory.asked("^GET")) == asked, "it was not asked"


@pytest.mark.parametrize(
    "options, why",
    [({"status": 401}, "refuses the credentials"), ({"status": 403}, "permit"), ({"status": 404}, "no such thing")],
)
def test_what_asking_again_cannot_mend_fails_at_once(run, artifactory, options, why):
    artifactory.fault("status", on="^GET", **options)
    failed = attempt(run)
    assert failed.state == "failed" and "'kept'" in failed.message and why in failed.message
    assert failed.message.endswith("Nothing was touched.") and failed.away is None


def test_what_was_changed_there_fails_at_once(run, artifactory):
    artifactory.files[f"releases/{PATH}"].content += b"x"
    failed = attempt(run)
    assert failed.state == "failed" and "changed or damaged" in failed.message


def test_a_deploy_that_is_cancelled_meanwhile_ends_at_once(run, artifactory):
    artifactory.fault("status", on="^GET", status=503)
    attempt(run)
    DeployController(Actor("ann")).cancel(run.deploy_id)
    reconcile.reconcile(run.deploy_id)
    assert Deploy.get_by_id(run.deploy_id).state == "cancelled"
    assert {row.state for row in HostRun.select()} == {"skipped"}


def test_a_retry_waits_anew(run, artifactory):
    artifactory.fault("status", on="^GET", status=429, retry_after=86_400)
    attempt(run)
    DeployController(Actor("ann")).retry(run.deploy_id)
    again = HostRun.get_by_id(run.id)
    assert (again.state, again.away, again.message) == ("pending", None, None)


def test_a_run_that_had_begun_stays_begun_and_says_so(run, artifactory):
    HostRun.update(before={"active": None, "current": None, "is_fresh": False}).where(HostRun.id == run.id).execute()
    artifactory.fault("status", on="^GET", status=503)
    waits = attempt(run)
    assert (waits.state, waits.lease_owner, waits.attempt) == ("running", None, 0) and waits.due_at > clock()
    artifactory.recover()
    artifactory.fault("status", on="^GET", status=404)
    assert "The host is as the attempt before left it." in attempt(run).message
