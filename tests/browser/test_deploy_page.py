"""A deploy's page: hosts, steps and log live, complete and in order, whatever happens to the connection."""

import re

import pytest
from playwright.sync_api import expect

from tests import shapes

NASTY = "<script>document.title='owned'</script>"


@pytest.fixture
def running(stand_in):
    """Deploy 42 is under way on two hosts."""
    stand_in.world.deploys[42] = shapes.deploy(42, "running")
    stand_in.world.runs[42] = [
        shapes.host_run("web1", "running", 2),
        shapes.host_run("web2", "pending", 0, bytes_sent=0),
    ]
    return stand_in.world


@pytest.fixture
def ended(stand_in):
    """Deploy 43 failed on one of two hosts."""
    stand_in.world.deploys[43] = shapes.deploy(43, "failed", reason="check failed on web2", progress=shapes.progress(2, 2, 1))
    failed = shapes.host_run("web2", "failed", 6, message="the old release is serving again")
    failed["steps"][6] = shapes.step("check", "failed", "GET /health answered 500")
    stand_in.world.runs[43] = [shapes.host_run("web1"), failed]
    stand_in.publish("deploy-43", shapes.deploy_event("running"), shapes.output("hello\n"), shapes.deploy_event("failed"))
    return stand_in.world


def step(page, host, name):
    """Return a step's cell."""
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=host))
    return row.locator(f'td[data-step="{name}"]')


def log_lines(page):
    """Return the texts of all lines of the log, scrolling through it as a person would."""
    return page.evaluate("""async () => {
        const viewport = document.querySelector(".viewport");
        const frame = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
        const lines = new Map();
        for (let top = 0; ; top += viewport.clientHeight) {
            viewport.scrollTop = top;
            await frame();
            for (const line of viewport.querySelectorAll(".line")) {
                lines.set(Number.parseFloat(line.style.top), line.querySelector(".log-text").textContent);
            }
            if (top + viewport.clientHeight >= viewport.scrollHeight) break;
        }
        return [...lines].sort((a, b) => a[0] - b[0]).map(([, text]) => text);
    }""")


def test_playbooks_are_seen_below_the_steps_they_run_between_with_their_own_log(page, stand_in, running):
    first, second = running.runs[42]
    for run, state in ((first, "running"), (second, "pending")):
        run["steps"].insert(2, shapes.step("ansible:web.yml", state))
        run["steps"].append(shapes.step("ansible:last.yml", "pending"))
    page.goto(f"{stand_in.url}/deploys/42")
    row = page.locator(".playbooks-row").first.get_by_role("listitem").first
    expect(row).to_contain_text("running")
    expect(row).to_contain_text("between preflight and ship")
    expect(page.locator(".playbooks-row").nth(1).get_by_role("listitem").nth(1)).to_contain_text("after clean")
    stand_in.publish(
        "deploy-42",
        shapes.output("PLAY [all]\n", step="ansible:web.yml"),
        shapes.output("sending files\n", step="ship"),
        shapes.step_event("ansible:web.yml", "done", text="changed the host"),
    )
    expect(row).to_contain_text("done")
    expect(row).to_contain_text("changed the host")
    expect(page.get_by_text("sending files")).to_be_visible()
    page.get_by_role("button", name="Show the log of ansible:web.yml on web1").click()
    expect(page.get_by_text("sending files")).to_have_count(0)
    expect(page.get_by_text("PLAY [all]")).to_be_visible()
    page.get_by_role("button", name="ansible:web.yml only: show all steps").click()
    expect(page.get_by_text("sending files")).to_be_visible()


def test_head_tells_what_goes_where_and_how_far_it_is(page, stand_in, running):
    running.deploys[42].update(progress=shapes.progress(4, 1), strategy={**shapes.ALL_AT_ONCE, "kind": "rolling", "batch": 2})
    page.goto(f"{stand_in.url}/deploys/42")
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile(r"#42\s+shop\s+v12\s+to\s+production"))
    expect(page.get_by_text("1 of 4 hosts done")).to_be_visible()
    expect(page.get_by_text("rolling, 2 hosts at a time, roll back on failure")).to_be_visible()
    assert page.locator("progress").evaluate("bar => [bar.value, bar.max]") == [1, 4]
    expect(page).to_have_title("◐ Deploy 42 running · Windlass")


def test_steps_and_log_follow_the_server(page, stand_in, running):
    page.goto(f"{stand_in.url}/deploys/42")
    expect(step(page, "web1", "preflight")).to_contain_text("done")
    expect(step(page, "web1", "ship")).to_contain_text("running")
    expect(step(page, "web2", "connect")).to_contain_text("pending")
    stand_in.publish("deploy-42", {"kind": "progress", "host": "web1", "step": "ship", "data": {"done": 45, "total": 100}})
    expect(step(page, "web1", "ship")).to_contain_text("45 %")
    stand_in.publish(
        "deploy-42",
        shapes.output("sent 12 files\n"),
        shapes.step_event("ship", "done"),
        shapes.step_event("environment", "running"),
        shapes.step_event("connect", "failed", "web2", "connection refused"),
    )
    expect(step(page, "web1", "ship")).to_contain_text("done")
    expect(step(page, "web1", "environment")).to_contain_text("running")
    expect(page.get_by_text("connect: connection refused")).to_be_visible()
    assert log_lines(page) == [
        "sent 12 files",
        "✓ ship done",
        "◐ environment running",
        "✕ connect failed: connection refused",
    ]


def test_end_is_shown_and_the_stream_is_left_alone_afterwards(page, stand_in, running):
    page.goto(f"{stand_in.url}/deploys/42")
    expect(page.locator(".connection")).to_have_text("live")
    running.runs[42] = [shapes.host_run("web1"), shapes.host_run("web2")]
    running.deploys[42]["progress"] = shapes.progress(2, 2)
    stand_in.finish(42, "succeeded", shapes.host_event("succeeded"), shapes.host_event("succeeded", "web2"))
    expect(page.locator("#deploy-state")).to_contain_text("succeeded")
    expect(page.get_by_text("2 of 2 hosts done")).to_be_visible()
    expect(page.locator(".connection")).to_have_text("complete")
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
    expect(page.get_by_role("status").filter(has_text="Deploy 42 succeeded")).to_have_count(1)
    assert len(stand_in.asked_for("deploys/42/stream")) == 1


@pytest.mark.parametrize("how", ["close", "break", "garble"])
def test_log_is_complete_and_in_order_over_streams_that_are_cut(page, stand_in, running, how):
    for after in (7, 20, 3):
        stand_in.cut(after, how)
    stand_in.publish("deploy-42", *[shapes.output(f"line {number}\n") for number in range(1, 41)])
    page.goto(f"{stand_in.url}/deploys/42")
    expect(page.get_by_text("40 lines", exact=True)).to_be_visible()
    stand_in.finish(42, "succeeded", *[shapes.output(f"line {number}\n") for number in range(41, 61)])
    expect(page.locator(".connection")).to_have_text("complete")
    assert log_lines(page) == [f"line {number}" for number in range(1, 61)] + ["✓ deploy succeeded"]
    resumed_after = [int(asked.headers["last-event-id"]) for asked in stand_in.asked_for("deploys/42/stream")]
    if how == "break":  # With an error the browser may drop what it had read already.
        assert resumed_after == sorted(resumed_after) and len(resumed_after) == 4
    else:
        assert resumed_after == [0, 7, 27, 30]


def test_events_that_come_twice_are_shown_once_and_a_gap_is_filled(page, stand_in, running):
    events = stand_in.topics["deploy-42"] = [
        {"number": number, "at": shapes.at(), **shapes.output(f"line {number}\n")} for number in range(1, 10)
    ]
    page.goto(f"{stand_in.url}/deploys/42")
    expect(page.get_by_text("9 lines", exact=True)).to_be_visible()
    gapless = list(events) + [
        {"number": number, "at": shapes.at(), **shapes.output(f"line {number}\n")} for number in range(10, 16)
    ]
    stand_in.events = lambda topic, asked: {
        "items": [event for event in gapless if event["number"] > int(asked.query["after"])],
        "next": None,
    }
    with stand_in.changed:
        # 8 and 9 again, 10, then 15 twice: 11 to 14 are missing.
        events.extend([gapless[7], gapless[8], gapless[9], gapless[14], gapless[14]])
        stand_in.changed.notify_all()
    expect(page.get_by_text("15 lines", exact=True)).to_be_visible()
    assert log_lines(page) == [f"line {number}" for number in range(1, 16)]


def test_lost_stream_is_said_and_comes_back(page, stand_in, running):
    stand_in.cut(1)
    stand_in.fail("deploys/42/stream", 503, times=0)
    page.goto(f"{stand_in.url}/deploys/42")
    expect(page.locator(".connection")).to_have_text("live")
    stand_in.faults[0]["times"] = 2
    stand_in.publish("deploy-42", shapes.output("one\n"), shapes.output("two\n"))
    expect(page.locator(".connection")).to_have_text("reconnecting…")
    expect(page.get_by_text("2 lines", exact=True)).to_be_visible()
    expect(page.locator(".connection")).to_have_text("live")


def test_stream_without_a_sign_of_life_counts_as_dead(page, stand_in, running):
    stand_in.heartbeat_s = 3600  # A sign of life while the clock is run forward would begin the wait anew.
    page.clock.install()
    page.goto(f"{stand_in.url}/deploys/42")
    expect(page.locator(".connection")).to_have_text("live")
    page.clock.run_for(26_000)
    stand_in.publish("deploy-42", shapes.output("after the silence\n"))
    expect(page.get_by_text("1 line", exact=True)).to_be_visible()
    assert len(stand_in.asked_for("deploys/42/stream")) == 2


def test_hidden_tab_gives_its_connection_back_and_catches_up(page, stand_in, running):
    page.clock.install()
    page.goto(f"{stand_in.url}/deploys/42")
    expect(page.locator(".connection")).to_have_text("live")
    set_hidden(page, True)
    page.clock.run_for(61_000)
    expect(page.locator(".connection")).to_have_text("paused while hidden")
    stand_in.publish("deploy-42", shapes.output("meanwhile\n"))
    assert page.get_by_text("meanwhile").count() == 0
    set_hidden(page, False)
    expect(page.get_by_text("meanwhile", exact=True)).to_be_visible()
    expect(page.locator(".connection")).to_have_text("live")


def set_hidden(page, is_hidden):
    """Tell the page that its tab has gone to the background, or has come back."""
    page.evaluate(
        """isHidden => {
            Object.defineProperty(document, "hidden", { value: isHidden, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        is_hidden,
    )


def test_session_that_ends_during_a_rollout_leads_to_sign_in(page, stand_in, running):
    stand_in.cut(1)
    page.goto(f"{stand_in.url}/deploys/42")
    expect(page.locator(".connection")).to_have_text("live")
    stand_in.sessions.clear()
    stand_in.publish("deploy-42", shapes.output("one\n"), shapes.output("two\n"))
    page.wait_for_url("**/sign-in?next=%2Fdeploys%2F42")


def test_failed_step_tells_its_message_and_which_buttons_help(page, stand_in, ended):
    page.goto(f"{stand_in.url}/deploys/43")
    expect(page.get_by_text("check failed on web2", exact=True)).to_be_visible()
    expect(page.get_by_text("2 of 2 hosts done, 1 failed, 1 switched")).to_be_visible()
    expect(page.get_by_text("check: GET /health answered 500 the old release is serving again")).to_be_visible()
    expect(page.get_by_role("button", name="Retry")).to_be_visible()
    expect(page.get_by_role("button", name="Roll back to v11")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()


def test_cancel_asks_first_and_shows_that_it_was_asked_for(page, stand_in, running):
    page.goto(f"{stand_in.url}/deploys/42")
    page.get_by_role("button", name="Cancel", exact=True).click()
    dialog = page.get_by_role("dialog", name="Cancel deploy 42?")
    expect(dialog.locator("dd")).to_have_text(["shop", "v12", "production"])
    dialog.get_by_role("button", name="Cancel this deploy").click()
    expect(page.get_by_text("Cancelling, as admin asked…")).to_be_visible()
    assert len(stand_in.asked_for("deploys/42/cancel", "POST")) == 1


def test_retry_goes_on_with_the_same_log(page, stand_in, ended):
    page.goto(f"{stand_in.url}/deploys/43")
    expect(page.locator(".connection")).to_have_text("complete")
    page.get_by_role("button", name="Retry").click()
    ended.runs[43][1].update(shapes.host_run("web2", "pending", 0))
    page.get_by_role("dialog").get_by_role("button", name="Retry").click()
    expect(page.locator("#deploy-state")).to_contain_text("running")
    expect(step(page, "web2", "check")).to_contain_text("pending")
    stand_in.publish(
        "deploy-43",
        shapes.host_event("pending", "web2"),
        shapes.host_event("running", "web2"),
        shapes.step_event("connect", "running", "web2"),
    )
    expect(step(page, "web2", "connect")).to_contain_text("running")
    expect(page.get_by_role("button", name="Retry")).to_be_hidden()
    assert log_lines(page) == [
        "◐ deploy running",
        "hello",
        "✕ deploy failed",
        "○ web2 pending",
        "◐ web2 running",
        "◐ connect running",
    ]
    assert [asked.headers["last-event-id"] for asked in stand_in.asked_for("deploys/43/stream")] == ["0", "3"]


def test_roll_back_from_a_deploy_leads_to_the_new_one(page, stand_in, ended):
    page.goto(f"{stand_in.url}/deploys/43")
    page.get_by_role("button", name="Roll back to v11").click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back to v11").click()
    page.wait_for_url("**/deploys/44")
    assert len(stand_in.asked_for("deploys/43/rollback", "POST")) == 1


def test_roll_back_of_an_old_deploy_warns_of_the_newer_one(page, stand_in, ended):
    ended.deploys[50] = shapes.deploy(50, release="v20")
    page.goto(f"{stand_in.url}/deploys/43")
    page.get_by_role("button", name="Roll back to v11").click()
    expect(page.get_by_text("There is a newer deploy, #50 of v20: this goes back behind it.")).to_be_visible()


def test_deploy_that_undid_itself_offers_no_roll_back(page, stand_in, ended):
    ended.deploys[43].update(state="rolled_back")
    page.goto(f"{stand_in.url}/deploys/43")
    expect(page.locator("#deploy-state")).to_contain_text("rolled back")
    expect(page.get_by_role("button", name="Roll back to v11")).to_be_hidden()


def test_steps_that_will_not_come_any_more_are_not_pending(page, stand_in, ended):
    page.goto(f"{stand_in.url}/deploys/43")
    expect(step(page, "web2", "switch")).to_contain_text("not run")


def test_log_is_filtered_by_host_and_text(page, stand_in, running):
    stand_in.publish(
        "deploy-42",
        shapes.deploy_event("running"),
        shapes.output("alpha one\n"),
        shapes.output("beta two\n", "web2"),
        shapes.output("Alpha three\n", "web2"),
    )
    page.goto(f"{stand_in.url}/deploys/42")
    expect(page.get_by_text("4 lines", exact=True)).to_be_visible()
    page.get_by_label("Contains").fill("ALPHA")
    expect(page.get_by_text("2 of 4 lines")).to_be_visible()
    assert log_lines(page) == ["alpha one", "Alpha three"]
    page.get_by_role("button", name="Show the log of web2 only").click()
    expect(page.get_by_text("1 of 4 lines")).to_be_visible()
    page.get_by_label("Contains").fill("")
    expect(page.get_by_text("3 of 4 lines")).to_be_visible()
    assert log_lines(page) == ["◐ deploy running", "beta two", "Alpha three"]
    assert page.get_by_role("combobox", name="Host").input_value() == "web2"


def test_a_hundred_thousand_lines_are_drawn_by_the_screenful(page, stand_in, running):
    for begin in range(0, 100_000, 20_000):
        stand_in.publish(
            "deploy-42",
            *[
                shapes.output("".join(f"line {number}\n" for number in range(first, first + 100)))
                for first in range(begin, begin + 20_000, 100)
            ],
        )
    page.goto(f"{stand_in.url}/deploys/42")
    expect(page.get_by_text("100,000 lines")).to_be_visible()
    viewport = page.locator(".viewport")
    expect(viewport.get_by_text("line 99999", exact=True)).to_be_visible()
    assert page.locator(".line").count() < 100
    viewport.evaluate("element => { element.scrollTop = 0; }")
    expect(viewport.get_by_text("line 0", exact=True)).to_be_visible()
    page.get_by_label("Contains").fill("77777")
    expect(page.get_by_text("1 of 100,000 lines")).to_be_visible()
    expect(viewport.get_by_text("line 77777", exact=True)).to_be_visible()


def test_scrolling_up_stops_following_until_asked_again(page, stand_in, running):
    stand_in.publish("deploy-42", *[shapes.output(f"line {number}\n") for number in range(300)])
    page.goto(f"{stand_in.url}/deploys/42")
    viewport = page.locator(".viewport")
    expect(viewport.get_by_text("line 299", exact=True)).to_be_visible()
    viewport.evaluate("element => { element.scrollTop = 400; }")
    expect(page.get_by_role("button", name="Follow")).to_be_visible()
    top = viewport.evaluate("element => element.scrollTop")
    stand_in.publish("deploy-42", shapes.output("newest\n"))
    expect(page.get_by_text("301 lines", exact=True)).to_be_visible()
    assert viewport.evaluate("element => element.scrollTop") == top
    page.get_by_role("button", name="Follow").click()
    expect(viewport.get_by_text("newest", exact=True)).to_be_visible()
    stand_in.publish("deploy-42", shapes.output("newer still\n"))
    expect(viewport.get_by_text("newer still", exact=True)).to_be_visible()


def test_what_hosts_print_stays_plain_text(page, stand_in, running):
    running.runs[42][1]["message"] = NASTY
    stand_in.publish(
        "deploy-42",
        shapes.output(f"\x1b[31mred\x1b[0m {NASTY}\n"),
        shapes.output("10 %\r55 %\r100 %\n"),
        shapes.output("\x1b]0;title\x07after \x1b[2Ja bell\x07\n"),
    )
    page.goto(f"{stand_in.url}/deploys/42")
    expect(page.get_by_text("3 lines", exact=True)).to_be_visible()
    assert log_lines(page) == [f"red {NASTY}", "100 %", "after a bell"]
    expect(page.locator(".message-row").filter(has_text=NASTY)).to_be_visible()
    assert "owned" not in page.title()


def test_unknown_deploy_says_so(page, stand_in):
    page.goto(f"{stand_in.url}/deploys/99")
    expect(page.get_by_role("heading", name="No such deploy")).to_be_visible()
    expect(page.get_by_text("There is no deploy 99.")).to_be_visible()


def test_what_a_deploy_changes_is_shown_host_by_host(page, stand_in, ended):
    ended.deploys[43]["plan"] = 7
    unchanged = shapes.planned_host("web2", unchanged=True)
    changed = shapes.planned_host("web1", variables={"added": [NASTY], "changed": [], "removed": []})
    ended.plans[7] = shapes.plan(7, hosts=[changed, unchanged])
    page.goto(f"{stand_in.url}/deploys/43")
    page.get_by_role("button", name="Show the changes").click()
    told = page.get_by_role("region", name="Changes")
    expect(told.get_by_text("v11 → v12, 1.5 kB to send")).to_be_visible()
    expect(told.get_by_text("unchanged, already runs v12")).to_be_visible()
    told.get_by_text("web1").click()
    for line in ("~ app.py", "+ package six 1.17.0", f"+ variable {NASTY}", "start web (slot b)", "+    listen 8081;"):
        expect(told.locator("pre").first).to_contain_text(line)
    page.get_by_role("button", name="Hide the changes").click()
    expect(told.locator("pre").first).to_be_hidden()


def test_a_deploy_from_before_there_were_plans_offers_no_changes(page, stand_in, ended):
    page.goto(f"{stand_in.url}/deploys/43")
    expect(page.get_by_role("heading", name="Hosts")).to_be_visible()
    expect(page.get_by_role("button", name="Show the changes")).to_be_hidden()


def accept(page, title, action):
    """Accept the dialog of a title by its button."""
    page.get_by_role("dialog", name=title).get_by_role("button", name=action, exact=True).click()


def test_a_rollout_is_paused_and_resumed(page, stand_in, running):
    page.goto(f"{stand_in.url}/deploys/42")
    page.get_by_role("button", name="Pause", exact=True).click()
    accept(page, "Pause deploy 42?", "Pause")
    expect(page.locator("#deploy-state")).to_contain_text("paused")
    expect(page.get_by_role("button", name="Pause", exact=True)).to_be_hidden()
    page.get_by_role("button", name="Resume").click()
    accept(page, "Resume deploy 42?", "Resume")
    expect(page.locator("#deploy-state")).to_contain_text("running")


def test_hosts_of_a_paused_rollout_are_tried_again_or_left_out(page, stand_in, running):
    running.deploys[42].update(state="paused")
    running.runs[42][0].update(shapes.host_run("web1", "failed", 6))
    page.goto(f"{stand_in.url}/deploys/42")
    page.get_by_role("button", name="Try web1 again").click()
    accept(page, "Try web1 again?", "Try again")
    page.get_by_role("button", name="Leave web2 out").click()
    accept(page, "Leave web2 out?", "Leave out")
    expect(page.get_by_role("button", name="Leave web2 out")).to_be_hidden()
    assert [run["state"] for run in running.runs[42]] == ["pending", "skipped"]


def test_hosts_are_not_offered_anything_while_the_rollout_goes_on(page, stand_in, running):
    running.runs[42][0].update(shapes.host_run("web1", "failed", 6))
    page.goto(f"{stand_in.url}/deploys/42")
    expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Try web1 again")).to_have_count(0)


def test_a_deploy_that_waits_is_approved_by_somebody_who_sees_what(page, stand_in, running):
    given = [{"by": "eve", "at": shapes.at(), "comment": None, "digest": "d" * 64}]
    running.plans[7] = shapes.plan(7, digest="0123456789abcdef" * 4, hosts=[])
    running.deploys[42].update(plan=7)
    running.deploys[42].update(state="pending_approval", requested_by="ann", approvals={"needed": 2, "given": given})
    page.goto(f"{stand_in.url}/deploys/42")
    expect(page.get_by_text("1 of 2: eve")).to_be_visible()
    page.get_by_role("button", name="Approve").click()
    dialog = page.get_by_role("dialog", name="Approve deploy 42?")
    expect(dialog.locator("dd")).to_have_text(
        ["shop", "v12", "production", "ann", "v11", "#7, digest 0123456789abcdef", "1 of 2"]
    )
    dialog.get_by_role("button", name="Approve").click()
    expect(page.locator("#deploy-state")).to_contain_text("queued")


def test_warnings_and_notes_are_seen(page, stand_in, running):
    running.deploys[42].update(warnings=["v12 failed in production last time (deploy 40): check failed"])
    stand_in.publish("deploy-42", {"kind": "note", "text": "approved by eve: looks right"})
    page.goto(f"{stand_in.url}/deploys/42")
    expect(page.get_by_text("failed in production last time")).to_be_visible()
    expect(page.locator(".line")).to_contain_text(["approved by eve: looks right"])


def test_commits_and_messages_are_shown_when_asked_for(page, stand_in, running):
    running.deliveries = [shapes.delivery()]
    page.goto(f"{stand_in.url}/deploys/42")
    page.get_by_role("button", name="Show commits and messages").click()
    expect(page.get_by_text("Brings 1 commit by Ann.")).to_be_visible()
    expect(page.get_by_text("SHOP-1: sell tea")).to_be_visible()
    expect(page.get_by_role("link", name="SHOP-1 · Tea · Done")).to_have_attribute(
        "href", "https://jira.example.net/browse/SHOP-1"
    )
    assert page.get_by_text("#7 · Tea").get_attribute("href") is None, "an address that is none leads nowhere"
    expect(page.get_by_text("(HTTP 503). (3 attempts)")).to_be_visible()
    page.get_by_role("button", name="Send delivery 1 again").click()
    accept(page, "Send delivery 1 again?", "Send again")
    expect(page.get_by_role("row", name="chat · message").get_by_text("waiting")).to_be_visible()
