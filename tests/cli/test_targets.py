"""targets and environments: what is not named stays, nobody else's change is undone, secrets stay out of sight."""

import json

import pytest

from tests import shapes
from tests.cli.resources import tag_of


@pytest.fixture
def target(windlass, api):
    """A target that was set before."""
    options = ("--host", "web1", "--host", "web2", "--strategy", "rolling", "--batch", "2", "--health", "/health")
    assert windlass("targets", "set", "shop", "production", *options, "--process", "web=run").code == 0
    api.requests.clear()
    return api.targets["shop", "production"]


def test_a_new_target_has_what_was_given_and_nothing_else(windlass, api):
    answer = windlass("targets", "set", "shop", "production", "--tag", "web", "--tag", "eu", "--health-status", "204")
    assert answer.code == 0
    assert "tagged web, eu: web1" in answer.out
    assert api.sent("PUT", "/applications/shop/targets/production")[0].body == {
        "hosts": {"tags": ["web", "eu"]},
        "health": {"expect_status": 204},
    }


def test_what_is_not_given_stays_as_it_is(windlass, api, target):
    assert windlass("targets", "set", "shop", "production", "--health-timeout", "5", "--server-name", "a.example.org").code == 0
    changed = api.targets["shop", "production"]
    assert changed == {
        **target,
        "health": {"path": "/health", "timeout_s": 5, "expect_status": None},
        "server_names": ["a.example.org"],
    }


def test_another_kind_of_strategy_drops_the_batch_of_the_former(windlass, api, target):
    assert windlass("targets", "set", "shop", "production", "--strategy", "all-at-once").code == 0
    assert api.sent("PUT", "/applications/shop/targets/production")[0].body["strategy"] == {
        "kind": "all-at-once",
        "max_failures": 0,
        "pause_s": 0,
        "bake_s": 0,
        "on_failure": "rollback",
    }


def test_a_change_by_somebody_else_in_between_is_not_undone(windlass, api, target):
    path = "/applications/shop/targets/production"
    stale = {"ETag": tag_of({**target, "drain_s": 5})}
    api.fail("GET", path, body=json.dumps(target).encode(), kind="application/json", headers=stale)
    answer = windlass("targets", "set", "shop", "production", "--batch", "3")
    assert answer.code == 1
    assert "Somebody changed this" in answer.err
    assert api.targets["shop", "production"] == target


@pytest.mark.parametrize(
    "options", [[], ["--strategy", "rolling"], ["--host", "a", "--tag", "b"], ["--host", "a", "--process", "web"]]
)
def test_a_new_target_without_clear_hosts_is_wrong_usage(windlass, api, options):
    assert windlass("targets", "set", "shop", "production", *options).code == 2
    assert not api.targets


def test_targets_are_listed_shown_and_deleted(windlass, windlass_json, api, target):
    assert windlass("targets", "list", "shop").out.splitlines()[1].split() == ["production", "web1,", "web2", "rolling"]
    assert "GET /health within 30 s" in windlass("targets", "show", "shop", "production").out
    assert windlass("targets", "delete", "shop", "production").code == 2
    assert api.targets
    assert windlass_json("targets", "delete", "shop", "production", "--yes")["deleted"]
    assert not api.targets
    assert windlass("targets", "delete", "shop", "production", "--yes").code == 1


def test_variables_are_set_removed_and_shown(windlass, api):
    answer = windlass("targets", "variables", "shop", "production", "--set", "URL=a=b", "--set", "EMPTY=")
    assert [line.split() for line in answer.out.splitlines()] == [["NAME", "VALUE"], ["URL", "a=b"], ["EMPTY"]]
    windlass("targets", "variables", "shop", "production", "--unset", "URL")
    assert api.variables == {"EMPTY": ""}


@pytest.mark.parametrize("text", ["NAME", "=value", ""])
def test_an_assignment_without_a_name_is_wrong_usage(windlass, api, text):
    assert windlass("targets", "variables", "shop", "production", "--set", text).code == 2
    assert not api.requests


def test_a_secret_comes_from_standard_input_and_is_never_shown(command, api):
    answer = command(["targets", "variables", "shop", "production", "--secret", "DATABASE_URL"], stdin=b"postgres://s3cret\n")
    assert answer.code == 0, answer.err
    assert api.variables == {"DATABASE_URL": {"value": "postgres://s3cret", "secret": True}}
    assert "(secret)" in answer.out and "s3cret" not in answer.out + answer.err


def test_a_secret_is_typed_unseen(terminal, api):
    window = terminal(["targets", "variables", "shop", "production", "--secret", "KEY"]).until("KEY:")
    code, shown = window.type("s3cret\r").end()
    assert code == 0
    assert api.variables["KEY"]["value"] == "s3cret" and "s3cret" not in shown


def test_a_secret_without_a_value_changes_nothing(command, api):
    answer = command(["targets", "variables", "shop", "production", "--secret", "KEY"])
    assert answer.code == 2
    assert not api.variables and not api.requests


def test_environments_are_created_listed_and_deleted(windlass, windlass_json, api):
    made = windlass_json("environments", "create", "qa", "--position", "0")
    assert made == shapes.environment("qa", 0, created_at=made["created_at"], updated_at=made["updated_at"])
    assert windlass("environments", "create", "demo").code == 0
    assert windlass("environments", "create", "demo").code == 1
    assert "demo" in windlass("environments", "list").out
    assert windlass("environments", "delete", "demo").code == 2
    assert windlass("environments", "delete", "demo", "--yes").code == 0
    assert "demo" not in api.environments
