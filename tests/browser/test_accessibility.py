"""Every page looked over by axe-core, light and dark, and at the width of a phone."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests import shapes

AXE = Path(__file__).resolve().parents[2] / "static" / "vendor" / "axe.js.for-tests"
RULES = "{ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }"
PAGES = {
    "/": "shop",
    "/applications/shop": "Newest deploys",
    "/deploys": "#41",
    "/deploys/41": "Log",
    "/hosts": "web2",
    "/hosts/web2": "Only 120 MB",
    "/commands": "df -h /",
    "/commands/7": "of 2 hosts done",
    "/freezes": "holidays",
    "/integrations": "The token is refused.",
    "/tokens": "ci",
    "/audit": "shop/production",
    "/nowhere": "Not found",
}


@pytest.fixture
def world(stand_in):
    """Something of everything."""
    world = stand_in.world
    world.applications = [shapes.application()]
    world.hosts = [
        shapes.host("web1"),
        shapes.host(
            "web2",
            "problems",
            problems=[{"code": "disk-low", "message": "Only 120 MB are free.", "remedy": "Free some."}],
        ),
    ]
    world.targets = {"shop": [shapes.target(rules=[{"branch": "main"}, {"tag": "v*"}])]}
    world.audit = [shapes.audited()]
    world.automations = [shapes.automation()]
    world.releases = {
        "shop": [
            shapes.release("v14", "building"),
            shapes.release("v13", "failed", error="no such package"),
            shapes.release(),
        ]
    }
    world.deploys = {
        41: shapes.deploy(reason="check failed", progress=shapes.progress(2, 2, 1)),
        40: shapes.deploy(40, "running"),
    }
    run = shapes.host_run("web1")
    run["steps"].insert(4, shapes.step("ansible:web.yml", message="changed the host"))
    world.runs = {41: [run, shapes.host_run("web2", "failed", 6, message="check failed")]}
    world.status = [shapes.status(health="unhealthy", drift=True, drift_detail="web2: v11; it should be v12.")]
    world.commands = {7: shapes.command(state="failed", argv=["df", "-h", "/"])}
    world.freezes = [shapes.freeze(weekly={"begins": "fri 16:00", "ends": "mon 08:00", "timezone": "Europe/Berlin"})]
    refused = {"state": "open", "until": None, "reason": "The token is refused."}
    world.integrations = [shapes.integration(circuit=refused, hook=shapes.hook())]
    world.hooks, world.webhooks = [shapes.received()], [shapes.webhook()]
    world.tokens = [shapes.token()]
    world.variables = {"LOG_LEVEL": "info", "DATABASE_URL": {"secret": True}}
    stand_in.publish("command-7", shapes.output("Filesystem      Size\n", step=None))
    stand_in.publish("deploy-41", shapes.deploy_event("running"), shapes.output("hello\n"), shapes.step_event("check", "failed"))
    return world


def look_over(page):
    """Return what axe finds wrong, one line each."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate(f"axe.run(document, {RULES})")
    return [f"{rule['id']}: {node['html']} ({node['failureSummary']})" for rule in found["violations"] for node in rule["nodes"]]


@pytest.mark.parametrize("scheme, width", [("light", 1280), ("dark", 390)])
def test_pages_have_no_barriers_that_axe_finds(page, stand_in, world, scheme, width):
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.set_viewport_size({"width": width, "height": 900})
    for path, text in PAGES.items():
        page.goto(stand_in.url + path)
        expect(page.locator("main").get_by_text(text).filter(visible=True).first).to_be_visible()
        assert look_over(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} is wider than the window"


def test_sign_in_page_and_dialogs_have_no_barriers_that_axe_finds(page, stand_in, world):
    page.emulate_media(reduced_motion="reduce")
    page.goto(f"{stand_in.url}/sign-in")
    assert look_over(page) == []
    page.goto(stand_in.url)
    page.get_by_role("button", name="Deploy shop to production").click()
    expect(page.get_by_role("button", name="Deploy v12 to production")).to_be_visible()
    assert look_over(page) == []
    page.goto(f"{stand_in.url}/applications/shop")
    page.get_by_role("button", name="Add a target").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert look_over(page) == []
    for path, button in (
        ("/", "Environments…"),
        ("/commands", "Run a command"),
        ("/freezes", "Add a freeze"),
        ("/applications/shop", "Lock production"),
        ("/applications/shop", "Variables of production"),
        ("/applications/shop", "Rules of production"),
        ("/integrations", "Add an integration"),
        ("/integrations", "Hook of stash"),
        ("/integrations", "Edit the webhook chat"),
        ("/integrations", "Edit stash"),
        ("/integrations", "Test stash"),
        ("/tokens", "Make a token"),
    ):
        page.goto(stand_in.url + path)
        page.get_by_role("button", name=button).click()
        expect(page.get_by_role("dialog")).to_be_visible()
        assert look_over(page) == [], path


def test_a_command_is_run_without_a_mouse(page, stand_in, world):
    page.goto(f"{stand_in.url}/commands")
    page.get_by_role("button", name="Run a command").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Run a command")).to_be_visible()
    page.get_by_label("Hosts", exact=True).focus()
    page.keyboard.type("web1")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Command", exact=True)).to_be_focused()
    page.keyboard.type("uptime")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Run this command?")
    expect(dialog).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/commands/2")
    assert stand_in.asked_for("commands", "POST")[0].body == {"argv": ["uptime"], "hosts": ["web1"], "time_limit_s": 60}


def test_deploying_needs_no_mouse(page, stand_in, world):
    page.goto(stand_in.url)
    expect(page.get_by_role("button", name="Deploy shop to production")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.get_by_role("button", name="Deploy shop to production").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Release")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.type("by keyboard")
    page.keyboard.press("Enter")
    page.wait_for_url("**/deploys/42")
    assert stand_in.asked_for("deploys", "POST")[0].body["comment"] == "by keyboard"
