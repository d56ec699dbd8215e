"""The HTTP client under every fault that a network, a proxy or a wrong address can bring."""

import socket
import threading

import pytest

from tests import shapes
from tests.cli import resources, scenarios, standin
from windlass_cli.api import client as client_module
from windlass_cli.api.client import Client
from windlass_cli.errors import (
    BadAnswer,
    BuildFailed,
    Busy,
    ClientTooOld,
    Declined,
    Interrupted,
    NeedsAnswer,
    NotAllowed,
    NotFound,
    Problem,
    RolloutFailed,
    SettingsError,
    Unreachable,
    WaitTimedOut,
    WindlassError,
)

PROBLEM = "application/problem+json"


@pytest.fixture
def client(api, quick):
    """A client that is logged in."""
    return Client(api.url, standin.TOKEN)


def test_a_server_that_is_not_there_is_named_with_a_remedy(api, client, windlass):
    api.close()
    answer = windlass("status")
    assert answer.code == 1
    assert f"does not answer at {api.url}: the connection was refused" in answer.err
    assert "--url or WINDLASS_URL" in answer.err and "Traceback" not in answer.err


@pytest.mark.parametrize(
    "url, reason",
    [("http://no-such-host.invalid", "the name is not known"), ("http://127.0.0.1:1/", "the connection was refused")],
)
def test_an_address_that_leads_nowhere(quick, url, reason, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    with pytest.raises(Unreachable, match=reason):
        Client(url, standin.TOKEN).get("me")


def test_a_get_is_sent_again_after_a_broken_connection(api, client):
    api.fail("GET", "/me", cut=True, times=2)
    assert client.get("me") == resources.ME
    assert len(api.sent("GET", "/me")) == 3


def test_a_get_is_not_sent_for_ever(api, client):
    api.fail("GET", "/me", cut=True, times=100)
    with pytest.raises(Unreachable):
        client.get("me")
    assert len(api.sent("GET", "/me")) == 1 + len(client_module.PAUSES_S)


def test_a_post_whose_answer_was_lost_is_sent_again_with_its_key_and_carried_out_once(api, client):
    api.fail("POST", "/deploys", cut=True, do_it=True)
    deploy = client.post("deploys", body={"application": "shop", "release": "v1", "environment": "production"})
    keys = {request.headers["Idempotency-Key"] for request in api.sent("POST", "/deploys")}
    assert (deploy["id"], len(api.deploys), len(keys), len(api.sent("POST", "/deploys"))) == (1, 1, 1, 2)


def test_two_posts_have_two_keys(api, client):
    body = {"application": "shop", "release": "v1", "environment": "production"}
    assert client.post("deploys", body=body)["id"] != client.post("deploys", body=body)["id"]


def test_a_first_sending_still_in_flight_is_waited_for(api, client):
    api.fail("POST", "/deploys", cut=True, do_it=True)
    api.fail("POST", "/deploys", status=409, kind=PROBLEM, body=b'{"code": "request-in-flight"}', times=9)
    assert client.post("deploys", body={"application": "shop", "release": "v1", "environment": "production"})["id"] == 1
    assert len(api.deploys) == 1


def test_another_conflict_is_told_at_once(api, client):
    api.fail(
        "POST",
        "/deploys",
        status=409,
        kind=PROBLEM,
        body=b'{"code": "deploy-running", "detail": "Deploy 3 has not ended yet."}',
        times=9,
    )
    with pytest.raises(Problem, match="has not ended yet"):
        client.post("deploys", body={})
    assert len(api.sent("POST", "/deploys")) == 1


@pytest.mark.parametrize("method", ["delete", "put", "patch"])
def test_what_has_no_key_is_sent_once_only(api, client, method):
    api.fail(method.upper(), "/applications/shop", cut=True, times=9)
    with pytest.raises(Unreachable):
        getattr(client, method)("applications", "shop", **({} if method == "delete" else {"body": {}}))
    assert len(api.sent(method.upper(), "/applications/shop")) == 1


@pytest.mark.parametrize(
    "body, kind",
    [
        (b"<html><title>Sign in</title></html>", "text/html"),
        (b"\x00\xff garbage", "application/json"),
        (b'["a list"]', "application/json"),
        (b'{"half": ', "application/json"),
        (b'"text"', "application/json"),
    ],
)
def test_an_answer_that_is_not_the_apis_is_an_error(api, client, body, kind):
    api.fail("GET", "/me", body=body, kind=kind)
    with pytest.raises(BadAnswer) as caught:
        client.get("me")
    assert "--url" in caught.value.remedy


def test_a_list_that_is_none_is_an_error(api, client):
    for body in (b"{}", b'{"items": 3}', b'{"items": [1, 2]}'):
        api.fail("GET", "/hosts", body=body, kind="application/json")
        with pytest.raises(BadAnswer):
            list(client.items("hosts"))


def test_something_that_does_not_speak_http_is_an_error(quick):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            for _ in range(1 + len(client_module.PAUSES_S)):
                connection, _ = server.accept()
                connection.recv(65536)
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
                connection.close()

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(Unreachable, match="does not speak HTTP"):
            Client(f"http://127.0.0.1:{server.getsockname()[1]}", "x").get("me")


def test_a_redirect_is_not_followed_and_the_token_stays_here(api, client):
    other = standin.StandIn()
    try:
        api.fail("POST", "/deploys", status=307, headers={"Location": f"{other.url}/api/v1/deploys"})
        with pytest.raises(BadAnswer, match="sends us to"):
            client.post("deploys", body={})
        assert not other.requests
    finally:
        other.close()


def test_a_password_in_netrc_does_not_replace_the_token(api, client, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    client.get("me")
    with pytest.raises(NotAllowed):
        Client(api.url, None).get("me")
    assert [request.headers.get("Authorization") for request in api.requests] == [f"Bearer {standin.TOKEN}", None]


@pytest.mark.parametrize(
    "status, kind, code",
    [
        (400, Problem, 1),
        (401, NotAllowed, 4),
        (403, NotAllowed, 4),
        (404, NotFound, 1),
        (409, Problem, 1),
        (412, Problem, 1),
        (422, Problem, 1),
        (429, Busy, 1),
        (500, Problem, 1),
        (503, Busy, 1),
    ],
)
def test_every_status_has_its_exception_and_exit_code(api, client, status, kind, code):
    api.fail(
        "GET",
        "/me",
        status=status,
        kind=PROBLEM,
        times=9,
        body=b'{"title": "T", "detail": "What happened.", "code": "some-code", "request_id": "req-7"}',
    )
    with pytest.raises(kind) as caught:
        client.get("me")
    assert (type(caught.value), caught.value.exit_code, caught.value.code) == (kind, code, "some-code")
    assert caught.value.message == "What happened." and caught.value.as_dict()["request_id"] == "req-7"
    assert caught.value.details == (["request req-7"] if status >= 500 else [])


@pytest.mark.parametrize("status", [401, 403, 404, 500, 502])
def test_a_proxys_html_page_is_told_by_its_status(api, client, status):
    api.fail("GET", "/me", status=status, body=b"<html><script>alert(1)</script></html>", times=9)
    with pytest.raises(Problem) as caught:
        client.get("me")
    assert str(status) in caught.value.message and "script" not in caught.value.message


def test_all_fields_that_were_refused_are_listed(api, windlass):
    api.fail(
        "POST",
        "/hosts",
        status=422,
        kind=PROBLEM,
        body=b'{"detail": "Two fields cannot be used.", "code": "invalid", "errors": '
        b'[{"field": "port", "message": "must be at most 65535"}, {"field": "user", "message": "is needed"}]}',
    )
    answer = windlass("hosts", "add", "web1")
    assert answer.code == 1
    assert "port: must be at most 65535" in answer.err and "user: is needed" in answer.err


@pytest.mark.parametrize("body", [b'{"detail": 7, "errors": "none", "code": null}', b'{"errors": [3, {}]}', b"[]", b"null", b""])
def test_a_malformed_problem_document_is_still_told(api, client, body):
    api.fail("GET", "/me", status=418, kind=PROBLEM, body=body)
    with pytest.raises(Problem) as caught:
        client.get("me")
    assert caught.value.message and isinstance(caught.value.code, str)


def test_too_many_requests_are_sent_again_after_the_pause_asked_for(api, client):
    api.fail("GET", "/me", status=429, kind=PROBLEM, body=b'{"detail": "Slower."}', headers={"Retry-After": "0"})
    assert client.get("me")["name"] == "admin"


def test_a_server_behind_a_proxy_that_is_back_in_a_moment_is_waited_for(api, client):
    api.fail("GET", "/me", status=502, body=b"<html>Bad gateway</html>", times=2)
    assert client.get("me")["name"] == "admin"


def test_a_503_of_the_servers_own_is_told_at_once(api, client):
    body = b'{"code": "no-worker", "detail": "No worker of zone dmz answered within 25 s: start one."}'
    api.fail("POST", "/hosts/web1/check", status=503, kind=PROBLEM, body=body, times=9)
    with pytest.raises(Busy, match="No worker of zone dmz") as caught:
        client.post("hosts", "web1", "check")
    assert caught.value.remedy is None
    assert len(api.sent("POST", "/hosts/web1/check")) == 1


def test_a_long_pause_asked_for_is_told_instead_of_slept(api, client):
    api.fail("GET", "/me", status=429, kind=PROBLEM, body=b'{"detail": "Slower."}', headers={"Retry-After": "3600"})
    with pytest.raises(Busy) as caught:
        client.get("me")
    assert (caught.value.remedy, caught.value.retry_after) == ("Try again in 3600 s.", 3600)


def test_a_client_that_is_too_old_is_told_exactly_how_to_upgrade(api, windlass):
    api.minimum, api.desired = "2.0.0", "2.1.3"
    answer = windlass("deploy", "shop", "v1", "--to", "production")
    assert answer.code == 6
    assert "minimum: 2.0.0" in answer.err and "desired: 2.1.3" in answer.err
    assert "pip install --upgrade 'windlass-cli==2.1.3'" in answer.err
    assert not api.deploys


def test_an_old_version_really_is_what_is_refused(api, quick):
    api.minimum = "0.1.0"
    with pytest.raises(ClientTooOld):
        Client(api.url, standin.TOKEN, version="0.0.9").get("me")
    assert Client(api.url, standin.TOKEN, version="0.10.0").get("me")


@pytest.mark.parametrize(
    "desired, hints", [("0.1.0", 0), ("0.1.1", 1), ("0.10.0", 1), ("0.0.9", 0), ("0.1", 0), ("\x1b[2J9", 0), ("", 0)]
)
def test_a_newer_client_is_hinted_at_once_on_stderr(api, windlass, desired, hints):
    api.desired = desired
    api.scenario = scenarios.succeed
    answer = windlass("deploy", "shop", "v1", "--to", "production", "--wait")
    assert answer.err.count("is out; this is 0.1.0") == hints
    assert "is out" not in answer.out


def test_lists_are_walked_to_their_end(api, client):
    api.hosts.update({f"web{number}": shapes.host(f"web{number}") for number in range(450)})
    assert [host["name"] for host in client.items("hosts")] == list(api.hosts)
    assert len(list(client.items("hosts", limit=250))) == 250


def test_a_list_that_leads_in_a_circle_ends_with_an_error(api, client):
    api.fail("GET", "/hosts", body=b'{"items": [{"name": "web1"}], "next": "x"}', kind="application/json", times=9)
    with pytest.raises(BadAnswer, match="circle"):
        list(client.items("hosts"))


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_would_lead_to_another_resource_is_refused_before_anything_is_sent(api, client, name):
    with pytest.raises(WindlassError, match="is not a name"):
        client.delete("applications", name)
    assert not api.requests


def test_names_are_quoted_into_the_path(api, client):
    with pytest.raises(NotFound) as caught:
        client.get("applications", "a/b%?#é")
    assert caught.value.message == "There is no application a/b%?#é."


def test_a_wrong_certificate_is_not_accepted(api, quick):
    with pytest.raises(Unreachable, match=r"TLS|broke|SSL"):
        Client(api.url.replace("http://", "https://"), standin.TOKEN).get("me")


def test_a_text_that_breaks_off_is_an_error(api, windlass):
    api.a_deploy("v1")
    api.fail("GET", "/deploys/1/log", body=b"half a", kind="text/plain", headers={"Content-Length": "1000"}, times=9)
    answer = windlass("logs", "1")
    assert answer.code == 1
    assert "error:" in answer.err and "Traceback" not in answer.err


def test_the_exit_codes_are_those_of_the_contract():
    expected = {
        SettingsError: 1,
        NeedsAnswer: 2,
        Declined: 1,
        Unreachable: 1,
        BadAnswer: 1,
        Problem: 1,
        NotAllowed: 4,
        NotFound: 1,
        Busy: 1,
        ClientTooOld: 6,
        BuildFailed: 1,
        RolloutFailed: 3,
        WaitTimedOut: 5,
        Interrupted: 130,
    }
    assert {kind: kind.exit_code for kind in expected} == expected


@pytest.mark.parametrize("body", [b"{}", b'{"id": null}', b""])
def test_an_answer_without_what_must_be_in_it_is_an_error_and_no_traceback(api, windlass, body):
    for method, path in (
        ("POST", "/deploys"),
        ("POST", "/applications/shop/releases"),
        ("GET", "/deploys/1"),
        ("GET", "/me"),
    ):
        api.fail(method, path, body=body, kind="application/json", times=9)
    for arguments in (
        ["deploy", "shop", "v1", "--to", "production"],
        ["deploy", "shop", "--ref", "main", "--to", "production"],
        ["releases", "create", "shop", "--wait"],
        ["logs", "1", "--follow"],
        ["deploys", "show", "1"],
    ):
        answer = windlass(*arguments)
        assert answer.code == 1
        assert answer.err.startswith("error: ")
