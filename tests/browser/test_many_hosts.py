"""A deploy's page with five hundred hosts: it is all there, though little of it is drawn."""

import pytest
from playwright.sync_api import expect

from tests import shapes


@pytest.fixture
def shown(page, stand_in):
    """The page of deploy 42, which is under way on five hundred hosts."""
    stand_in.world.deploys[42] = shapes.deploy(42, "running", progress=shapes.progress(500, 1, 1))
    runs = [shapes.host_run(f"web{number:03}", "pending", 0, bytes_sent=0) for number in range(500)]
    runs[7], runs[450] = shapes.host_run("web007", "running", 2), shapes.host_run("web450", "failed", 6)
    stand_in.world.runs[42] = runs
    page.goto(f"{stand_in.url}/deploys/42")
    expect(rows(page)).to_have_count(50)
    return page


def rows(page):
    """The rows of the hosts that are drawn."""
    return page.locator("table.runs th[scope=row]")


def test_of_many_hosts_some_are_drawn_and_more_when_asked(shown):
    expect(rows(shown).first).to_have_text("web000")
    shown.get_by_role("button", name="Show 50 more of 450").click()
    expect(rows(shown)).to_have_count(100)
    expect(rows(shown).last).to_have_text("web099")


def test_hosts_out_of_sight_are_found_by_state_and_by_name(shown):
    shown.get_by_label("In state").select_option("failed")
    expect(rows(shown)).to_have_text(["web450"])
    shown.get_by_label("Named").fill("WEB00")
    expect(shown.get_by_text("No host is like that.")).to_be_visible()
    shown.get_by_label("In state").select_option("under way")
    expect(rows(shown)).to_have_text(["web007"])
    shown.get_by_label("In state").select_option("all hosts")
    expect(rows(shown)).to_have_count(10)


def test_what_events_tell_of_hosts_out_of_sight_is_known(shown, stand_in):
    shown.get_by_label("In state").select_option("done")
    expect(shown.get_by_text("No host is like that.")).to_be_visible()
    stand_in.publish("deploy-42", *(shapes.host_event("succeeded", host=f"web{number}") for number in (300, 301)))
    expect(rows(shown)).to_have_text(["web300", "web301"])
