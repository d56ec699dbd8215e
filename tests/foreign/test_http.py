"""The HTTP layer against a server that misbehaves in every way there is."""

import datetime
import hashlib
import io
import json
import socket
import ssl
import threading
import time
from email.utils import format_datetime
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from controllers.foreign import Access, ForeignError, circuits, paging, transport
from controllers.foreign.errors import Unclear
from controllers.foreign.http import Http
from tests.foreign.standins.frame import Reply, StandIn, route

SECRET = "s3cret-token-77"
CONTENT = b"0123456789" * 20_000


class System(StandIn):
    """A small system."""

    def __init__(self):
        super().__init__()
        self.made = []

    @route("GET", "/api/thing")
    def thing(self, request):
        return Reply({"name": "thing"})

    @route("GET", "/api/list")
    def items(self, request):
        return Reply([1, 2])

    @route("GET", "/api/file")
    def file(self, request):
        return Reply(CONTENT, kind="application/octet-stream")

    @route("GET", "/api/away")
    def away(self, request):
        raise Reply(None, 302, {"Location": self.elsewhere})

    @route("POST", "/api/things")
    def make(self, request):
        self.made.append(request.json)
        return Reply({"id": len(self.made)}, 201)


@pytest.fixture
def system():
    with System() as running:
        yield running


@pytest.fixture
def http(system):
    return client(system)


def client(system, **more):
    """Return an Http to a system."""
    return Http(Access("main", f"{system.url}/api", {}, {"token": SECRET}, "github", **more))


def failure(do, kind):
    """Return the ForeignError that something must end in."""
    with pytest.raises(ForeignError) as caught:
        do()
    assert caught.value.kind == kind, caught.value.detail
    assert SECRET not in caught.value.detail + json.dumps(caught.value.extra)
    assert "<" not in caught.value.detail
    assert "'main'" in caught.value.detail and caught.value.extra["integration"] == "main"
    return caught.value


# What goes well.


def test_json_is_asked_for_with_the_credentials(http, system):
    assert http.get_json("/thing", {"a": "b c"}) == {"name": "thing"}
    assert http.get_json("list", shape=list) == [1, 2]
    assert (system.requests[0].login, system.requests[0].query) == (f"Bearer {SECRET}", {"a": "b c"})
    assert system.requests[0].headers["User-Agent"].startswith("windlass/")
    assert http.post_json("things", {"a": 1}) == {"id": 1}
    assert system.requests[-1].headers["Content-Type"] == "application/json"


def test_a_file_is_downloaded_with_its_digest_checked(http):
    file, digest = io.BytesIO(), hashlib.sha256(CONTENT).hexdigest()
    answer = http.download("file", file, 10**6, digest)
    assert (file.getvalue(), answer.size, answer.sha256, answer.body) == (CONTENT, len(CONTENT), digest, b"")
    error = failure(lambda: http.download("file", io.BytesIO(), 10**6, "0" * 64), "bad-answer")
    assert "changed or damaged" in error.detail


def test_a_download_that_breaks_begins_anew(http, system):
    system.fault("truncate", times=1)
    file = io.BytesIO()
    assert http.download("file", file, 10**6).sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert file.getvalue() == CONTENT


# What goes wrong on the way.


@pytest.mark.parametrize("fault", ["reset", "truncate", "lost"])
def test_a_get_is_repeated_when_the_connection_breaks(http, system, fault):
    system.fault(fault, times=2)
    assert http.get_json("thing") == {"name": "thing"}
    assert len(system.requests) == 3


@pytest.mark.parametrize("fault", ["reset", "truncate"])
def test_a_get_is_not_repeated_for_ever(http, system, fault):
    system.fault(fault)
    assert failure(lambda: http.get_json("thing"), "unavailable").may_pass
    assert len(system.requests) == 3


@pytest.mark.parametrize("fault", ["reset", "lost", "truncate"])
def test_a_post_is_sent_once_and_its_lost_answer_is_unclear(http, system, fault):
    system.fault(fault)
    with pytest.raises(Unclear):
        http.post_json("things", {"a": 1})
    assert len(system.requests) == 1


@pytest.mark.parametrize("status", [502, 504])
def test_a_gateway_that_gives_up_leaves_a_post_unclear(http, system, status):
    system.fault("status", status=status)
    with pytest.raises(Unclear):
        http.post_json("things", {"a": 1})
    assert len(system.requests) == 1


def test_a_server_that_is_not_there_was_sent_nothing(system):
    with System() as gone:
        http = client(gone)
    assert failure(lambda: http.post_json("things", {"a": 1}), "unavailable").kind == "unavailable"


def test_a_silent_server_is_given_up(http, system, settings):
    settings.foreign.read_timeout_s = 0.3
    system.fault("slow")
    error = failure(lambda: http.get_json("thing"), "timed-out")
    assert error.status == 504
    assert len(system.requests) == 1, "a slow answer is not asked for again"


@pytest.mark.parametrize("in_head", [False, True])
def test_a_server_that_drips_is_given_up(http, system, settings, in_head):
    settings.foreign.total_timeout_s = 1
    system.fault("drip", in_head=in_head)
    began = time.monotonic()
    failure(lambda: http.get_json("thing"), "timed-out")
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("fault, words", [("garbage", "not valid JSON"), ("wrong-type", "text/html where JSON")])
def test_an_answer_that_is_none_is_reported(http, system, fault, words):
    system.fault(fault)
    assert words in failure(lambda: http.get_json("thing"), "bad-answer").detail


def test_json_of_another_shape_is_reported(http):
    assert "another shape (list)" in failure(lambda: http.get_json("list"), "bad-answer").detail


def test_what_is_too_large_is_not_read(http, system):
    failure(lambda: http.get("file", limit=1000), "too-large")
    failure(lambda: http.download("file", io.BytesIO(), 1000), "too-large")


# What the system refuses.


@pytest.mark.parametrize(
    "status, kind, problem_status",
    [
        (400, "refused", 502),
        (401, "refused-credentials", 502),
        (403, "not-permitted", 502),
        (404, "not-found", 502),
        (409, "conflict", 502),
        (413, "too-large", 502),
        (422, "refused", 502),
        (500, "unavailable", 503),
        (503, "unavailable", 503),
        (504, "timed-out", 504),
    ],
)
def test_a_refusal_is_reported_with_the_vendors_words(http, system, status, kind, problem_status):
    system.fault("status", status=status)
    error = failure(lambda: http.get_json("thing"), kind)
    assert (error.vendor_status, error.vendor_message, error.status) == (
        status,
        "Refused by the stand-in",
        problem_status,
    )
    assert "Refused by the stand-in" in error.detail
    assert len(system.requests) == 1, "a refusal is not asked for again"


@pytest.mark.parametrize(
    "body, code, message",
    [
        ({"errors": [{"message": "No.", "exceptionName": "com.x.NoSuch"}]}, "NoSuch", "No."),
        ({"type": "error", "error": {"message": "No.", "detail": "Why."}}, None, "No.: Why."),
        ({"errorMessages": ["No."], "errors": {"field": "is bad"}}, None, "No.; field: is bad"),
        ({"message": {"base": ["No."]}}, None, "base: No."),
        (
            {"message": "Failed", "errors": [{"resource": "S", "field": "sha", "code": "bad"}]},
            "bad",
            "Failed; sha: bad",
        ),
        ([1], None, None),
        ({"message": "x" * 5000}, None, "x" * 299 + "…"),
        ({"message": f"token {SECRET} and <b>bold</b>"}, None, "token •••••• and bold"),
    ],
)
def test_the_vendors_words_are_found_in_every_shape(http, system, body, code, message):
    system.fault("status", status=400, body=body)
    error = failure(lambda: http.get_json("thing"), "refused")
    assert (error.vendor_code, error.vendor_message) == (code, message)


def test_a_page_is_never_shown(http, system):
    system.fault("status", status=403, body=b"<html>secret page</html>", kind="text/html")
    assert "page" not in failure(lambda: http.get_json("thing"), "not-permitted").detail


@pytest.mark.parametrize(
    "fault, seconds",
    [
        ({"status": 429, "retry_after": 120}, 120),
        ({"status": 429, "retry_after": "soon"}, None),
        ({"status": 403, "retry_after": 60}, 60),
        ({"status": 429, "retry_after": 10**9}, 86_400),
    ],
)
def test_a_rate_limit_is_reported_and_never_slept_on(http, system, fault, seconds):
    system.fault("status", **fault)
    began = time.monotonic()
    error = failure(lambda: http.get_json("thing"), "rate-limited")
    assert (error.retry_after_s, error.status, error.extra.get("retry_after_s")) == (seconds, 503, seconds)
    assert time.monotonic() - began < 30 and len(system.requests) == 1


def test_a_rate_limit_may_name_a_moment(http, system):
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=300)
    system.fault("status", status=503, retry_after=format_datetime(moment, usegmt=True), times=1)
    assert 200 < failure(lambda: http.get_json("thing"), "unavailable").retry_after_s <= 301
    reset = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(moment.timestamp()))}
    system.fault("status", status=403, headers=reset)
    assert 200 < failure(lambda: http.get_json("thing"), "rate-limited").retry_after_s <= 301


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 403, "headers": {"X-Authentication-Denied-Reason": "CAPTCHA_CHALLENGE"}},
        {"status": 200, "headers": {"X-Seraph-LoginReason": "AUTHENTICATION_DENIED"}},
    ],
)
def test_refused_credentials_come_in_disguise(http, system, fault):
    system.fault("status", **fault)
    failure(lambda: http.get_json("thing"), "refused-credentials")


# The circuit.


def test_refused_credentials_are_never_tried_again(http, system):
    system.fault("status", status=401)
    failure(lambda: http.get_json("thing"), "refused-credentials")
    system.recover()
    assert "It was not asked again" in failure(lambda: http.get_json("thing"), "refused-credentials").detail
    assert len(system.requests) == 1


def test_a_system_that_keeps_failing_is_left_alone_for_a_while(system, monkeypatch):
    states = []
    http = client(system, keep_circuit=states.append)
    system.fault("status", status=500)
    for _ in range(circuits.FAILURES):
        failure(lambda: http.get_json("thing"), "unavailable")
    error = failure(lambda: http.get_json("thing"), "circuit-open")
    assert len(system.requests) == circuits.FAILURES
    assert (error.status, error.retry_after_s) == (503, 15)
    assert circuits.describe(states[-1])["state"] == "open"
    later = circuits.clock() + 16_000
    monkeypatch.setattr(circuits, "clock", lambda: later)
    assert circuits.describe(states[-1])["state"] == "half-open"
    failure(lambda: http.get_json("thing"), "unavailable")
    assert states[-1]["until"] == later + 30_000, "the next pause is longer"
    monkeypatch.setattr(circuits, "clock", lambda: later + 31_000)
    system.recover()
    assert http.get_json("thing") == {"name": "thing"}
    assert circuits.describe(states[-1]) == {"state": "closed", "until": None, "reason": None}


def test_refusals_open_no_circuit(http, system):
    system.fault("status", status=404)
    for _ in range(circuits.FAILURES + 1):
        failure(lambda: http.get_json("thing"), "not-found")


def test_only_a_few_requests_are_under_way_at_once(system, settings):
    settings.foreign.concurrency = 2
    system.fault("slow", seconds=0.5, times=4)
    running, most, guard = [0], [0], threading.Lock()
    reply = system.reply_to

    def counted(request):
        return reply(request)

    def note(change):
        with guard:
            running[0] += change
            most[0] = max(most[0], running[0])

    answer = system.fault_for

    def fault_for(request):
        note(1)
        return answer(request)

    def reply_to(request):
        try:
            return counted(request)
        finally:
            note(-1)

    system.fault_for, system.reply_to = fault_for, reply_to
    threads = [threading.Thread(target=lambda: client(system).get_json("thing")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 2 and len(system.requests) == 4


# Where credentials go, and where nothing goes.


def test_a_redirect_elsewhere_goes_without_credentials(http, system):
    with System() as other:
        system.elsewhere = f"{other.url}/api/thing"
        assert http.get_json("away") == {"name": "thing"}
        assert other.requests[0].login is None
    system.elsewhere = f"{system.url}/api/thing"
    assert http.get_json("away") == {"name": "thing"}
    assert system.requests[-1].login == f"Bearer {SECRET}"


@pytest.mark.parametrize("target", ["http://127.0.0.2:1/", "http://169.254.169.254/latest", "http://[::1]/"])
def test_a_redirect_into_the_forbidden_is_refused(http, system, target):
    system.elsewhere = target
    assert "network.allow" in failure(lambda: http.get_json("away"), "unusable").detail


@pytest.mark.parametrize("target", ["file:///etc/passwd", "gopher://x/"])
def test_a_redirect_to_no_web_address_is_refused(http, system, target):
    system.elsewhere = target
    failure(lambda: http.get_json("away"), "bad-answer")


def test_redirects_in_circles_end(http, system):
    system.elsewhere = f"{system.url}/api/away"
    assert "circles" in failure(lambda: http.get_json("away"), "bad-answer").detail


def test_a_post_follows_no_redirect(http, system):
    with System() as other:
        system.fault("redirect", to=f"{other.url}/api/things")
        assert "redirects" in failure(lambda: http.post_json("things", {}), "bad-answer").detail
        assert other.requests == []


def test_a_name_is_judged_by_the_address_that_is_connected_to(system, settings, monkeypatch):
    """A name that first leads to an open address and then to this machine (DNS rebinding) gains nothing."""
    settings.network.allow = ["127.0.0.1/32"]
    answers = iter(["127.0.0.1", "127.0.0.9", "127.0.0.9", "127.0.0.9"])
    resolve = socket.getaddrinfo

    def rebinding(host, *arguments, **options):
        return resolve(next(answers) if host == "rebinding.test" else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    http = Http(Access("main", f"http://rebinding.test:{system.port}/api", {}, {"token": SECRET}))
    assert http.get_json("thing") == {"name": "thing"}
    http.session.close()
    with pytest.raises(ForeignError, match=r"127\.0\.0\.9 is this machine itself"):
        http.get_json("thing")
    assert len(system.requests) == 1


def test_loopback_is_refused_unless_it_is_listed(http, system, settings):
    settings.network.allow = ["10.0.0.0/8"]
    assert "network.allow" in failure(lambda: http.get_json("thing"), "unusable").detail
    assert system.requests == []


def test_cookies_and_this_users_configuration_play_no_part(http, system, monkeypatch, tmp_path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password thief\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    system.fault("status", status=200, headers={"Set-Cookie": "a=b"}, times=1)
    http.get_json("thing")
    http.get_json("thing")
    assert system.requests[1].headers["Cookie"] is None
    bare = Http(Access("main", f"{system.url}/api"))
    bare.get_json("thing")
    assert system.requests[-1].login is None


# TLS.


def certificate():
    """Return (certificate, key) for 127.0.0.1, signed by itself, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "stand-in")])
    now = datetime.datetime.now(datetime.UTC)
    import ipaddress

    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return made.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


def test_a_certificate_must_be_trusted_and_an_integration_may_bring_its_authority(system, tmp_path):
    public, private = certificate()
    (tmp_path / "both.pem").write_text(private + public)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")
    system.server.socket = context.wrap_socket(system.server.socket, server_side=True)
    url = system.url.replace("http:", "https:") + "/api"
    http = Http(Access("main", url, {}, {"token": SECRET}))
    assert "setting ca" in failure_of_tls(http).detail
    http = Http(Access("main", url, {"ca": public}, {"token": SECRET}))
    assert http.get_json("thing") == {"name": "thing"}
    system.elsewhere = system.url + "/api/thing"
    with pytest.raises(ForeignError, match="redirects from https to http"):
        http.get_json("away")


def failure_of_tls(http):
    """Return the error of a certificate that is not trusted."""
    with pytest.raises(ForeignError) as caught:
        http.get_json("thing")
    return caught.value


def test_the_authorities_are_read_once_and_not_again_for_each_driver_or_connection():
    public, _ = certificate()
    assert transport.trust(public) is transport.trust(public)
    assert len({transport.trust(), transport.trust(public), transport.trust(public, also_public=True)}) == 3
    assert len(transport.trust(public).get_ca_certs()) == 1
    assert len(transport.trust(public, also_public=True).get_ca_certs()) > 1
    pool = SimpleNamespace()
    transport.FencedAdapter(transport.trust()).cert_verify(pool, "https://example.com/", True, None)
    assert vars(pool) == {"cert_reqs": "CERT_REQUIRED"}


def test_an_authority_that_is_none_is_reported():
    with pytest.raises(ForeignError, match="setting ca that is no certificate"):
        Http(Access("main", "https://example.com", {"ca": "nonsense"}))


# Pages.


class Pages(StandIn):
    """Lists whose pages are short, empty, and not the last."""

    pages = ([1, 2], [], [3], [], [4, 5])

    @route("GET", "/(?P<style>link|next|start|total|token)")
    def page(self, request, style):
        number = request.number("page", request.query.get("start") or request.query.get("nextPageToken") or 0)
        values, is_last = self.pages[number], number == len(self.pages) - 1
        following = f"{getattr(self, 'next_url', None) or self.url}/{style}?page={number + 1}"
        if style == "link":
            first = f'<{self.url}/link>; rel="first"'
            return Reply(values, headers={"Link": first if is_last else f'{first}, <{following}>; rel="next"'})
        body = {"values": values}
        if style == "next":
            body |= {} if is_last else {"next": following}
        elif style == "start":
            body |= {"isLastPage": is_last, "nextPageStart": None if is_last else number + 1}
        elif style == "token":
            body |= {} if is_last else {"nextPageToken": str(number + 1)}
        return Reply(body)

    @route("GET", "/at")
    def at(self, request):
        start = request.number("startAt", 0)
        return Reply({"values": [1, 2, 3, 4, 5][start : start + 2], "maxResults": 2, "total": 5})


@pytest.mark.parametrize(
    "read, path",
    [
        (paging.by_link, "link"),
        (paging.by_next, "next"),
        (paging.by_start, "start"),
        (paging.by_token, "token"),
        (paging.by_total, "at"),
    ],
)
def test_pages_are_read_to_the_last_however_short_they_are(read, path):
    with Pages() as system:
        http = Http(Access("main", system.url, {}, {"token": SECRET}))
        assert list(read(http, path)) == [1, 2, 3, 4, 5]
        assert {request.login for request in system.requests} == {f"Bearer {SECRET}"}


@pytest.mark.parametrize("read, path", [(paging.by_link, "link"), (paging.by_next, "next")])
def test_a_next_page_elsewhere_is_not_given_the_credentials(read, path):
    with Pages() as system, Pages() as other:
        system.next_url = other.url
        http = Http(Access("main", system.url, {}, {"token": SECRET}))
        assert list(read(http, path)) == [1, 2, 3, 4, 5]
        assert {request.login for request in other.requests} == {None}


def test_a_list_without_end_is_reported():
    class Endless(StandIn):
        @route("GET", "/list")
        def page(self, request):
            return Reply({"values": [], "next": f"{self.url}/list?page=2"})

    with Endless() as system:
        http = Http(Access("main", system.url))
        with pytest.raises(ForeignError, match="its list does not end"):
            list(paging.by_next(http, "list"))


def test_pages_are_asked_for_only_when_they_are_wanted():
    with Pages() as system:
        items = paging.by_next(Http(Access("main", system.url)), "next")
        assert (next(items), next(items)) == (1, 2)
        assert len(system.requests) == 1


def test_a_page_without_its_list_is_reported():
    with Pages() as system:
        http = Http(Access("main", system.url))
        with pytest.raises(ForeignError, match="has no 'issues'"):
            list(paging.by_next(http, "next", items="issues"))
