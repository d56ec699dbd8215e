"""integrations: what is listed, and that trying one out fails where it does not work."""

import pytest

from tests import shapes
from tests.cli import resources
from tests.cli.resources import ROUTES

WORKS = {"ok": True, "version": "8.19.2", "checks": [{"name": "login", "ok": True, "message": "The login works."}]}
DRIVER = shapes.drivers()[0]


@pytest.fixture(autouse=True)
def stash(monkeypatch):
    """The stand-in's one integration."""
    made = shapes.integration(credentials=["token"])
    monkeypatch.setitem(ROUTES, "GET /integrations", lambda api, request: resources.page([made], request))
    monkeypatch.setitem(ROUTES, "GET /integrations/stash", lambda api, request: (200, made))
    monkeypatch.setitem(ROUTES, "GET /integrations/drivers", lambda api, request: (200, {"items": [DRIVER], "on_hosts": []}))
    return made


@pytest.fixture
def proof(monkeypatch):
    """What trying the integration out shows."""
    shown = dict(WORKS)
    monkeypatch.setitem(ROUTES, "POST /integrations/stash/test", lambda api, request: (200, shown))
    return shown


def test_integrations_are_listed_and_shown(windlass, windlass_json, stash):
    listed = windlass("integrations", "list").out
    assert "stash" in listed and "bitbucket-server" in listed and "asked" in listed
    stash["circuit"] = {"state": "open", "until": None, "reason": "It refuses the token."}
    assert "credentials refused" in windlass("integrations", "list").out
    shown = windlass("integrations", "show", "stash").out
    assert "token" in shown and "It refuses the token." in shown
    stash["circuit"] = {"state": "open", "until": "2026-11-21T09:00:00.000Z", "reason": "x"}
    assert "left alone until 2026-11-21" in windlass("integrations", "show", "stash").out
    assert windlass_json("integrations", "show", "stash")["name"] == "stash"
    assert windlass_json("integrations", "list")["items"][0]["name"] == "stash"


def test_trying_out_says_what_works_and_fails_where_it_does_not(windlass, proof, api):
    tried = windlass("integrations", "test", "stash", "--repository", "SHOP/web")
    assert (tried.code, tried.out) == (0, "works  login: The login works.\n")
    assert "version 8.19.2" in tried.err
    assert api.sent("POST", "/integrations/stash/test")[0].body == {"repository": "SHOP/web"}
    proof.update(ok=False, version=None, checks=[{"name": "login", "ok": False, "message": "No."}])
    tried = windlass("integrations", "test", "stash")
    assert (tried.code, tried.out) == (1, "fails  login: No.\n")


def test_drivers_are_listed(windlass, windlass_json):
    assert DRIVER["name"] in windlass("integrations", "drivers").out
    assert windlass_json("integrations", "drivers")["items"] == [DRIVER]


def test_what_there_is_to_choose_from_is_listed(windlass, windlass_json, monkeypatch):
    repositories = [{"name": f"SHOP/web{number}", "url": None, "default_branch": "main"} for number in range(3)]
    refs = [
        {"kind": "branch", "name": "release/2", "commit": "a" * 40},
        {"kind": "tag", "name": "v1", "commit": "b" * 40},
    ]
    versions = [{"version": "2.0rc1", "is_prerelease": True, "files": ["shop-2.0rc1-py3-none-any.whl"]}]
    asked = []

    def listing(rows):
        def answer(api, request):
            asked.append(request.query)
            return resources.page(rows, request)

        return answer

    monkeypatch.setitem(ROUTES, "GET /integrations/stash/repositories", listing(repositories))
    monkeypatch.setitem(ROUTES, "GET /applications/shop/refs", listing(refs))
    monkeypatch.setitem(ROUTES, "GET /applications/shop/versions", listing(versions))
    listed = windlass("integrations", "repositories", "stash", "--query", "web", "--limit", "2")
    assert "SHOP/web1" in listed.out and "SHOP/web2" not in listed.out
    assert asked.pop() == {"query": "web", "limit": "2"}
    assert windlass_json("integrations", "repositories", "stash")["items"] == repositories
    listed = windlass("applications", "refs", "shop", "--query", "release/").out
    assert "release/2" in listed and "branch" in listed and "a" * 40 in listed
    assert windlass_json("applications", "refs", "shop")["items"] == refs
    assert "2.0rc1" in windlass("applications", "versions", "shop").out
    assert windlass_json("applications", "versions", "shop")["items"] == versions
    refs.clear()
    assert "no such branch or tag" in windlass("applications", "refs", "shop", "--query", "x").err
