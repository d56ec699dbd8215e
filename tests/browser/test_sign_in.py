"""Signing in and out, and sessions that end."""

import pytest
from playwright.sync_api import expect

from tests.browser.standin import COOKIE, TOKEN


@pytest.fixture
def stranger(context, stand_in):
    """A page of somebody who is not signed in."""
    return context.new_page()


def sign_in(page, token):
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in").click()


def test_wrong_token_is_refused_in_words_and_kept_for_mending(stranger, stand_in):
    stranger.goto(f"{stand_in.url}/sign-in")
    sign_in(stranger, "wrong")
    expect(stranger.get_by_role("alert")).to_have_text("This token is unknown, revoked or expired: make a new one and use that.")
    assert stranger.get_by_label("Token").input_value() == "wrong"
    assert stranger.url.endswith("/sign-in")


def test_token_with_blanks_around_it_signs_in(stranger, stand_in):
    stranger.goto(f"{stand_in.url}/sign-in")
    sign_in(stranger, f" {TOKEN}\n")
    stranger.wait_for_url(f"{stand_in.url}/")
    expect(stranger.locator(".user")).to_have_text("admin")


def test_session_cookie_is_out_of_reach_of_scripts_and_no_token_is_kept(stranger, stand_in):
    stranger.goto(f"{stand_in.url}/sign-in")
    sign_in(stranger, TOKEN)
    stranger.wait_for_url(f"{stand_in.url}/")
    assert COOKIE not in stranger.evaluate("document.cookie")
    assert stranger.evaluate("localStorage.length + sessionStorage.length") == 0


def test_stranger_is_led_to_the_sign_in_page_and_back(stranger, stand_in):
    stranger.goto(f"{stand_in.url}/deploys?state=failed")
    stranger.wait_for_url("**/sign-in?next=*")
    expect(stranger.get_by_text("Sign in to go on.")).to_be_visible()
    sign_in(stranger, TOKEN)
    stranger.wait_for_url(f"{stand_in.url}/deploys?state=failed")


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example/", "/\\evil.example/", "javascript:alert(1)", "evil"]
)
def test_next_never_leads_to_another_server(stranger, stand_in, elsewhere):
    stranger.goto(f"{stand_in.url}/sign-in")
    stranger.evaluate("next => history.replaceState(null, '', '/sign-in?next=' + encodeURIComponent(next))", elsewhere)
    sign_in(stranger, TOKEN)
    expect(stranger.locator(".user")).to_have_text("admin")
    assert stranger.url == f"{stand_in.url}/"


def test_session_that_ends_while_a_page_is_open_leads_to_sign_in(page, stand_in):
    page.goto(f"{stand_in.url}/hosts")
    expect(page.get_by_text("No hosts yet")).to_be_visible()
    stand_in.sessions.clear()
    stand_in.hint()
    page.wait_for_url("**/sign-in?next=%2Fhosts")


def test_signing_out_ends_the_session(page, stand_in):
    page.goto(f"{stand_in.url}/")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in")
    assert stand_in.sessions == {}


def test_server_that_does_not_answer_at_first_is_waited_for(page, stand_in):
    stand_in.fail("me", 503, times=1, detail="The database is starting.")
    page.goto(f"{stand_in.url}/")
    expect(page.get_by_role("alert").filter(has_text="The database is starting. Trying again…")).to_be_visible()
    expect(page.get_by_text("No applications yet")).to_be_visible()


def test_csrf_token_that_another_tab_replaced_is_fetched_anew(page, stand_in):
    page.goto(f"{stand_in.url}/")
    expect(page.get_by_text("No applications yet")).to_be_visible()
    for secret in stand_in.sessions:
        stand_in.sessions[secret] = "another-token"
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in")
    assert stand_in.wrong_csrf == 1
