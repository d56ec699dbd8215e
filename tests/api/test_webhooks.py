"""/webhooks: a change is made to the version that its author has seen, and leaves alone what it does not name."""

from tests.client import assert_problem


def test_a_webhook_is_changed_only_in_the_version_that_was_read(api):
    fields = {"name": "chat", "url": "https://chat.example.net/1", "events": ["deploy.failed"]}
    assert api.post("/webhooks", fields).status_code == 201
    tag = {"If-Match": api.get("/webhooks/chat").headers["ETag"]}
    changed = api.patch("/webhooks/chat", {"environments": ["production"]}, headers=tag)
    assert (changed.status_code, changed.json.get("events")) == (200, ["deploy.failed"]), changed.json
    assert_problem(api.patch("/webhooks/chat", {"events": None}, headers=tag), 412, "precondition-failed")
    assert api.get("/webhooks/chat").json == changed.json


def test_another_integration_is_no_webhook(api):
    assert api.post("/integrations", {"name": "stash", "driver": "git"}).status_code == 201
    for answer in (api.get("/webhooks/stash"), api.patch("/webhooks/stash", {"events": None})):
        assert "driver git" in assert_problem(answer, 404, "not-found")["detail"]
