"""What a handler returned, as an HTTP answer: JSON with an entity tag, nothing, text, or a stream."""

from bottle import request, response

from api.problems import problem_of
from controllers import connections
from controllers.errors import Invalid
from logs import request_id
from utils.core import tag_of, to_json
from utils.decorators import jsonp_body
from utils.urlkit import with_parameter

JSON = "application/json"
PROBLEM = "application/problem+json"
OPENING = b": windlass\n\n"  # A comment, so that the headers of a stream leave at once and not with its first event.


class Outcome:
    """A handler's result whose status is another than its route's usual one."""

    def __init__(self, value, status):
        self.value = value
        self.status = status


class Made(Outcome):
    """The result of a PUT that made what it would else have replaced: 201."""

    def __init__(self, value):
        super().__init__(value, 201)


class Text:
    """An answer of plain text: a str, or an iterator of str or bytes that is sent as it comes."""

    opening = b""

    def __init__(self, content, content_type="text/plain; charset=utf-8"):
        self.content = content
        self.content_type = content_type


class Stream(Text):
    """An answer of server-sent events: an iterator of str or bytes, each of them whole events.

    What must be refused is refused before the iterator is made: once it runs, the status has been sent. It is closed
    when the client goes away.
    """

    opening = OPENING

    def __init__(self, content):
        super().__init__(content, "text/event-stream; charset=utf-8")


def send(result, status, headers, wraps_callback=False):
    """Set the response up for what a handler returned, and return its body."""
    response.status = 204 if result is None else status
    for name, value in headers.items():
        response.set_header(name, value)
    response.set_header("Cache-Control", "private, no-cache" if request.method in ("GET", "HEAD") else "no-store")
    response.set_header("Vary", "Authorization, Cookie")
    if result is None:
        return b""
    if isinstance(result, Text):
        return send_text(result)
    return send_json(result, wraps_callback)


def send_json(value, wraps_callback):
    """Answer with a JSON value; a page of a list gets its Link header (RFC 8288)."""
    body = to_json(value)
    response.content_type = JSON
    if isinstance(value, dict) and "items" in value and value.get("next"):
        target = with_parameter(request.path, request.query_string, "after", value["next"])
        response.set_header("Link", f'<{target}>; rel="next"')
    callback = request.query.get("callback") if wraps_callback else None
    if callback is not None:
        body = called_back(callback, body)
    return conditional(body)


def called_back(callback, body):
    """Return JSON bytes as a JSONP script; raises Invalid when `callback` is no function's name."""
    try:
        script = jsonp_body(callback, body)
    except ValueError as error:
        raise Invalid([("callback", str(error))]) from None
    response.content_type = "text/javascript; charset=utf-8"
    return script


def conditional(body):
    """Return the body of an answer to GET, or nothing with 304 when the caller has it already (RFC 9110, 13.1.2)."""
    if request.method not in ("GET", "HEAD") or response.status_code != 200:
        return body
    tag = tag_of(body)
    response.set_header("ETag", tag)
    tags = request.environ.get("HTTP_IF_NONE_MATCH")
    if tags and (tags.strip() == "*" or tag in [item.strip().removeprefix("W/") for item in tags.split(",")]):
        response.status = 304
        return b""
    return body


def send_text(result):
    """Answer with a text, whole or as it comes."""
    response.content_type = result.content_type
    if isinstance(result.content, str):
        return conditional(result.content.encode())
    response.set_header("Cache-Control", "no-store")
    response.set_header("X-Accel-Buffering", "no")  # nginx would hold events back until a buffer is full.
    return pieces(result.opening, result.content)


def pieces(opening, content):
    """Yield `opening`, then what `content` gives, holding no database connection in between; always closes `content`.

    What goes wrong on the way is left to the server: it logs the error and cuts the connection off, so that the client
    does not take half an answer for a whole one.
    """
    try:
        if opening:
            yield opening
        for piece in content:
            connections.give_back()
            yield piece.encode() if isinstance(piece, str) else piece
    finally:
        if hasattr(content, "close"):
            content.close()
        connections.give_back()


def send_problem(status, headers, problem):
    """Answer with an error."""
    response.status = status
    response.content_type = PROBLEM
    for name, value in headers.items():
        response.set_header(name, value)
    response.set_header("Cache-Control", "no-store")
    return to_json(problem)


def send_bare(error):
    """Answer what the router or an HTML route refused with bottle.HTTPError (the place where Bottle has a page of its own)."""
    return send_problem(*problem_of(error))


def send_again(status, headers, body):
    """Answer as the first time; only the request id is this request's own."""
    headers = {**headers, "Idempotency-Replayed": "true"}
    if status >= 400:
        return send_problem(status, headers, {**body, "request_id": request_id.get()})
    return send(body, status, headers)
