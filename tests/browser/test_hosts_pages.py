"""Hosts: what is wrong with them, what to do about it, and whose key is trusted."""

import pytest
from playwright.sync_api import expect

from tests import shapes

NASTY = "<img src=x onerror=\"document.title='owned'\">"


@pytest.fixture
def world(stand_in):
    """A host that is ready, one with problems, one that nobody has looked at."""
    problem = {"code": "disk-low", "message": "Only 120 MB are free below /srv.", "remedy": "Free some space."}
    stand_in.world.hosts = [
        shapes.host("web1"),
        shapes.host("web2", "problems", problems=[problem]),
        shapes.new_host("web3", address="10.0.0.13"),
    ]
    return stand_in.world


def row(page, name):
    return page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=name))


def test_list_tells_state_and_first_problem(page, stand_in, world):
    page.goto(f"{stand_in.url}/hosts")
    expect(row(page, "web1")).to_contain_text("ready")
    expect(row(page, "web2")).to_contain_text("has problems")
    expect(row(page, "web2")).to_contain_text("Only 120 MB are free below /srv.")
    expect(row(page, "web3")).to_contain_text("not checked yet")
    expect(row(page, "web3")).to_contain_text("deploy@10.0.0.13")


def test_new_host_is_added_with_the_key_to_install_in_sight(page, stand_in):
    page.goto(f"{stand_in.url}/hosts")
    page.get_by_role("button", name="Add a host").click()
    dialog = page.get_by_role("dialog", name="Add a host")
    expect(dialog.get_by_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIwindlass windlass zone default")).to_be_visible()
    dialog.get_by_label("Name").fill("web9")
    dialog.get_by_label("Address").fill("10.0.0.19")
    dialog.get_by_label("Port").fill("2222")
    dialog.get_by_label("User").fill("deploy")
    dialog.get_by_label("Tags").fill("web, eu")
    dialog.get_by_role("button", name="Save").click()
    page.wait_for_url("**/hosts/web9")
    assert stand_in.asked_for("hosts", "POST")[0].body == {
        "name": "web9",
        "transport": "ssh",
        "address": "10.0.0.19",
        "port": 2222,
        "user": "deploy",
        "zone": "default",
        "tags": ["web", "eu"],
    }
    expect(page.get_by_role("heading", name="Before the first deploy")).to_be_visible()
    expect(page.get_by_text("windlass hosts trust web9")).to_be_visible()


def test_port_that_is_no_number_goes_to_the_server_which_says_so(page, stand_in):
    stand_in.fail("hosts", 422, method="POST", errors={"port": "Use a number."}, detail="port: Use a number.")
    page.goto(f"{stand_in.url}/hosts")
    page.get_by_role("button", name="Add a host").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Port").fill("ssh")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_label("Port")).to_have_accessible_description("Use a number.")
    assert stand_in.asked_for("hosts", "POST")[0].body["port"] == "ssh"


def test_key_is_trusted_only_by_the_fingerprint_that_was_confirmed(page, stand_in, world):
    page.goto(f"{stand_in.url}/hosts/web3")
    page.get_by_role("button", name="Trust its key").click()
    dialog = page.get_by_role("dialog", name="Trust the key of web3?")
    expect(dialog.get_by_text("SHA256:" + "s" * 43)).to_be_visible()
    assert [asked.body for asked in stand_in.asked_for("hosts/web3/trust", "POST")] == [{"preview": True}]
    dialog.get_by_role("button", name="It is the same: trust it").click()
    expect(page.get_by_role("button", name="Replace the host key")).to_be_visible()
    assert stand_in.asked_for("hosts/web3/trust", "POST")[1].body == {"fingerprint": "SHA256:" + "s" * 43}


def test_another_key_than_the_trusted_one_is_warned_of(page, stand_in, world):
    page.goto(f"{stand_in.url}/hosts/web1")
    page.get_by_role("button", name="Replace the host key").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("The host shows another key than the one trusted until now.")).to_be_visible()
    expect(dialog.get_by_text("SHA256:" + "k" * 43)).to_be_visible()
    dialog.get_by_role("button", name="Cancel").click()
    assert world.hosts[0]["host_key_fingerprint"] == "SHA256:" + "k" * 43


def test_check_shows_problems_with_remedies_and_facts(page, stand_in, world):
    page.goto(f"{stand_in.url}/hosts/web2")
    expect(page.get_by_text("Only 120 MB are free below /srv.")).to_be_visible()
    expect(page.get_by_text("Free some space.")).to_be_visible()
    page.get_by_role("button", name="Check now").click()
    expect(page.get_by_text("Nothing stands in the way of deploys.")).to_be_visible()
    expect(page.get_by_text("Debian GNU/Linux 12, linux, x86_64")).to_be_visible()


def test_check_that_nobody_carries_out_says_so(page, stand_in, world):
    stand_in.fail("hosts/web3/check", 503, detail="No worker of zone default answered within 25 s: start one, or see its log.")
    page.goto(f"{stand_in.url}/hosts/web3")
    page.get_by_role("button", name="Check now").click()
    expect(page.get_by_role("alert").filter(has_text="No worker of zone default answered")).to_be_visible()
    expect(page.get_by_role("button", name="Check now")).to_be_enabled()


def test_maintenance_needs_a_reason_and_ends_again(page, stand_in, world):
    page.goto(f"{stand_in.url}/hosts/web1")
    page.get_by_label("Take it out of service because").fill("new disk")
    page.get_by_role("button", name="Take out of service").click()
    expect(page.locator(".page-head .state")).to_contain_text("in maintenance")
    expect(page.get_by_text("new disk")).to_be_visible()
    page.get_by_role("button", name="Put it back into service").click()
    expect(page.locator(".page-head .state")).to_contain_text("ready")
    assert [asked.body for asked in stand_in.asked_for("hosts/web1/maintenance", "POST")] == [
        {"reason": "new disk"},
        {"enabled": False},
    ]


def test_what_a_host_says_of_itself_stays_text(page, stand_in, world):
    world.hosts[1].update(problems=[{"code": "nasty", "message": NASTY, "remedy": NASTY}], tags=[NASTY])
    world.hosts[1]["facts"]["distribution"] = NASTY
    page.goto(f"{stand_in.url}/hosts/web2")
    expect(page.get_by_role("strong").filter(has_text=NASTY)).to_be_visible()
    expect(page.get_by_role("definition").filter(has_text=f"{NASTY}, linux")).to_be_visible()
    assert page.locator("main img").count() == 0
    assert page.title() == "web2 · Windlass"


def test_drift_is_shown_with_its_diff_and_looked_for(page, stand_in, world):
    item = {"kind": "nginx", "message": f"nginx's site was edited {NASTY}", "diff": "--- site\n-old line\n+new line\n"}
    world.hosts[0]["placements"] = [
        {
            "application": "shop",
            "environment": "production",
            "recorded": "v12",
            "observed": "v12",
            "healthy": True,
            "observed_at": shapes.at(20),
            "verified_at": None,
            "stale": False,
            "drift": [item],
            "drifted_since": shapes.at(60),
        }
    ]
    page.goto(f"{stand_in.url}/hosts/web1")
    section = page.get_by_role("region", name="What runs here")
    expect(section.get_by_text("nginx's site was edited")).to_be_visible()
    expect(section.get_by_text("+new line")).to_be_visible()
    assert page.title() != "owned"
    section.get_by_role("button", name="Look for drift").click()
    expect(page.get_by_text("web1 was compared with what was deployed")).to_be_visible()
    assert stand_in.asked_for("hosts/web1/observe", "POST")[0].body == {}
