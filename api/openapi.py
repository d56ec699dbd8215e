"""openapi.json: the API described by the routes and schemas that also do the work (OpenAPI 3.1)."""

import functools
import re

from pydantic.json_schema import models_json_schema

from api.routing import ENDPOINTS, PREFIX
from api.schemas.system import Problem
from version import VERSION

RULE = re.compile(r"<(\w+)(?::(\w+)(?::[^>]*)?)?>")
REFERENCE = "#/components/schemas/{model}"
JSON = "application/json"
PROBLEM = "application/problem+json"
SECURITY = {
    "token": {"type": "http", "scheme": "bearer"},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "windlass",
        "description": "With X-CSRF-Token for every change.",
    },
}
REQUEST_HEADERS = {
    "if_match": ("If-Match", "Change only the version with this ETag (412 otherwise)."),
    "last_event_id": ("Last-Event-ID", "Go on after this event."),
}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": "The same key and request give the first answer again.",
}
REASONS = {
    400: "The request cannot be understood.",
    401: "Nobody is known to be asking.",
    403: "The caller may not do this.",
    404: "There is no such thing.",
    409: "The state of things does not allow it now.",
    412: "It has changed since.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "Some fields cannot be used.",
    429: "Too many attempts.",
    502: "Another system did not do what it was asked.",
    503: "Something Windlass needs does not answer.",
    504: "Another system did not answer in time.",
}


@functools.cache
def document():
    """Return the OpenAPI document as a plain dict; the routes do not change while a process runs."""
    references, definitions = schemas()
    paths = {}
    for endpoint in sorted(ENDPOINTS, key=lambda endpoint: (endpoint.path, endpoint.method)):
        if endpoint.path:
            paths.setdefault(path_of(endpoint), {})[endpoint.method.lower()] = operation(endpoint, references)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Windlass",
            "version": VERSION,
            "summary": "Deploys Python applications to your own servers.",
        },
        "servers": [{"url": PREFIX}],
        "paths": paths,
        "components": {"schemas": definitions, "securitySchemes": SECURITY},
    }


def schemas():
    """Return ({(model, mode): reference}, {name: schema}) of every model the routes name."""
    used = {(Problem, "serialization")}
    for endpoint in ENDPOINTS:
        used |= {(model, "serialization") for model in (endpoint.returns, *endpoint.also.values()) if model is not None}
        if endpoint.marks.get("fields") is not None:
            used.add((endpoint.marks["fields"], "validation"))
    ordered = sorted(used, key=lambda pair: (pair[0].__name__, pair[1]))
    references, definitions = models_json_schema(ordered, ref_template=REFERENCE)
    return references, without_null_defaults(definitions.get("$defs", {}))


def without_null_defaults(schema):
    """Return a schema without "default": null: in our models that means "may be left out", not a value to send."""
    if isinstance(schema, list):
        return [without_null_defaults(part) for part in schema]
    if isinstance(schema, dict):
        return {name: without_null_defaults(part) for name, part in schema.items() if not (name == "default" and part is None)}
    return schema


def path_of(endpoint):
    """Return a route's path as OpenAPI writes it."""
    return RULE.sub(r"{\1}", endpoint.path)


def operation(endpoint, references):
    """Return the description of one route."""
    fields = endpoint.marks.get("fields")
    described = {
        "operationId": endpoint.handler.__name__,
        "summary": endpoint.summary,
        "description": (endpoint.handler.__doc__ or "").strip(),
        "tags": [endpoint.path.strip("/").split("/")[0] or "index"],
        "parameters": parameters(endpoint),
        "responses": responses(endpoint, references),
    }
    if fields is not None:
        described["requestBody"] = {
            "required": any(field.is_required() for field in fields.model_fields.values()),
            "content": {JSON: {"schema": references[(fields, "validation")]}},
        }
    needs = endpoint.marks.get("auth")
    if needs:
        described["security"] = [{"token": []}, {"session": []}] + ([{}] if needs == "optional" else [])
    return described


def parameters(endpoint):
    """Return the parameters of a route: those in its path, in its query and in its headers."""
    found = [
        {"name": name, "in": "path", "required": True, "schema": path_schema(kind)} for name, kind in RULE.findall(endpoint.path)
    ]
    if endpoint.query is not None:
        schema = without_null_defaults(endpoint.query.model_json_schema())
        for name, detail in schema["properties"].items():
            found.append({"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": detail})
    for name in endpoint.header_arguments:
        header, description = REQUEST_HEADERS[name]
        found.append(
            {
                "name": header,
                "in": "header",
                "required": False,
                "description": description,
                "schema": {"type": "string"},
            }
        )
    if endpoint.method == "POST" and endpoint.marks.get("auth"):
        found.append(IDEMPOTENCY_KEY)
    return found


def path_schema(kind):
    """Return the schema of a path parameter with this filter."""
    return {"type": "integer", "minimum": 0} if kind == "int" else {"type": "string", "minLength": 1}


def responses(endpoint, references):
    """Return the answers that a route gives: its own, and the errors that its decorators and method can lead to."""
    good = {"description": "Done."}
    if endpoint.produces != JSON:
        good["content"] = {endpoint.produces: {"schema": {"type": "string"}}}
    elif endpoint.returns is not None:
        good["content"] = {JSON: {"schema": references[(endpoint.returns, "serialization")]}}
        if "jsonp" in endpoint.marks:
            good["content"]["text/javascript"] = {"schema": {"type": "string"}}
    elif endpoint.method == "GET":
        good["content"] = {JSON: {"schema": {"type": "object"}}}
    found = {str(204 if not good.get("content") else endpoint.status): good}
    if endpoint.method == "GET" and endpoint.produces != "text/event-stream":
        found["304"] = {"description": "The caller has it already (If-None-Match)."}
    problem = {PROBLEM: {"schema": references[(Problem, "serialization")]}}
    for status in errors_of(endpoint):
        found[str(status)] = {"description": REASONS[status], "content": dict(problem)}
    for status, model in endpoint.also.items():
        answer = found.setdefault(str(status), {"description": "Done.", "content": {}})
        answer["content"][JSON] = {"schema": references[(model, "serialization")]}
    return found


def errors_of(endpoint):
    """Return the statuses of the errors that a route can answer with."""
    statuses = {400, 422, 503, *endpoint.errors}
    if endpoint.marks.get("auth") or endpoint.method != "GET":
        statuses |= {401, 403}
    if "<" in endpoint.path or endpoint.marks.get("fields") is not None:
        statuses.add(404)
    if endpoint.method != "GET":
        statuses |= {409, 413, 415, 429}
    if "if_match" in endpoint.header_arguments:
        statuses.add(412)
    return sorted(statuses)
