"""A browser, the stand-in for the API, and pages that must not break a single rule of the Content-Security-Policy."""

import shutil

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.browser.standin import StandIn

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# Chromium loads the pages of its address bar's popup beside each page of ours, which costs as much again. This list takes
# the place of Playwright's, of which the rest keeps the browser from asking elsewhere and from turning http into https.
WITHOUT = [
    "WebUIOmniboxPopup",
    "WebUIOmniboxAimPopup",
    "WebUIOmniboxFullPopup",
    "AimEnabled",
    "HttpsFirstBalancedModeAutoEnable",
    "HttpsUpgrades",
    "MediaRouter",
    "NetworkTimeServiceQuerying",
    "OptimizationHints",
    "PaintHolding",
    "PreconnectToSearch",
]
OPTIONS = [
    f"--disable-features={','.join(WITHOUT)}",
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# What the browser itself writes for an answer that is an error or does not come; tests of faults make them on purpose.
EXPECTED = ("Failed to load resource", "net::ERR_")

expect.set_options(timeout=60_000)  # Nothing takes long, but machines that run tests are busy.


@pytest.fixture(scope="session")
def browser():
    """Debian's Chromium with a user data folder of its own."""
    if CHROMIUM is None:
        pytest.skip("needs: chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield running
        running.close()


@pytest.fixture(scope="session")
def profile(browser):
    """One profile for all tests, so that scripts and styles come from the browser's cache after the first page."""
    made = browser.new_context(viewport={"width": 1280, "height": 900}, timezone_id="UTC", locale="en-GB")
    made.set_default_timeout(60_000)
    yield made
    made.close()


@pytest.fixture(scope="session")
def ports():
    """The port the stand-in had last; the next one takes it again, or the cache would not know its files."""
    return [0]


@pytest.fixture
def stand_in(ports):
    """The stand-in, empty."""
    server = StandIn(ports[0])
    ports[0] = server.port
    yield server
    server.stop()


@pytest.fixture
def context(profile):
    """The profile, with nobody signed in; fails the test for script errors and policy violations in any page."""
    complaints = []

    def on_console(message):
        complain(complaints, message)

    def on_error(error):
        complaints.append(f"{error.error} {error.error.stack}")

    profile.on("console", on_console)
    profile.on("weberror", on_error)
    yield profile
    for open_page in profile.pages:
        open_page.close()
    profile.clear_cookies()
    profile.remove_listener("console", on_console)
    profile.remove_listener("weberror", on_error)
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
