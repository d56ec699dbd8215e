"""The agent's smaller parts: how it finds and speaks to supervisord, reads addresses and answers, and writes launchers."""

import subprocess

import pytest

from remote.agent import failures
from remote.agent.machine import http, nginx
from remote.agent.supervision import supervisord_calls
from tests.fleet.keeper import free_port, is_listening


@pytest.mark.parametrize(
    "argv, options",
    [
        (["supervisorctl"], {}),
        (["/usr/bin/supervisorctl", "-c", "/etc/s.conf"], {"-c": "/etc/s.conf"}),
        (
            ["supervisorctl", "--configuration=/etc/s.conf", "--username", "u", "-p", "x"],
            {"-c": "/etc/s.conf", "-u": "u", "-p": "x"},
        ),
        (["python3", "-m", "supervisor.supervisorctl", "-s", "http://127.0.0.1:9001"], {"-s": "http://127.0.0.1:9001"}),
        (["sudo", "supervisorctl"], None),
        (["supervisorctl", "--unheard-of"], None),
    ],
)
def test_what_a_supervisorctl_command_says_about_the_server(argv, options):
    assert supervisord_calls.options_of(argv) == options


CONFIGURATION = """\
; [supervisorctl]
[supervisord]
serverurl=http://wrong:1
[supervisorctl]
serverurl = {url} ; a comment
username=me
;password=old
password = se;cret
"""


@pytest.mark.parametrize(
    "url, kind",
    [
        ("unix://%(here)s/s.sock", supervisord_calls.SupervisorRpc),
        ("http://127.0.0.1:9001", supervisord_calls.SupervisorRpc),
        ("http://[::1]:9001", supervisord_calls.SupervisorRpc),
        ("unix://%(ENV_X)s/s", supervisord_calls.SupervisorCtl),
        ("", supervisord_calls.SupervisorCtl),
    ],
)
def test_the_server_is_found_in_supervisors_own_configuration(tmp_path, url, kind):
    path = tmp_path / "s.conf"
    path.write_text(CONFIGURATION.format(url=url))
    server = supervisord_calls.open_supervisor(["supervisorctl", "-c", str(path)])
    assert type(server) is kind
    if kind is supervisord_calls.SupervisorRpc:
        assert (server.username, server.password) == ("me", "se;cret")
        assert server.address in (f"{tmp_path}/s.sock", ("127.0.0.1", 9001), ("::1", 9001))


@pytest.fixture
def guarded_supervisord(shared_host, tmp_path):
    """The port of a supervisord that listens on TCP and asks for a password."""
    port = free_port("127.0.0.1")
    configuration = tmp_path / "supervisord.conf"
    configuration.write_text(
        f"[supervisord]\nlogfile={tmp_path}/log\npidfile={tmp_path}/pid\nchildlogdir={tmp_path}\n"
        f"[inet_http_server]\nport=127.0.0.1:{port}\nusername=me\npassword=secret\n"
        "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"
        "[program:odd]\ncommand=sleep 60\nautostart=false\n"
    )
    process = subprocess.Popen([shared_host.folder / "bin" / "supervisord", "-n", "-c", configuration], stdout=subprocess.DEVNULL)
    while not is_listening(("127.0.0.1", port)):
        assert process.poll() is None
    yield port
    process.terminate()
    process.wait(60)


def test_a_supervisord_on_a_port_with_a_password(guarded_supervisord):
    url = f"http://127.0.0.1:{guarded_supervisord}"
    server = supervisord_calls.SupervisorRpc(url, "me", "secret")
    assert server.version() == "4.3.0"
    assert server.all_states()["odd"]["odd"]["state"] == "STOPPED"
    assert server.states("odd", ["odd", "no such process"]).keys() == {"odd"}
    with pytest.raises(failures.Fault) as caught:
        server.start("odd:<&>")
    assert caught.value.code == supervisord_calls.FAULT_BAD_NAME
    for username, password in (("me", "wrong"), ("", "")):
        with pytest.raises(failures.Failure) as refused:
            supervisord_calls.SupervisorRpc(url, username, password).version()
        assert refused.value.code == "supervisor-denied" and refused.value.remedy


def answer(value):
    """Return an XML-RPC answer that holds a value."""
    return f"<?xml version='1.0'?><methodResponse><params><param>{value}</param></params></methodResponse>"


@pytest.mark.parametrize(
    "value", ["", "text", "<&>\"'", 0, -5, True, False, [], [1, ["two", {"three": [True]}]], {"a": {"b": {}}, "c": "d"}]
)
def test_values_survive_the_way_there_and_back(value):
    assert supervisord_calls.RpcAnswer(answer(supervisord_calls.xml_of(value))).result() == value


def test_a_value_without_a_type_is_text():
    assert supervisord_calls.RpcAnswer(answer("<value>plain</value>")).result() == "plain"


@pytest.mark.parametrize(
    "listen, address",
    [
        ("80", ("127.0.0.1", 80)),
        ("*:8080", ("127.0.0.1", 8080)),
        ("0.0.0.0:80", ("127.0.0.1", 80)),
        ("127.0.1.5:8080", ("127.0.1.5", 8080)),
        ("[::]:80", ("::1", 80)),
        ("[fd00::1]:8080", ("fd00::1", 8080)),
        ("unix:/run/site.sock", "/run/site.sock"),
        ("8080 default_server", ("127.0.0.1", 8080)),
    ],
)
def test_where_nginx_is_asked(listen, address):
    assert nginx.listen_address(listen) == address


def test_a_site_without_a_proof_has_none():
    assert nginx.proof_in("server {}\n# windlass-proof\n") is None
    assert nginx.proof_in(None) is None
    assert nginx.proof_in("  # windlass-proof /here token\nserver {}\n") == ("/here", "token")


@pytest.mark.parametrize(
    "data, result", [(b"HTTP/1.1 204 No Content\r\n\r\n", (204, b"")), (b"HTTP/1.0 200\r\n\r\nbody", (200, b"body"))]
)
def test_http_answers(data, result):
    assert http.parse_response(data) == result


@pytest.mark.parametrize("data", [b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x00\x01", b"HTTP/1.1"])
def test_what_is_no_http_answer(data):
    with pytest.raises(ValueError, match="not HTTP"):
        http.parse_response(data)


@pytest.mark.parametrize("path, host", [("/a b", "x"), ("/\r\nX: y", "x"), ("/", "x\r\nCookie: y")])
def test_a_health_path_that_would_smuggle_headers_is_refused(path, host):
    with pytest.raises(failures.Failure) as caught:
        http.http_get("/nowhere", path, host, 1, lambda: None)
    assert caught.value.code == "bad-request"


def test_what_an_os_error_means_to_people(tmp_path):
    cases = {
        28: "disk-full",
        122: "disk-full",
        30: "read-only",
        13: "permission-denied",
        1: "permission-denied",
        5: "host-error",
    }
    for number, code in cases.items():
        failure = failures.failure_of(OSError(number, "said the system", str(tmp_path)))
        assert failure.code == code and str(tmp_path) in failure.message and failure.remedy


def test_a_mistake_in_the_agent_is_reported_with_its_trace():
    try:
        raise ZeroDivisionError("by zero")
    except ZeroDivisionError as error:
        failure = failures.failure_of(error)
    assert failure.code == "agent-error" and "ZeroDivisionError" in failure.detail["trace"]
