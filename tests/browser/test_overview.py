"""The matrix is true to the server's data, live, and its buttons send what they say."""

import re

import pytest
from playwright.sync_api import expect

from tests import shapes

NASTY = "<img src=x onerror=\"document.title='owned'\">"


@pytest.fixture
def world(stand_in):
    """Two applications; one of them in two environments, with drift in production."""
    world = stand_in.world
    world.applications = [shapes.application("billing"), shapes.application("shop")]
    world.deploys = {41: shapes.deploy(), 40: shapes.deploy(40, release="v11", previous_release="v10")}
    world.releases = {"shop": [shapes.release("v14", "building"), shapes.release("v13"), shapes.release("v12")]}
    world.status = [
        shapes.status(
            environment="staging", desired="v13", observed="v13", deploy=shapes.brief(shapes.deploy(39, release="v13"))
        ),
        shapes.status(
            observed=None,
            health="unhealthy",
            drift=True,
            drift_detail="web2: v11; it should be v12.",
            hosts=[shapes.host_status("web1"), shapes.host_status("web2", "v11", False)],
        ),
    ]
    return world


def cell(page, application, environment):
    """Return the matrix's cell."""
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=application))
    return row.locator(f'td[data-label="{environment}"]')


def test_matrix_shows_each_target_as_the_server_tells_it(page, stand_in, world):
    page.goto(stand_in.url)
    production = cell(page, "shop", "production")
    expect(production.locator(".version")).to_have_text("v12")
    expect(production.locator(".cell-head .state")).to_contain_text("unhealthy")
    expect(production.locator(".observed")).to_contain_text("v12 on 1 host, v11 on 1 host")
    expect(production.locator(".drift")).to_contain_text("web2: v11; it should be v12.")
    expect(production.get_by_role("link", name="#41 v12")).to_have_attribute("href", "/deploys/41")
    staging = cell(page, "shop", "staging")
    expect(staging.locator(".observed")).to_contain_text("v13 on 2 hosts")
    expect(staging.locator(".drift")).to_be_hidden()
    expect(cell(page, "billing", "production")).to_contain_text("no target")
    expect(page.locator(".matrix thead th")).to_have_text(["Application", "staging", "production"])


def test_states_are_told_by_shape_and_word_not_only_by_colour(page, stand_in, world):
    page.goto(stand_in.url)
    expect(cell(page, "shop", "production").locator(".state:visible")).to_have_count(3)
    states = [
        (state.locator(".state-shape").inner_text(), state.locator(".state-word").inner_text())
        for state in cell(page, "shop", "production").locator(".state:visible").all()
    ]
    assert states == [("✕", "unhealthy"), ("▲", "drift"), ("✓", "succeeded")]


def test_matrix_follows_the_server_without_a_reload_and_keeps_the_focus(page, stand_in, world):
    page.goto(stand_in.url)
    button = cell(page, "shop", "production").get_by_role("button", name="Deploy shop to production")
    button.focus()
    world.status[1].update(
        health="healthy",
        drift=False,
        drift_detail=None,
        observed="v12",
        deploy=shapes.brief(shapes.deploy(42, "failed")),
        state="failed",
    )
    stand_in.hint()
    expect(cell(page, "shop", "production").locator(".last")).to_contain_text("failed #42 v12")
    expect(cell(page, "shop", "production").locator(".drift")).to_be_hidden()
    expect(button).to_be_focused()
    expect(page.get_by_role("status").filter(has_text="shop in production: deploy 42 failed")).to_have_count(1)


def test_nothing_yet_says_what_to_do_next(page, stand_in):
    page.goto(stand_in.url)
    expect(page.get_by_role("heading", name="No applications yet")).to_be_visible()
    expect(page.get_by_text("windlass applications create shop")).to_be_visible()


def test_deploy_names_release_and_environment_and_sends_just_that(page, stand_in, world):
    page.goto(stand_in.url)
    page.get_by_role("button", name="Deploy shop to production").click()
    dialog = page.get_by_role("dialog", name="Deploy shop to production")
    expect(dialog.locator("option")).to_have_text([re.compile("^v13 "), re.compile("^v12 ")])
    dialog.get_by_label("Release").select_option("v12")
    dialog.get_by_label("Comment").fill("again")
    dialog.get_by_role("button", name="Deploy v12 to production").click()
    page.wait_for_url("**/deploys/42")
    [asked] = stand_in.asked_for("deploys", "POST")
    assert asked.body == {"application": "shop", "release": "v12", "environment": "production", "comment": "again"}
    assert asked.headers["x-csrf-token"] == "csrf-0"
    assert len(asked.headers["idempotency-key"]) == 32


def test_refused_deploy_says_why_and_keeps_what_was_chosen(page, stand_in, world):
    stand_in.fail(
        "deploys",
        409,
        detail="Deploy 40 of shop to production has not ended yet.",
        code="deploy-running",
        method="POST",
    )
    page.goto(stand_in.url)
    page.get_by_role("button", name="Deploy shop to production").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Comment").fill("careful")
    dialog.get_by_role("button", name="Deploy v13 to production").click()
    expect(dialog.get_by_role("alert").filter(has_text="Deploy 40 of shop to production has not ended yet.")).to_be_visible()
    assert dialog.get_by_label("Comment").input_value() == "careful"
    assert len(world.deploys) == 2


def test_pressing_again_after_a_lost_answer_repeats_the_same_request(page, stand_in, world):
    stand_in.fail("deploys", 502, detail="Bad gateway.", method="POST")
    page.goto(stand_in.url)
    page.get_by_role("button", name="Deploy shop to production").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Deploy v13 to production").click()
    expect(dialog.get_by_role("alert").filter(has_text="Bad gateway.")).to_be_visible()
    dialog.get_by_role("button", name="Deploy v13 to production").click()
    page.wait_for_url("**/deploys/42")
    first, second = stand_in.asked_for("deploys", "POST")
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]


def test_application_without_a_ready_release_says_how_to_make_one(page, stand_in, world):
    world.releases = {"shop": [shapes.release("v14", "building")]}
    page.goto(stand_in.url)
    page.get_by_role("button", name="Deploy shop to production").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("There is no release that is ready.")).to_be_visible()
    expect(dialog.get_by_role("button", name="Deploy")).to_be_disabled()


def test_roll_back_names_both_releases_and_asks_the_server_for_it(page, stand_in, world):
    page.goto(stand_in.url)
    page.get_by_role("button", name="Roll back shop in production").click()
    dialog = page.get_by_role("dialog", name="Roll shop back in production?")
    expect(dialog.locator("dd")).to_have_text(["shop", "production", "v12", "v11"])
    dialog.get_by_role("button", name="Roll back to v11").click()
    page.wait_for_url("**/deploys/42")
    [asked] = stand_in.asked_for("deploys/41/rollback", "POST")
    assert len(asked.headers["idempotency-key"]) == 32


def test_cancelled_question_does_nothing(page, stand_in, world):
    page.goto(stand_in.url)
    button = page.get_by_role("button", name="Roll back shop in production")
    button.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(button).to_be_focused()
    assert [asked for asked in stand_in.asked if asked.method == "POST"] == []


def test_roll_back_after_a_rollout_that_undid_itself_means_the_last_success(page, stand_in, world):
    undone = shapes.deploy(42, "rolled_back", release="v13", previous_release="v12")
    world.deploys[42] = undone
    world.status[1].update(deploy=shapes.brief(undone), state="rolled_back")
    page.goto(stand_in.url)
    page.get_by_role("button", name="Roll back shop in production").click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back to v11").click()
    page.wait_for_url("**/deploys/43")
    assert stand_in.asked_for("deploys/41/rollback", "POST")


def test_buttons_rest_while_a_deploy_is_under_way(page, stand_in, world):
    world.status[1].update(deploy=shapes.brief(shapes.deploy(42, "running")), state="running")
    page.goto(stand_in.url)
    expect(page.get_by_role("button", name="Deploy shop to production")).to_be_disabled()
    expect(page.get_by_role("button", name="Roll back shop in production")).to_be_disabled()
    expect(page.get_by_role("button", name="Deploy shop to staging")).to_be_enabled()


def test_lost_server_is_said_what_is_shown_is_marked_and_it_recovers(page, stand_in, world):
    page.goto(stand_in.url)
    expect(page.locator(".connection")).to_have_text("live")
    stand_in.fail("status", 503, times=1, detail="The database does not answer now.")
    stand_in.hint()
    expect(page.locator(".connection")).to_have_text("reconnecting…")
    expect(page.get_by_role("status").filter(has_text="The database does not answer now. Reconnecting…")).to_be_visible()
    expect(page.get_by_text("What you see is from")).to_be_visible()
    expect(page.locator("main.is-stale")).to_have_count(1)
    expect(cell(page, "shop", "production").locator(".version")).to_have_text("v12")
    expect(page.locator(".connection")).to_have_text("live")
    expect(page.locator("main.is-stale")).to_have_count(0)


def test_names_and_texts_from_the_server_stay_text(page, stand_in, world):
    world.applications[0]["name"] = NASTY
    world.environments.append({"name": NASTY, "position": 3})
    world.status[1].update(drift_detail=NASTY, url="javascript:document.title='owned'", desired=NASTY)
    page.goto(stand_in.url)
    expect(page.get_by_role("columnheader", name=NASTY)).to_be_visible()
    expect(page.get_by_role("rowheader", name=NASTY)).to_be_visible()
    expect(cell(page, "shop", "production").locator(".drift")).to_contain_text(NASTY)
    expect(cell(page, "shop", "production").get_by_role("link", name="Open the application")).to_have_count(0)
    assert page.locator("main img").count() == 0
    assert page.title() == "Overview · Windlass"


def test_unchanged_status_is_not_sent_again(page, stand_in, world):
    page.goto(stand_in.url)
    expect(cell(page, "shop", "production")).to_contain_text("v12")
    stand_in.hint()
    with page.expect_response(lambda response: "/status" in response.url and response.status == 304):
        stand_in.hint()
    assert stand_in.asked_for("status")[-1].headers["if-none-match"]


def test_environments_are_added_changed_and_deleted(page, stand_in):
    stand_in.world.applications = [shapes.application()]
    page.goto(stand_in.url)
    page.get_by_role("button", name="Environments…").click()
    dialog = page.get_by_role("dialog", name="Environments")
    dialog.get_by_label("Name").fill("qa")
    dialog.get_by_role("button", name="Add the environment").click()
    expect(dialog.get_by_role("rowheader")).to_have_text(["staging", "production", "qa"])
    assert stand_in.asked_for("environments", "POST")[-1].body == {"name": "qa"}
    dialog.get_by_role("button", name="Change production").click()
    dialog.get_by_label("Approvals of others").fill("many")
    dialog.get_by_label("Succeeded before in").select_option("staging")
    stand_in.fail("environments/production", 422, method="PATCH", errors={"approvals": "Use a number."}, detail="No.")
    dialog.get_by_role("button", name="Change production").last.click()
    expect(dialog.get_by_label("Approvals of others")).to_have_accessible_description("Use a number.")
    dialog.get_by_label("Approvals of others").fill("2")
    dialog.get_by_role("button", name="Change production").last.click()
    expect(dialog.get_by_text("2 approvals of others, a release that succeeded in staging")).to_be_visible()
    sent = stand_in.asked_for("environments/production", "PATCH")[-1]
    assert sent.body == {"position": 2, "approvals": 2, "promote_from": "staging"} and sent.headers["if-match"]
    dialog.get_by_role("button", name="Delete qa").click()
    page.get_by_role("dialog", name="Delete the environment qa?").get_by_role("button", name="Delete").click()
    expect(dialog.get_by_role("rowheader")).to_have_text(["staging", "production"])
