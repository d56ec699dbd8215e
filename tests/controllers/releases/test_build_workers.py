"""Builds and the workers that do them: leases, deaths, handing over, and two at once."""

import contextlib
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import store
from controllers import events
from controllers.jobs import leases, workers
from controllers.releases import build
from models import BuiltEnvironment, Release, db
from models.db import now
from tests.controllers.releases.test_build import ROOT, application, asked, make, output_of, sent_tasks
from tests.controllers.servers import source_distribution, wheel
from tests.stack import Repository

pytestmark = pytest.mark.both_databases

__all__ = ["sent_tasks"]


# Workers that come and go.


def test_a_build_is_enqueued_and_due_until_somebody_has_it(repository, sent_tasks):
    repository.commit({"a": "b"})
    release = asked(application(repository))
    assert sent_tasks == [("windlass.build", release.id)]
    assert build.KIND.due() == [release.id]
    held = leases.claim(Release, release.id)
    assert build.KIND.due() == []
    build.KIND.carry_out(release.id)
    assert Release.get_by_id(release.id).state == "building", "somebody else has it"
    Release.update(lease_expires_at=now() - 1).where(leases.is_held(held)).execute()
    assert build.KIND.due() == [release.id]
    build.KIND.carry_out(release.id)
    assert Release.get_by_id(release.id).state == "ready"
    assert build.KIND.due() == []


def test_a_build_that_is_over_is_not_done_again(repository):
    repository.commit({"a": "b"})
    release = make(application(repository))
    count = len(events.read(f"release-{release.id}", limit=1000))
    build.KIND.carry_out(release.id)
    build.KIND.carry_out(release.id + 1000)
    assert len(events.read(f"release-{release.id}", limit=1000)) == count


def test_a_build_that_is_done_again_takes_the_same_commit(repository):
    first = repository.commit({"a": "1"})
    release = asked(application(repository))
    Release.update(commit=first, epoch=1, attempt=1).where(Release.id == release.id).execute()
    repository.git("checkout", "--quiet", "-B", "side")
    repository.git("checkout", "--quiet", "main")
    repository.commit({"a": "2"})
    build.KIND.carry_out(release.id)
    release = Release.get_by_id(release.id)
    assert (release.state, release.commit) == ("ready", first)
    assert "attempt 2" in output_of(release)


def test_a_build_that_kills_its_workers_is_given_up(repository):
    repository.commit({"a": "b"})
    release = asked(application(repository))
    Release.update(attempt=build.MOST_ATTEMPTS).where(Release.id == release.id).execute()
    build.KIND.carry_out(release.id)
    release = Release.get_by_id(release.id)
    assert release.state == "failed" and "perhaps it needs more memory" in release.error


def test_a_worker_that_lost_its_lease_changes_nothing(repository, monkeypatch):
    repository.commit({"a": "b"})
    release = asked(application(repository))
    real = build.BuildAttempt.from_repository

    def overtaken(self, driver):
        made = real(self, driver)
        Release.update(lease_owner="another", epoch=Release.epoch + 1).where(Release.id == release.id).execute()
        return {**made, "digest": "0" * 64}

    monkeypatch.setattr(build.BuildAttempt, "from_repository", overtaken)
    build.KIND.carry_out(release.id)
    row = Release.get_by_id(release.id)
    assert (row.state, row.digest, row.lease_owner) == ("building", None, "another")


def test_a_worker_that_is_told_to_leave_hands_the_build_over(repository, index, packages, settings, monkeypatch):
    settings.worker.lease_s = 1
    digest = source_distribution(packages, "slow", before="import time; print('building', flush=True); time.sleep(600)")
    repository.commit({"requirements.txt": f"slow==1.0 --hash=sha256:{digest}\n"})
    release = asked(application(repository))
    leaving = threading.Event()
    monkeypatch.setattr(workers, "leaving", leaving)
    real = build.Output.__call__
    monkeypatch.setattr(
        build.Output,
        "__call__",
        lambda self, text: (leaving.set() if "Building slow" in text else None, real(self, text))[1],
    )
    build.KIND.carry_out(release.id)
    assert build.KIND.due() == [release.id], "free for the next worker at once"
    assert Release.get_by_id(release.id).state == "building"


BUILDS = """
import sys
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/lib/vendor", sys.argv[1] + "/lib"]
import config, json
settings = config.load(environ=json.loads(sys.argv[2]))
from models import db
db.connect_to(settings.database.url)
from controllers.releases import build
build.KIND.carry_out(int(sys.argv[3]))
"""


def test_a_killed_build_is_done_again_and_leaves_nothing_half_made(repository, index, packages, settings, tmp_path):
    gate = tmp_path / "gate"
    gate.write_text("")
    wait = (
        f"import os, time\n    while os.path.exists({str(gate)!r}): time.sleep(0.02)\n"
        f"    if not os.path.exists({str(gate) + '.open'!r}): raise SystemExit(1)"
    )
    digest = source_distribution(packages, "slow", before=wait)
    repository.commit({"requirements.txt": f"slow==1.0 --hash=sha256:{digest}\n", "app.py": "x"})
    settings.worker.lease_s = 1
    release = asked(application(repository))
    environ = {
        "WINDLASS_DATA": settings.data,
        "WINDLASS_DATABASE_URL": settings.database.url,
        "WINDLASS_WORKER_LEASE_S": "1",
        "WINDLASS_GIT_LOCAL_PATHS": json.dumps(settings.git.local_paths),
        "WINDLASS_NETWORK_ALLOW": '["127.0.0.0/8"]',
        "WINDLASS_BUILD_INDEX_URL": index.url,
    }
    process = subprocess.Popen([sys.executable, "-c", BUILDS, str(ROOT), json.dumps(environ), str(release.id)])
    with contextlib.closing(
        events.follow(f"release-{release.id}", 0, lambda event: "Building slow" in (event.get("text") or ""))
    ) as followed:
        for event in followed:
            assert process.poll() is None and event
    process.send_signal(signal.SIGKILL)
    process.wait()
    gate.unlink()  # What the killed build left running ends, without a result.
    assert Release.get_by_id(release.id).state == "building" and BuiltEnvironment.select().count() == 0
    Path(f"{gate}.open").write_text("")
    while not build.KIND.due():
        threading.Event().wait(0.05)
    build.KIND.carry_out(release.id)
    row = Release.get_by_id(release.id)
    assert row.state == "ready", row.error
    assert store.has(row.digest) and store.has(BuiltEnvironment.get().digest)
    assert list(Path(settings.data, "scratch").glob("*")) == []


def test_two_releases_at_once_are_both_built(repositories, index, packages):
    wheel(packages, "helper")
    repository = Repository(repositories / "both")
    repository.commit({"requirements.txt": "helper\n"})
    shop = application(repository)
    pair = [asked(shop), asked(shop)]

    def work(release):
        with db.connection():
            build.KIND.carry_out(release.id)

    threads = [threading.Thread(target=work, args=(release,)) for release in pair]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done = [Release.get_by_id(release.id) for release in pair]
    assert [row.state for row in done] == ["ready", "ready"], [row.error for row in done]
    assert done[0].digest == done[1].digest and BuiltEnvironment.select().count() == 1
