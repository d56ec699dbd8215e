"""openapi.json describes the API that there is, and the API does what it says."""

import re
from pathlib import Path

import openapi_spec_validator
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis.strategies import booleans
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

import config
from api.openapi import document
from api.routing import ENDPOINTS, load
from controllers import system
from models import Worker, db
from tests import factories
from tests.client import PREFIX
from tests.conftest import ADMIN_TOKEN, forget_what_depends_on_settings

load()
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
# These go out to hosts and foreign systems, or answer as long as somebody listens; they have tests of their own.
ELSEWHERE = r"/(check|observe|trust|test|stream|repositories|refs|versions)$"
EXISTING = {
    "name": "shop",
    "environment": "production",
    "version": "v1",
    "older": "v1",
    "newer": "v2",
    "number": 1,
    "token_id": 1,
}


def test_the_document_is_valid_openapi(anonymous):
    answer = anonymous.get("/openapi.json")
    assert answer.json["openapi"].startswith("3.1")
    openapi_spec_validator.validate(answer.json)


def test_every_route_is_in_the_document_and_nothing_else():
    served = {
        (re.sub(r"<(\w+)[^>]*>", r"{\1}", endpoint.path), endpoint.method.lower()) for endpoint in ENDPOINTS if endpoint.path
    }
    assert {(path, method) for path, methods in document()["paths"].items() for method in methods} == served


def test_operations_can_be_told_apart_and_say_what_they_do():
    operations = [operation for methods in document()["paths"].values() for operation in methods.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    assert all(operation["summary"] and operation["description"] for operation in operations)


def test_paths_and_their_parameters_agree():
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            names = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"}
            assert names == set(re.findall(r"{(\w+)}", path)), (method, path)


def test_what_needs_credentials_says_so():
    for endpoint in ENDPOINTS:
        if endpoint.path:
            operation = document()["paths"][re.sub(r"<(\w+)[^>]*>", r"{\1}", endpoint.path)][endpoint.method.lower()]
            assert ("security" in operation) == ("auth" in endpoint.marks), endpoint.path


def test_every_route_is_in_the_guide():
    guide = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
    named = {part for endpoint in ENDPOINTS for part in endpoint.path.split("/") if part and "<" not in part}
    assert not [part for part in sorted(named) if f"/{part}" not in guide]


@pytest.fixture(scope="module")
def described(application, tmp_path_factory, migrated_sqlite):
    """The API's description bound to the application, with a few rows to be found, on SQLite alone."""
    data = tmp_path_factory.mktemp("described")
    config.load(environ={"WINDLASS_DATA": str(data)})
    forget_what_depends_on_settings()
    (data / "windlass.db").write_bytes(migrated_sqlite.read_bytes())
    opened = db.connect_to(config.settings.database.url)
    system.ensure_administrator(ADMIN_TOKEN)
    host = factories.host("shop")
    release = factories.release()
    factories.release()
    factories.deploy([host], release=release, state="succeeded")
    Worker.create(name="w1", zones=["lan"], version="1", seen_at=db.clock() + 3_600_000)
    yield schemathesis.openapi.from_wsgi(f"{PREFIX}/openapi.json", application)
    opened.close_all()
    forget_what_depends_on_settings()


def operations():
    """Return (method, path) of every route that can be tried here."""
    return sorted(
        {
            (endpoint.method, re.sub(r"<(\w+)[^>]*>", r"{\1}", endpoint.path))
            for endpoint in ENDPOINTS
            if endpoint.path and not re.search(ELSEWHERE, endpoint.path)
        }
    )


@pytest.mark.parametrize("method, path", operations())
def test_every_route_does_what_the_document_says(described, method, path):
    @hypothesis_settings(
        max_examples=12,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=described[path][method].as_strategy(), is_existing=booleans())
    def answers_as_described(case, is_existing):
        system.ensure_administrator(ADMIN_TOKEN)  # An example may have revoked it.
        if is_existing and case.path_parameters:
            case.path_parameters = {name: EXISTING.get(name, value) for name, value in case.path_parameters.items()}
        answer = case.call_and_validate(headers={"Authorization": f"Bearer {ADMIN_TOKEN}"}, checks=CHECKS)
        seen.add(answer.status_code)

    seen = set()
    answers_as_described()
    assert seen
