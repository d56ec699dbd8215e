"""An application's page: releases with their builds, targets, and the forms by which a new user gets going."""

import pytest
from playwright.sync_api import expect

from tests import shapes

NASTY = "<img src=x onerror=\"document.title='owned'\">"


@pytest.fixture
def world(stand_in):
    """An application with one target, a ready release and a failed one."""
    world = stand_in.world
    world.applications = [shapes.application()]
    world.hosts = [shapes.host("web1"), shapes.host("web2"), shapes.host("web3")]
    world.targets = {
        "shop": [shapes.target(strategy={**shapes.ALL_AT_ONCE, "kind": "rolling", "batch": 2, "max_failures": 1, "pause_s": 10})]
    }
    world.status = [shapes.status()]
    world.releases = {
        "shop": [
            shapes.release("v13", "failed", error="requirements.txt: flask==99 does not exist"),
            shapes.release("v12"),
        ]
    }
    world.deploys = {41: shapes.deploy()}
    return world


def release_row(page, version):
    return page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=version, exact=True))


def test_page_shows_targets_releases_and_deploys(page, stand_in, world):
    page.goto(f"{stand_in.url}/applications/shop")
    expect(page.get_by_role("heading", level=1)).to_have_text("shop")
    expect(page.get_by_text("rolling, 2 hosts at a time, 10 s between batches, roll back on failure")).to_be_visible()
    expect(page.get_by_text("GET /health answers 200 within 30 s")).to_be_visible()
    expect(release_row(page, "v12")).to_contain_text("ready")
    expect(release_row(page, "v13")).to_contain_text("failed")
    expect(page.get_by_text("requirements.txt: flask==99 does not exist")).to_be_visible()
    expect(page.get_by_role("row").filter(has=page.get_by_role("link", name="#41"))).to_contain_text("succeeded")


def test_release_is_made_from_a_ref_and_its_build_is_watched(page, stand_in, world):
    page.goto(f"{stand_in.url}/applications/shop")
    page.get_by_label("Make a release from a branch, tag or commit").fill("feature/basket")
    page.get_by_role("button", name="Make a release").click()
    expect(page.get_by_role("heading", name="Build of v15")).to_be_visible()
    assert stand_in.asked_for("applications/shop/releases", "POST")[0].body == {"ref": "feature/basket"}
    stand_in.cut(1)
    stand_in.publish(
        "release-shop-v15",
        {"kind": "output", "text": "Resolved 12 packages\n"},
        {"kind": "output", "text": "Built shop\n"},
    )
    expect(page.get_by_text("Built shop", exact=True)).to_be_visible()
    with stand_in.changed:
        world.releases["shop"][0].update(state="ready", commit="beef" * 10)
        stand_in.publish("release-shop-v15", {"kind": "release", "data": {"state": "ready", "version": "v15"}})
    expect(release_row(page, "v15")).to_contain_text("ready")
    expect(release_row(page, "v15")).to_contain_text("beefbeefbe")


def test_a_build_is_cancelled(page, stand_in, world):
    world.releases["shop"].insert(0, shapes.release("v14", "building"))
    page.goto(f"{stand_in.url}/applications/shop")
    expect(page.get_by_role("button", name="Cancel the build of v12")).to_be_hidden()
    page.get_by_role("button", name="Cancel the build of v14").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("shop")
    dialog.get_by_role("button", name="Cancel this build").click()
    expect(release_row(page, "v14")).to_contain_text("failed")
    expect(page.get_by_text("cancelled by admin")).to_be_visible()
    assert len(stand_in.asked_for("applications/shop/releases/v14/cancel", "POST")) == 1
    expect(page.get_by_role("button", name="Cancel the build of v14")).to_be_hidden()


def test_without_a_ref_the_branch_of_the_application_is_built(page, stand_in, world):
    world.applications[0]["source"]["branch"] = "trunk"
    page.goto(f"{stand_in.url}/applications/shop")
    page.get_by_role("button", name="Make a release").click()
    expect(page.get_by_role("heading", name="Build of v15")).to_be_visible()
    assert stand_in.asked_for("applications/shop/releases", "POST")[0].body == {"ref": "trunk"}


def test_refused_ref_is_said_beside_the_field(page, stand_in, world):
    stand_in.fail(
        "applications/shop/releases",
        422,
        method="POST",
        detail="ref: there is no branch, tag or commit nowhere",
        errors={"ref": "there is no branch, tag or commit nowhere"},
    )
    page.goto(f"{stand_in.url}/applications/shop")
    field = page.get_by_label("Make a release from a branch, tag or commit")
    field.fill("nowhere")
    page.get_by_role("button", name="Make a release").click()
    expect(field).to_have_accessible_description("there is no branch, tag or commit nowhere")
    expect(field).to_have_attribute("aria-invalid", "true")
    assert field.input_value() == "nowhere"


def test_refs_are_suggested_and_asked_for_again_while_somebody_types(page, stand_in, world):
    world.choices = [{"kind": "branch", "name": name, "commit": "a" * 40} for name in ("main", "feature/basket", "v1")]
    page.goto(f"{stand_in.url}/applications/shop")
    field = page.get_by_label("Make a release from a branch, tag or commit")
    expect(field).to_be_editable()
    assert not stand_in.asked_for("applications/shop/refs")
    field.focus()
    suggested = page.locator("datalist#refs option")
    expect(suggested).to_have_count(3)
    assert [option.get_attribute("value") for option in suggested.all()] == ["main", "feature/basket", "v1"]
    field.fill("feat")
    expect(suggested).to_have_count(1)
    expect(suggested).to_have_attribute("value", "feature/basket")
    stand_in.fail("applications/shop/refs", 504, detail="The integration 'stash' did not answer in time.")
    field.fill("other")
    expect(suggested).to_have_count(0)
    expect(page.get_by_role("alert").filter(has_text="stash")).to_have_count(0)
    page.get_by_role("button", name="Make a release").click()
    expect(page.get_by_role("heading", name="Build of v15")).to_be_visible()


def test_package_is_built_from_a_version(page, stand_in, world):
    world.applications[0]["source"] = {"integration": None, "package": "httpbin"}
    page.goto(f"{stand_in.url}/applications/shop")
    page.get_by_label("Make a release from version").fill("0.10.2")
    page.get_by_role("button", name="Make a release").click()
    expect(page.get_by_role("heading", name="Build of v15")).to_be_visible()
    assert stand_in.asked_for("applications/shop/releases", "POST")[0].body == {"package_version": "0.10.2"}


def test_new_application_comes_from_the_form_errors_beside_their_fields(page, stand_in):
    stand_in.fail(
        "applications",
        422,
        method="POST",
        detail="Two fields cannot be used.",
        errors={"name": "Use small letters.", "source.repository": "Use a URL that begins with https://."},
    )
    page.goto(stand_in.url)
    page.get_by_role("button", name="Add an application").click()
    dialog = page.get_by_role("dialog", name="Add an application")
    dialog.get_by_label("Name").fill("Shop")
    dialog.get_by_role("textbox", name="Repository").fill("nonsense")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_label("Name")).to_have_accessible_description("Use small letters.")
    expect(dialog.get_by_role("textbox", name="Repository")).to_have_accessible_description(
        "Use a URL that begins with https://."
    )
    dialog.get_by_label("Name").fill("shop")
    dialog.get_by_role("textbox", name="Repository").fill("https://git.example.net/shop.git")
    dialog.get_by_role("button", name="Save").click()
    page.wait_for_url("**/applications/shop")
    assert stand_in.asked_for("applications", "POST")[1].body == {
        "name": "shop",
        "source": {"repository": "https://git.example.net/shop.git"},
        "team": None,
    }
    expect(page.get_by_text("It goes nowhere yet.")).to_be_visible()


def test_first_target_makes_its_environment_once_even_when_the_target_is_refused(page, stand_in, world):
    world.environments.clear()
    world.targets.clear()
    world.status.clear()
    stand_in.fail(
        "applications/shop/targets/live",
        422,
        method="PUT",
        errors={"hosts": "Choose at least one host."},
        detail="hosts: Choose at least one host.",
    )
    page.goto(f"{stand_in.url}/applications/shop")
    page.get_by_role("button", name="Add a target").click()
    dialog = page.get_by_role("dialog", name="Add a target for shop")
    dialog.get_by_label("Name of the new environment").fill("live")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_text("Choose at least one host.")).to_be_visible()
    dialog.get_by_label("web1").check()
    dialog.get_by_label("web3").check()
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("heading", name="live")).to_be_visible()
    assert [asked.body for asked in stand_in.asked_for("environments", "POST")] == [{"name": "live"}]
    assert stand_in.asked_for("applications/shop/targets/live", "PUT")[1].body == {
        "hosts": ["web1", "web3"],
        "strategy": {"kind": "all-at-once", "on_failure": "rollback"},
        "health": {"path": "/", "timeout_s": 30, "expect_status": None},
        "server_names": [],
    }


def test_edited_target_keeps_what_the_form_does_not_show_and_loses_no_other_change(page, stand_in, world):
    page.goto(f"{stand_in.url}/applications/shop")
    page.get_by_role("button", name="Edit the target production").click()
    dialog = page.get_by_role("dialog", name="Edit the target production")
    expect(dialog.get_by_label("web1")).to_be_checked()
    expect(dialog.get_by_label("web3")).not_to_be_checked()
    dialog.get_by_label("At a time").fill("25%")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()
    [asked] = stand_in.asked_for("applications/shop/targets/production", "PUT")
    assert asked.body == {
        "hosts": ["web1", "web2"],
        "strategy": {
            "kind": "rolling",
            "batch": "25%",
            "max_failures": 1,
            "pause_s": 10,
            "bake_s": 0,
            "healthy_first": False,
            "on_failure": "rollback",
        },
        "health": {"path": "/health", "timeout_s": 30, "expect_status": 200},
        "server_names": ["shop.example.com"],
        "processes": {},
        "rules": [],
        "configure": [],
        "drain_s": 45,
        "keep_warm": True,
    }
    assert asked.headers["if-match"].startswith('"')


def test_another_kind_of_strategy_takes_no_guard_of_the_first_host_along(page, stand_in, world):
    page.goto(f"{stand_in.url}/applications/shop")
    page.get_by_role("button", name="Edit the target production").click()
    dialog = page.get_by_role("dialog", name="Edit the target production")
    dialog.locator("select[name=kind]").select_option("canary")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()
    [asked] = stand_in.asked_for("applications/shop/targets/production", "PUT")
    sent = asked.body["strategy"]
    assert (sent["kind"], sent["pause_s"]) == ("canary", 10) and "healthy_first" not in sent


def test_unknown_application_says_so(page, stand_in):
    page.goto(f"{stand_in.url}/applications/nothing")
    expect(page.get_by_role("heading", name="No such application")).to_be_visible()


def test_a_drifted_host_is_shown_with_its_diff_and_the_same_release_is_offered(page, stand_in, world):
    drift = [{"kind": "nginx", "message": "nginx's site was edited", "diff": "--- site\n-old line\n+new line\n"}]
    hosts = [shapes.host_status("web1"), {**shapes.host_status("web2"), "drift": drift, "drifted_since": shapes.at(60)}]
    world.status[0].update(drift=True, drift_count=1, drift_detail="web2: nginx's site was edited.", hosts=hosts)
    page.goto(f"{stand_in.url}/applications/shop")
    card = page.get_by_role("article").filter(has=page.get_by_role("heading", name="production"))
    expect(card.locator("strong").get_by_text("web2", exact=True)).to_be_visible()
    expect(card.get_by_text("+new line")).to_be_visible()
    card.get_by_role("button", name="Deploy v12 to production again").click()
    dialog = page.get_by_role("dialog", name="Deploy shop to production")
    expect(dialog.get_by_role("button", name="Deploy v12 to production")).to_be_enabled()


def test_a_target_is_locked_and_unlocked(page, stand_in, world):
    path = "applications/shop/targets/production/lock"
    page.goto(f"{stand_in.url}/applications/shop")
    page.get_by_role("button", name="Lock production").click()
    dialog = page.get_by_role("dialog", name="Lock shop in production")
    stand_in.fail(path, 422, method="PUT", errors={"for_s": "must be an integer"}, detail="for_s: must be an integer")
    dialog.get_by_label("For how many hours").fill("long")
    dialog.get_by_role("button", name="Lock", exact=True).click()
    expect(dialog.get_by_label("For how many hours")).to_have_accessible_description("must be an integer")
    dialog.get_by_label("Reason").fill("inventory")
    dialog.get_by_label("For how many hours").fill("1.5")
    dialog.get_by_role("button", name="Lock", exact=True).click()
    expect(page.get_by_text("locked by admin: inventory")).to_be_visible()
    bodies = [asked.body for asked in stand_in.asked_for(path, "PUT")]
    assert bodies == [{"reason": "", "for_s": "long"}, {"reason": "inventory", "for_s": 5400}]
    page.get_by_role("button", name="Unlock: production").click()
    page.get_by_role("dialog", name="Unlock shop in production?").get_by_role("button", name="Unlock").click()
    expect(page.get_by_role("button", name="Lock production")).to_be_visible()
    assert stand_in.asked_for(path, "DELETE")[0].query == {}


def test_somebody_elses_lock_is_broken_only_after_that_was_said(page, stand_in, world):
    world.status[0].update(lock=shapes.lock("eve", NASTY, expires_at=shapes.at(-7200)))
    page.goto(f"{stand_in.url}/applications/shop")
    expect(page.get_by_text(f": {NASTY}").first).to_be_visible()
    page.get_by_role("button", name="Deploy shop to production").click()
    expect(page.get_by_role("dialog", name="Deploy shop to production").get_by_text("locked by eve until")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Break the lock: production").click()
    dialog = page.get_by_role("dialog", name="Break the lock of eve?")
    expect(dialog.get_by_text("is written down")).to_be_visible()
    dialog.get_by_role("button", name="Break the lock").click()
    expect(page.get_by_role("button", name="Lock production")).to_be_visible()
    assert stand_in.asked_for("applications/shop/targets/production/lock", "DELETE")[0].query == {"force": "true"}
    assert "owned" not in page.title()


def test_a_release_that_failed_there_before_is_warned_of_in_time(page, stand_in, world):
    world.releases["shop"] = [shapes.release("v14"), shapes.release("v12")]
    world.targets["shop"][0]["latched"] = [{"release": "v14", "deploy": 40, "reason": "web1: check: it answered 500"}]
    page.goto(f"{stand_in.url}/applications/shop")
    page.get_by_role("button", name="Deploy shop to production").click()
    dialog = page.get_by_role("dialog", name="Deploy shop to production")
    expect(dialog.get_by_text("v14 did not go well here last time (deploy 40): web1: check: it answered 500")).to_be_visible()
    dialog.get_by_label("Release").select_option("v12")
    expect(dialog.get_by_text("did not go well here")).to_be_hidden()


def test_a_target_is_put_into_maintenance_and_opened_again(page, stand_in, world):
    page.goto(f"{stand_in.url}/applications/shop")
    page.get_by_role("button", name="Put production into maintenance").click()
    dialog = page.get_by_role("dialog", name="Put shop in production into maintenance")
    dialog.get_by_label("Message to users").fill("Back at five")
    dialog.get_by_label("Reason").fill("new database")
    dialog.get_by_label("Try again after").fill("600")
    dialog.get_by_role("button", name="Put into maintenance").click()
    expect(page.get_by_text("closed by ada: new database")).to_be_visible()
    expect(page.get_by_text("nobody answers there")).to_be_visible()
    asked = stand_in.asked_for("applications/shop/targets/production/maintenance", "PUT")[0]
    assert asked.body == {"message": "Back at five", "reason": "new database", "retry_after_s": 600}
    page.get_by_role("button", name="Lift the maintenance of production").click()
    page.get_by_role("button", name="Lift maintenance", exact=True).last.click()
    expect(page.get_by_role("button", name="Put production into maintenance")).to_be_visible()
    assert stand_in.asked_for("applications/shop/targets/production/maintenance", "DELETE")
