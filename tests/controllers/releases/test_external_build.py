"""A release that waits for Jenkins: started once, followed line by line, given up where nothing helps."""

import io
import tarfile

import pytest

import store
from controllers import events
from controllers.releases import build, external_build
from models import Application, Release
from tests.controllers.releases.test_build import application, asked, output_of, sent_tasks
from tests.foreign.conftest import foreign_settings
from tests.foreign.standins.jenkins import Jenkins

__all__ = ["foreign_settings", "sent_tasks"]


class Died(BaseException):
    """The end of a worker, which nothing catches."""


@pytest.fixture
def jenkins(integration):
    with Jenkins() as standin:
        integration("ci", "jenkins", standin.url, {"username": "deploy", "token": standin.token})
        yield standin


@pytest.fixture
def release(repository, jenkins):
    return ask_for_build(repository)


def ask_for_build(repository, **more):
    """Return a release that is asked for and has to be built by Jenkins."""
    commit = repository.commit({"app.py": "x = 1\n"})
    shop = application(repository)
    Application.update(build={"integration": "ci", "job": "team/shop", **more}).where(Application.id == shop.id).execute()
    row = asked(Application.get_by_id(shop.id))
    Release.update(commit=commit).where(Release.id == row.id).execute()
    return row


def look(release):
    """Let a worker look at once; returns the release."""
    Release.update(due_at=None, lease_expires_at=None, lease_owner=None).where(Release.id == release.id).execute()
    build.KIND.carry_out(release.id)
    return Release.get_by_id(release.id)


def look_and_die(release, monkeypatch):
    """Let a worker look that dies before it keeps what it has done."""

    def die(self, **columns):
        raise Died()

    with monkeypatch.context() as patched:
        patched.setattr(build.BuildAttempt, "keep", die)
        with pytest.raises(Died):
            look(release)


def lines(release):
    return [event["text"] for event in events.read(f"release-{release.id}", limit=10_000) if event["kind"] == "output"]


def test_a_release_waits_for_its_build_and_tells_its_log(release, jenkins):
    row = look(release)
    assert (row.state, row.lease_owner, row.attempt) == ("building", None, 0) and row.due_at
    assert jenkins.items[0].parameters["WINDLASS_COMMIT"] == row.commit
    made = jenkins.begin()
    for step, expected in ((b"one\ntw", ["one"]), (b"o\n", ["one", "two"]), (b"three", ["one", "two"])):
        made.log += step
        assert look(release).state == "building"
        assert [line for line in lines(release) if line in ("one", "two", "three")] == expected, "live"
    made.result = "SUCCESS"
    row = look(release)
    assert row.state == "ready", row.error
    assert [line for line in lines(row) if line in ("one", "two", "three")] == ["one", "two", "three"]
    assert len(jenkins.asked("^POST")) == 1 and jenkins.token not in output_of(row)


def test_why_it_waits_is_told_once(release, jenkins):
    look(release)
    reasons = ["In the quiet period. Expires in 4.9 sec", "In the quiet period. Expires in 2 sec", None]
    for why in [*reasons, "Waiting for next available executor\u001b[1m on\nlinux", "In the quiet period"]:
        jenkins.items[0].why = why
        look(release)
    assert [line for line in lines(release) if "waits" in line] == [
        "team/shop waits: In the quiet period",
        "team/shop waits: Waiting for next available executor on linux",
    ]
    for number in range(external_build.MOST_WHYS):
        jenkins.items[0].why = f"reason {number} " + "x" * 1000
        look(release)
    reasons = [line for line in lines(release) if "waits" in line]
    assert len(reasons) == external_build.MOST_WHYS and len(reasons[-1]) < 400


def test_it_is_started_once_though_the_answer_was_lost(release, jenkins):
    jenkins.fault("lost", on="^POST", times=1)
    assert "Trying again" in output_of(look(release))
    look(release)
    assert len(jenkins.asked("^POST")) == 1 and Release.get_by_id(release.id).foreign_build["handle"]["queue"] == 41


def test_it_is_started_once_though_the_worker_died(release, jenkins, monkeypatch):
    look_and_die(release, monkeypatch)
    look(release)
    assert len(jenkins.asked("^POST")) == 1 and len(jenkins.items) == 1


def test_no_line_is_told_twice_though_the_worker_died(release, jenkins, monkeypatch):
    look(release)
    jenkins.begin().log = b"".join(b"line %d\n" % number for number in range(300))
    look_and_die(release, monkeypatch)
    look(release)
    assert [line for line in lines(release) if line.startswith("line ")] == [f"line {number}" for number in range(300)]


@pytest.mark.parametrize("result, expected", [("FAILURE", "failure"), ("ABORTED", "aborted")])
def test_a_build_that_ends_badly_fails_the_release(release, jenkins, result, expected):
    look(release)
    jenkins.begin(log=b"boom\n").result = result
    row = look(release)
    assert row.state == "failed" and f"ended with {expected}" in row.error and "boom" in lines(row)


def test_a_build_that_takes_too_long_is_stopped(release, jenkins, settings):
    look(release)
    made = jenkins.begin()
    settings.build.foreign_timeout_s = 0
    row = look(release)
    assert row.state == "failed" and "took longer than 0 s" in row.error and made.result == "ABORTED"


def test_a_system_that_is_away_and_back_costs_nothing(release, jenkins):
    look(release)
    jenkins.begin(log=b"one\n").result = "SUCCESS"
    jenkins.fault("status", status=503, retry_after=600)
    for _ in range(2):
        row = look(release)
        assert row.state == "building" and row.due_at > now_ms() + 500_000
    assert output_of(row).count("Trying again") == 1
    jenkins.recover()
    assert look(release).state == "ready"


def now_ms():
    from models.db import clock

    return clock()


def test_refused_credentials_fail_it_at_once(release, jenkins):
    jenkins.token = "another"
    row = look(release)
    assert row.state == "failed" and "refuses the credentials" in row.error


def test_an_artifact_is_the_releases_code_also_after_an_absence(repository, jenkins):
    release = ask_for_build(repository, artifact="dist/shop.tar.gz")
    look(release)
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        info = tarfile.TarInfo("shop-1/built.py")
        info.size = 1
        archive.addfile(info, io.BytesIO(b"1"))
    made = jenkins.begin(files={"dist/shop.tar.gz": file.getvalue()})
    made.result = "SUCCESS"
    jenkins.fault("status", on="/artifact/", status=503, times=1)
    assert look(release).state == "building"
    row = look(release)
    assert row.state == "ready", row.error
    assert [entry[0] for entry in store.manifest(row.digest)] == ["built.py"]


@pytest.mark.parametrize(
    "left, expected",
    [
        (
            [],
            "left no dist/shop.zip (the application's build.artifact), nor any other artifact: have the job archive it.",
        ),
        (
            ["dist/b.tar.gz", "a.log"],
            "left no dist/shop.zip (the application's build.artifact). It left a.log, dist/b.tar.gz.",
        ),
        ([f"{number:02}.log" for number in range(50)], "17.log, 18.log, 19.log and 30 more."),
    ],
)
def test_an_artifact_that_is_not_there_is_told_with_those_that_are(repository, jenkins, left, expected):
    release = ask_for_build(repository, artifact="dist/shop.zip")
    look(release)
    jenkins.begin(files=dict.fromkeys(left, b"x")).result = "SUCCESS"
    row = look(release)
    assert row.state == "failed" and row.error.startswith("team/shop in ci left no dist/shop.zip") and expected in row.error


def test_what_a_build_left_is_looked_up_again_after_an_absence(repository, jenkins):
    release = ask_for_build(repository, artifact="dist/shop.zip")
    look(release)
    jenkins.begin(files={"a.log": b"x"}).result = "SUCCESS"
    jenkins.fault("status", on="/artifact/", status=503, times=1)
    assert look(release).state == "building"
    assert "It left a.log." in look(release).error
