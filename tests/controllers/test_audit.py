"""The audit trail: every change leaves one entry, no entry a secret, and nothing can be altered unseen."""

import inspect
import json
import threading

import pytest

from controllers import audit
from controllers.access.audit_trail import AuditController
from controllers.actor import Actor
from controllers.controller import Controller
from models import AuditEntry, AuditHead, Zone, db
from models.db import now
from tests import factories

pytestmark = pytest.mark.both_databases

ANN = Actor("ann")


def entries():
    return list(AuditEntry.select().order_by(AuditEntry.number))


@pytest.fixture
def trail(database):
    for number in range(1, 6):
        audit.write("ann", "host.create", f"web-{number}", {"port": number})
    return database


def test_a_change_and_its_entry_are_made_together(database):
    with audit.change(ANN, "zone.create", "dmz", colour=None) as data:
        Zone.create(name="dmz", created_at=now(), updated_at=now())
        data["id"] = 7
    (entry,) = entries()
    assert (entry.number, entry.actor, entry.action, entry.subject, entry.data) == (
        1,
        "ann",
        "zone.create",
        "dmz",
        {"id": 7},
    )


def test_a_change_that_fails_leaves_neither(database):
    with pytest.raises(RuntimeError), audit.change(ANN, "zone.create", "dmz"):
        Zone.create(name="dmz", created_at=now(), updated_at=now())
        raise RuntimeError()
    assert entries() == [] and Zone.get_or_none(Zone.name == "dmz") is None
    audit.write("ann", "zone.create", "dmz")
    assert entries()[0].number == 1


def test_an_untouched_trail_is_verified(trail):
    verdict = AuditController(ANN).verify()
    assert verdict["ok"] and verdict["entries"] == 5 and verdict["newest_seal"] == entries()[-1].seal


@pytest.mark.parametrize(
    "tamper, broken_at",
    [
        (lambda: AuditEntry.update(actor="bob").where(AuditEntry.number == 3).execute(), 3),
        (lambda: AuditEntry.update(data={"port": 9}).where(AuditEntry.number == 2).execute(), 2),
        (lambda: AuditEntry.delete().where(AuditEntry.number == 4).execute(), 4),
        (lambda: AuditEntry.delete().where(AuditEntry.number == 5).execute(), 5),
        (lambda: AuditEntry.delete().execute(), 1),
        (
            lambda: [AuditEntry.delete().where(AuditEntry.number == 5).execute(), AuditHead.update(number=4).execute()],
            5,
        ),
        (lambda: AuditEntry.update(seal=entries()[1].seal).where(AuditEntry.number == 1).execute(), 1),
    ],
)
def test_whatever_is_altered_is_found(trail, tamper, broken_at):
    tamper()
    verdict = AuditController(ANN).verify()
    assert not verdict["ok"] and verdict["broken_at"] == broken_at


def test_seals_cannot_be_made_without_the_key(trail, settings, tmp_path):
    import secretbox

    settings.secret.key_file = str(tmp_path / "other.key")
    secretbox.box_of.cache_clear()
    assert AuditController(ANN).verify()["broken_at"] == 1


def test_entries_at_the_same_time_make_one_chain(database):
    barrier = threading.Barrier(6)

    def write(number):
        barrier.wait(20)
        for _ in range(10):
            with db.connection():
                audit.write(f"user{number}", "host.update", "web-1")

    writers = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [entry.number for entry in entries()] == list(range(1, 61))
    assert AuditController(ANN).verify()["ok"]


def test_the_trail_is_read_by_who_what_and_when(trail, api):
    audit.write("bob", "deploy.create", "shop/production", {"release": "v1"})
    shown = api.get("/audit?action=deploy&by=bob").json["items"]
    assert [(item["actor"], item["action"], item["data"]) for item in shown] == [("bob", "deploy.create", {"release": "v1"})]
    assert len(api.get("/audit?action=host.create").json["items"]) == 5
    assert api.get("/audit?subject=web-2").json["items"][0]["number"] == 2
    assert api.get("/audit?since=2099-01-01T00:00:00Z").json["items"] == []
    assert api.get("/audit/verify").json["ok"] is True


def test_who_asked_and_from_where_is_written_down(api):
    api.post("/zones", {"name": "dmz"}, headers={"X-Request-Id": "request-77"})
    (entry,) = entries()
    assert (entry.actor, entry.action, entry.subject, entry.address) == ("admin", "zone.create", "dmz", "127.0.0.1")
    assert entry.request_id


def test_others_than_administrators_do_not_see_it(application, database):
    from controllers.access import sessions
    from models import Token, User
    from models.db import clock
    from tests.client import ApiClient, assert_problem

    user = User.create(name="colleague", created_at=clock())
    Token.create(user=user, name="laptop", secret_hash=sessions.digest("colleagues-token"), created_at=clock())
    assert_problem(ApiClient(application, "colleagues-token").get("/audit"), 403, "not-administrator")


SECRET = "hush-hush-7"
STORY = [
    ("POST", "/zones", {"name": "dmz"}, "zone.create"),
    ("POST", "/environments", {"name": "qa"}, "environment.create"),
    ("PATCH", "/environments/qa", {"position": 9}, "environment.update"),
    ("POST", "/hosts", {"name": "web-1", "user": "deploy", "zone": "dmz"}, "host.create"),
    ("PATCH", "/hosts/web-1", {"tags": ["web"]}, "host.update"),
    ("POST", "/hosts/web-1/maintenance", {"reason": "new disk"}, "host.maintenance"),
    ("POST", "/commands", {"argv": ["df"], "hosts": ["web-1"]}, "command.create"),
    ("POST", "/commands/1/cancel", {}, "command.cancel"),
    (
        "POST",
        "/integrations",
        {"name": "idx", "driver": "package-index", "url": "https://x.example/simple", "credentials": {"token": SECRET}},
        "integration.create",
    ),
    ("PATCH", "/integrations/idx", {"credentials": {"token": SECRET + "2"}}, "integration.update"),
    (
        "POST",
        "/integrations",
        {"name": "hub", "driver": "github", "credentials": {"token": SECRET}},
        "integration.create",
    ),
    ("POST", "/integrations/hub/hook", {}, "hook.open"),
    ("DELETE", "/integrations/hub/hook", None, "hook.close"),
    ("POST", "/webhooks", {"name": "chat", "url": "https://x.example/1", "secret": SECRET}, "integration.create"),
    ("PATCH", "/webhooks/chat", {"events": ["deploy.*"]}, "integration.update"),
    ("DELETE", "/webhooks/chat", None, "integration.delete"),
    (
        "POST",
        "/applications",
        {"name": "shop", "source": {"repository": "https://git.example.com/shop.git"}},
        "application.create",
    ),
    ("PATCH", "/applications/shop", {"team": "web"}, "application.update"),
    ("PUT", "/applications/shop/targets/qa", {"hosts": ["web-1"]}, "target.put"),
    (
        "PUT",
        "/applications/shop/targets/qa/variables",
        {"variables": {"KEY": {"value": SECRET, "secret": True}, "A": "b"}},
        "variables.change",
    ),
    ("PATCH", "/applications/shop/targets/qa/variables", {"variables": {"A": None}}, "variables.change"),
    ("PUT", "/applications/shop/targets/qa/lock", {"reason": "inventory"}, "lock.put"),
    ("DELETE", "/applications/shop/targets/qa/lock", None, "lock.delete"),
    (
        "POST",
        "/freezes",
        {"name": "xmas", "reason": "holidays", "starts_at": "2099-12-20T00:00:00Z", "ends_at": "2099-12-27T00:00:00Z"},
        "freeze.create",
    ),
    ("PATCH", "/freezes/xmas", {"reason": "rest"}, "freeze.update"),
    ("DELETE", "/freezes/xmas", None, "freeze.delete"),
    ("POST", "/applications/shop/releases", {"ref": "main"}, "release.create"),
    ("DELETE", "/applications/shop/targets/qa", None, "target.delete"),
    ("DELETE", "/applications/shop", None, "application.delete"),
    ("DELETE", "/integrations/idx", None, "integration.delete"),
    ("DELETE", "/hosts/web-1", None, "host.delete"),
    ("DELETE", "/environments/qa", None, "environment.delete"),
    ("DELETE", "/zones/dmz", None, "zone.delete"),
    ("POST", "/tokens", {"name": "ci"}, "token.create"),
]


def test_every_change_of_a_story_leaves_one_entry_and_no_secret(api):
    for method, path, body, action in STORY:
        before = len(entries())
        answer = api.request(method, path, body)
        assert answer.status_code < 300, (method, path, answer.get_data(as_text=True))
        assert [entry.action for entry in entries()[before:]] == [action], (method, path)
    made = json.dumps([entry.data for entry in entries()])
    assert SECRET not in made and "KEY" in made
    assert AuditController(ANN).verify()["ok"]


def test_a_refused_change_leaves_no_entry(api):
    assert api.post("/hosts", {"name": "Bad Name", "user": "x"}).status_code == 422
    assert api.delete("/hosts/nobody").status_code == 404
    assert entries() == []


def test_a_wrong_login_is_written_down_without_what_was_tried(anonymous):
    anonymous.post("/session", {"name": "admin", "password": SECRET})
    (entry,) = entries()
    assert (entry.actor, entry.action, entry.subject) == ("anonymous", "session.refused", "admin")
    assert SECRET not in json.dumps(entry.data)


UNCHANGING = {"check_host", "observe_host", "create_plan", "test_integration", "receive_hook"}


def test_every_route_that_changes_something_calls_what_writes_an_entry():
    """Each handler's controller method makes its change with `self.change`, or calls a method that does."""
    from api.routing import ENDPOINTS, load

    load()
    for endpoint in ENDPOINTS:
        handler = inspect.unwrap(endpoint.handler)
        if endpoint.method == "GET" or handler.__name__ in UNCHANGING:
            continue
        assert writes_entry(handler) or calls_functions_that_write(handler), handler.__name__


def writes_entry(function, owner=None, seen=frozenset()):
    """Say whether a function uses `self.change`, or calls a method of its own class or of another controller that does."""
    if owner is not None and "self.change(" in inspect.getsource(function):
        return True
    names = function.__code__.co_names
    found = globals_of(function, names)
    for attribute in (vars(owner).get(name) for name in names if owner):
        if isinstance(attribute, property):  # Such as one that returns another controller.
            found += globals_of(attribute.fget, attribute.fget.__code__.co_names)
    methods = {
        (reached, name)
        for reached in [owner, *filter(is_controller, found)]
        for name in names
        if inspect.isfunction(getattr(reached, name, None))
    }
    return any(writes_entry(getattr(reached, name), reached, seen | methods) for reached, name in methods - seen)


def globals_of(function, names):
    """Return what a function may mean by these names: globals of its module, and what is in modules among them."""
    found = [function.__globals__.get(name) for name in names]
    return found + [getattr(module, name, None) for module in found if inspect.ismodule(module) for name in names]


def is_controller(found):
    return inspect.isclass(found) and issubclass(found, Controller)


def calls_functions_that_write(handler):
    """Say whether a handler calls a module of controllers/ that uses audit.change, for what nobody asks as an actor."""
    called = [handler.__globals__.get(name) for name in handler.__code__.co_names]
    modules = [found for found in called if inspect.ismodule(found) and found.__name__.startswith("controllers.")]
    modules += [vars(found)["integrations"] for found in modules if inspect.ismodule(vars(found).get("integrations"))]
    return any("audit.change(" in inspect.getsource(found) for found in modules)


def test_a_deploy_is_written_down_with_what_it_brings(database, administrator):
    from controllers.rollout.deploys import DeployController
    from models import Target

    host = factories.host("web-1")
    release = factories.release()
    Target.create(
        application=release.application,
        environment=factories.environment(),
        hosts=["web-1"],
        health={},
        created_at=now(),
        updated_at=now(),
        strategy={
            "kind": "all-at-once",
            "max_failures": 0,
            "pause_s": 0,
            "bake_s": 0,
            "on_failure": "rollback",
            "healthy_first": False,
        },
    )
    made = DeployController(administrator).create({"application": "shop", "environment": "production", "release": "v1"})
    DeployController(administrator).cancel(made["id"])
    first, second = entries()
    assert (first.action, first.subject, first.data["release"]) == ("deploy.create", "shop/production", "v1")
    assert (second.action, second.subject) == ("deploy.cancel", str(made["id"])) and host
