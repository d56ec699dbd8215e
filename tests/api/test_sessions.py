"""Logging in with a browser: cookies, CSRF tokens, throttling."""

import pytest

from controllers.access import sessions
from models import Session, User
from models.db import clock
from tests.client import ApiClient, assert_problem
from tests.conftest import ADMIN_TOKEN

PASSWORD = "correct horse battery staple"


@pytest.fixture(autouse=True)
def no_attempts_yet():
    """Attempts to log in are counted by the process; each test begins with none."""
    sessions.failures.clear()


@pytest.fixture
def browser(application, administrator):
    """A client that is logged in as the administrator; `csrf` is its CSRF token."""
    client = ApiClient(application)
    client.csrf = client.post("/session", {"token": ADMIN_TOKEN}).json["csrf_token"]
    return client


def test_a_token_begins_a_session(application, administrator):
    client = ApiClient(application)
    answer = client.post("/session", {"token": ADMIN_TOKEN})
    assert answer.status_code == 201
    assert (answer.json["name"], answer.json["is_administrator"]) == ("admin", True)
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Path=/" in cookie and "Secure" not in cookie
    assert client.get("/me").json == answer.json


def test_the_cookie_is_secure_where_the_settings_say_so(application, administrator, settings):
    settings.web.secure_cookies = True
    cookie = ApiClient(application).post("/session", {"token": ADMIN_TOKEN}).headers["Set-Cookie"]
    assert cookie.startswith("__Host-windlass=") and "Secure" in cookie


def test_the_cookie_holds_no_token_and_the_database_no_cookie(browser, administrator):
    secret = browser.wsgi.get_cookie("windlass").value
    assert ADMIN_TOKEN not in secret
    assert secret not in repr(list(Session.select().dicts()))


def test_a_change_needs_the_csrf_token(browser):
    assert_problem(browser.post("/tokens", {"name": "x"}), 403, "csrf-token-invalid")
    assert_problem(browser.post("/tokens", {"name": "x"}, headers={"X-CSRF-Token": "guess"}), 403, "csrf-token-invalid")
    assert_problem(browser.post("/tokens", {"name": "x"}, headers={"X-CSRF-Token": "gu\u00e9ss"}), 403, "csrf-token-invalid")
    assert browser.get("/tokens").json["next"] is None and len(browser.get("/tokens").json["items"]) == 1
    assert browser.post("/tokens", {"name": "x"}, headers={"X-CSRF-Token": browser.csrf}).status_code == 201


def test_each_session_has_a_csrf_token_of_its_own(browser, application):
    other = ApiClient(application)
    others = other.post("/session", {"token": ADMIN_TOKEN}).json["csrf_token"]
    assert_problem(browser.post("/tokens", {"name": "x"}, headers={"X-CSRF-Token": others}), 403, "csrf-token-invalid")


def test_logging_out_ends_the_session_itself(browser, application):
    secret = browser.wsgi.get_cookie("windlass").value
    assert browser.delete("/session", headers={"X-CSRF-Token": browser.csrf}).status_code == 204
    assert browser.wsgi.get_cookie("windlass") is None
    thief = ApiClient(application)
    thief.wsgi.set_cookie("windlass", secret)
    assert_problem(thief.get("/me"), 401, "session-ended")


def test_logging_out_is_a_change_too(browser):
    assert_problem(browser.delete("/session"), 403, "csrf-token-invalid")
    assert browser.get("/me").status_code == 200


def test_a_session_ends_by_itself(browser):
    Session.update(expires_at=clock() - 1).execute()
    assert_problem(browser.get("/me"), 401, "session-ended")


def test_a_bearer_token_goes_before_the_cookie(browser):
    assert_problem(browser.get("/me", headers={"Authorization": "Bearer wrong"}), 401, "token-invalid")
    made = browser.post("/tokens", {"name": "x"}, headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})
    assert made.status_code == 201


@pytest.mark.parametrize(
    "header",
    ["Basic YWRtaW46eA==", "Bearer", "Bearer ", "Token x", "Bearer a b", "Bearer " + "x" * 600, "Bearer caf\u00e9"],
)
def test_other_credentials_are_refused_with_what_to_send(api, anonymous, header):
    problem = assert_problem(anonymous.get("/me", headers={"Authorization": header}), 401, "authorization-malformed")
    assert "Bearer <token>" in problem["detail"]


def test_a_refusal_says_how_to_authenticate(anonymous):
    answer = anonymous.get("/me")
    assert_problem(answer, 401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_name_and_password_begin_a_session(anonymous):
    User.create(name="ada", password_hash=sessions.hash_password(PASSWORD), created_at=clock())
    answer = anonymous.post("/session", {"name": "ada", "password": PASSWORD})
    assert (answer.status_code, answer.json["name"], answer.json["is_administrator"]) == (201, "ada", False)
    assert "administer" not in answer.json["permissions"]
    assert anonymous.get("/me").json["name"] == "ada"


def test_wrong_names_and_wrong_passwords_look_alike(anonymous):
    User.create(name="ada", password_hash=sessions.hash_password(PASSWORD), created_at=clock())
    User.create(name="robot", created_at=clock())
    answers = [anonymous.post("/session", {"name": name, "password": "wrong"}).json for name in ("ada", "nobody", "robot")]
    assert {(answer["status"], answer["code"], answer["detail"]) for answer in answers} == {
        (401, "password-wrong", answers[0]["detail"])
    }
    assert Session.select().count() == 0


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "ada"},
        {"password": "x"},
        {"token": "x", "name": "ada", "password": "x"},
        {"token": ""},
        {"token": None},
    ],
)
def test_half_a_login_is_refused(anonymous, body):
    assert_problem(anonymous.post("/session", body), 422, "invalid")


def test_guessing_is_throttled_and_others_still_get_in(application, administrator):
    guesser = ApiClient(application)
    for _ in range(sessions.ATTEMPTS):
        assert_problem(guesser.post("/session", {"token": "guess"}), 401, "token-invalid")
    refused = guesser.post("/session", {"token": ADMIN_TOKEN})
    assert_problem(refused, 429, "too-many-attempts")
    assert int(refused.headers["Retry-After"]) > 0
    elsewhere = guesser.post("/session", {"token": ADMIN_TOKEN}, environ_base={"REMOTE_ADDR": "192.0.2.7"})
    assert elsewhere.status_code == 201


def test_throttling_goes_by_the_address_that_a_proxy_here_tells(application, administrator):
    client = ApiClient(application)
    for _ in range(sessions.ATTEMPTS):
        client.post("/session", {"token": "guess"}, headers={"X-Forwarded-For": "192.0.2.1, 198.51.100.1"})
    assert_problem(client.post("/session", {"token": "x"}, headers={"X-Forwarded-For": "198.51.100.1"}), 429, "too-many-attempts")
    assert_problem(client.post("/session", {"token": "x"}, headers={"X-Forwarded-For": "198.51.100.2"}), 401, "token-invalid")


def test_who_is_far_away_cannot_choose_their_address(application, administrator):
    client = ApiClient(application)
    for number in range(sessions.ATTEMPTS):
        client.post(
            "/session",
            {"token": "guess"},
            headers={"X-Forwarded-For": f"198.51.100.{number}"},
            environ_base={"REMOTE_ADDR": "192.0.2.9"},
        )
    assert_problem(client.post("/session", {"token": "x"}, environ_base={"REMOTE_ADDR": "192.0.2.9"}), 429, "too-many-attempts")


@pytest.mark.parametrize(
    "cookie",
    ["windlass=", "windlass=x", 'windlass="', "a[]=1; windlass=x", "windlass=%00", "=;=;;", "windlass=x; windlass=y"],
)
def test_any_cookie_may_come(anonymous, cookie):
    assert anonymous.get("/me", headers={"Cookie": cookie}).status_code == 401
