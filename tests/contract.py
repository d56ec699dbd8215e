"""Holds the answers of the fake APIs against openapi.json: no field is missing, unknown or of another kind.

A fake hands every answer to `complaints` and fails its test when there are any, so that none can drift from the API.
"""

import functools
import json
import re

import jsonschema_rs

from api import openapi, routing

JSON, PROBLEM, STREAM = "application/json", "application/problem+json", "text/event-stream"
EVENT = "#/components/schemas/Event"
MEMBERS_OF_PROBLEMS = {"type", "title", "status", "detail", "code"}
SHAPE_OF_PROBLEMS = ("responses", "400", "content", PROBLEM, "schema")


def status_of_success(method, path):
    """Return the status that the API answers a request with when it does what was asked."""
    described = operation(method, path)
    return min((int(status) for status in described[1] if status.startswith("2")), default=200) if described else 200


def complaints(method, path, status, media_type, body):
    """Return what is wrong with an answer as a list of texts, empty when the API could have given it.

    `path` is below /api/v1, with a slash at its beginning; `media_type` comes without parameters; `body` is bytes.
    """
    described = operation(method, path)
    if described is None:
        return [] if status == 404 else [f"{method} {path}: the API has no such route"]
    template, responses = described
    if status >= 500:
        place = pointer("paths", template, method.lower(), *SHAPE_OF_PROBLEMS)
        return mistakes(f"{method} {path} {status}", place, json.loads(body))
    if str(status) not in responses:
        return [f"{method} {path}: the API never answers {status}"]
    content = responses[str(status)].get("content")
    if not content:
        return [f"{method} {path} {status}: the API answers without content"] if body else []
    if media_type not in content:
        return [f"{method} {path} {status}: the API answers with {', '.join(content)}, not with {media_type}"]
    if media_type not in (JSON, PROBLEM):
        return []
    place = pointer("paths", template, method.lower(), "responses", str(status), "content", media_type, "schema")
    return mistakes(f"{method} {path} {status}", place, json.loads(body))


def event_complaints(path, event):
    """Return what is wrong with an event (a dict) that the stream at `path` brings."""
    described = operation("GET", path)
    if described is None or STREAM not in described[1]["200"]["content"]:
        return [f"{path}: the API has no such stream"]
    return mistakes(f"{path} {event.get('kind')}", EVENT, event)


def mistakes(where, place, value):
    """Return how a JSON value differs from the schema at a place of the document."""
    return [
        f"{where}: {'.'.join(map(str, error.instance_path))}: {error.message}" for error in validator(place).iter_errors(value)
    ]


@functools.cache
def validator(place):
    """Return the validator of the schema at a place of the document."""
    return jsonschema_rs.Draft202012Validator({**document(), "$ref": place}, validate_formats=True)


@functools.cache
def document():
    """Return openapi.json with schemas of answers that allow what they name and nothing else."""

    routing.load()
    return closed(openapi.document())


def closed(part):
    """Return a part of the document in which no schema with fields has room for others, but for that of problems (RFC 9457)."""
    if isinstance(part, list):
        return [closed(item) for item in part]
    if not isinstance(part, dict):
        return part
    made = {name: closed(item) for name, item in part.items()}
    fields = part.get("properties", {})
    if fields and part.get("additionalProperties") is True and not fields.keys() >= MEMBERS_OF_PROBLEMS:
        made["additionalProperties"] = False
    return made


@functools.cache
def routes():
    """Return (method, pattern, template, responses) of every route, those with more fixed words in their paths first."""
    found = [
        (method.upper(), re.compile(re.sub(r"\{\w+\}", "[^/]+", template)), template, described["responses"])
        for template, methods in document()["paths"].items()
        for method, described in methods.items()
    ]
    return sorted(found, key=lambda route: route[2].count("{"))


@functools.cache
def operation(method, path):
    """Return (template, responses) of the route that answers a request, None without one."""
    for its_method, pattern, template, responses in routes():
        if its_method == method and pattern.fullmatch(path):
            return template, responses
    return None


def pointer(*names):
    """Return the JSON pointer (RFC 6901) to a part of the document, as a fragment."""
    return "#/" + "/".join(name.replace("~", "~0").replace("/", "~1").replace("{", "%7B").replace("}", "%7D") for name in names)
