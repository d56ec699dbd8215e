"""Integrations, tokens and variables: what a form sends, what it never shows, and where the server's words appear."""

import pytest
from playwright.sync_api import expect

from tests import shapes


@pytest.fixture
def world(stand_in):
    """One integration with a token, one target with a secret variable."""
    stand_in.world.integrations = [shapes.integration(credentials=["token"])]
    stand_in.world.applications = [shapes.application()]
    stand_in.world.targets = {"shop": [shapes.target()]}
    stand_in.world.status = [shapes.status()]
    stand_in.world.variables = {"LOG_LEVEL": "info", "DATABASE_URL": {"secret": True}}
    return stand_in.world


def test_an_integration_is_added_with_what_its_driver_asks_for(page, stand_in):
    page.goto(f"{stand_in.url}/integrations")
    expect(page.get_by_role("heading", name="No integrations yet")).to_be_visible()
    page.get_by_role("button", name="Add an integration").click()
    dialog = page.get_by_role("dialog", name="Add an integration")
    dialog.get_by_label("Name", exact=True).fill("mail")
    dialog.get_by_label("Driver").select_option("email")
    dialog.get_by_label("Host").fill("mail.example.net")
    dialog.get_by_label("Port").fill("25")
    dialog.get_by_label("To (").fill("ada@example.net, ben@example.net")
    stand_in.fail("integrations", 422, method="POST", errors={"settings.host": "Nobody knows it."}, detail="No.")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_label("Host")).to_have_accessible_description("Nobody knows it.")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("rowheader", name="mail")).to_be_visible()
    assert stand_in.asked_for("integrations", "POST")[-1].body == {
        "name": "mail",
        "driver": "email",
        "settings": {
            "host": "mail.example.net",
            "port": 25,
            "security": "starttls",
            "to": ["ada@example.net", "ben@example.net"],
        },
    }


def test_credentials_stay_unless_they_are_changed_and_another_url_wants_them_again(page, stand_in, world):
    page.goto(f"{stand_in.url}/integrations")
    page.get_by_role("button", name="Edit stash").click()
    dialog = page.get_by_role("dialog", name="Edit stash")
    expect(dialog.get_by_label("Credentials")).to_have_value("keep")
    dialog.get_by_label("Certificate authority").fill("PEM")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()
    sent = {"url": "https://stash.example.net", "settings": {"ca": "PEM"}}
    assert stand_in.asked_for("integrations/stash", "PATCH")[0].body == sent
    page.get_by_role("button", name="Edit stash").click()
    dialog.get_by_label("URL").fill("https://elsewhere.example.net")
    expect(dialog.get_by_label("Credentials")).to_have_value("token")
    expect(dialog.get_by_text("so that they follow nobody")).to_be_visible()
    expect(dialog.get_by_label("Token", exact=True)).to_have_attribute("type", "password")
    dialog.get_by_label("Token", exact=True).fill("t0p-secret")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()
    assert stand_in.asked_for("integrations/stash", "PATCH")[1].body["credentials"] == {"token": "t0p-secret"}


def test_trying_out_says_what_works_and_what_does_not(page, stand_in, world):
    page.goto(f"{stand_in.url}/integrations")
    page.get_by_role("button", name="Test stash").click()
    dialog = page.get_by_role("dialog", name="Test stash")
    dialog.get_by_label("Repository").fill("SHOP/web")
    dialog.get_by_role("button", name="Test", exact=True).click()
    expect(dialog.get_by_text("Something does not work. Version 8.19 answered.")).to_be_visible()
    expect(dialog.get_by_text("The token may not read it.")).to_be_visible()
    assert stand_in.asked_for("integrations/stash/test", "POST")[0].body == {"repository": "SHOP/web"}


def test_a_tokens_secret_is_shown_once_and_revoking_asks_first(page, stand_in):
    page.goto(f"{stand_in.url}/tokens")
    page.get_by_role("button", name="Make a token").click()
    dialog = page.get_by_role("dialog", name="Make a token")
    dialog.get_by_label("Name").fill("ci")
    dialog.get_by_role("button", name="Make it").click()
    expect(dialog.get_by_text("wl_only-once")).to_be_visible()
    dialog.get_by_role("button", name="Done").click()
    expect(page.get_by_text("wl_only-once")).to_have_count(0)
    page.get_by_role("button", name="Revoke token 1, ci").click()
    page.get_by_role("dialog", name="Revoke the token ci?").get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("heading", name="No tokens yet")).to_be_visible()


def test_variables_are_set_and_removed_and_secrets_stay_unseen(page, stand_in, world):
    page.goto(f"{stand_in.url}/applications/shop")
    page.get_by_role("button", name="Variables of production").click()
    dialog = page.get_by_role("dialog", name="Variables in production")
    expect(dialog.get_by_text("secret: never shown")).to_be_visible()
    path = "applications/shop/targets/production/variables"
    dialog.get_by_label("Name").fill("9lives")
    dialog.get_by_label("Value").fill("s3cret")
    dialog.get_by_label("Secret").check()
    stand_in.fail(path, 422, method="PATCH", errors={"variables.9lives.[key]": "Begin with a letter."}, detail="No.")
    dialog.get_by_role("button", name="Set").click()
    expect(dialog.get_by_label("Name")).to_have_accessible_description("Begin with a letter.")
    dialog.get_by_label("Name").fill("API_KEY")
    dialog.get_by_role("button", name="Set").click()
    expect(dialog.get_by_text("API_KEY is set.")).to_be_visible()
    expect(dialog.get_by_label("Value")).to_have_value("")
    assert stand_in.asked_for(path, "PATCH")[-1].body == {"variables": {"API_KEY": {"value": "s3cret", "secret": True}}}
    dialog.get_by_role("button", name="Remove LOG_LEVEL").click()
    page.get_by_role("dialog", name="Remove the variable LOG_LEVEL?").get_by_role("button", name="Remove").click()
    expect(dialog.get_by_role("rowheader", name="LOG_LEVEL")).to_have_count(0)
    assert stand_in.asked_for(path, "PATCH")[-1].body == {"variables": {"LOG_LEVEL": None}}
