"""/hosts as callers see it."""

import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from controllers.fleet.host_checks import HostCheckController
from models import Host, HostRun, Placement, Target
from models.db import now
from tests import factories
from tests.client import ApiClient, assert_problem
from tests.conftest import ADMIN_TOKEN

FIELDS = {"name": "web-1", "address": "10.0.0.5", "user": "deploy"}


@pytest.fixture(autouse=True)
def zone(database):
    """The zone that hosts are in when nothing is said."""
    return factories.zone()


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Two public host keys, "type base64"."""
    folder, lines = tmp_path_factory.mktemp("keys"), []
    for name in ("one", "other"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
        lines.append(" ".join((folder / f"{name}.pub").read_text().split()[:2]))
    return lines


def make(api, **fields):
    """Register a host that is expected to be registered; returns it."""
    answer = api.post("/hosts", {**FIELDS, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json


def test_it_is_registered_with_defaults_and_shown(api):
    answer = api.post("/hosts", {"name": "web-1.example.net", "user": "deploy"})
    assert (answer.status_code, answer.headers["Location"]) == (201, "/api/v1/hosts/web-1.example.net")
    host = answer.json
    assert (host["address"], host["port"], host["zone"], host["transport"], host["root"]) == (
        "web-1.example.net",
        22,
        "default",
        "ssh",
        "/srv/windlass",
    )
    assert (
        host["state"],
        host["tags"],
        host["host_key"],
        host["host_key_fingerprint"],
        host["facts"],
        host["problems"],
    ) == ("new", [], None, None, None, [])
    assert host["settings"]["python"] == "python3"
    assert host["settings"]["nginx"]["command"][0] == "sudo", "a user other than root may not reload nginx without"
    assert api.get("/hosts/web-1.example.net").json == host


def test_root_needs_no_sudo(api):
    assert make(api, user="root")["settings"]["nginx"]["command"][0] != "sudo"


def test_a_local_host_needs_neither_address_nor_user(api):
    host = api.post("/hosts", {"name": "here", "transport": "local"}).json
    assert host["address"] == "127.0.0.1"
    assert host["user"]


def test_over_ssh_the_user_must_be_said(api):
    problem = assert_problem(api.post("/hosts", {"name": "web-1"}), 422, "invalid")
    assert [error["field"] for error in problem["errors"]] == ["user"]


def test_everything_that_is_wrong_is_told_at_once(api):
    answer = api.post(
        "/hosts",
        {
            "name": "Web 1",
            "address": "http://x",
            "port": "22",
            "user": "-oProxyCommand=id",
            "zone": "../x",
            "tags": ["A b"],
            "transport": "telnet",
            "root": "/srv/../etc",
            "settings": {
                "python": "-c",
                "nginx": {"sites": "/", "command": [], "listen": "80;", "x": 1},
                "supervisor": {"programs": "x", "command": ["-c"]},
                "y": 1,
            },
            "host_key": "ssh-ed25519 AAAA",
            "state": "ready",
        },
    )
    fields = [error["field"] for error in assert_problem(answer, 422, "invalid")["errors"]]
    assert sorted(fields) == sorted(
        [
            "name",
            "address",
            "port",
            "user",
            "zone",
            "tags.0",
            "transport",
            "root",
            "settings.python",
            "settings.nginx.sites",
            "settings.nginx.command",
            "settings.nginx.listen",
            "settings.nginx.x",
            "settings.supervisor.programs",
            "settings.supervisor.command",
            "settings.y",
            "host_key",
            "state",
        ]
    )
    assert Host.select().count() == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"port": 0},
        {"port": None},
        {"port": 22.5},
        {"tags": "web"},
        {"tags": [1]},
        {"settings": None},
        {"settings": {"nginx": []}},
        {"settings": {"supervisor": None}},
        {"settings": {"nginx": {"command": "sudo nginx"}}},
        {"settings": {"nginx": {"command": ["nginx", ""]}}},
        {"settings": {"nginx": {"command": ["nginx", "\x1b"]}}},
        {"root": "/"},
    ],
)
def test_bad_fields_are_refused(api, fields):
    assert_problem(api.post("/hosts", {**FIELDS, **fields}), 422, "invalid")
    make(api)
    assert_problem(api.patch("/hosts/web-1", fields), 422, "invalid")


def test_the_zone_must_exist(api):
    problem = assert_problem(api.post("/hosts", {**FIELDS, "zone": "dmz"}), 422, "invalid")
    assert problem["errors"][0]["field"] == "zone"
    make(api)
    assert_problem(api.patch("/hosts/web-1", {"zone": "dmz"}), 422, "invalid")
    factories.zone("dmz")
    assert api.patch("/hosts/web-1", {"zone": "dmz"}).json["zone"] == "dmz"


def test_a_second_one_of_the_same_name_is_refused(api):
    before = make(api)
    assert_problem(api.post("/hosts", {**FIELDS, "address": "10.0.0.6"}), 409, "already-exists")
    assert api.get("/hosts/web-1").json == before


def test_settings_given_in_part_are_completed(api):
    settings = make(api, settings={"nginx": {"listen": "10.0.0.5:8080"}})["settings"]
    assert settings["nginx"]["listen"] == "10.0.0.5:8080"
    assert settings["nginx"]["sites"] and settings["nginx"]["command"] and settings["supervisor"]["programs"]


def test_settings_are_changed_in_part(api):
    make(api, settings={"python": "/opt/python3", "nginx": None})
    changed = api.patch("/hosts/web-1", {"settings": {"supervisor": {"command": ["supervisorctl", "-c", "/etc/s.conf"]}}}).json[
        "settings"
    ]
    assert (changed["python"], changed["nginx"]) == ("/opt/python3", None)
    assert changed["supervisor"]["command"] == ["supervisorctl", "-c", "/etc/s.conf"]
    again = api.patch("/hosts/web-1", {"settings": {"nginx": {"listen": "81"}}}).json["settings"]
    assert (again["nginx"]["listen"], again["supervisor"]) == ("81", changed["supervisor"])
    assert again["nginx"]["command"][0] == "sudo"


def test_defaults_follow_a_change_of_the_user_and_choices_do_not(api):
    make(api)
    api.post("/hosts", {**FIELDS, "name": "web-2", "settings": {"nginx": {"command": ["doas", "nginx"]}}})
    assert api.patch("/hosts/web-1", {"user": "root"}).json["settings"]["nginx"]["command"][0] != "sudo"
    assert api.patch("/hosts/web-2", {"user": "root"}).json["settings"]["nginx"]["command"] == ["doas", "nginx"]


def test_a_change_of_where_it_is_forgets_what_was_seen_but_not_the_pinned_key(api, keys):
    make(api, host_key=keys[0])
    Host.update(
        facts={"python": "3.11.2"},
        problems=[{"code": "disk-low", "message": "m", "remedy": "r"}],
        is_reachable=True,
        observed_at=now(),
    ).execute()
    assert api.get("/hosts/web-1").json["state"] == "problems"
    assert api.patch("/hosts/web-1", {"tags": ["web"]}).json["state"] == "problems"
    moved = api.patch("/hosts/web-1", {"address": "10.0.0.9"}).json
    assert (moved["state"], moved["facts"], moved["problems"], moved["observed_at"]) == ("new", None, [], None)
    assert moved["host_key"] == keys[0], "another machine at the new address must not slip in"


def test_if_match(api):
    make(api)
    tag = api.get("/hosts/web-1").headers["ETag"]
    assert api.patch("/hosts/web-1", {"port": 2222}, headers={"If-Match": tag}).status_code == 200
    assert_problem(api.patch("/hosts/web-1", {"port": 23}, headers={"If-Match": tag}), 412, "precondition-failed")
    assert api.get("/hosts/web-1").json["port"] == 2222


@pytest.mark.both_databases
def test_of_changes_at_once_to_one_version_one_is_made(api, application):
    make(api)
    headers = {"If-Match": api.get("/hosts/web-1").headers["ETag"]}
    ready = threading.Barrier(6)

    def change(port):
        client = ApiClient(application, ADMIN_TOKEN)
        ready.wait(30)
        return client.patch("/hosts/web-1", {"port": port}, headers=headers).status_code

    with ThreadPoolExecutor(6) as threads:
        answers = sorted(threads.map(change, range(2001, 2007)))
    assert answers == [200] + [412] * 5


@pytest.mark.parametrize(
    "columns, state",
    [
        ({}, "new"),
        ({"observed_at": 1, "problems": [], "is_reachable": True}, "ready"),
        (
            {"observed_at": 1, "problems": [{"code": "disk-low", "message": "m", "remedy": "r"}], "is_reachable": True},
            "problems",
        ),
        (
            {
                "observed_at": 1,
                "problems": [{"code": "host-unreachable", "message": "m", "remedy": "r"}],
                "is_reachable": False,
            },
            "unreachable",
        ),
        ({"observed_at": 1, "problems": [], "is_reachable": True, "maintenance_reason": "new disk"}, "maintenance"),
    ],
)
def test_states(api, columns, state):
    factories.host("web-1", **columns)
    assert api.get("/hosts/web-1").json["state"] == state


def test_maintenance_and_back(api):
    make(api)
    out = api.post("/hosts/web-1/maintenance", {"reason": "new disk"})
    assert (out.status_code, out.json["state"], out.json["maintenance_reason"]) == (200, "maintenance", "new disk")
    back = api.post("/hosts/web-1/maintenance", {"enabled": False}).json
    assert (back["state"], back["maintenance_reason"]) == ("new", None)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"reason": ""},
        {"reason": None},
        {"enabled": True},
        {"enabled": "no"},
        {"reason": "a\nb"},
        {"reason": "x" * 201},
        {"why": "x"},
    ],
)
def test_maintenance_needs_a_reason(api, fields):
    make(api)
    assert_problem(api.post("/hosts/web-1/maintenance", fields), 422, "invalid")
    assert api.get("/hosts/web-1").json["state"] == "new"


def test_a_known_key_is_pinned_without_asking_the_host(api, keys):
    make(api)
    pinned = api.post("/hosts/web-1/trust", {"host_key": f"10.0.0.5 {keys[0]} a comment"}).json
    assert pinned["host_key"] == keys[0]
    assert pinned["host_key_fingerprint"].startswith("SHA256:")
    assert api.post("/hosts/web-1/trust", {"host_key": keys[1]}).json["host_key"] == keys[1]


@pytest.mark.parametrize(
    "fields",
    [
        {"host_key": "ssh-ed25519 AAAA"},
        {"host_key": 1},
        {"fingerprint": "aa:bb"},
        {"fingerprint": "SHA256:" + "a" * 43, "preview": True},
        {"key": "x"},
    ],
)
def test_a_bad_key_pins_nothing(api, keys, fields):
    make(api, host_key=keys[0])
    assert_problem(api.post("/hosts/web-1/trust", fields), 422, "invalid")
    assert api.get("/hosts/web-1").json["host_key"] == keys[0]


def test_all_else_is_asked_of_a_worker(api, monkeypatch):
    asked = []
    monkeypatch.setattr(
        HostCheckController,
        "trust",
        lambda self, name, fields: asked.append((self.actor.name, name, fields)) or {"trusted": True},
    )
    monkeypatch.setattr(
        HostCheckController, "check", lambda self, name: asked.append((self.actor.name, name)) or {"checked": True}
    )
    assert api.post("/hosts/web-1/trust").json == {"trusted": True}
    api.post("/hosts/web-1/trust", {"fingerprint": "SHA256:" + "a" * 43})
    assert api.post("/hosts/web-1/check").json == {"checked": True}
    assert asked == [
        ("admin", "web-1", {}),
        ("admin", "web-1", {"fingerprint": "SHA256:" + "a" * 43}),
        ("admin", "web-1"),
    ]


@pytest.mark.parametrize("action", ["check", "trust", "maintenance"])
def test_actions_on_no_host(api, action):
    assert_problem(api.post(f"/hosts/gone/{action}", {"reason": "x"} if action == "maintenance" else {}), 404, "not-found")


def test_lists_are_paged_and_filtered(api):
    factories.zone("dmz")
    for name, zone, tags in (("b", "dmz", ["web"]), ("a", "default", ["web", "eu"]), ("c", "default", [])):
        make(api, name=name, zone=zone, tags=tags)

    def names(query):
        return [host["name"] for host in api.get(f"/hosts?{query}").json["items"]]

    assert names("") == ["a", "b", "c"]
    assert names("zone=default") == ["a", "c"]
    assert names("tag=web") == ["a", "b"]
    assert names("tag=web&zone=dmz") == ["b"]
    assert names("tag=gone") == []
    first = api.get("/hosts?limit=2").json
    assert [host["name"] for host in api.get(f"/hosts?limit=2&after={first['next']}").json["items"]] == ["c"]


def test_a_host_that_a_target_names_is_not_deleted(api):
    host = factories.host("web-1")
    Target.create(
        application=factories.application("shop"),
        environment=factories.environment(),
        hosts=["web-1"],
        strategy={},
        health={},
        created_at=1,
        updated_at=1,
    )
    problem = assert_problem(api.delete("/hosts/web-1"), 409, "in-use")
    assert problem["used_by"] == ["the target of shop in production"]
    Target.update(hosts={"tags": ["web-1"]}).execute()
    assert api.delete("/hosts/web-1").status_code == 204
    assert Host.get_or_none(Host.id == host.id) is None


def test_a_host_that_a_deploy_goes_to_is_not_deleted(api):
    deploy = factories.deploy([factories.host("web-1")], state="running")
    problem = assert_problem(api.delete("/hosts/web-1"), 409, "in-use")
    assert f"deploy {deploy.id}" in problem["detail"]


def test_the_history_keeps_the_name_of_a_deleted_host(api):
    host = factories.host("web-1")
    deploy = factories.deploy([host], state="succeeded")
    Placement.create(application=deploy.application, environment=deploy.environment, host=host, digest="d", observed_at=1)
    assert api.delete("/hosts/web-1").status_code == 204
    run = HostRun.get(HostRun.deploy == deploy)
    assert (run.host_id, run.host_name) == (None, "web-1")
    assert [run["host"] for run in api.get(f"/deploys/{deploy.id}/hosts").json["items"]] == ["web-1"]


def test_the_root_does_not_move_away_from_what_runs_below_it(api):
    host = factories.host("web-1")
    Placement.create(
        application=factories.application("shop"),
        environment=factories.environment(),
        host=host,
        digest="d",
        observed_at=1,
    )
    problem = assert_problem(api.patch("/hosts/web-1", {"root": "/opt/windlass"}), 409, "in-use")
    assert "shop" in problem["detail"]
    assert api.patch("/hosts/web-1", {"root": "/srv/windlass", "port": 23}).status_code == 200


def test_the_supervisor_of_a_host_is_chosen_by_kind(api):
    made = api.post("/hosts", {"name": "h7", "address": "10.0.0.7", "user": "deploy"}).json
    assert made["settings"]["supervisor"]["kind"] == "supervisord"
    changed = api.patch("/hosts/h7", {"settings": {"supervisor": {"kind": "systemd"}}}).json["settings"]["supervisor"]
    assert changed == {"kind": "systemd", "units": "~/.config/systemd/user", "command": ["systemctl", "--user"]}
    changed = api.patch("/hosts/h7", {"settings": {"supervisor": {"units": "/etc/systemd/system"}}}).json
    assert changed["settings"]["supervisor"]["units"] == "/etc/systemd/system"
    assert api.patch("/hosts/h7", {"tags": ["x"]}).json["settings"] == changed["settings"]
    for wrong in (
        {"programs": "/etc/x"},
        {"kind": "systemd", "programs": "/etc/x"},
        {"kind": "runit"},
        {"units": "relative"},
    ):
        assert api.patch("/hosts/h7", {"settings": {"supervisor": wrong}}).status_code == 422
    back = api.patch("/hosts/h7", {"settings": {"supervisor": {"kind": "supervisord"}}}).json
    assert back["settings"] == made["settings"]
