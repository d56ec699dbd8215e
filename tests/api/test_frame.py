"""What holds for every request and every answer, whatever the route: errors, headers, bodies, versions, conditions."""

import json

import pytest

import version
from api.routing import ENDPOINTS, load
from tests.client import assert_problem

load()
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
# Without /ready, which is not so here, and /metrics, which are never the same.
READABLE = sorted(
    {
        endpoint.path
        for endpoint in ENDPOINTS
        if endpoint.method == "GET" and "<" not in endpoint.path and endpoint.produces != "text/event-stream"
    }
    - {"/ready", "/metrics"}
)


@pytest.fixture
def broken_page(application):
    """The address of an HTML route that fails in a way nobody foresaw."""

    def fail():
        raise RuntimeError("password=hunter2")

    bottle_app = application.inside
    if not any(route.rule == "/tests/broken" for route in bottle_app.routes):
        bottle_app.route("/tests/broken", "GET", fail)
    return "/tests/broken"


def test_unknown_paths_are_problems(anonymous):
    for path in ("/nope", "/tokens/", "/hosts/a/b/c", "/%00", "/%ff", "/..%2f", "//tokens"):
        assert_problem(anonymous.get(path), 404, "not-found")


def test_a_method_that_a_path_does_not_know_is_told_those_it_does(anonymous):
    answer = anonymous.put("/tokens", {})
    assert_problem(answer, 405, "method-not-allowed")
    assert answer.headers["Allow"] == "GET, HEAD, POST"
    for method in ("OPTIONS", "TRACE", "PROPFIND", "ANY", "PROXY", "get"):
        assert anonymous.request(method, "/me").status_code in (401, 405)


def test_head_answers_like_get_without_a_body(api):
    get, head = api.get("/me"), api.request("HEAD", "/me")
    assert (head.status_code, head.data, head.headers["ETag"], head.headers["Content-Length"]) == (
        200,
        b"",
        get.headers["ETag"],
        get.headers["Content-Length"],
    )


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"{'name': 1}",
        b"nul",
        b"\xff\xfe",
        b'{"name": "\xff"}',
        b'{"name": NaN}',
        b'{"name": Infinity}',
        b"[" * 5000,
        b'{"name": ' + b"[" * 500 + b"]" * 500 + b"}",
        b'{"name": "\\ud800"}',
        b"{} {}",
    ],
)
def test_a_body_that_is_no_json_is_refused(api, body):
    assert_problem(api.request("POST", "/tokens", data=body, content_type="application/json"), 400, "malformed-json")


@pytest.mark.parametrize("body", [b"[]", b"1", b'"name"', b"null", b"true"])
def test_json_that_is_no_object_is_refused(api, body):
    problem = assert_problem(api.request("POST", "/tokens", data=body, content_type="application/json"), 422, "invalid")
    assert problem["errors"][0]["message"] == "must be a JSON object"


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp", ""],
)
def test_a_body_of_another_type_is_refused(api, kind):
    """A form on another site can send these types without asking first."""
    assert_problem(api.request("POST", "/tokens", data=b'{"name": "x"}', content_type=kind), 415, "unsupported-media-type")


def test_the_charset_of_json_may_be_said(api):
    assert (
        api.request("POST", "/tokens", data=b'{"name": "x"}', content_type="Application/JSON; charset=utf-8").status_code == 201
    )


def test_an_absent_body_is_an_empty_object(api):
    problem = assert_problem(api.post("/tokens"), 422, "invalid")
    assert problem["errors"] == [{"field": "name", "message": "is needed"}]


@pytest.mark.parametrize("body", [b'{"name": "a\\u0000b"}', b'{"name": "a", "more": ["\\u0000"]}', b'{"a\\u0000": 1}'])
def test_the_character_nul_is_refused_anywhere(api, body):
    assert_problem(api.request("POST", "/tokens", data=body, content_type="application/json"), 400, "nul-character")


def test_a_backslash_before_u0000_is_no_nul(api):
    made = api.request("POST", "/tokens", data=b'{"name": "a\\\\u0000b"}', content_type="application/json")
    assert (made.status_code, made.json["name"]) == (201, "a\\u0000b")


def test_a_body_that_is_too_large_is_refused_unread(api, settings):
    settings.web.max_body_bytes = 1000
    body = json.dumps({"name": "x" * 1000}).encode()
    assert_problem(api.request("POST", "/tokens", data=body, content_type="application/json"), 413, "body-too-large")
    lying = api.request(
        "POST",
        "/tokens",
        data=b"{}",
        content_type="application/json",
        environ_overrides={"CONTENT_LENGTH": "99999999999"},
    )
    assert_problem(lying, 413, "body-too-large")


def test_a_chunked_body_that_is_too_large_is_refused(api, settings):
    settings.web.max_body_bytes = 1000
    chunked = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""}
    small = api.request("POST", "/tokens", data=b'{"name": "x"}', content_type="application/json", environ_overrides=chunked)
    assert small.status_code == 201
    large = api.request(
        "POST",
        "/tokens",
        data=b'{"name": "%s"}' % (b"x" * 1000),
        content_type="application/json",
        environ_overrides=chunked,
    )
    assert_problem(large, 413, "body-too-large")


def test_a_content_length_that_is_none_is_refused(api):
    answer = api.request(
        "POST", "/tokens", data=b"{}", content_type="application/json", environ_overrides={"CONTENT_LENGTH": "-5"}
    )
    assert_problem(answer, 400, "malformed-length")


def test_what_nobody_foresaw_is_told_nothing_about(api, monkeypatch, caplog):
    from controllers.access.tokens import TokenController

    monkeypatch.setattr(TokenController, "get", lambda *_: {}["hunter2"])
    answer = api.get("/tokens/1")
    problem = assert_problem(answer, 500, "internal-error")
    assert "hunter2" not in answer.text and problem["request_id"] == answer.headers["X-Request-Id"]
    assert "KeyError" in caplog.text


def test_a_failing_page_is_answered_in_the_same_form(anonymous, broken_page, caplog):
    answer = anonymous.wsgi.get(broken_page)
    assert_problem(answer, 500, "internal-error")
    assert "hunter2" not in answer.text and answer.headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize(
    "raised, code",
    [
        ("server closed the connection unexpectedly", "database-unavailable"),
        ("database or disk is full", "disk-full"),
        ('could not extend file "base/5/1": No space left on device', "disk-full"),
    ],
)
def test_a_database_that_cannot_is_503_and_back_again_is_well(api, monkeypatch, raised, code):
    import peewee

    from models.db import database

    def away(*_, **__):
        raise peewee.OperationalError(raised)

    with monkeypatch.context() as patch:
        patch.setattr(database.obj, "execute_sql", away)
        answer = api.get("/me")
        assert_problem(answer, 503, code)
        assert int(answer.headers["Retry-After"]) > 0
    assert api.get("/me").status_code == 200


@pytest.mark.parametrize("path", READABLE)
def test_every_readable_path_has_an_etag_and_answers_304(api, path):
    first = api.get(path)
    assert first.status_code == 200, first.text
    tag = first.headers["ETag"]
    again = api.get(path, headers={"If-None-Match": f'"other", W/{tag}'})
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", tag)
    assert "Content-Length" not in again.headers and again.headers["Cache-Control"] == first.headers["Cache-Control"]
    assert api.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_an_answer_for_one_caller_is_kept_for_nobody_else(api, anonymous):
    headers = api.get("/me").headers
    assert "private" in headers["Cache-Control"] and "Authorization" in headers["Vary"] and "Cookie" in headers["Vary"]
    tag = headers["ETag"]
    assert_problem(anonymous.get("/me", headers={"If-None-Match": tag}), 401, "unauthenticated")


def test_an_etag_changes_with_the_content_alone(api):
    before = api.get("/tokens/1").headers["ETag"]
    assert api.get("/tokens/1").headers["ETag"] == before
    api.patch("/tokens/1", {"expires_at": "2999-01-01T00:00:00Z"})
    assert api.get("/tokens/1").headers["ETag"] != before


@pytest.mark.parametrize(
    "path", ["/api/v1/health", "/api/v1/nope", "/api/v1/me", "/", "/no-such-page", "/static/nope.js", "/tests/broken"]
)
def test_every_answer_has_the_security_headers(anonymous, broken_page, path):
    headers = anonymous.wsgi.get(path).headers
    assert {name: headers.get(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert len(headers.getlist("Content-Security-Policy")) == 1 and "Strict-Transport-Security" not in headers


def test_behind_tls_browsers_are_told_to_stay_there(anonymous, settings):
    settings.web.secure_cookies = True
    assert "max-age" in anonymous.get("/health").headers["Strict-Transport-Security"]


def test_a_request_id_is_made_or_taken_over(anonymous):
    made = {anonymous.get("/health").headers["X-Request-Id"] for _ in range(3)}
    assert len(made) == 3
    assert anonymous.get("/health", headers={"X-Request-Id": "proxy-7.a_B"}).headers["X-Request-Id"] == "proxy-7.a_B"
    for insane in ("a b", "x" * 65, "<script>", "é", ""):
        assert anonymous.get("/health", headers={"X-Request-Id": insane}).headers["X-Request-Id"] != insane
    problem = anonymous.get("/me", headers={"X-Request-Id": "mine"}).json
    assert problem["request_id"] == "mine"


def test_every_answer_tells_the_desired_client(anonymous):
    for path in ("/health", "/nope", "/me"):
        assert anonymous.get(path).headers["X-Windlass-Client-Desired"] == version.CLIENT_DESIRED


@pytest.mark.parametrize("client", ["0.0.9", "0.0.9.1", "v0.0.1", "0.1.0rc1", "0.1.0.dev5", "0"])
def test_a_client_that_is_too_old_is_told_how_to_upgrade(api, client):
    problem = assert_problem(api.get("/me", headers={"X-Windlass-Client": client}), 400, "client-too-old")
    assert (problem["minimum"], problem["desired"]) == (version.CLIENT_MINIMUM, version.CLIENT_DESIRED)
    assert problem["upgrade"].startswith("pip install --upgrade windlass-cli")
    assert_problem(api.post("/tokens", {"name": "x"}, headers={"X-Windlass-Client": client}), 400, "client-too-old")


@pytest.mark.parametrize("client", [version.CLIENT_MINIMUM, "0.1", "0.2.0", "1.0.0rc1", "10.0", "0.1.0.post1", "0.1.0+local"])
def test_a_client_that_is_new_enough_is_served(api, client):
    assert api.get("/me", headers={"X-Windlass-Client": client}).status_code == 200


def test_a_client_version_that_is_none_is_refused(api):
    assert_problem(api.get("/me", headers={"X-Windlass-Client": "newest"}), 400, "client-version-malformed")


@pytest.mark.parametrize("query", ["limit=%ff", "limit=%C3%28", "&".join(f"p{number}=1" for number in range(200))])
def test_a_query_that_cannot_be_read_is_refused(api, query):
    assert_problem(api.get(f"/tokens?{query}"), 400, "malformed-query")


def test_every_changing_route_asks_who_is_calling():
    open_routes = {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS if "auth" not in endpoint.marks}
    public = {("GET", path) for path in ("", "/", "/openapi.json", "/health", "/ready", "/metrics", "/status/public")}
    signed = {("POST", "/hooks/<name>")}  # By the secret of its integration: tests/api/test_hooks.py.
    assert open_routes == public | signed | {("POST", "/session")}


def test_no_route_answers_without_credentials_that_wants_them(anonymous):
    for endpoint in ENDPOINTS:
        if "auth" in endpoint.marks:
            path = endpoint.path.replace(":int", "").replace(":path", "").replace("<", "").replace(">", "")
            path = "/".join("1" if part in ("number", "token_id", "deploy_id") else part for part in path.split("/"))
            assert_problem(anonymous.request(endpoint.method, path), 401, "unauthenticated")
