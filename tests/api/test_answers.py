"""Streams and texts: what is sent, what is logged, and that no database connection is held or lost."""

import bottle
import pytest
from werkzeug.datastructures import Headers

import api as api_package
from api.envelope import Envelope
from api.routing import Endpoint
from controllers.errors import NotFound
from models import User
from models.db import database
from utils.decorators import mark


@pytest.fixture
def serve(monkeypatch, database):
    """serve(handler) returns the status, headers and body iterable of a GET that this handler answers."""

    def call(handler, method="GET"):
        site = bottle.Bottle()
        site.catchall = False
        mark(handler, header_arguments=())
        site.route("/x", "GET", Endpoint("GET", "/x", handler, "", 200, None, None, "", None, {}, ()).__call__)
        seen = {}

        def start_response(status, headers, _exc_info=None):
            seen.update(status=int(status[:3]), headers=Headers(headers))

        environ = {
            "REQUEST_METHOD": method,
            "PATH_INFO": "/x",
            "QUERY_STRING": "",
            "SERVER_NAME": "x",
            "SERVER_PORT": "80",
            "wsgi.url_scheme": "http",
        }
        body = Envelope(site)(environ, start_response)
        return seen["status"], seen["headers"], body

    return call


def names():
    """Read the database between any two pieces."""
    for number in range(3):
        assert User.select().count() == 0
        yield f"data: {number}\n\n"


def is_held():
    return not database.is_closed()


def test_a_stream_begins_at_once_and_holds_no_connection(serve):
    status, headers, body = serve(lambda: api_package.Stream(names()))
    assert status == 200 and headers["Content-Type"].startswith("text/event-stream")
    assert headers["Cache-Control"] == "no-store" and headers["X-Accel-Buffering"] == "no" and "ETag" not in headers
    assert not is_held()
    pieces = []
    for piece in body:
        pieces.append(piece)
        assert not is_held()
    assert pieces[0].startswith(b":") and b"".join(pieces[1:]) == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
    assert not is_held() and not database.obj._in_use


def test_a_client_that_goes_away_ends_the_iterator_and_frees_all(serve):
    closed = []

    def endless():
        try:
            while True:
                User.select().count()
                yield "data: x\n\n"
        finally:
            User.select().count()
            closed.append(True)

    _, _, body = serve(lambda: api_package.Stream(endless()))
    pieces = iter(body)
    for _ in range(3):
        next(pieces)
    body.close()
    assert closed == [True] and not database.obj._in_use


def test_a_stream_that_breaks_off_is_no_whole_answer_and_frees_its_connection(serve):
    def breaking():
        yield "data: 1\n\n"
        User.select().count()
        raise RuntimeError("the other end is gone")

    _, _, body = serve(lambda: api_package.Stream(breaking()))
    with pytest.raises(RuntimeError):
        list(body)
    assert not database.obj._in_use


def test_what_a_handler_refuses_before_the_stream_is_a_problem(serve):
    def refuse():
        raise NotFound("There is no such deploy.")

    status, headers, body = serve(refuse)
    assert (status, headers["Content-Type"]) == (404, "application/problem+json") and b"no such deploy" in b"".join(body)


def test_a_text_comes_as_it_is_made_or_whole_with_a_tag(serve):
    _, headers, body = serve(lambda: api_package.Text(iter(["one\n", "zwei \u2713\n"])))
    assert b"".join(body).decode() == "one\nzwei \u2713\n" and headers["Content-Type"] == "text/plain; charset=utf-8"
    _, headers, body = serve(lambda: api_package.Text("whole"))
    assert b"".join(body) == b"whole" and headers["ETag"]


def test_an_exception_gives_the_connection_back(serve):
    def fail():
        with database.atomic():
            User.create(name="half", created_at=0)
            raise RuntimeError("in the middle of a transaction")

    status, _, _ = serve(fail)
    assert status == 500 and not is_held() and not database.obj._in_use
    assert User.select().count() == 0


def test_head_of_a_stream_opens_none(serve):
    status, _, body = serve(lambda: api_package.Stream(names()), method="HEAD")
    assert status == 200 and list(body) == [] and not database.obj._in_use


def test_nothing_is_204_without_a_body(serve):
    status, headers, body = serve(lambda: None)
    assert status == 204 and b"".join(body) == b"" and "Content-Type" not in headers


def test_what_is_no_json_is_an_internal_error_and_hides_the_value(serve):
    from secretbox import Secret

    status, _, body = serve(lambda: {"password": Secret("hunter2")})
    assert status == 500 and b"hunter2" not in b"".join(body)
