"""Builds that somebody cancels: before they began, in the middle, in Jenkins, and while what they need is away."""

import pytest

from controllers import events
from controllers.errors import Conflict
from controllers.jobs import leases
from controllers.releases import build, external_build
from controllers.releases.releases import ReleaseController
from models import AuditEntry, BuiltEnvironment, Integration, Release
from models.db import clock, now
from tests.controllers.releases.test_build import ACTOR, application, asked, output_of, sent_tasks
from tests.controllers.releases.test_external_build import foreign_settings, jenkins, look, look_and_die, release
from tests.controllers.servers import source_distribution
from tests.lib.test_subprocesses import await_end

pytestmark = pytest.mark.both_databases

__all__ = ["foreign_settings", "jenkins", "release", "sent_tasks"]

SLOW = "import os, time; open({mark!r}, 'w').write(str(os.getpid())); print('building', flush=True); time.sleep(600)"


def cancel(release):
    """Cancel it; returns what the API says of it."""
    return ReleaseController(ACTOR).cancel("shop", release.version)


def assert_cancelled(release, error="cancelled by tester"):
    """Assert that a release has ended so, and that nobody is to do anything more."""
    row = Release.get_by_id(release.id)
    assert (row.state, row.error, row.lease_owner) == ("failed", error, None) and row.ended_at and row.digest is None
    begun, ended = [event for event in events.read(f"release-{row.id}", limit=10_000) if event["kind"] == "release"]
    assert (begun["data"]["state"], ended["data"]["state"], ended["text"]) == ("building", "failed", error)
    assert build.KIND.due() == []


# Here.


def test_one_that_waits_for_a_worker_ends_at_once(repository, sent_tasks):
    repository.commit({"a": "b"})
    row = asked(application(repository))
    answer = cancel(row)
    assert (answer["state"], answer["cancel_requested_by"]) == ("failed", "tester")
    assert_cancelled(row)
    build.KIND.carry_out(row.id)
    assert_cancelled(row)
    entry = AuditEntry.get(AuditEntry.action == "release.cancel")
    assert (entry.actor, entry.subject, entry.data) == ("tester", "shop", {"version": "v1"})
    with pytest.raises(Conflict, match="Release v1 of shop is failed: nothing is being built"):
        cancel(row)


def test_one_that_is_built_is_ended_with_its_processes(repository, index, packages, settings, tmp_path, monkeypatch):
    settings.worker.lease_s = 2
    mark = tmp_path / "pid"
    digest = source_distribution(packages, "slow", before=SLOW.format(mark=str(mark)))
    repository.commit({"requirements.txt": f"slow==1.0 --hash=sha256:{digest}\n"})
    row = asked(application(repository))
    real, answers = build.BuildAttempt.look, []

    def look_after_cancel(self):
        if mark.exists() and mark.read_text() and not answers:
            answers.append(cancel(row))
        real(self)

    monkeypatch.setattr(build.BuildAttempt, "look", look_after_cancel)
    build.KIND.carry_out(row.id)
    assert (answers[0]["state"], answers[0]["cancel_requested_by"]) == ("building", "tester")
    assert_cancelled(row)
    assert BuiltEnvironment.select().count() == 0
    await_end(int(mark.read_text()))


@pytest.mark.parametrize("state", ["ready", "failed"])
def test_what_is_cancelled_at_the_last_moment_has_no_other_end(repository, monkeypatch, state):
    repository.commit({"a": "b"} if state == "ready" else {"Procfile": "oops"})
    row = asked(application(repository))
    real, ends = build.BuildAttempt.end, []

    def cancel_before(self, state, **columns):
        ends.append(state)
        cancel(row)
        real(self, state, **columns)

    monkeypatch.setattr(build.BuildAttempt, "end", cancel_before)
    build.KIND.carry_out(row.id)
    assert ends == [state]
    assert_cancelled(row)


def test_what_is_ready_stays_so(repository):
    repository.commit({"a": "b"})
    row = asked(application(repository))
    build.KIND.carry_out(row.id)
    with pytest.raises(Conflict, match="is ready") as refused:
        cancel(row)
    assert refused.value.code == "not-cancellable"
    assert Release.get_by_id(row.id).state == "ready" and not AuditEntry.select().where(AuditEntry.action == "release.cancel")


def test_one_whose_worker_died_is_ended_by_the_next(repository):
    repository.commit({"a": "b"})
    row = asked(application(repository))
    held = leases.claim(Release, row.id)
    assert cancel(row)["state"] == "building", "whoever builds it has to end it"
    assert build.KIND.due() == []
    Release.update(lease_expires_at=now() - 1).where(leases.is_held(held)).execute()
    assert build.KIND.due() == [row.id]
    build.KIND.carry_out(row.id)
    assert_cancelled(row)


def test_one_whose_worker_sleeps_ends_without_it(repository, monkeypatch):
    repository.commit({"a": "b"})
    row = asked(application(repository))
    real = build.BuildAttempt.from_repository

    def sleep_meanwhile(self, driver):
        made = real(self, driver)
        Release.update(lease_expires_at=now() - 1).where(Release.id == row.id).execute()
        assert cancel(row)["state"] == "failed"
        return made

    monkeypatch.setattr(build.BuildAttempt, "from_repository", sleep_meanwhile)
    build.KIND.carry_out(row.id)
    assert_cancelled(row)


# In Jenkins.


def test_one_that_no_worker_has_taken_needs_no_jenkins(release, jenkins):
    assert cancel(release)["state"] == "failed"
    assert_cancelled(release)
    assert jenkins.requests == []


def test_one_that_is_cancelled_while_a_worker_looks_is_ended_by_it(release, jenkins, monkeypatch):
    real = external_build.ForeignBuild.advance

    def cancel_meanwhile(self):
        cancel(release)
        real(self)

    monkeypatch.setattr(external_build.ForeignBuild, "advance", cancel_meanwhile)
    look(release)
    assert_cancelled(release)
    assert len(jenkins.items) == 1 and jenkins.items[0].is_cancelled


@pytest.mark.parametrize("has_begun", [False, True])
def test_the_build_in_jenkins_is_ended(release, jenkins, sent_tasks, has_begun):
    look(release)
    made = jenkins.begin(log=b"one\n") if has_begun else None
    if has_begun:
        look(release)
    assert cancel(release)["state"] == "building"
    assert sent_tasks[-1] == ("windlass.build", release.id) and build.KIND.due() == [release.id], "at once"
    build.KIND.carry_out(release.id)
    assert_cancelled(release)
    assert (made.result == "ABORTED") if has_begun else jenkins.items[0].is_cancelled
    assert "team/shop in ci was stopped." in output_of(release)
    assert ReleaseController(ACTOR).get("shop", "v1")["build"]["state"] == "aborted"


def test_a_build_in_jenkins_that_has_ended_is_left_alone(release, jenkins, monkeypatch):
    look(release)
    jenkins.begin().result = "SUCCESS"
    real = build.BuildAttempt.check_out

    def cancel_meanwhile(self, driver):
        cancel(release)
        return real(self, driver)

    monkeypatch.setattr(build.BuildAttempt, "check_out", cancel_meanwhile)
    look(release)
    assert_cancelled(release)
    assert len(jenkins.asked("^POST")) == 1


def test_a_start_whose_answer_was_lost_is_ended_too(release, jenkins):
    jenkins.fault("lost", on="^POST", times=1)
    assert "handle" not in look(release).foreign_build
    cancel(release)
    look(release)
    assert_cancelled(release)
    assert len(jenkins.items) == 1 and jenkins.items[0].is_cancelled


def test_a_start_whose_worker_died_is_ended_by_the_next(release, jenkins, monkeypatch):
    look_and_die(release, monkeypatch)
    assert cancel(release)["state"] == "building"
    look(release)
    assert_cancelled(release)
    assert len(jenkins.items) == 1 and jenkins.items[0].is_cancelled


def test_a_jenkins_that_is_away_is_told_as_soon_as_it_is_back(release, jenkins):
    look(release)
    made = jenkins.begin()
    jenkins.fault("status", status=503, retry_after=600)
    cancel(release)
    row = look(release)
    assert (row.state, row.lease_owner) == ("building", None) and row.due_at > clock() + 500_000
    assert "team/shop could not be stopped" in output_of(row) and "Trying again." in output_of(row)
    jenkins.recover()
    look(release)
    assert_cancelled(release)
    assert made.result == "ABORTED"


def test_a_jenkins_that_is_away_for_long_does_not_hold_the_release(release, jenkins):
    look(release)
    jenkins.fault("status", status=503, retry_after=3600)
    cancel(release)
    row = look(release)
    assert_cancelled(row, row.error)
    assert "team/shop could not be stopped" in row.error


def test_a_jenkins_that_stays_away_does_not_hold_the_release(release, jenkins):
    look(release)
    jenkins.begin()
    jenkins.fault("status", status=503)
    cancel(release)
    for _ in external_build.AWAY_S:
        assert look(release).state == "building"
    row = look(release)
    assert row.state == "failed" and row.error.startswith("cancelled by tester; team/shop could not be stopped: ")
    assert_cancelled(row, row.error)


def test_an_integration_that_is_gone_does_not_hold_the_release(release, jenkins):
    look(release)
    Integration.delete().execute()
    cancel(release)
    row = look(release)
    assert "could not be stopped: There is no integration 'ci' any more" in row.error
    assert_cancelled(row, row.error)


def test_a_jenkins_that_refuses_does_not_hold_the_release(release, jenkins):
    look(release)
    jenkins.begin()
    jenkins.token = "another"
    cancel(release)
    row = look(release)
    assert "could not be stopped: The integration 'ci' refuses the credentials" in row.error
    assert_cancelled(row, row.error)
