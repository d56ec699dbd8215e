"""On a real terminal: questions, the live display, Ctrl-C, NO_COLOR."""

import re
import signal

import pytest

from tests import shapes
from tests.cli import scenarios, standin
from windlass_cli.display.formats import clean

STYLE = re.compile(r"\x1b\[[0-9;]*m")


def test_a_deploy_asks_first_and_no_changes_nothing(terminal, api):
    code, shown = (
        terminal(["deploy", "shop", "v1", "--to", "production"]).until("Deploy shop v1 to production? [y/N]").type("n\r").end()
    )
    assert code == 1
    assert "Nothing was changed." in shown
    assert not api.deploys


def test_yes_at_the_question_deploys(terminal, api):
    code, _ = terminal(["deploy", "shop", "v1", "--to", "production"]).until("[y/N]").type("y\r").end()
    assert (code, len(api.deploys)) == (0, 1)


@pytest.mark.parametrize("flag", ["--yes", "-y", "--no-input"])
def test_with_yes_or_no_input_nothing_is_asked(terminal, api, flag):
    code, shown = terminal(["deploy", "shop", "v1", "--to", "production", flag]).end()
    assert (code, len(api.deploys)) == (0, 1)
    assert "[y/N]" not in shown


def test_ctrl_c_at_the_question_changes_nothing(terminal, api):
    code, _ = terminal(["deploy", "shop", "v1", "--to", "production"]).until("[y/N]").interrupt().end()
    assert (code, len(api.deploys)) == (130, 0)


def test_a_rollback_asks_and_names_both_releases(terminal, api):
    api.a_deploy("v2", "production", "succeeded")
    window = terminal(["rollback", "shop", "--in", "production"]).until("Roll shop in production back from v2 to v1? [y/N]")
    assert window.type("n\r").end()[0] == 1
    assert len(api.deploys) == 1


def test_following_shows_every_host_live(terminal, api):
    api.scenario = scenarios.begin
    window = terminal(["deploy", "shop", "v2", "--to", "production", "--yes", "--follow"])
    window.until("web2").until("ship").until("1 of 2 hosts done")
    api.add_event(1, "step", host="web2", step="check", data={"state": "running"}, text="waiting for /health")
    window.until("waiting for /health")
    api.add_event(1, "host", host="web2", data={"state": "succeeded"})
    api.add_event(1, "deploy", data={"state": "succeeded"})
    code, shown = window.end()
    assert code == 0
    assert "2 of 2 hosts done" in shown and "\x1b[?25h" in shown  # the cursor is back


def test_a_failing_host_leaves_its_last_output_on_the_screen(terminal, api):
    api.scenario = scenarios.fail_health
    code, shown = terminal(["deploy", "shop", "v2", "--to", "production", "--yes", "--follow"]).end()
    assert code == 3
    assert "│ KeyError: 'PRICE'" in shown and "GET /health answered 500" in shown


def test_more_hosts_than_lines_show_the_running_ones_first(terminal, api):
    def large(api, number):
        api.runs[number] = [shapes.host_run(f"web{index:03d}", "pending", 0) for index in range(100)]
        api.add_event(number, "host", host="web077", data={"state": "running"})

    api.scenario = large
    window = terminal(["deploy", "shop", "v2", "--to", "production", "--yes", "--follow"], rows=12)
    window.until("web077").until("more")
    assert window.type("\x03").end()[0] == 130


@pytest.mark.parametrize("manner", ["--follow", "--wait"])
def test_ctrl_c_stops_the_watching_and_not_the_deploy(terminal, api, manner):
    api.scenario = scenarios.begin
    window = terminal(["deploy", "shop", "v2", "--to", "production", "--yes", manner])
    window.until("hosts done" if manner == "--follow" else "Waiting for deploy 1")
    code, shown = window.type("\x03").end()
    assert code == 130
    assert "deploy 1 goes on" in shown and "windlass logs 1 --follow" in shown and "windlass cancel 1" in shown
    assert not api.sent("POST", "/deploys/1/cancel") and "Traceback" not in shown


def test_ctrl_c_while_a_release_is_built_says_so(terminal, api):
    api.build_ends = "building"
    code, shown = terminal(["releases", "create", "shop", "--wait"]).until("Locking 12 packages").type("\x03").end()
    assert code == 130
    assert "still being built" in shown and "windlass releases show shop v3" in shown


def test_no_color_leaves_no_style_on_the_terminal(terminal, api):
    drift = {"drift": True, "drift_detail": "web1: v1; it should be v2."}
    api.status = [shapes.status(desired="v2", observed="v1", state="failed", health="unhealthy", deploy=None, **drift)]
    _, styled = terminal(["status"]).end()
    _, plain = terminal(["status"], NO_COLOR="1").end()
    assert STYLE.search(styled) and not STYLE.search(plain)
    assert clean(styled).split() == clean(plain).split()


def test_a_dumb_terminal_gets_lines_instead_of_a_display(terminal, api):
    code, shown = terminal(["deploy", "shop", "v2", "--to", "production", "--yes", "--follow"], TERM="dumb").end()
    assert code == 0
    assert "web1      ship done" in shown and "\x1b" not in shown


def test_a_hostile_output_cannot_move_the_cursor_or_set_the_title(terminal, api):
    deploy = api.a_deploy("v2")
    api.add_event(1, "output", host="web1", step="start", text="\x1b]0;owned\x07\x1b[2J\x1b[1;1Hcleared\x9b2J\r\x08end")
    api.add_event(1, "deploy", data={"state": "succeeded"})
    assert deploy["id"] == 1
    for arguments in (["logs", "1"], ["logs", "1", "--follow"], ["deploys", "show", "1", "--follow"]):
        _, shown = terminal(arguments, NO_COLOR="1", TERM="dumb").end()
        assert "\x1b" not in shown and "\x9b" not in shown and "owned" not in shown and "\x08" not in shown
    _, shown = terminal(["logs", "1", "--json"]).end()
    assert "\x1b" not in shown and "\x9b" not in shown


def test_the_token_is_typed_unseen(terminal, settings_path, api):
    window = terminal(["login"], WINDLASS_TOKEN=None)
    code, shown = window.until(f"Server [{api.url}]:").type("\r").until("Token:").type(f"{standin.TOKEN}\r").end()
    assert code == 0, shown
    assert standin.TOKEN not in shown and standin.TOKEN in settings_path.read_text()


def test_an_interrupt_by_signal_ends_with_130_without_a_traceback(terminal, api):
    api.scenario = scenarios.begin
    window = terminal(["deploy", "shop", "v2", "--to", "production", "--yes", "--wait"]).until("Waiting for deploy 1")
    window.process.send_signal(signal.SIGINT)
    code, shown = window.end()
    assert code == 130 and "Traceback" not in shown
