"""Controllers see through their base class only: a list of them, their source, and an actor who may see nothing.

The base decides what an actor sees and may do (`Controller.visible`, `Controller.require`); a controller that reads around it
would show what is not to be seen once these two say more than yes.
"""

import ast
import importlib
import inspect
import json
import pkgutil
import re
from pathlib import Path

import pytest
from peewee import SQL

import controllers
from api.routing import ENDPOINTS, FOREIGN, load
from controllers import audit, events
from controllers.controller import Controller
from controllers.jobs import queue
from controllers.rollout import snapshots
from controllers.rollout.planning import plans
from models import MODELS, Lock, Placement, Plan, Token, Variable, Worker
from models.db import now
from tests import factories
from utils.decorators import CACHES

load()
ROOT = Path(__file__).resolve().parent.parent

CONTROLLERS = {
    "ApplicationController",
    "ApprovalController",
    "AuditController",
    "AutomationController",
    "ChangelogController",
    "CommandController",
    "DeliveryController",
    "DeployController",
    "DeployViewController",
    "EnvironmentController",
    "FreezeController",
    "HookController",
    "HostCheckController",
    "HostController",
    "IntegrationController",
    "InventoryController",
    "LockController",
    "LookupController",
    "MaintenanceController",
    "PauseController",
    "PlanController",
    "PreparationController",
    "ReleaseController",
    "SessionController",
    "StatusController",
    "TargetController",
    "TokenController",
    "VariableController",
    "WebhookController",
    "WorkerController",
    "ZoneController",
}
# What api/ may use of controllers/ beside them: (module, name), None standing for whatever is in the module.
NO_CONTROLLERS = {
    ("access.sessions", "by_cookie"),  # Who is asking must be known before anybody is an actor.
    ("access.sessions", "by_token"),
    ("access.sessions", "log_in"),
    ("access.sessions", "require_csrf"),
    ("audit", "origin"),  # Where a request comes from.
    ("automation.hooks", "receive"),  # The signature decides.
    ("connections", None),  # Of the database.
    ("errors", None),
    ("idempotency", None),  # The caller's own keys.
    ("repeats", "again"),  # Asks the controllers.
    ("status", "public"),
    ("system", "figures"),  # What a scrape collects.
    ("system", "readiness"),
}

# What a route shows or changes of nobody but the caller, or what anybody may read.
UNSCOPED = {
    "create_token",
    "log_in",
    "log_out",
    "receive_hook",
    "show_health",
    "show_index",
    "show_me",
    "show_metrics",
    "show_openapi",
    "show_public_status",
    "show_readiness",
}
NAMES_NOTHING = {"list_drivers", "verify_audit"}  # Their answers have no names in them for anybody.
# Names are unique in an installation, so that whoever makes a thing learns that its name is taken; and nothing else.
MAKES_NAMED = {
    "create_application",
    "create_environment",
    "create_freeze",
    "create_host",
    "create_integration",
    "create_webhook",
    "create_zone",
}
READS = {"select", "get", "get_or_none", "get_by_id", "get_or_create", "filter", "raw", "noop"}
UNSEEING = {("rows", "target_query")}  # Functions that read all rows.


# Their source.


def modules():
    """Return all modules of controllers/."""
    found = pkgutil.walk_packages(controllers.__path__, "controllers.")
    return [importlib.import_module(module.name) for module in found]


def classes():
    """Return all controllers, by the name of their class."""
    return {
        name: found
        for module in modules()
        for name, found in vars(module).items()
        if inspect.isclass(found) and issubclass(found, Controller) and found is not Controller
    }


def test_these_are_all_controllers():
    assert set(classes()) == CONTROLLERS


def calls_of(found):
    """Yield (name, attribute, line) of every `name.attribute` in a class's source."""
    lines, start = inspect.getsourcelines(found)
    for node in ast.walk(ast.parse("".join(lines))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield node.value.id, node.attr, start + node.lineno - 1


def test_controllers_read_models_through_their_base_only():
    names = {model.__name__ for model in MODELS}
    wrong = [
        f"{found.__module__}:{line} {name}.{attribute}"
        for found in classes().values()
        for name, attribute, line in calls_of(found)
        if (name in names and attribute in READS) or (name, attribute) in UNSEEING or (name, attribute) == ("audit", "change")
    ]
    assert not wrong


def used_of(path):
    """Yield (module below controllers/, name) of everything that a file uses of controllers/."""
    text = path.read_text(encoding="utf-8")
    known = {module.__name__ for module in modules()}
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.ImportFrom) or (node.module or "").partition(".")[0] != "controllers":
            continue
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            if whole in known:
                yield from ((below(whole), name) for name in re.findall(rf"\b{alias.name}\.(\w+)", text))
            else:
                yield below(node.module), alias.name


def below(module):
    return module.removeprefix("controllers.")


def test_routes_call_controllers():
    found = classes()
    wrong = {
        f"{path.name}: {module}.{name}"
        for path in sorted((ROOT / "api").glob("*.py"))
        for module, name in used_of(path)
        if name not in found and not {(module, name), (module, None)} & NO_CONTROLLERS
    }
    assert not wrong


# An actor who may see nothing.


HIDDEN = "hidden"
PARAMETERS = {
    "environment": "hidden-production",
    "host": "hidden-host",
    "newer": "hidden-v2",
    "number": 1,
    "older": "hidden-v1",
    "token_id": 1,
    "version": "hidden-v1",
}
NAMES = {  # What <name> stands for below the first part of a path.
    "applications": "hidden-shop",
    "environments": "hidden-production",
    "freezes": "hidden-freeze",
    "hooks": "hidden-hub",
    "hosts": "hidden-host",
    "integrations": "hidden-hub",
    "webhooks": "hidden-chat",
    "zones": "hidden-zone",
}
TARGET = {"application": "hidden-shop", "environment": "hidden-production"}
WINDOW = {"starts_at": "2099-12-20T00:00:00Z", "ends_at": "2099-12-27T00:00:00Z"}
BODIES = {  # Of the routes that take more than nothing, so that nothing but what they name can be wrong.
    "change_application": {"source": {"integration": "hidden-hub", "repository": "https://git.example.com/other.git"}},
    "change_environment": {"approvals": 1, "promote_from": "hidden-staging"},
    "change_freeze": {"applications": ["hidden-shop"]},
    "change_host": {"zone": "hidden-zone"},
    "change_token": {"name": "other"},
    "change_variables": {"variables": {"KEY": "other"}},
    "change_webhook": {"enabled": False},
    "change_zone": {"public_key": None},
    "create_application": {
        "name": "hidden-shop",
        "source": {"integration": "hidden-hub", "repository": "https://git.example.com/shop.git"},
    },
    "create_command": {"argv": ["df"], "hosts": ["hidden-host"]},
    "create_deploy": {**TARGET, "release": "hidden-v1", "plan": 1},
    "create_environment": {"name": "hidden-production", "promote_from": "hidden-staging"},
    "create_freeze": {"name": "hidden-freeze", "reason": "rest", "applications": ["hidden-shop"], **WINDOW},
    "create_host": {"name": "hidden-host", "user": "deploy", "zone": "hidden-zone"},
    "create_integration": {"name": "hidden-hub", "driver": "github"},
    "create_plan": {**TARGET, "release": "latest"},
    "create_token": {"name": "hidden-token"},
    "create_webhook": {"name": "hidden-chat", "url": "https://chat.example.com/"},
    "create_zone": {"name": "hidden-zone"},
    "put_lock": {"reason": "inventory", "force": True},
    "put_target": {"hosts": ["hidden-host"]},
    "replace_variables": {"variables": {"KEY": "other"}},
    "set_host_maintenance": {"reason": "new disk"},
    "trust_host": {"preview": True},
}


def handler_of(endpoint):
    return inspect.unwrap(endpoint.handler).__name__


def is_scoped(endpoint):
    return handler_of(endpoint) not in UNSCOPED


READING = [endpoint for endpoint in ENDPOINTS if endpoint.method == "GET" and is_scoped(endpoint)]
CHANGING = [endpoint for endpoint in ENDPOINTS if endpoint.method != "GET" and is_scoped(endpoint)]


@pytest.fixture
def populated(api, monkeypatch):
    """A row of every kind that has a name or says one; all of them hold the word "hidden"."""
    monkeypatch.setattr(queue, "enqueue", lambda *_, **__: None)
    monkeypatch.setattr(plans, "PATIENCE_S", 0)
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.05)
    hub = factories.integration("hidden-hub", hook_secret="x")
    api.post("/webhooks", {"name": "hidden-chat", "url": "https://chat.example.com/"})
    zone, staging = factories.zone("hidden-zone"), factories.environment("hidden-staging", 1)
    shop = factories.application("hidden-shop")
    production = factories.environment("hidden-production")
    host = factories.host("hidden-host", zone=zone, tags=["hidden-tag"])
    first, second = (factories.release(shop, version=f"hidden-v{number}") for number in (1, 2))
    target = factories.target([host], shop, production)
    Variable.create(target=target, name="HIDDEN", value="hidden-value", updated_at=now())
    plan = factories.plan(target, first, snapshots.take(target), [host])
    deploy = factories.deploy(
        [host],
        release=second,
        previous_release=first,
        environment=production,
        plan=plan,
        state="running",
        comment="hidden-comment",
        snapshot=plan.snapshot,
    )
    events.append(f"deploy-{deploy.id}", [{"kind": "note", "text": "hidden-text"}])
    events.append("deploys", [{"kind": "deploy", "data": {**TARGET, "state": "running", "deploy": deploy.id}}])
    factories.delivery(deploy, integration=hub.name, action="changelog")
    command = factories.command([host], **TARGET)
    events.append(f"command-{command.id}", [{"kind": "output", "host": host.name, "text": "hidden-text"}])
    events.append(f"release-{first.id}", [{"kind": "output", "text": "hidden-text"}])
    preparation = factories.preparation(host)
    events.append(f"preparation-{preparation.id}", [{"kind": "output", "host": host.name, "text": "hidden-text"}])
    factories.hook(hub, outcome="hidden-outcome")
    factories.automation(target, first)
    factories.lock(target, reason="hidden-reason")
    factories.freeze("hidden-freeze", applications=["hidden-shop"])
    factories.maintenance(target, [host])
    Placement.create(application=shop, environment=production, host=host, release=first, observed_at=now())
    Token.update(name="hidden-token").execute()
    Worker.create(name="hidden-worker", zones=["hidden-zone"], version="1", seen_at=now())
    audit.write("hidden-ann", "deploy.create", "hidden-shop/hidden-production")
    assert staging and command.id == deploy.id == plan.id == preparation.id == 1
    return api


@pytest.fixture
def blind(populated, monkeypatch):
    """A client that calls as somebody who may see no row of anything."""
    visible = Controller.visible
    monkeypatch.setattr(Controller, "visible", lambda self, model, *columns: visible(self, model, *columns).where(SQL("1 = 0")))
    return populated


def ask(api, endpoint, prefix=""):
    """Make the request that suits what is there; returns (status, body as text, the values that were sent).

    With a prefix, all names in it are nearly those that are there.
    """
    for answers in CACHES:
        answers.clear()
    sent = []

    def value(match):
        name = match[1].partition(":")[0]
        found = NAMES[endpoint.path.split("/")[1]] if name == "name" else PARAMETERS[name]
        sent.append(found if isinstance(found, int) else prefix + found)
        return str(sent[-1])

    path = re.sub(r"<([^>]+)>", value, endpoint.path)
    body = BODIES.get(handler_of(endpoint), {}) if endpoint.method not in ("GET", "DELETE") else None
    if prefix and handler_of(endpoint) not in MAKES_NAMED:
        body = json.loads(json.dumps(body).replace(f'"{HIDDEN}', f'"{prefix}{HIDDEN}'))
    if "stream" in endpoint.path:
        path += "?last_event_id=0"
    answer = api.request(endpoint.method, path, body, buffered=False)
    return answer.status_code, text_of(answer), [*sent, *texts_in(body)]


def text_of(answer):
    """Return an answer's body, of a stream without end what comes before the first heartbeat."""
    pieces = []
    for piece in answer.response:
        pieces.append(piece)
        if piece == b":\n\n":
            break
    answer.close()
    return b"".join(pieces).decode()


def texts_in(value):
    """Return the texts in a JSON value."""
    if isinstance(value, dict):
        return [text for each in value.values() for text in texts_in(each)]
    if isinstance(value, list):
        return [text for each in value for text in texts_in(each)]
    return [value] if isinstance(value, str) else []


def without(text, sent):
    """Return a text without what the caller said themselves."""
    for value in sorted((str(value) for value in sent), key=len, reverse=True):
        text = text.replace(value, "")
    return text


def rows_there():
    """Return all that is in the database, but for when tokens were last used."""
    found = {model.__name__: list(model.select().order_by(model.id).dicts()) for model in MODELS}
    for row in found["Token"]:
        del row["last_used_at"]
    return found


def test_what_is_asked_can_be_asked():
    """The requests below are such that the schemas let them pass."""
    for endpoint in CHANGING:
        fields = endpoint.marks.get("fields")
        if fields is not None:
            fields.model_validate_json(json.dumps(BODIES.get(handler_of(endpoint), {})))
    assert set(BODIES) <= {handler_of(endpoint) for endpoint in ENDPOINTS}


def test_who_may_see_all_sees_the_names(populated):
    """The proof below would prove nothing if the names were not there."""
    for endpoint in READING:
        status, text, _ = ask(populated, endpoint)
        if set(FOREIGN) <= set(endpoint.errors):  # Nobody answers at the addresses there.
            assert status != 404, endpoint.path
            continue
        assert status == 200, (endpoint.path, status, text)
        assert HIDDEN in text.lower() or handler_of(endpoint) in NAMES_NOTHING, (endpoint.path, text)


@pytest.mark.parametrize("prefix", ["", "x"], ids=["the names", "nearly the names"])
def test_who_may_see_nothing_is_shown_nothing(blind, prefix):
    for endpoint in READING:
        status, text, sent = ask(blind, endpoint, prefix)
        assert status == 404 if "<" in endpoint.path else status == 200, (endpoint.path, status, text)
        assert HIDDEN not in without(text, sent).lower(), (endpoint.path, text)


@pytest.mark.parametrize("prefix", ["", "x"], ids=["the names", "nearly the names"])
def test_who_may_see_nothing_changes_nothing(blind, prefix):
    before = rows_there()
    for endpoint in CHANGING:
        status, text, sent = ask(blind, endpoint, prefix)
        refused = {404} if "<" in endpoint.path else {404, 422}
        is_taken = handler_of(endpoint) in MAKES_NAMED and status == 409 and json.loads(text)["code"] == "already-exists"
        assert status in refused or is_taken, (endpoint.method, endpoint.path, status, text)
        assert HIDDEN not in without(text, sent).lower(), (endpoint.path, text)
    assert rows_there() == before


def test_a_plan_that_may_not_be_seen_is_none_for_a_deploy(populated, monkeypatch):
    visible = Controller.visible

    def without_plans(self, model, *columns):
        query = visible(self, model, *columns)
        return query.where(SQL("1 = 0")) if model is Plan else query

    monkeypatch.setattr(Controller, "visible", without_plans)
    Lock.delete().execute()
    answer = populated.post("/deploys", BODIES["create_deploy"])
    assert (answer.status_code, answer.json["errors"]) == (422, [{"field": "plan", "message": "There is no plan 1."}])
