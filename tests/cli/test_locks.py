"""lock and unlock: what is sent, what is told, and that nobody's lock is broken by accident."""

import pytest

from tests import shapes
from tests.cli.resources import ROUTES, Refused, only

PATH = "/applications/shop/targets/production/lock"


@pytest.fixture(autouse=True)
def locks(monkeypatch):
    """The stand-in's one lock, by name "held"."""
    held = {}

    def put(api, request):
        body = only(request.body, "reason", "for_s", "force")
        if held and not body.get("force"):
            raise Refused(409, "locked", f"shop in production is locked by {held['holder']}: {held['reason']}")
        expires_at = "2026-11-21T05:00:00.000Z" if body.get("for_s") else None
        held.update(shapes.lock("admin", body["reason"], expires_at=expires_at))
        return 200, dict(held)

    def delete(api, request):
        if held["holder"] != "admin" and request.query.get("force") != "true":
            raise Refused(409, "locked", f"shop in production is locked by {held['holder']}: {held['reason']}")
        held.clear()
        return 204, None

    monkeypatch.setitem(ROUTES, f"PUT {PATH}", put)
    monkeypatch.setitem(ROUTES, f"DELETE {PATH}", delete)
    return held


def test_a_lock_has_a_reason_and_maybe_an_end(windlass, api):
    answer = windlass("lock", "shop", "--in", "production", "--reason", "migration", "--for", "2h")
    assert (answer.code, answer.out) == (
        0,
        "shop in production is locked by admin until 2026-11-21T05:00:00.000Z: migration\n",
    )
    assert api.sent("PUT", PATH)[0].body == {"reason": "migration", "for_s": 7200}


@pytest.mark.parametrize("text, seconds", [("90s", 90), ("30m", 1800), ("1d", 86_400)])
def test_lengths_of_time(windlass, api, text, seconds):
    assert windlass("lock", "shop", "--in", "production", "--reason", "x", "--for", text).code == 0
    assert api.sent("PUT", PATH)[0].body["for_s"] == seconds


@pytest.mark.parametrize("text", ["2", "h", "0h", "-1h", "1h30m", "2w"])
def test_what_is_no_length_of_time_is_wrong_usage(windlass, api, text):
    answer = windlass("lock", "shop", "--in", "production", "--reason", "x", f"--for={text}")
    assert answer.code == 2
    assert "30m" in answer.err
    assert api.requests == []


def test_somebody_elses_lock_is_broken_only_with_force(windlass, api, locks):
    locks.update(holder="ada", reason="sale")
    for command in (("lock", "--reason", "x"), ("unlock",)):
        refused = windlass(command[0], "shop", "--in", "production", *command[1:])
        assert refused.code == 1
        assert "locked by ada: sale" in refused.err
    assert locks == {"holder": "ada", "reason": "sale"}
    assert windlass("unlock", "shop", "--in", "production", "--force").code == 0
    assert locks == {}


def test_json(windlass_json):
    assert windlass_json("lock", "shop", "--in", "production", "--reason", "x")["holder"] == "admin"
    assert windlass_json("unlock", "shop", "--in", "production")["locked"] is False
