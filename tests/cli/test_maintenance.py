"""maintenance on, off and show, hosts observe: what is sent and what is told."""

import pytest

from tests import shapes
from tests.cli.resources import ROUTES, Refused, only

PATH = "/applications/shop/targets/production/maintenance"


@pytest.fixture(autouse=True)
def closed(monkeypatch):
    """The stand-in's one target: its host fails once, then follows."""
    told = {"reason": None, "message": None, "retry_after_s": None}
    found = {"enabled": False, "holder": None, "since": None, **told, "hosts": []}

    def put(api, request):
        body = only(request.body, "reason", "message", "retry_after_s")
        host = {"host": "web1", "state": "failed", "message": "nobody answers", "changed_at": None}
        found.update(enabled=True, holder="ada", since="2026-11-21T05:00:00.000Z", hosts=[host], **body)
        return 201, dict(found)

    def get(api, request):
        answer = {**found, "hosts": [dict(host) for host in found["hosts"]]}
        for host in found["hosts"]:
            host.update(state="closed" if found["enabled"] else "open", message=None)
        return 200, answer

    def delete(api, request):
        if not found["enabled"]:
            raise Refused(404, "not-found", "shop in production is not in maintenance.")
        found.update(enabled=False)
        return 200, dict(found)

    monkeypatch.setitem(ROUTES, f"PUT {PATH}", put)
    monkeypatch.setitem(ROUTES, f"GET {PATH}", get)
    monkeypatch.setitem(ROUTES, f"DELETE {PATH}", delete)
    return found


def test_on_waits_for_the_hosts_and_tells_what_fails(windlass, api):
    answer = windlass(
        "maintenance", "on", "shop", "production", "--reason", "disk", "--message", "Back at 5", "--retry-after", "30m"
    )
    assert answer.code == 0, answer.err
    assert api.sent("PUT", PATH)[0].body == {"reason": "disk", "message": "Back at 5", "retry_after_s": 1800}
    assert "web1: nobody answers (it is tried again)" in answer.err
    assert "shop in production is in maintenance since 2026-11-21T05:00:00.000Z by ada: disk" in answer.out
    assert "closed" in answer.out


def test_off_opens_it_and_is_refused_where_it_is_open(windlass, api):
    assert windlass("maintenance", "off", "shop", "production").code == 1
    windlass("maintenance", "on", "shop", "production")
    answer = windlass("maintenance", "off", "shop", "production")
    assert (answer.code, answer.out.splitlines()[0]) == (0, "shop in production is open.")
    assert windlass("maintenance", "show", "shop", "production").out.startswith("shop in production is open.")


def test_observe_shows_the_difference_and_what_puts_it_right(windlass, api, monkeypatch):
    drift = [{"kind": "nginx", "message": "nginx's site was edited", "diff": "--- site\n-old\n+new\n"}]
    placed = {
        "application": "shop",
        "environment": "production",
        "recorded": "v12",
        "observed": "v12",
        "observed_at": "2026-11-21T05:00:00.000Z",
        "verified_at": "2026-11-21T05:00:00.000Z",
        "healthy": True,
        "stale": False,
        "drift": drift,
        "drifted_since": "2026-11-21T05:00:00.000Z",
    }
    found = shapes.host("web1", placements=[placed])
    monkeypatch.setitem(ROUTES, "POST /hosts/web1/observe", lambda api, request: (200, found))
    answer = windlass("hosts", "observe", "web1", "--quick")
    assert answer.code == 0 and api.sent("POST", "/hosts/web1/observe")[0].body == {"verify": False}
    assert "drift      nginx's site was edited" in answer.out and "+new" in answer.out
    assert "windlass deploy shop v12 --to production" in answer.err
    placed["drift"] = []
    assert "web1 is as it was deployed." in windlass("hosts", "observe", "web1").err
