"""The agent closes an application to its users and opens it again; only nginx's site changes."""

from pathlib import Path

import pytest

from remote.session import AgentError
from tests.fleet.hammer import Hammer


def closed_text(controller, token="closed-1"):
    """Return a site that answers 503 by itself."""
    return (
        f"# windlass-proof /.well-known/windlass/{controller.app} {token}\n"
        f"server {{\n  listen {controller.settings['nginx']['listen']};\n  server_name {controller.server_name};\n"
        f"  location = /.well-known/windlass/{controller.app} {{ return 200 {token}; }}\n"
        '  location / { return 503 "closed"; }\n}\n'
    )


def close(controller, text, deploy=7):
    """Close with a text, or open with None, in a session of its own; return the agent's answer."""
    try:
        controller.open(deploy)
        return controller.ask("close", closed=text)
    finally:
        controller.close()


@pytest.mark.parametrize("binding", ["socket", "port"])
def test_it_is_closed_and_opened_while_the_processes_go_on(controllers, binding):
    controller = controllers(binding=binding)
    controller.deploy("1")
    before = controller.observe()["application"]["slots"]["a"]["processes"]["web"]["pid"]
    for _ in range(2):
        answer = close(controller, closed_text(controller))
        assert answer["closed"] and controller.get() == (503, "closed")
        assert answer["application"]["texts"]["nginx"] == closed_text(controller)
    controller.deploy("2")
    controller.deploy("2")
    assert controller.get()[0] == 200, "a deploy that does not say closed opens it"
    close(controller, closed_text(controller))
    answer = close(controller, None)
    assert (answer["closed"], answer["said"], controller.get()) == (False, None, (200, "2"))
    assert before == controller.observe()["application"]["slots"]["a"]["processes"]["web"]["pid"]
    assert controller.is_sound() and controller.leftovers() == []


def test_a_deploy_and_a_way_back_stay_closed_when_they_are_told_so(controller):
    controller.deploy("1")
    text = closed_text(controller)
    close(controller, text)
    with Hammer(controller.host.url, controller.server_name) as hammer:
        controller.open(8)
        controller.activate(controller.prepare("2", nginx=True, deploy=8) | {"nginx": {**controller.site(), "closed": text}})
        controller.close()
        controller.open(9)
        controller.ask("restore", slot="a", reason="a test wants it", closed=text)
        controller.close()
        hammer.await_requests(5)
    assert hammer.versions == {}, "nobody got through"
    close(controller, None)
    assert controller.get() == (200, "1")


def test_a_site_that_nginx_refuses_is_put_back(controller):
    controller.deploy("1")
    with pytest.raises(AgentError) as refused:
        close(controller, "server { nonsense }\n")
    assert refused.value.code == "nginx-refused" and controller.get() == (200, "1")


def test_nothing_can_be_closed_where_nothing_runs(controller):
    with pytest.raises(AgentError) as refused:
        close(controller, closed_text(controller))
    assert refused.value.code == "nothing-to-close"


def test_a_site_that_nginx_was_not_told_of_is_told_when_it_is_asked_for_again(controller):
    controller.deploy("1")
    text = closed_text(controller)
    site = Path(controller.settings["nginx"]["sites"]) / f"windlass-{controller.app}.conf"
    site.write_text(text)  # As a killed agent leaves it: written, and nginx not reloaded.
    assert controller.get() == (200, "1")
    close(controller, text)
    assert controller.get() == (503, "closed")


def test_it_is_opened_although_the_application_is_down_and_that_is_said(controller):
    controller.deploy("1")
    close(controller, closed_text(controller))
    controller.control("stop", "a-web")
    answer = close(controller, None)
    assert not answer["closed"] and "502" in answer["said"]
    assert controller.get()[0] == 502
