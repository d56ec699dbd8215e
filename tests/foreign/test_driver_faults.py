"""Every driver against every way of misbehaving: what a look ends in, and that nothing is done twice."""

import contextlib
import json

import pytest

from controllers.foreign import ForeignError, http
from tests.foreign.drivers import CONTENT, DEEDS, DRIVERS, TOKEN
from tests.foreign.faults import FAULTS
from tests.stack import Repository

LOOKS = [name for name in DRIVERS if name not in ("webhook", "slack")]
DOES = [name for name in DRIVERS if name != "package-index"]
NAMES = [f"{kind} {options['status']}" if kind == "status" else kind for kind, options, _ in FAULTS]
KEEPS_QUIET = ("lost", "truncate", "garbage")  # It did what it was asked, and its answer says nothing.
REFUSES = (*(f"status {status}" for status in (401, 403, 409, 429, 500, 502, 503, 504)), "reset")


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    made = Repository(tmp_path_factory.mktemp("faults") / "shop")
    made.commit({"app.py": "one"}, "SHOP-1: begin")
    return made


def give_time(settings, seconds):
    """Set how long a system may be silent; a whole request may take twice as long."""
    settings.foreign.read_timeout_s = seconds
    settings.foreign.total_timeout_s = settings.foreign.transfer_timeout_s = 2 * seconds


@pytest.fixture
def open_driver(repository, foreign_settings, monkeypatch):
    """Open a driver's case with its stand-in, in little time."""
    monkeypatch.setattr(http, "PAUSES_S", (0, 0))
    give_time(foreign_settings, 60)
    opened = []

    def start(name):
        make, case = {**DRIVERS, **DEEDS}[name]
        opened.append(make(repository).__enter__())
        return case(opened[-1])

    yield start
    for standin in opened:
        standin.__exit__()


def failure(do):
    """Return the ForeignError that something ends in; it names the system and keeps every secret, and no page of HTML."""
    with pytest.raises(ForeignError) as failed:
        do()
    text = failed.value.detail + json.dumps(failed.value.extra, default=str)
    assert "'main'" in failed.value.detail and failed.value.system == "main"
    secrets = (TOKEN, "t0ken", "s3cret", "passw0rd", "whsec_", "secret page", "<")
    assert [secret for secret in secrets if secret in text] == []
    return failed.value


@pytest.mark.parametrize("fault, options, kind", FAULTS, ids=NAMES)
@pytest.mark.parametrize("name", LOOKS)
def test_a_look_ends_in_an_error_that_says_which_system_and_what(open_driver, foreign_settings, name, fault, options, kind):
    case = open_driver(name)
    if fault in ("slow", "drip"):
        give_time(foreign_settings, 0.3)
    case.standin.fault(fault, **options)
    failed = failure(lambda: case.look(case.driver))
    assert failed.kind == kind
    assert failed.retry_after_s == options.get("retry_after")


@pytest.mark.parametrize("fault", [*KEEPS_QUIET, *REFUSES])
@pytest.mark.parametrize("name", [*DOES, *DEEDS])
def test_what_is_done_is_done_once_whatever_becomes_of_the_answer(open_driver, name, fault):
    case = open_driver(name)
    kind, _, status = fault.partition(" ")
    case.standin.fault(kind, on=case.sends, times=1, **({"status": int(status), "retry_after": 7} if status else {}))
    try:
        case.do(case.driver)
    except ForeignError as error:
        assert "'main'" in error.detail
        before = case.done()
        assert before == 0 or fault in KEEPS_QUIET
        assert len(case.standin.asked(case.sends)) == 1
        if not before or name != "slack":  # What may have been posted to Slack is sent again by people alone.
            case.do(case.another())
        else:
            assert not error.may_pass
    assert case.done() == 1
    if fault in KEEPS_QUIET and name not in ("webhook", "artifactory"):
        assert len(case.standin.asked(case.sends)) == 1, "it is looked up before it is said again"


@pytest.mark.parametrize("fault", ["slow", "drip"])
@pytest.mark.parametrize("name", ["gitlab", "jenkins", "webhook", "slack"])
def test_a_deed_that_takes_too_long_is_not_begun_again(open_driver, foreign_settings, name, fault):
    case = open_driver(name)
    give_time(foreign_settings, 1)
    case.standin.fault(fault, on=case.sends, times=1)
    with contextlib.suppress(ForeignError):
        case.do(case.driver)
    assert len(case.standin.asked(case.sends)) <= 1


@pytest.mark.parametrize("name", ["artifactory", "package-index"])
def test_what_is_changed_on_its_way_is_not_taken(open_driver, name):
    case = open_driver(name)
    case.standin.fault("status", on="GET .*(there|whl)$", status=200, body=CONTENT[::-1], kind="application/octet-stream")
    assert "changed or damaged" in failure(lambda: case.look(case.driver)).detail
