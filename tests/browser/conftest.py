"""A browser, the stand-in for the API, and pages that must not break a single rule of the Content-Security-Policy."""
import shutil

import pytest

from tests.browser.standin import StandIn

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
           "--disable-component-update", "--disable-sync"]
# What the browser itself writes for an answer that is an error or does not come; tests of faults make them on purpose.
EXPECTED = ("Failed to load resource", "net::ERR_")


@pytest.fixture(scope="session")
def browser():
    """Debian's Chromium with a user data folder of its own."""
    if CHROMIUM is None:
        pytest.skip("needs: chromium")
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield running
        running.close()


@pytest.fixture
def stand_in():
    """The stand-in, empty."""
    server = StandIn()
    yield server
    server.stop()


@pytest.fixture
def context(browser):
    """A fresh profile, with nobody signed in; fails the test for script errors and policy violations in any page."""
    made = browser.new_context(viewport={"width": 1280, "height": 900}, timezone_id="UTC", locale="en-GB")
    made.set_default_timeout(10_000)
    complaints = []
    made.on("console", lambda message: complain(complaints, message))
    made.on("weberror", lambda error: complaints.append(f"{error.error} {error.error.stack}"))
    yield made
    made.close()
    assert complaints == []


def complain(complaints, message):
    """Note an error on the console, policy violations among them."""
    if message.type == "error" and not any(text in message.text for text in EXPECTED):
        complaints.append(message.text)


@pytest.fixture
def page(context, stand_in):
    """A page of somebody who is signed in to the stand-in; open it with page.goto(stand_in.url + path)."""
    context.add_cookies([stand_in.sign_in()])
    return context.new_page()
