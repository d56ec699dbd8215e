"""Build drivers: one suite for all of them, then what is particular to Jenkins."""

import hashlib
import io
import json
from urllib.parse import quote

import pytest

from controllers import foreign
from controllers.foreign import ForeignError, errors
from controllers.foreign.build.base import ABORTED, FAILURE, QUEUED, RUNNING, SUCCESS
from controllers.foreign.errors import Unclear
from controllers.foreign.hooks import BuildFinished
from tests.controllers.servers import basic
from tests.foreign.standins.artifactory import Storage
from tests.foreign.standins.jenkins import ROOT, Jenkins

LOGINS = {
    "token": {"username": "deploy", "token": Jenkins.token},
    "password": {"username": "deploy", "password": Jenkins.password},
}
PARAMETERS = {"WINDLASS_COMMIT": "c" * 40, "WINDLASS_REF": "main & more"}


@pytest.fixture
def jenkins():
    with Jenkins() as standin:
        yield standin


@pytest.fixture
def driver(jenkins):
    return driver_of(jenkins)


def driver_of(jenkins, login="token"):
    """Return the driver of a Jenkins; also what another worker has that goes on."""
    access = foreign.Access("ci", jenkins.url, {}, LOGINS[login], "jenkins")
    return foreign.drivers()["jenkins"](access)


@pytest.fixture(params=["local", *LOGINS])
def place(request, jenkins):
    """Every driver, and what lets its builds come to their end."""
    if request.param == "local":
        return foreign.drivers()["local"](foreign.Access("here", None, {}, {}, "local")), lambda: None

    def finish():
        item = jenkins.items[-1]
        build = item.build or jenkins.begin(item)
        build.log, build.result = b"done\n", "SUCCESS"

    return driver_of(jenkins, request.param), finish


# All of them.


def test_a_build_is_started_followed_and_over(place):
    driver, finish = place
    assert driver.find("team/shop", "key-1") is None
    handle = driver.start("team/shop", PARAMETERS, "key-1")
    assert json.loads(json.dumps(handle)) == handle, "another worker goes on with it"
    finish()
    seen = driver.look(handle, None)
    assert seen.state == SUCCESS and json.loads(json.dumps(seen.position)) == seen.position
    assert driver.artifacts(seen.handle) == []
    again = driver.look(seen.handle, seen.position)
    assert (again.state, again.text) == (SUCCESS, "")


def test_the_end_of_what_has_ended_changes_nothing(place):
    driver, finish = place
    handle = driver.start("shop", PARAMETERS, "key-1")
    finish()
    driver.abort(handle)
    assert driver.look(handle, None).state == SUCCESS


def test_it_is_proved(place):
    assert place[0].prove().describe()["ok"]


# Jenkins: starting.


@pytest.mark.parametrize("login", LOGINS)
def test_every_login_starts_and_stops(jenkins, login):
    driver = driver_of(jenkins, login)
    handle = driver.start("team/shop", PARAMETERS, "key-1")
    assert jenkins.items[0].parameters == {**PARAMETERS, "WINDLASS_KEY": "key-1"}
    assert len(jenkins.asked("crumbIssuer")) == (login == "password")
    jenkins.begin()
    driver_of(jenkins, login).abort(handle)
    assert driver.look(handle, None).state == ABORTED


def test_a_jenkins_without_crumbs_is_asked_for_none(jenkins):
    jenkins.is_guarded = False
    assert driver_of(jenkins, "password").start("shop", PARAMETERS, "key-1")["queue"] == 41


def test_a_parameter_that_the_job_would_drop_is_refused_before_anything_starts(jenkins, driver):
    with pytest.raises(ForeignError, match="does not define BRANCH, and would drop") as failed:
        driver.start("shop", {**PARAMETERS, "BRANCH": "main"}, "key-1")
    assert not failed.value.may_pass
    with pytest.raises(ForeignError, match="does not define WINDLASS_KEY"):
        driver.start("old", {}, "key-1")
    with pytest.raises(ForeignError, match="is disabled"):
        driver.start("off", PARAMETERS, "key-1")
    with pytest.raises(ForeignError) as failed:
        driver.start("nothing", PARAMETERS, "key-1")
    assert failed.value.kind == errors.NOT_FOUND
    assert jenkins.asked("^POST") == []


def test_a_like_item_in_the_queue_is_the_build(jenkins, driver):
    first = driver.start("shop", PARAMETERS, "key-1")
    assert driver.start("shop", PARAMETERS, "key-1") == first, "303 to the item that is there"
    assert driver.start("shop", PARAMETERS, "key-2") != first and len(jenkins.items) == 2


@pytest.mark.parametrize("has_begun, is_forgotten", [(False, False), (True, False), (True, True)])
def test_a_start_whose_answer_is_lost_is_found_by_its_key(jenkins, driver, has_begun, is_forgotten):
    jenkins.fault("lost", on="^POST", times=1)
    with pytest.raises(Unclear):
        driver.start("team/shop", PARAMETERS, "key-1")
    if has_begun:
        jenkins.begin().item.is_forgotten = is_forgotten
    driver = driver_of(jenkins)
    assert driver.find("team/shop", "key-2") is None
    handle = driver.find("team/shop", "key-1")
    assert driver.look(handle, None).state == (RUNNING if has_begun else QUEUED)
    assert len(jenkins.asked("^POST")) == 1


def test_an_answer_that_does_not_say_where_is_unclear(jenkins, driver):
    jenkins.fault("status", on="^POST", status=201, headers={"Location": f"{ROOT}job/shop/"}, body={})
    with pytest.raises(Unclear, match="where shop was put"):
        driver.start("shop", PARAMETERS, "key-1")


def test_a_page_to_log_in_is_no_start(jenkins, driver):
    jenkins.fault("redirect", on="^POST", to="/login?from=%2F")
    with pytest.raises(Unclear):
        driver.start("shop", PARAMETERS, "key-1")


@pytest.mark.parametrize("job", ["", "/", "../admin", "a/./b"])
def test_what_cannot_be_a_job_is_refused(jenkins, driver, job):
    with pytest.raises(ForeignError, match="cannot be a job"):
        driver.start(job, {}, "key-1")
    assert jenkins.requests == []


# Jenkins: the queue.


def test_a_build_goes_from_the_queue_to_its_end(jenkins, driver):
    handle = driver.start("team/shop", PARAMETERS, "key-1")
    seen = driver.look(handle, None)
    assert (seen.state, seen.why) == (QUEUED, "Waiting for an executor")
    build = jenkins.begin(is_readable=False)
    seen = driver.look(handle, None)
    assert (seen.state, seen.handle["number"]) == (QUEUED, 1), "it has its number before it can be read"
    build.is_readable = True
    build.item.is_forgotten = True
    seen = driver.look(seen.handle, None)
    assert (seen.state, seen.url) == (RUNNING, f"{ROOT}job/team/job/shop/1/")


def test_an_item_that_was_forgotten_is_no_failure(jenkins, driver):
    other = driver.start("shop", PARAMETERS, "key-0")
    jenkins.begin().item.is_forgotten = True
    handle = driver.start("shop", PARAMETERS, "key-1")
    jenkins.begin().item.is_forgotten = True
    assert driver.look(handle, None).handle["number"] == 2
    assert driver.look(other, None).handle["number"] == 1


def test_a_build_that_is_cancelled_in_the_queue_is_aborted(jenkins, driver):
    handle = driver.start("shop", PARAMETERS, "key-1")
    driver.abort(handle)
    assert driver.look(handle, None).state == ABORTED
    driver.abort({**driver.start("shop", PARAMETERS, "key-2")})
    assert jenkins.asked("/stop") == []


@pytest.mark.parametrize("is_read", [False, True])
def test_a_build_that_was_deleted_is_reported(jenkins, driver, is_read):
    handle, position = driver.start("shop", PARAMETERS, "key-1"), None
    build = jenkins.begin()
    if is_read:
        seen = driver.look(handle, None)
        handle, position = seen.handle, seen.position
    build.item.is_forgotten = True
    jenkins.builds.clear()
    with pytest.raises(ForeignError, match="it was deleted") as failed:
        driver.look(handle, position)
    assert not failed.value.may_pass


# Jenkins: its log.


def followed(driver, handle, build, steps):
    """Return what looks show while a log grows by each step."""
    position, texts = None, []
    for step in steps:
        build.log += step
        seen = driver.look(handle, position)
        assert json.loads(json.dumps(seen.position)) == seen.position
        handle, position = seen.handle, seen.position
        texts.append(seen.text)
    return texts, seen


def test_a_log_comes_line_by_line_wherever_it_is_cut(jenkins, driver):
    handle = driver.start("shop", PARAMETERS, "key-1")
    build = jenkins.begin()
    whole = "Größe: 1 €\nzwei\nlast\n".encode()
    texts, _ = followed(driver, handle, build, [bytes([byte]) for byte in whole])
    assert [text for text in texts if text] == ["Größe: 1 €\n", "zwei\n", "last\n"]


def test_the_line_without_an_end_is_given_when_the_build_is_over(jenkins, driver):
    handle = driver.start("shop", PARAMETERS, "key-1")
    build = jenkins.begin()
    texts, seen = followed(driver, handle, build, [b"one\ntw", b"o\nthree \xc3"])
    assert texts == ["one\n", "two\n"]
    build.result = "UNSTABLE"
    over = driver.look(seen.handle, seen.position)
    assert (over.text, over.state) == ("three \ufffd", FAILURE)
    assert driver.look(over.handle, over.position).text == ""


def test_a_log_that_shrank_begins_anew(jenkins, driver):
    handle = driver.start("shop", PARAMETERS, "key-1")
    build = jenkins.begin()
    _, seen = followed(driver, handle, build, [b"a long line of the first log\n"])
    build.log, build.result = b"new\n", "SUCCESS"
    seen = driver.look(seen.handle, seen.position)
    assert (seen.text, seen.state) == ("", RUNNING)
    seen = driver.look(seen.handle, seen.position)
    assert (seen.text, seen.state) == ("new\n", SUCCESS)


def test_a_line_without_end_is_given_in_parts(jenkins, driver):
    handle = driver.start("shop", PARAMETERS, "key-1")
    texts, _ = followed(driver, handle, jenkins.begin(), [b"x" * 50_000, b"y" * 50_000, b"z\n"])
    assert texts == ["", "x" * 50_000 + "y" * 50_000, "z\n"]


def test_of_a_huge_log_the_beginning_is_given(jenkins, driver, monkeypatch):
    monkeypatch.setattr("controllers.foreign.build.jenkins.MOST_READ", 10)
    handle = driver.start("shop", PARAMETERS, "key-1")
    texts, _ = followed(driver, handle, jenkins.begin(), [b"12345678\n" * 3, b"next\n"])
    assert texts == ["12345678\n\n(20 bytes of the log are left out here.)\n", "next\n"]


def test_a_log_without_its_size_is_a_bad_answer(jenkins, driver):
    handle = driver.start("shop", PARAMETERS, "key-1")
    jenkins.begin()
    jenkins.fault("wrong-type", on="progressiveText")
    with pytest.raises(ForeignError, match="X-Text-Size"):
        driver.look(handle, None)


@pytest.mark.parametrize(
    "result, state",
    [("SUCCESS", SUCCESS), ("ABORTED", ABORTED), ("FAILURE", FAILURE), ("UNSTABLE", FAILURE), ("NOT_BUILT", FAILURE)],
)
def test_results_are_states(jenkins, driver, result, state):
    handle = driver.start("shop", PARAMETERS, "key-1")
    jenkins.begin().result = result
    assert driver.look(handle, None).state == state


# Jenkins: what a build leaves.


@pytest.mark.parametrize("is_elsewhere", [False, True])
def test_what_a_build_left_is_fetched(jenkins, driver, is_elsewhere):
    handle = driver.start("team/shop", PARAMETERS, "key-1")
    build = jenkins.begin(result="SUCCESS")
    build.files = {"dist/shop 1#é.tar.gz": b"content" * 1000, "log.txt": b""}
    handle = driver.look(handle, None).handle
    assert [found.path for found in driver.artifacts(handle)] == list(build.files)
    file = io.BytesIO()
    with Storage() as storage:
        jenkins.storage = storage if is_elsewhere else None
        digest = driver.fetch(handle, "dist/shop 1#é.tar.gz", file)
        assert len(storage.requests) == is_elsewhere
    assert file.getvalue() == b"content" * 1000 and digest == hashlib.sha256(file.getvalue()).hexdigest()
    for path in ("/etc/passwd", "../../config.xml"):
        with pytest.raises(ForeignError, match="cannot be a file"):
            driver.fetch(handle, path, io.BytesIO())
    with pytest.raises(ForeignError) as failed:
        driver.fetch(handle, "missing", io.BytesIO())
    assert failed.value.kind == errors.NOT_FOUND


def test_it_says_what_is_wrong_with_the_login(jenkins):
    jenkins.token = "another"
    proof = driver_of(jenkins).prove().describe()
    assert not proof["ok"] and "refuses the credentials" in proof["checks"][0]["message"]


# Hooks.


def hook_body(**build):
    """Return the bytes that the notification plugin sends."""
    scm = {"url": "https://git.example.com/shop.git", "branch": "origin/main", "commit": "c" * 40}
    known = {
        "full_url": f"{ROOT}job/team/job/shop/7/",
        "number": 7,
        "phase": "FINALIZED",
        "status": "SUCCESS",
        "scm": scm,
    }
    return json.dumps({"name": "shop", "url": "job/team/job/shop/", "build": {**known, **build}}).encode()


def test_a_hook_tells_that_a_build_has_ended(driver):
    found = driver.read_hook({}, hook_body())
    assert found.events == (
        BuildFinished("success", "team/shop", "https://git.example.com/shop.git", "c" * 40, f"{ROOT}job/team/job/shop/7/"),
    )
    assert driver.read_hook({}, hook_body(status="UNSTABLE")).events[0].state == "failure"
    assert driver.read_hook({}, hook_body(phase="STARTED")).events == ()
    assert driver.read_hook({}, hook_body(scm=None)).events[0].commit is None
    assert found.delivery == driver.read_hook({}, hook_body()).delivery != driver.read_hook({}, hook_body(number=8)).delivery


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"name": 1, "build": {}}', b'{"build": {}}', b'"x"', b"[" * 9999])
def test_a_hook_that_cannot_be_read_is_reported(driver, body):
    with pytest.raises(ValueError):
        driver.read_hook({}, body)


def test_a_hook_is_believed_with_its_secret_only(driver):
    assert driver.verify_hook({"authorization": basic("windlass", "s3cret")}, b"", "s3cret")
    for login in (None, "", basic("windlass", "other"), "Bearer s3cret", "Basic \xff", "Basic " + quote("s3cret")):
        assert not driver.verify_hook({"authorization": login}, b"", "s3cret")
