"""What happens by itself: a target's rules, hooks that come in, webhooks that go out."""

import pytest
from playwright.sync_api import expect

from tests import shapes

TARGET = "applications/shop/targets/production"


@pytest.fixture
def world(stand_in):
    """An application whose source tells of news, a target with two rules, a webhook."""
    shop = shapes.application()
    shop["source"] = {**shop["source"], "integration": "stash"}
    stand_in.world.applications = [shop]
    stand_in.world.integrations = [shapes.integration(hook=shapes.hook()), shapes.integration("mail", "email")]
    rules = [{"branch": "main", "require_green_build": True}, {"tag": "v*", "require_green_build": False}]
    stand_in.world.targets = {"shop": [shapes.target(rules=rules)]}
    stand_in.world.status = [shapes.status()]
    stand_in.world.automations = [shapes.automation()]
    stand_in.world.webhooks = [shapes.webhook(events=["deploy.failed"])]
    return stand_in.world


def sent_rules(stand_in):
    """Return the rules of the newest change of the target."""
    return stand_in.asked_for(TARGET, "PUT")[-1].body["rules"]


def test_rules_are_added_changed_moved_and_removed_and_the_rest_of_the_target_stays(page, stand_in, world):
    page.goto(f"{stand_in.url}/applications/shop")
    page.get_by_role("button", name="Rules of production").click()
    dialog = page.get_by_role("dialog", name="Deployed to production by itself")
    expect(dialog.get_by_role("rowheader")).to_have_text(["pushes to main, after a green build", "tags v*"])
    expect(dialog.get_by_text("Windlass hears of news by the hook of stash.")).to_be_visible()
    expect(dialog.get_by_role("link", name="deploy #41")).to_have_attribute("href", "/deploys/41")
    stand_in.fail(TARGET, 422, method="PUT", errors={"rules.2.branch": "Name one without spaces."}, detail="No.")
    dialog.get_by_label("Named").fill("hot fix")
    dialog.get_by_role("button", name="Add the rule").click()
    expect(dialog.get_by_label("Named")).to_have_accessible_description("Name one without spaces.")
    dialog.get_by_label("Named").fill("hotfix/*")
    dialog.get_by_role("button", name="Add the rule").click()
    expect(dialog.get_by_role("rowheader")).to_have_count(3)
    put = stand_in.asked_for(TARGET, "PUT")[-1]
    assert put.body["rules"][2] == {"branch": "hotfix/*", "require_green_build": False}
    kept = world.targets["shop"][0]
    assert {name: put.body[name] for name in ("hosts", "health", "server_names", "drain_s")} == {
        name: kept[name] for name in ("hosts", "health", "server_names", "drain_s")
    }
    assert put.headers["if-match"]
    dialog.get_by_role("button", name="Move up: tags v*").click()
    expect(dialog.get_by_role("rowheader").first).to_have_text("tags v*")
    dialog.get_by_role("button", name="Change: pushes to main, after a green build").click()
    expect(dialog.get_by_label("Only after a green build")).to_be_checked()
    dialog.get_by_label("Named").fill("trunk")
    dialog.get_by_role("button", name="Change the rule").click()
    expect(dialog.get_by_role("rowheader").nth(1)).to_have_text("pushes to trunk, after a green build")
    dialog.get_by_role("button", name="Remove: tags v*").click()
    page.get_by_role("dialog", name="Remove this rule?").get_by_role("button", name="Remove").click()
    expect(dialog.get_by_role("rowheader")).to_have_count(2)
    assert sent_rules(stand_in) == [
        {"branch": "trunk", "require_green_build": True},
        {"branch": "hotfix/*", "require_green_build": False},
    ]


def test_where_nobody_tells_of_news_the_rules_say_so(page, stand_in, world):
    world.integrations[0]["hook"]["is_open"] = False
    page.goto(f"{stand_in.url}/applications/shop")
    page.get_by_role("button", name="Rules of production").click()
    expect(page.get_by_text("open the hook of stash, under Integrations")).to_be_visible()


def test_a_hook_is_opened_its_secret_shown_once_and_closed_again(page, stand_in, world):
    world.integrations[0]["hook"]["is_open"] = False
    world.hooks = [shapes.received()]
    page.goto(f"{stand_in.url}/integrations")
    expect(page.get_by_role("button", name="Hook of mail")).to_be_hidden()
    page.get_by_role("button", name="Hook of stash").click()
    dialog = page.get_by_role("dialog", name="Hook of stash")
    expect(dialog.get_by_text("https://windlass.example.net/api/v1/hooks/stash")).to_be_visible()
    expect(dialog.get_by_text("v13 of shop in production is deployed when it is ready")).to_be_visible()
    dialog.get_by_role("button", name="Open it").click()
    expect(dialog.get_by_text("only-once-1")).to_be_visible()
    dialog.get_by_role("button", name="Make a new secret").click()
    asked = page.get_by_role("dialog", name="Make a new secret for the hook of stash?")
    expect(asked.get_by_text("refused from now on")).to_be_visible()
    asked.get_by_role("button", name="Make a new secret").click()
    expect(dialog.get_by_text("only-once-2")).to_be_visible()
    dialog.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Hook of stash").click()
    expect(dialog.get_by_role("button", name="Take no more")).to_be_visible()
    expect(page.get_by_text("only-once")).to_have_count(0)
    dialog.get_by_role("button", name="Take no more").click()
    page.get_by_role("dialog", name="Close the hook of stash?").get_by_role("button", name="Close it").click()
    expect(dialog.get_by_role("button", name="Open it")).to_be_visible()


def test_a_webhook_is_added_edited_given_a_new_secret_switched_off_and_deleted(page, stand_in, world):
    world.webhooks = []
    page.goto(f"{stand_in.url}/integrations")
    page.get_by_role("button", name="Add a webhook").click()
    dialog = page.get_by_role("dialog", name="Add a webhook")
    dialog.get_by_label("Name").fill("chat")
    dialog.get_by_label("URL").fill("https://chat.example.net/1")
    dialog.get_by_label("Events").fill("deploy.failed, Nonsense")
    stand_in.fail("webhooks", 422, method="POST", errors={"events.1": "Use a name."}, detail="No.")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_label("Events")).to_have_accessible_description("Use a name.")
    dialog.get_by_label("Events").fill("deploy.failed")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_text("whsec_only-once")).to_be_visible()
    dialog.get_by_role("button", name="Done").click()
    sent = {"name": "chat", "url": "https://chat.example.net/1", "events": ["deploy.failed"]}
    assert stand_in.asked_for("webhooks", "POST")[-1].body == {**sent, "applications": None, "environments": None}

    page.get_by_role("button", name="Edit the webhook chat").click()
    dialog = page.get_by_role("dialog", name="Edit the webhook chat")
    dialog.get_by_label("URL").fill("https://elsewhere.example.net/1")
    expect(dialog.get_by_text("it is given a new secret")).to_be_visible()
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_label("The webhook's secret")).to_contain_text("whsec_")
    moved = dialog.get_by_label("The webhook's secret").inner_text()
    dialog.get_by_role("button", name="Done").click()
    assert stand_in.asked_for("webhooks/chat", "PATCH")[-1].body["secret"] == moved.strip()

    page.get_by_role("button", name="Make a new secret for the webhook chat").click()
    page.get_by_role("dialog", name="Make a new secret for chat?").get_by_role("button", name="Make a new secret").click()
    renewed = dialog.get_by_label("The webhook's secret").inner_text()
    assert stand_in.asked_for("webhooks/chat", "PATCH")[-1].body == {"secret": renewed.strip()} != {"secret": moved}
    dialog.get_by_role("button", name="Done").click()

    page.get_by_role("button", name="Test the webhook chat").click()
    page.get_by_role("dialog", name="Test chat").get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Switch off the webhook chat").click()
    page.get_by_role("dialog", name="Switch the webhook chat off?").get_by_role("button", name="Switch off").click()
    expect(page.get_by_role("row").filter(has_text="chat")).to_contain_text("switched off")
    page.get_by_role("button", name="Delete the webhook chat").click()
    page.get_by_role("dialog", name="Delete the webhook chat?").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("rowheader", name="chat")).to_have_count(0)


def test_deleting_says_what_is_lost_and_shows_why_it_is_refused(page, stand_in, world):
    page.goto(f"{stand_in.url}/applications/shop")
    page.get_by_role("button", name="Delete…").click()
    dialog = page.get_by_role("dialog", name="Delete the application shop?")
    expect(dialog.get_by_text("It still has targets: delete them first.")).to_be_visible()
    stand_in.fail("applications/shop", 409, method="DELETE", code="in-use", detail="Its target in production uses it.")
    dialog.get_by_role("button", name="Delete it with its history").click()
    expect(dialog.get_by_role("alert")).to_have_text("Its target in production uses it.")
    dialog.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Delete the target production").click()
    dialog = page.get_by_role("dialog", name="Delete the target production of shop?")
    expect(dialog.get_by_text("What runs on its hosts goes on running")).to_be_visible()
    world.status = []
    dialog.get_by_role("button", name="Delete the target").click()
    expect(page.get_by_text("It goes nowhere yet.")).to_be_visible()
    page.get_by_role("button", name="Delete…").click()
    dialog = page.get_by_role("dialog", name="Delete the application shop?")
    expect(dialog.get_by_text("whole history of its deploys are lost")).to_be_visible()
    dialog.get_by_role("button", name="Delete it with its history").click()
    page.wait_for_url(f"{stand_in.url}/")
    assert world.applications == []


def test_a_host_is_deleted_after_it_was_said_what_runs_there(page, stand_in):
    stand_in.world.hosts = [shapes.host()]
    page.goto(f"{stand_in.url}/hosts/web1")
    page.get_by_role("button", name="Delete…").click()
    dialog = page.get_by_role("dialog", name="Delete the host web1?")
    expect(dialog.get_by_text("What runs there goes on running")).to_be_visible()
    dialog.get_by_role("button", name="Delete the host").click()
    page.wait_for_url(f"{stand_in.url}/hosts")
    assert stand_in.world.hosts == []


def test_the_audit_trail_is_filtered_and_verified(page, stand_in):
    stand_in.world.audit = [shapes.audited(2, actor="ben", subject="<b>web1</b>", data={}), shapes.audited()]
    page.goto(f"{stand_in.url}/audit")
    expect(page.get_by_role("row").filter(has_text="shop/production")).to_contain_text('hosts: ["web1"]')
    expect(page.get_by_text("<b>web1</b>")).to_be_visible()
    page.get_by_label("Who").fill("ann")
    expect(page.get_by_role("rowheader")).to_have_text(["1"])
    assert page.url == f"{stand_in.url}/audit?by=ann"
    page.get_by_role("button", name="Verify it").click()
    expect(page.get_by_text("All 2 entries are as they were written.")).to_be_visible()
