"""Log lines: ids on each, one form for all libraries, no secrets."""

import io
import json
import logging
import threading
import warnings

import pytest

import logs


@pytest.fixture
def written(settings):
    """written(format) sets logging up and returns a function that gives the lines so far; puts everything back afterwards."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    stream = io.StringIO()

    def begin(form="plain", level="info", role="web"):
        settings.log.format, settings.log.level = form, level
        logs.setup(role, stream)
        return lambda: stream.getvalue().splitlines()

    with logs.bound(request_id=None, deploy_id=None):  # Whatever ran in this thread before.
        yield begin
    root.handlers[:], root.level = before
    logging.captureWarnings(False)


def test_a_plain_line_says_when_who_and_what(written):
    lines = written(role="worker")
    logging.getLogger("controllers.rollout.deploys").warning("host %s is away", "app1")
    (line,) = lines()
    assert line.endswith("warning worker controllers.rollout.deploys: host app1 is away") and line[:2] == "20" and "Z " in line


def test_ids_are_on_every_record_while_they_are_bound(written):
    lines = written()
    with logs.bound(request_id="r1", deploy_id=7):
        logging.getLogger("a").info("inside")
    logging.getLogger("a").info("outside")
    assert "request_id=r1 deploy_id=7: inside" in lines()[0] and "request_id" not in lines()[1]


def test_json_lines_hold_the_same(written):
    lines = written("json")
    with logs.bound(deploy_id=7):
        logging.getLogger("a").error("two\nlines \u2713")
    line = json.loads(lines()[0])
    assert (line["level"], line["role"], line["logger"], line["deploy_id"], line["message"]) == (
        "error",
        "web",
        "a",
        7,
        "two\nlines \u2713",
    )


@pytest.mark.parametrize("form", ["plain", "json"])
def test_exceptions_are_told_with_their_traceback(written, form):
    lines = written(form)
    try:
        raise ValueError("token=hunter2")
    except ValueError:
        logging.getLogger("a").exception("it failed")
    text = "\n".join(lines())
    assert "Traceback" in text and "ValueError" in text and "hunter2" not in text
    assert len(lines()) == 1 or form == "plain"


@pytest.mark.parametrize(
    "message",
    [
        "Authorization: Bearer hunter2",
        "cloning https://ada:hunter2@git.example.com/x.git",
        "password=hunter2&x=1",
        '{"token": "hunter2"}',
        "api_key: hunter2",
        "postgresql://windlass:hunter2@db/windlass",
        "Basic hunter2",
    ],
)
def test_what_looks_like_a_secret_is_covered(written, message):
    lines = written()
    logging.getLogger("a").warning(message)
    assert "hunter2" not in lines()[0] and "•••" in lines()[0]


@pytest.mark.parametrize(
    "message",
    [
        "Listening at: http://127.0.0.1:8080 (12)",
        "token 12 was revoked",
        "https://git.example.com/a@b",
        "2 passwords changed",
    ],
)
def test_what_is_no_secret_stays_readable(written, message):
    lines = written()
    logging.getLogger("a").warning(message)
    assert lines()[0].endswith(message)


def test_nobody_writes_lines_of_their_own_making(written):
    """A line break from outside must not look like another message."""
    lines = written()
    logging.getLogger("a").warning("user said: %s", "x\n2026-01-01T00:00:00.000Z info web audit: all is well\rfoo")
    assert lines()[1].startswith("    ") and "\\rfoo" in lines()[1]


def test_the_level_is_the_settings_own(written):
    lines = written(level="warning")
    logging.getLogger("a").info("no")
    logging.getLogger("a").warning("yes")
    assert len(lines()) == 1


def test_setting_up_again_replaces_what_was_there(written):
    written()
    lines = written(role="worker")
    logging.getLogger("a").warning("once")
    assert len(lines()) == 1 and " worker " in lines()[0]


def test_warnings_of_python_and_libraries_come_the_same_way(written):
    lines = written()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("this will go away", stacklevel=1)
    logging.getLogger("paramiko.transport").info("chatter")
    assert "py.warnings" in lines()[0] and "this will go away" in lines()[0] and "chatter" not in "".join(lines())


def test_threads_do_not_share_ids(written):
    lines = written()
    with logs.bound(request_id="mine"):
        thread = threading.Thread(target=logging.getLogger("a").info, args=("theirs",))
        thread.start()
        thread.join(20)
    assert "mine" not in lines()[0]
