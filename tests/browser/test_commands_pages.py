"""One-off commands: run with every word in sight, followed live host by host, cancelled; and the freezes' page."""

import pytest
from playwright.sync_api import expect

from tests import shapes

NASTY = "<img src=x onerror=\"document.title='owned'\">"


@pytest.fixture
def world(stand_in):
    """One application, one command that has ended and one that runs."""
    stand_in.world.applications = [shapes.application()]
    stand_in.world.commands = {
        1: shapes.command(1, "failed"),
        2: shapes.command(2, "running", argv=["tail", "-f", "a b", "it's"]),
    }
    stand_in.world.commands[1]["hosts"][1].update(state="unclear", exit_code=None, message=f"nobody knows {NASTY}")
    return stand_in.world


def said(host, text):
    return {"kind": "output", "host": host, "text": text}


def test_they_are_listed_with_their_words(page, stand_in, world):
    page.goto(f"{stand_in.url}/commands")
    expect(page.locator("tbody tr")).to_have_count(2)
    expect(page.locator("tbody tr").first).to_contain_text("tail -f 'a b' 'it'\"'\"'s'")
    page.get_by_role("link", name="#2").click()
    page.wait_for_url("**/commands/2")


def test_nobody_ran_one_says_how_to(page, stand_in):
    page.goto(f"{stand_in.url}/commands")
    expect(page.get_by_role("heading", name="No commands yet")).to_be_visible()


def test_one_is_run_after_every_word_was_shown(page, stand_in, world):
    page.goto(f"{stand_in.url}/commands")
    page.get_by_role("button", name="Run a command").click()
    form = page.get_by_role("dialog", name="Run a command")
    form.get_by_role("textbox", name="Command").fill("printf 'a b")
    form.get_by_role("button", name="Go on…").click()
    expect(form.get_by_role("textbox", name="Command")).to_have_accessible_description("A quote is not closed.")
    form.get_by_role("textbox", name="Command").fill("printf 'a b' \"$HOME\" it\\'s ''")
    form.get_by_role("button", name="Go on…").click()
    expect(form.get_by_role("textbox", name="Hosts")).to_have_accessible_description("Name at least one host.")
    form.get_by_label("Where").select_option("application")
    form.locator("[name=application]").select_option("shop")
    form.locator("[name=environment]").select_option("production")
    form.get_by_label("Time limit").fill("90")
    form.get_by_role("button", name="Go on…").click()
    question = page.get_by_role("dialog", name="Run this command?")
    expect(question.locator("dd")).to_have_text(["“printf” “a b” “$HOME” “it's” “”", "shop", "production", "90 s"])
    assert stand_in.asked_for("commands", "POST") == []
    stand_in.fail("commands", 409, method="POST", detail="shop in production stands for no host.", code="no-hosts")
    question.get_by_role("button", name="Run printf").click()
    expect(question.get_by_text("stands for no host")).to_be_visible()
    question.get_by_role("button", name="Run printf").click()
    page.wait_for_url("**/commands/3")
    assert stand_in.asked_for("commands", "POST")[-1].body == {
        "argv": ["printf", "a b", "$HOME", "it's", ""],
        "application": "shop",
        "environment": "production",
        "time_limit_s": 90,
    }


def test_it_is_followed_live_host_by_host(page, stand_in, world):
    stand_in.cut(2)
    stand_in.publish("command-2", {"kind": "command", "data": {"state": "running"}}, said("web1", f"one {NASTY}\n"))
    page.goto(f"{stand_in.url}/commands/2")
    expect(page.locator(".line .log-text").last).to_have_text(f"one {NASTY}")
    stand_in.publish("command-2", said("web2", "two\n"), said("web1", "three\n"))
    expect(page.locator(".line")).to_have_count(4)
    page.get_by_role("button", name="Show the output of web2").click()
    expect(page.locator(".line[data-kind=output]")).to_have_count(1)
    with stand_in.changed:
        world.commands[2].update(shapes.command(2, "failed", argv=["tail", "-f"]))
        world.commands[2]["hosts"][1].update(state="failed", exit_code=137, message="ended by signal SIGKILL")
        stand_in.publish("command-2", shapes.host_event("failed", "web2"), {"kind": "command", "data": {"state": "failed"}})
    expect(page.locator("#command-state")).to_contain_text("failed")
    expect(page.get_by_role("row").filter(has_text="web2")).to_contain_text("137")
    expect(page.get_by_text("complete", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Cancel", exact=True)).to_be_hidden()
    assert "owned" not in page.title()


def test_it_is_cancelled(page, stand_in, world):
    page.goto(f"{stand_in.url}/commands/2")
    page.get_by_role("button", name="Cancel", exact=True).click()
    dialog = page.get_by_role("dialog", name="Cancel command 2?")
    dialog.get_by_role("button", name="Cancel this command").click()
    expect(page.get_by_text("Cancelling, as admin asked…")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel", exact=True)).to_be_hidden()


def test_an_unclear_end_is_told_as_text(page, stand_in, world):
    page.goto(f"{stand_in.url}/commands/1")
    expect(page.get_by_role("row").filter(has_text="web2")).to_contain_text(f"nobody knows {NASTY}")
    expect(page.get_by_role("row").filter(has_text="web2")).to_contain_text("unclear")
    page.goto(f"{stand_in.url}/commands/99")
    expect(page.get_by_role("heading", name="No such command")).to_be_visible()


def test_others_than_administrators_only_look(page, stand_in, world):
    world.me["is_administrator"] = False
    world.freezes = [shapes.freeze()]
    page.goto(f"{stand_in.url}/commands")
    expect(page.locator("tbody tr")).to_have_count(2)
    expect(page.get_by_role("button", name="Run a command")).to_be_hidden()
    page.goto(f"{stand_in.url}/commands/2")
    expect(page.locator("#command-state")).to_contain_text("running")
    expect(page.get_by_role("button", name="Cancel", exact=True)).to_be_hidden()
    page.goto(f"{stand_in.url}/freezes")
    expect(page.get_by_role("cell", name="nobody is here")).to_be_visible()
    expect(page.get_by_role("button", name="Add a freeze")).to_be_hidden()
    expect(page.get_by_role("button", name="Delete the freeze holidays")).to_be_hidden()


def test_a_freeze_is_added_once_and_weekly_and_deleted(page, stand_in, world):
    page.goto(f"{stand_in.url}/freezes")
    expect(page.get_by_role("heading", name="No freezes")).to_be_visible()
    page.get_by_role("button", name="Add a freeze").click()
    form = page.get_by_role("dialog", name="Add a freeze")
    form.get_by_label("Name").fill("xmas")
    form.get_by_label("Reason").fill("holidays")
    form.get_by_label("From").fill("2099-12-20T08:00")
    stand_in.fail("freezes", 422, method="POST", errors={"ends_at": "Give both."}, detail="ends_at: Give both.")
    form.get_by_role("button", name="Add", exact=True).click()
    expect(form.get_by_label("Until")).to_have_accessible_description("Give both.")
    form.get_by_label("Until").fill("2099-12-27T08:00")
    form.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("row").filter(has_text="xmas")).to_contain_text("frozen")
    page.get_by_role("button", name="Add a freeze").click()
    form.get_by_label("Name").fill("weekend")
    form.get_by_label("Reason").fill("nobody is here")
    form.get_by_label("It comes").select_option("weekly")
    form.get_by_label("Environments").fill("production, staging")
    form.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_text("every week from fri 16:00 to mon 08:00, UTC")).to_be_visible()
    bodies = [asked.body for asked in stand_in.asked_for("freezes", "POST")]
    assert bodies[1] == {
        "name": "xmas",
        "reason": "holidays",
        "starts_at": "2099-12-20T08:00:00.000Z",
        "ends_at": "2099-12-27T08:00:00.000Z",
    }
    assert bodies[2] == {
        "name": "weekend",
        "reason": "nobody is here",
        "weekly": {"begins": "fri 16:00", "ends": "mon 08:00", "timezone": "UTC"},
        "environments": ["production", "staging"],
    }
    page.get_by_role("button", name="Delete the freeze xmas").click()
    page.get_by_role("dialog", name="Delete the freeze xmas?").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("row").filter(has_text="xmas")).to_have_count(0)
