"""The list of deploys: newest first, filtered by its address, page by page."""

import pytest
from playwright.sync_api import expect

from tests import shapes


@pytest.fixture
def world(stand_in):
    """Sixty deploys; every tenth failed."""
    states = {number: "failed" if number % 10 == 0 else "succeeded" for number in range(1, 61)}
    stand_in.world.deploys = {
        number: shapes.deploy(number, state, reason="check failed" if state == "failed" else None)
        for number, state in states.items()
    }
    stand_in.world.applications = [shapes.application()]
    return stand_in.world


def shown(page):
    """Return the numbers of the deploys that are listed."""
    return [int(text.lstrip("#")) for text in page.locator("tbody td:first-child a").all_inner_texts()]


def test_newest_come_first_and_older_ones_on_demand(page, stand_in, world):
    page.goto(f"{stand_in.url}/deploys")
    expect(page.locator("tbody tr")).to_have_count(50)
    page.get_by_role("button", name="Show older ones").click()
    expect(page.locator("tbody tr")).to_have_count(60)
    assert shown(page) == list(range(60, 0, -1))
    expect(page.get_by_role("button", name="Show older ones")).to_be_hidden()
    world.deploys[61] = shapes.deploy(61, "running")
    stand_in.hint()
    expect(page.locator("tbody tr")).to_have_count(61)
    assert shown(page) == list(range(61, 0, -1))


def test_filter_is_kept_in_the_address(page, stand_in, world):
    page.goto(f"{stand_in.url}/deploys")
    page.get_by_label("State").select_option("failed")
    expect(page.locator("tbody tr")).to_have_count(6)
    assert page.url.endswith("/deploys?state=failed")
    page.reload()
    expect(page.locator("tbody tr")).to_have_count(6)
    assert shown(page) == [60, 50, 40, 30, 20, 10]
    page.get_by_label("State").select_option("cancelled")
    expect(page.get_by_text("No deploy matches these filters.")).to_be_visible()


def test_no_deploys_say_how_to_make_one(page, stand_in):
    page.goto(f"{stand_in.url}/deploys")
    expect(page.get_by_role("heading", name="No deploys yet")).to_be_visible()
    expect(page.get_by_text("windlass deploy shop latest --to production --follow")).to_be_visible()
