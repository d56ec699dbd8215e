"""An application's page: releases with their builds, targets, and the forms by which a new user gets going."""

import pytest
from playwright.sync_api import expect

from tests.browser import data


@pytest.fixture
def world(stand_in):
    """An application with one target, a ready release and a failed one."""
    world = stand_in.world
    world.applications = [data.application()]
    world.hosts = [data.host("web1"), data.host("web2"), data.host("web3")]
    world.targets = {
        "shop": [
            data.target(strategy={**data.ALL_AT_ONCE, "kind": "rolling", "batch": 2, "max_failures": 1, "pause_s": 10})
        ]
    }
    world.status = [data.status()]
    world.releases = {
        "shop": [data.release("v13", "failed", error="requirements.txt: flask==99 does not exist"), data.release("v12")]
    }
    world.deploys = {41: data.deploy()}
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
            "on_failure": "rollback",
        },
        "health": {"path": "/health", "timeout_s": 30, "expect_status": 200},
        "server_names": ["shop.example.com"],
        "processes": {},
        "drain_s": 45,
        "keep_warm": True,
    }
    assert asked.headers["if-match"].startswith('"')


def test_unknown_application_says_so(page, stand_in):
    page.goto(f"{stand_in.url}/applications/nothing")
    expect(page.get_by_role("heading", name="No such application")).to_be_visible()
