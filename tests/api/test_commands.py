"""/commands: what may be asked for and by whom, what is written down, and how a command ends; no host is needed."""

import pytest

from controllers.actor import Actor
from controllers.commands import command_run, commands
from controllers.commands.commands import CommandController
from controllers.jobs import leases, queue, transitions
from models import AuditEntry, Command, CommandRun, Placement, Target
from models.db import clock, now
from tests import factories
from tests.client import ApiClient, assert_problem


@pytest.fixture(autouse=True)
def enqueued(monkeypatch):
    """The tasks that were enqueued."""
    sent = []
    monkeypatch.setattr(queue, "enqueue", lambda task, *ids, zone=None: sent.append((task, *ids, zone)))
    return sent


@pytest.fixture
def hosts(database):
    return [factories.host("web-1"), factories.host("web-2")]


@pytest.fixture
def target(hosts):
    """shop in production on both hosts."""
    return Target.create(
        application=factories.application(),
        environment=factories.environment(),
        hosts=["web-1", "web-2"],
        health={},
        strategy={},
        created_at=now(),
        updated_at=now(),
    )


def run(api, **fields):
    made = api.post("/commands", {"argv": ["uptime"], **fields})
    assert made.status_code == 201, made.get_data(as_text=True)
    return made.json


def end(command, host, state, **changes):
    """End a command's run on a host, as its worker does."""
    row = CommandRun.get(CommandRun.command == command["id"], CommandRun.host_name == host)
    if row.state == "pending":
        transitions.move_command_run(row, "running", asked_at=now())
    return commands.end_run(row, state, None, **changes)


def test_it_runs_on_the_hosts_that_are_named(api, hosts, enqueued):
    made = run(api, hosts=["web-2", "web-1", "web-2"], argv=["printf", "%s", "a b", ""])
    assert (made["argv"], made["time_limit_s"], made["state"]) == (["printf", "%s", "a b", ""], 60, "running")
    assert [(item["host"], item["state"], item["exit_code"]) for item in made["hosts"]] == [
        ("web-1", "pending", None),
        ("web-2", "pending", None),
    ]
    assert [(task, zone) for task, _, zone in enqueued] == [("windlass.run_command", "default")] * 2
    assert api.get(f"/commands/{made['id']}").json == made
    entry = AuditEntry.get(AuditEntry.action == "command.create")
    assert (entry.actor, entry.subject) == ("admin", "web-2, web-1")
    assert entry.data == {
        "argv": made["argv"],
        "time_limit_s": 60,
        "command": made["id"],
        "hosts": ["web-1", "web-2"],
    }


def test_secret_values_in_its_words_reach_the_host_and_nobody_else(api, target, hosts):
    path = "/applications/shop/targets/production/variables"
    hidden = {"KEY": {"value": "hush-hush", "secret": True}, "LEVEL": "plain-value"}
    assert api.patch(path, {"variables": hidden}).status_code == 200
    argv = ["curl", "--user=ann:hush-hush", "https://ann:s3cret@example.net", "plain-value"]
    shown = ["curl", "--user=ann:••••••", "https://••••••@example.net", "plain-value"]
    made = run(api, application="shop", environment="production", argv=argv)
    row = Command.get_by_id(made["id"])
    assert made["argv"] == row.argv == shown and commands.words_of(row) == argv
    sent = [
        made,
        api.get("/commands").json,
        api.get(f"/commands/{made['id']}/events").json,
        api.get("/audit?action=command").json,
    ]
    assert "hush-hush" not in str(sent) and "s3cret" not in str(sent) and "hush-hush" not in str(row.sealed_argv)
    where = {"application": target.application, "environment": target.environment, "host": hosts[0]}
    Placement.create(**where, observed_at=clock())
    assert run(api, hosts=["web-1"], argv=["echo", "hush-hush"])["argv"] == ["echo", "••••••"]
    assert run(api, hosts=["web-2"], argv=["echo", "hush-hush"])["argv"] == ["echo", "hush-hush"]
    for host in ("web-1", "web-2"):
        end(made, host, "succeeded", exit_code=0)
    assert Command.get_by_id(made["id"]).sealed_argv is None, "it has ended, so nobody needs them any more"


def test_with_an_application_it_runs_on_its_hosts_in_service(api, target, hosts):
    api.post("/hosts/web-2/maintenance", {"reason": "new disk"})
    made = run(api, application="shop", environment="production")
    assert [(item["host"], item["state"], item["message"]) for item in made["hosts"]] == [
        ("web-1", "pending", None),
        ("web-2", "skipped", "in maintenance: new disk"),
    ]
    assert made["progress"] == {"total": 2, "done": 1, "failed": 0}
    only = run(api, application="shop", environment="production", hosts=["web-1"])
    assert [item["host"] for item in only["hosts"]] == ["web-1"]
    refused = api.post("/commands", {"argv": ["true"], "application": "shop", "environment": "production", "hosts": ["web-2"]})
    assert_problem(refused, 409, "no-hosts")
    assert run(api, hosts=["web-2"])["hosts"][0]["state"] == "pending", "a host that is named is not left out"


@pytest.mark.parametrize(
    "fields, field",
    [
        ({"argv": []}, "argv"),
        ({"argv": ["-rf", "/"]}, "argv"),
        ({"argv": [" "]}, "argv"),
        ({"argv": ["x" * 40000]}, "argv"),
        ({"argv": "uptime"}, "argv"),
        ({"time_limit_s": 0}, "time_limit_s"),
        ({"time_limit_s": 3601}, "time_limit_s"),
        ({"hosts": ["web-9"]}, "hosts"),
        ({"hosts": []}, "hosts"),
        ({"hosts": None}, "hosts"),
        ({"application": "shop"}, "environment"),
        ({"environment": "production"}, "application"),
        ({"application": "shop", "environment": "production", "hosts": ["web-9"]}, "hosts"),
        ({"stdin": "y"}, "stdin"),
    ],
)
def test_what_cannot_be_run_is_refused_and_nothing_is_written(api, target, fields, field):
    body = {"argv": ["uptime"], **({} if "application" in fields else {"hosts": ["web-1"]}), **fields}
    problem = assert_problem(api.post("/commands", body), 422, "invalid")
    assert field in [error["field"].split(".")[0] for error in problem["errors"]]
    assert not Command.select().exists() and not AuditEntry.select().where(AuditEntry.action == "command.create").exists()


def test_a_command_for_nowhere_is_refused(api, database):
    problem = assert_problem(api.post("/commands", {"argv": ["true"]}), 422, "invalid")
    assert problem["errors"][0]["field"] == "hosts"
    assert_problem(
        api.post("/commands", {"argv": ["true"], "application": "shop", "environment": "production"}), 404, "not-found"
    )
    for path in ("", "/events", "/stream"):
        assert_problem(api.get(f"/commands/77{path}"), 404, "not-found")
    assert_problem(api.post("/commands/77/cancel"), 404, "not-found")


def test_administrators_run_and_cancel_and_everybody_looks(application, api, hosts):
    from controllers.access import sessions
    from models import Token, User

    user = User.create(name="colleague", created_at=clock())
    Token.create(user=user, name="laptop", secret_hash=sessions.digest("colleagues-token"), created_at=clock())
    colleague = ApiClient(application, "colleagues-token")
    made = run(api, hosts=["web-1"])
    assert_problem(colleague.post("/commands", {"argv": ["true"], "hosts": ["web-1"]}), 403, "not-administrator")
    assert_problem(colleague.post(f"/commands/{made['id']}/cancel"), 403, "not-administrator")
    assert colleague.get(f"/commands/{made['id']}").json["argv"] == ["uptime"]
    assert colleague.get("/commands").json["items"][0]["id"] == made["id"]


def test_the_same_request_again_runs_nothing_twice(api, hosts):
    body, key = {"argv": ["true"], "hosts": ["web-1"]}, {"Idempotency-Key": "once"}
    first = api.post("/commands", body, headers=key).json
    assert api.post("/commands", body, headers=key).json == first
    assert Command.select().count() == 1


@pytest.mark.parametrize(
    "ends, state",
    [
        (("succeeded", "succeeded"), "succeeded"),
        (("succeeded", "failed"), "failed"),
        (("unclear", "succeeded"), "failed"),
        (("cancelled", "failed"), "cancelled"),
    ],
)
def test_it_ends_with_the_last_host(api, hosts, ends, state):
    made = run(api, hosts=["web-1", "web-2"])
    assert end(made, "web-1", ends[0], exit_code=0)
    assert api.get(f"/commands/{made['id']}").json["state"] == "running"
    assert end(made, "web-2", ends[1], exit_code=7, message="why")
    shown = api.get(f"/commands/{made['id']}").json
    assert (shown["state"], shown["hosts"][1]["exit_code"], shown["hosts"][1]["message"]) == (state, 7, "why")
    items = api.get(f"/commands/{made['id']}/events").json["items"]
    assert [item["number"] for item in items] == list(range(1, len(items) + 1))
    assert (items[-1]["kind"], items[-1]["data"]) == ("command", {"state": state})
    stream = api.get(f"/commands/{made['id']}/stream?last_event_id=1").get_data(as_text=True)
    assert stream.count("id: ") == len(items) - 1 and '"exit_code":7' in stream
    assert_problem(api.post(f"/commands/{made['id']}/cancel"), 409, "not-cancellable")


def test_cancelled_where_it_has_not_begun_and_wanted_cancelled_where_it_has(api, hosts):
    made = run(api, hosts=["web-1", "web-2"])
    row = CommandRun.get(CommandRun.host_name == "web-1")
    transitions.move_command_run(row, "running", asked_at=now())
    shown = api.post(f"/commands/{made['id']}/cancel").json
    assert [item["state"] for item in shown["hosts"]] == ["running", "cancelled"]
    assert (shown["state"], shown["cancel_requested_by"]) == ("running", "admin")
    end(made, "web-1", "cancelled", exit_code=143)
    assert api.get(f"/commands/{made['id']}").json["state"] == "cancelled"


def test_one_that_begins_nowhere_ends_when_it_is_cancelled(api, hosts):
    made = run(api, hosts=["web-1"])
    assert api.post(f"/commands/{made['id']}/cancel").json["state"] == "cancelled"


def test_lists_are_chosen_by_where_and_how(api, target):
    first, second = run(api, hosts=["web-1"]), run(api, application="shop", environment="production")
    end(first, "web-1", "failed", exit_code=1)

    def listed(query):
        return [item["id"] for item in api.get(f"/commands?{query}").json["items"]]

    assert listed("") == [second["id"], first["id"]]
    assert listed("application=shop&environment=production") == [second["id"]]
    assert listed("host=web-2") == [second["id"]] and listed("host=web-1&state=failed") == [first["id"]]
    assert api.get("/commands?limit=1").json["items"][0]["progress"]["total"] == 2


def test_a_host_is_not_deleted_while_a_command_is_under_way_and_its_name_stays(api, hosts):
    made = run(api, hosts=["web-1"])
    problem = assert_problem(api.delete("/hosts/web-1"), 409, "in-use")
    assert problem["used_by"] == [f"command {made['id']}, which is under way"]
    end(made, "web-1", "succeeded", exit_code=0)
    assert api.delete("/hosts/web-1").status_code == 204
    assert api.get(f"/commands/{made['id']}").json["hosts"][0]["host"] == "web-1"


def test_what_nobody_works_on_is_enqueued_again_and_not_all_the_time(api, hosts, enqueued):
    made = run(api, hosts=["web-1", "web-2"])
    CommandRun.update(lease_expires_at=now() + 60_000, lease_owner="x").where(CommandRun.host_name == "web-1").execute()
    enqueued.clear()
    command_run.KIND.enqueue_due()
    command_run.KIND.enqueue_due()
    waiting = CommandRun.get(CommandRun.host_name == "web-2")
    assert enqueued == [("windlass.run_command", waiting.id, "default")] and waiting.command_id == made["id"]


def test_output_that_somebody_else_writes_down_now_is_left_to_them(api, hosts, administrator):
    """A worker that slept through its lease must not write what the next one reads again."""
    made = run(api, hosts=["web-1"])
    row = CommandRun.get(CommandRun.command == made["id"])
    CommandRun.update(lease_owner="another").where(CommandRun.id == row.id).execute()
    history = command_run.CommandHistory(row, {"hush-hush"})
    history.take_event({"event": "output", "text": "a hush-hush\n"})
    history.take_event({"event": "told", "offset": 12})
    history.flush()
    assert api.get(f"/commands/{made['id']}/events").json["items"][1:] == []
    CommandRun.update(lease_owner=leases.OWNER).where(CommandRun.id == row.id).execute()
    history.take_event({"event": "output", "text": "b hush-hush\n"})
    assert history.waiting == [], "what may be read again is written with how far it was read"
    history.take_event({"event": "told", "offset": 24})
    history.flush()
    (event,) = api.get(f"/commands/{made['id']}/events").json["items"][1:]
    assert (event["kind"], event["text"]) == ("output", "b ••••••\n")
    assert CommandRun.get_by_id(row.id).recorded_bytes == 24


def test_statuses_are_told_in_words():
    texts = [command_run.describe_status(status) for status in (0, 3, 137, 143, 255)]
    assert texts == [
        None,
        "ended with status 3",
        "ended by signal SIGKILL",
        "ended by signal SIGTERM",
        "ended with status 255",
    ]


def test_who_asks_is_the_first_parameter(hosts):
    made = CommandController(Actor("ann", is_administrator=True)).create({"argv": ["true"], "hosts": ["web-1"]})
    assert made["requested_by"] == "ann"
