"""The dashboard on a whole Windlass with a real host: what a new user does from the first sign-in to a rollback."""

import re

import pytest
import requests
from playwright.sync_api import expect

from tests.deploying import applications
from tests.stack import Repository, running_stack

LONG_MS = 60_000


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A running Windlass on SQLite and the embedded broker."""
    with running_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture
def visitor(context, stack):
    """A page of somebody who has just signed in."""
    page = context.new_page()
    page.goto(f"{stack.url}/sign-in")
    page.get_by_label("Token").fill(stack.token)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{stack.url}/")
    return page


def trust_and_check(page, stack, host):
    """Pin the host's key by the fingerprint it really has, and look whether it has all it needs."""
    page.goto(f"{stack.url}/hosts/{host.name}")
    page.get_by_role("button", name="Trust its key").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text(host.fingerprint)).to_be_visible(timeout=LONG_MS)
    dialog.get_by_role("button", name="It is the same: trust it").click()
    page.get_by_role("button", name="Check now").click()
    expect(page.locator(".page-head .state")).to_contain_text("ready", timeout=LONG_MS)
    expect(page.get_by_text("Nothing stands in the way of deploys.")).to_be_visible()


def add_application(page, stack, repository):
    """Make the application shop."""
    page.goto(stack.url)
    page.get_by_role("button", name="Add an application").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("shop")
    dialog.get_by_role("textbox", name="Repository").fill("not a repository")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("textbox", name="Repository")).to_have_accessible_description(re.compile("Use a "))
    dialog.get_by_role("textbox", name="Repository").fill(str(repository.folder))
    dialog.get_by_role("button", name="Save").click()
    page.wait_for_url("**/applications/shop")


def add_target(page, host):
    """Let shop go to the host in a new environment."""
    page.get_by_role("button", name="Add a target").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("combobox", name="Environment").select_option("+")
    dialog.get_by_label("Name of the new environment").fill("live")
    dialog.get_by_label(host.name).check()
    dialog.get_by_label("Server names").fill("shop.example.com")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="live")).to_be_visible()


def release_and_deploy(page, stack, version):
    """Build what is on main and deploy it, as a person would; returns the deploy's number."""
    page.goto(f"{stack.url}/applications/shop")
    page.get_by_role("button", name="Make a release").click()
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=version, exact=True))
    expect(row).to_contain_text("ready", timeout=LONG_MS)
    expect(page.get_by_text("✓ build ready")).to_be_visible()
    page.get_by_role("button", name="Deploy shop to live").click()
    page.get_by_role("dialog").get_by_role("button", name=f"Deploy {version} to live").click()
    page.wait_for_url("**/deploys/*")
    watch_to_success(page)
    return int(page.url.rpartition("/")[2])


def watch_to_success(page):
    """See the deploy to its good end, live."""
    expect(page.locator("#deploy-state")).to_contain_text("succeeded", timeout=LONG_MS)
    expect(page.get_by_text("1 of 1 hosts done")).to_be_visible()
    expect(page.locator(".connection")).to_have_text("complete")


def served(host):
    """Return what the application answers through the host's nginx."""
    return requests.get(host.url, headers={"Host": "shop.example.com"}, timeout=60).text


def test_from_first_sign_in_to_rollback(visitor, stack, fleet_factory):
    page, host = visitor, fleet_factory(1)[0]
    host.authorize(stack.call("GET", "/zones/default")["public_key"])
    stack.call("POST", "/hosts", host.api_payload())
    repository = Repository(stack.repositories / "shop")
    repository.commit(applications.plain("one"))
    trust_and_check(page, stack, host)
    add_application(page, stack, repository)
    add_target(page, host)
    release_and_deploy(page, stack, "v1")
    assert served(host) == "one"
    repository.commit(applications.plain("two"))
    second = release_and_deploy(page, stack, "v2")
    assert served(host) == "two"
    check_log_is_the_servers(page, stack, second)
    page.goto(stack.url)
    cell = page.locator('td[data-label="live"]')
    expect(cell.locator(".version")).to_have_text("v2")
    expect(cell.locator(".observed")).to_contain_text("v2 on 1 host")
    cell.get_by_role("button", name="Roll back shop in live").click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back to v1").click()
    page.wait_for_url(f"**/deploys/{second + 1}")
    watch_to_success(page)
    assert served(host) == "one"
    expect(page.get_by_role("link", name=f"#{second}")).to_be_visible()


def check_log_is_the_servers(page, stack, number):
    """Every event that is a line, and each of them once."""
    events = stack.call("GET", f"/deploys/{number}/events?limit=1000")["items"]
    lines = sum(
        len((event.get("text") or "").rstrip("\n").split("\n")) if event["kind"] == "output" else 1
        for event in events
        if event["kind"] != "progress"
    )
    expect(page.locator(".log-head")).to_contain_text(f"{lines} lines")
    assert [event["number"] for event in events] == list(range(1, len(events) + 1))


def test_real_answers_break_no_rule_of_the_pages(visitor, stack):
    """An error of the real API is shown in its own words; the pages' policy reaches the browser."""
    visitor.goto(f"{stack.url}/deploys/999999")
    expect(visitor.get_by_role("heading", name="No such deploy")).to_be_visible()
    answer = requests.get(stack.url, timeout=60)
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
    assert requests.get(f"{stack.url}/nowhere", timeout=60).status_code == 404
    assert requests.get(f"{stack.url}/api/v1/nowhere", timeout=60).headers["Content-Type"] == "application/problem+json"
