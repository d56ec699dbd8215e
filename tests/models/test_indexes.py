"""What is read often is found by an index, however many deploys there are."""

import pytest
from playhouse.schema_diff import diff_models

from controllers import status
from controllers.guards import known_bad
from controllers.jobs import queue
from controllers.releases.releases import ReleaseController
from controllers.rollout import reconcile
from controllers.rollout.deploys import DeployController
from models import MODELS, Target
from models.db import now
from tests import factories
from tests.conftest import opened_database


@pytest.fixture
def sqlite(request, settings):
    """The models on SQLite, whose plans do not depend on how many rows there are."""
    yield from opened_database(request, settings, "sqlite")


@pytest.fixture
def plans(sqlite, monkeypatch):
    """Return the plans of the statements on deploys and releases that a call runs, as one text each."""
    factories.deploy([], state="succeeded")
    target = Target.create(
        application=factories.application(),
        environment=factories.environment(),
        hosts=[],
        strategy={},
        health={},
        created_at=now(),
        updated_at=now(),
    )
    monkeypatch.setattr(queue, "enqueue", lambda *_, **__: None)
    run = sqlite.execute_sql

    def plans(work):
        statements = []
        with monkeypatch.context() as patched:
            patched.setattr(sqlite, "execute_sql", lambda *query: (statements.append(query), run(*query))[1])
            work(Target.get_by_id(target.id))
        return [
            " | ".join(row[-1] for row in run(f"EXPLAIN QUERY PLAN {sql}", parameters).fetchall())
            for sql, parameters in statements
            if sql.startswith("SELECT") and ('FROM "deploy"' in sql or 'FROM "release"' in sql)
        ]

    return plans


@pytest.mark.parametrize(
    "work, index",
    [
        (lambda _: reconcile.KIND.enqueue_due(), "deploy_state"),
        (lambda target: status.newest_deploys([target]), "deploy_newest"),
        (lambda _: DeployController(None).listing(application="shop"), "deploy_application_id_id"),
        (lambda _: ReleaseController(None).find("shop", "latest"), "release_application_id_state_number"),
        (known_bad.on_target, "deploy_newest"),
    ],
    ids=["sweep", "status", "deploys", "latest", "known-bad"],
)
def test_no_deploy_and_no_release_is_read_in_vain(plans, work, index):
    found = plans(work)
    assert any(index in plan for plan in found), found
    assert not [plan for plan in found if "SCAN t" in plan and "CORRELATED" not in plan]


def test_the_migrations_make_the_indexes_that_the_models_have(database):
    assert [index.name for index in diff_models(database, MODELS).add_indexes] == []
