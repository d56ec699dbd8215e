"""deliveries, changelogs, webhooks, tokens, rules, hooks and new integrations: what is sent and told."""

import pytest

from tests import shapes
from tests.cli import resources
from tests.cli.resources import ROUTES

DELIVERY = shapes.delivery(
    7, deploy=3, integration="jira", action="transition", subject="SHOP-12", error="It wants a resolution."
)
CHANGELOG = {
    "deploy": 3,
    "from": "v1",
    "to": "v2",
    "state": "ready",
    "commits": [{"commit": "4f1c2d3e5a6b7c8d", "author": "Ada", "at": shapes.at(), "subject": "Fix the \x1b[31mbasket"}],
    "is_going_back": False,
    "authors": ["Ada"],
    "issues": [{"key": "SHOP-12", "title": "Basket", "state": "Open", "url": None}],
    "pull_requests": [{"number": 5, "title": "Basket", "url": "https://git.example.net/5", "author": "Ada"}],
    "notes": ["jira could not be asked."],
}
STRATEGY = {**shapes.ALL_AT_ONCE, "kind": "rolling", "pause_s": 5}
TARGET = shapes.target(
    hosts=["web1"],
    resolved_hosts=["web1"],
    strategy={**STRATEGY, "batch": None},
    rules=[{"branch": "main", "require_green_build": True}],
)
# The stand-in's own route.
ONE_TARGET = "/applications/([^/]+)/targets/([^/]+)"


@pytest.fixture
def answer(monkeypatch):
    """Let the stand-in answer a route: ``answer("GET", "/tokens", items=[…])`` or ``answer("POST", "/x", body={…})``."""

    def put_in(method, path, status=200, body=None, items=None):
        def handler(api, request, *names):
            return resources.page(items, request) if items is not None else (status, body)

        monkeypatch.setitem(ROUTES, f"{method} {path}", handler)

    return put_in


def test_deliveries_are_listed_shown_and_sent_again(windlass, windlass_json, api, answer):
    answer("GET", "/deploys/3/deliveries", items=[DELIVERY])
    answer("GET", "/deliveries", items=[])
    answer("GET", "/deliveries/7", body=DELIVERY)
    answer("POST", "/deliveries/7/resend", 200, {**DELIVERY, "state": "waiting"})
    listed = windlass("deliveries", "list", "--deploy", 3).out
    assert "SHOP-12" in listed and "It wants a resolution." in listed
    assert "No such delivery." in windlass("deliveries", "list", "--state", "failed", "--integration", "jira").err
    assert api.sent("GET", "/deliveries")[-1].query["state"] == "failed"
    assert "transition" in windlass("deliveries", "show", 7).out
    assert "waiting" in windlass("deliveries", "resend", 7).out
    assert windlass_json("deliveries", "resend", 7)["id"] == 7
    assert windlass("deliveries", "list", "--deploy", 3, "--state", "failed").code == 2


def test_a_changelog_names_commits_issues_and_requests(windlass, windlass_json, answer):
    answer("GET", "/deploys/3/changelog", body=CHANGELOG)
    told = windlass("deploys", "changelog", 3)
    assert told.out == ("4f1c2d3e5a  Fix the basket (Ada)\nSHOP-12 · Basket · Open\n#5 · Basket · https://git.example.net/5\n")
    assert "v1 → v2: brings 1 commit." in told.err and "jira could not be asked." in told.err
    assert windlass_json("deploys", "changelog", 3) == CHANGELOG
    answer("GET", "/deploys/3/changelog", body={**CHANGELOG, "state": "pending"})
    found_so_far = windlass("deploys", "changelog", 3)
    assert found_so_far.out == told.out and "being found out" in found_so_far.err
    assert "jira could not be asked." in found_so_far.err
    answer("GET", "/deploys/3/changelog", body={**CHANGELOG, "commits": None, "issues": [], "pull_requests": []})
    assert "v1 → v2; the commits between them are not known." in windlass("deploys", "changelog", 3).err


def test_a_webhook_is_made_with_its_secret_on_stdout_and_deleted(windlass, windlass_json, api, answer):
    hook = shapes.webhook(url="https://chat.example.net/1", events=["deploy.failed"])
    answer("POST", "/webhooks", 201, {**hook, "secret": "whsec_x"})
    answer("GET", "/webhooks", items=[hook])
    answer("GET", "/webhooks/chat", body=hook)
    answer("DELETE", "/webhooks/chat", 204)
    made = windlass("webhooks", "create", "chat", "https://chat.example.net/1", "--event", "deploy.failed")
    assert made.out == "whsec_x\n" and "whsec_x" not in made.err
    assert api.sent("POST", "/webhooks")[0].body == {
        "name": "chat",
        "url": "https://chat.example.net/1",
        "events": ["deploy.failed"],
    }
    assert "deploy.failed" in windlass("webhooks", "list").out
    assert windlass("webhooks", "delete", "chat").code == 2
    assert windlass("webhooks", "delete", "chat", "--yes").out == "chat is deleted.\n"
    assert windlass_json("webhooks", "list")["items"] == [hook]


def test_a_token_is_made_listed_and_revoked(windlass, api, answer):
    token = shapes.token(4)
    answer("POST", "/tokens", 201, {**token, "secret": "wl_x"})
    answer("GET", "/tokens", items=[token])
    answer("GET", "/tokens/4", body=token)
    answer("DELETE", "/tokens/4", 204)
    made = windlass("tokens", "create", "ci", "--expires", "2027-01-01T00:00:00Z")
    assert made.out == "wl_x\n" and "wl_x" not in made.err
    assert api.sent("POST", "/tokens")[0].body == {"name": "ci", "expires_at": "2027-01-01T00:00:00Z"}
    assert "never" in windlass("tokens", "list").out
    assert windlass("tokens", "revoke", 4).code == 2
    assert windlass("tokens", "revoke", 4, "--yes").out == "Token 4 is revoked.\n"


def test_rules_are_shown_and_replaced_and_nothing_else_of_the_target(windlass, windlass_json, api, answer):
    answer("GET", ONE_TARGET, body=TARGET)
    answer("PUT", ONE_TARGET, body={**TARGET, "rules": [{"tag": "v*"}]})
    assert "after a green build" in windlass("targets", "rules", "shop", "production").out
    assert windlass_json("targets", "rules", "shop", "production") == {"rules": TARGET["rules"]}
    assert "v*" in windlass("targets", "rules", "shop", "production", "--tag", "v*", "--green").out
    sent = api.sent("PUT", "/applications/shop/targets/production")[0].body
    assert sent["rules"] == [{"tag": "v*", "require_green_build": True}]
    assert (sent["hosts"], sent["strategy"]) == (["web1"], STRATEGY)
    assert windlass("targets", "set", "shop", "production", "--health", "/up").code == 0
    assert api.sent("PUT", "/applications/shop/targets/production")[1].body["rules"] == TARGET["rules"]
    assert windlass("targets", "rules", "shop", "production", "--none", "--tag", "v*").code == 2
    assert windlass("targets", "rules", "shop", "production", "--green").code == 2


def test_playbooks_are_shown_and_replaced_and_nothing_else_of_the_target(windlass, windlass_json, api, answer):
    tidy = {"integration": "puppet", "run": "tidy.pp", "after": "clean", "variables": {"POOL": "blue"}, "check": True}
    site = {"integration": "ansible", "run": "site.yml", "before": "ship", "variables": {"POOL": "blue"}, "check": True}
    answer("GET", ONE_TARGET, body={**TARGET, "configure": [tidy]})
    answer("PUT", ONE_TARGET, body={**TARGET, "configure": [site, tidy]})
    shown = windlass("targets", "playbooks", "shop", "production").out
    assert all(word in shown for word in ("after clean", "puppet", "tidy.pp", "POOL=blue", "only checked"))
    given = [
        "--after",
        "clean",
        "puppet",
        "tidy.pp",
        "--before",
        "ship",
        "ansible",
        "site.yml",
        "--variable",
        "POOL=blue",
    ]
    assert windlass_json("targets", "playbooks", "shop", "production", *given, "--check") == {"configure": [site, tidy]}
    sent = api.sent("PUT", "/applications/shop/targets/production")[0].body
    assert sent["configure"] == [site, tidy] and sent["rules"] == TARGET["rules"]
    assert (sent["hosts"], sent["strategy"]) == (["web1"], STRATEGY)
    assert windlass("targets", "playbooks", "shop", "production", "--none").code == 0
    assert api.sent("PUT", "/applications/shop/targets/production")[1].body["configure"] == []
    for wrong in (["--none", *given], ["--check"], ["--variable", "A=1"], [*given, "--variable", "A"]):
        assert windlass("targets", "playbooks", "shop", "production", *wrong).code == 2
    assert len(api.sent("PUT", "/applications/shop/targets/production")) == 2, "nothing was changed by these"


def test_what_rules_wanted_is_listed(windlass, answer):
    wanted = shapes.automation(release="v2", state="skipped", deploy=None, outcome="v2 failed here")
    answer("GET", "/applications/shop/targets/production/automations", items=[wanted])
    assert "v2 failed here" in windlass("targets", "automations", "shop", "production").out


def test_an_integration_is_made_with_its_secret_from_standard_input(command, api, answer):
    answer("POST", "/integrations", 201, shapes.integration())
    options = ["--driver", "bitbucket-server", "--address", "https://stash.example.net", "--secret", "token"]
    more = ["--credential", "username=ada", "--setting", 'projects=["SHOP"]', "--setting", "ca=x"]
    made = command(["integrations", "create", "stash", *options, *more], stdin=b"t0p-secret\n")
    assert made.code == 0, made.err
    assert "t0p-secret" not in made.out + made.err
    assert api.sent("POST", "/integrations")[0].body == {
        "name": "stash",
        "driver": "bitbucket-server",
        "url": "https://stash.example.net",
        "credentials": {"username": "ada", "token": "t0p-secret"},
        "settings": {"projects": ["SHOP"], "ca": "x"},
    }


def test_a_hook_is_opened_listed_and_closed(windlass, answer):
    answer("POST", "/integrations/stash/hook", body={"url": "https://w/hooks/stash", "secret": "s3", "setup": "Enter it."})
    answer("DELETE", "/integrations/stash/hook", 204)
    answer("GET", "/integrations/stash/hooks", items=[shapes.received(event="push")])
    opened = windlass("integrations", "hook", "stash")
    assert opened.out == "https://w/hooks/stash\ns3\n" and "Enter it." in opened.err
    assert "push" in windlass("integrations", "hooks", "stash").out
    assert windlass("integrations", "hook", "stash", "--close").out == "No more hooks of stash are taken.\n"
