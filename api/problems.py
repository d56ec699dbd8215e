"""Errors as plain problems (RFC 9457): the one place where an exception gets its status and its words."""

import logging
from http import HTTPStatus

from bottle import HTTPError
from pydantic import ValidationError

from controllers import connections
from controllers.errors import BadRequest, Invalid, WindlassError
from logs import request_id

log = logging.getLogger(__name__)
INTERNAL = "Something went wrong in Windlass itself; its log tells more under this request_id."
DETAILS = {  # What the router refuses by itself.
    400: "The path cannot be read.",
    404: "There is nothing at this path; /api/v1/ has links to what there is.",
    405: "This path does not know this method; the header Allow has those it does.",
}


def problem_of(error):
    """Return (status, headers, problem) for any exception; one that nobody foresaw is logged, and not told about."""
    error = connections.translated(error)
    if isinstance(error, ValidationError):
        error = refused_by_schema(error)
    if isinstance(error, WindlassError):
        return error.status, headers_of(error), describe(error)
    if isinstance(error, HTTPError) and error.status_code < 500:
        return error.status_code, allow_of(error), describe_bare(error.status_code)
    log.error("unforeseen: %s", type(error).__name__, exc_info=error)
    return 500, {}, compose(500, "internal-error", "Internal error", INTERNAL)


def compose(status, code, title, detail, **more):
    """Return a problem as a plain dict."""
    return {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id.get(),
        **more,
    }


def describe(error):
    """Return the problem for an error of Windlass's own."""
    more = {"errors": error.errors} if isinstance(error, Invalid) else {}
    return compose(error.status, error.code, error.title, error.detail, **more, **error.extra)


def describe_bare(status):
    """Return the problem for what Bottle refused by status alone."""
    title = HTTPStatus(status).phrase
    return compose(status, title.lower().replace(" ", "-"), title, DETAILS.get(status, f"{title}."))


def headers_of(error):
    """Return the headers that belong to an error of Windlass's own."""
    headers = {}
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="windlass"'
    if "retry_after_s" in error.extra:
        headers["Retry-After"] = str(error.extra["retry_after_s"])
    return headers


def allow_of(error):
    """Return the header Allow of a 405: what the router found, and HEAD wherever there is GET."""
    methods = set((error.get_header("Allow") or "").split(",")) - {""}
    methods |= {"HEAD"} if "GET" in methods else set()
    return {"Allow": ", ".join(sorted(methods))} if methods else {}


def refused_by_schema(error):
    """Return the error of Windlass's own for what pydantic refused: every field at once, or JSON that is none."""
    details = error.errors(include_url=False, include_input=False)
    if details[0]["type"] == "json_invalid":
        return BadRequest(f"The body is not valid JSON: {details[0]['ctx']['error']}.", code="malformed-json")
    return Invalid([(field_of(detail), message_of(detail)) for detail in details])


def field_of(detail):
    """Return the dotted name of the field that a pydantic error is about; empty for the body as a whole."""
    return ".".join(str(part) for part in detail["loc"])


def message_of(detail):
    """Return a sentence part such as "must be …" for a pydantic error."""
    kind = detail["type"]
    if kind == "missing":
        return "is needed"
    if kind == "extra_forbidden":
        return "is not known here"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return "must be a JSON object"
    if kind == "value_error":
        return str(detail["ctx"]["error"])
    return detail["msg"].removeprefix("Input ").replace("should be", "must be").replace("should have", "must have")
