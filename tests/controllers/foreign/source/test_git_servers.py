"""Git repositories over HTTP and SSH: logins, redirects, and servers that refuse."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import store
from controllers import foreign
from controllers.actor import Actor
from controllers.catalog.integrations import IntegrationController
from controllers.foreign import Access, ForeignError, circuits, errors
from controllers.foreign.source.git import Git
from tests.controllers.foreign.source.test_git import checkout
from tests.controllers.servers import basic, git_server
from tests.fleet.keeper import free_port
from tests.stack import Repository

ANN = Actor("ann")

# Over HTTP.


def test_a_repository_is_read_over_http(repositories, repository, work):
    commit = repository.commit({"a": "b"})
    with git_server(repositories) as server:
        assert checkout(f"{server.url}/shop", work).commit == commit
        repository.commit({"a": "c"})
        assert checkout(f"{server.url}/shop", work).commit == repository.git("rev-parse", "HEAD")


def test_loopback_is_refused_unless_it_is_listed(repositories, repository, work, settings):
    repository.commit({"a": "b"})
    settings.network.allow = ["10.0.0.0/8"]
    with git_server(repositories) as server:
        with pytest.raises(ForeignError, match=r"could not be fetched.*this machine itself.*network\.allow"):
            checkout(f"{server.url}/shop", work)
        assert server.record.paths == []


def test_a_redirect_into_the_forbidden_is_refused(repositories, repository, work, settings):
    repository.commit({"a": "b"})
    settings.network.allow = ["127.0.0.1/32"]
    with (
        git_server(repositories) as inner,
        git_server(repositories, redirect_to=inner.url.replace("127.0.0.1", "127.0.0.2")) as outer,
    ):
        with pytest.raises(ForeignError, match=r"127\.0\.0\.2"):
            checkout(f"{outer.url}/shop", work)
        assert inner.record.paths == []


def test_a_redirect_without_login_is_followed(repositories, repository, work):
    commit = repository.commit({"a": "b"})
    with git_server(repositories) as inner, git_server(repositories, redirect_to=f"{inner.url}/moved") as outer:
        assert checkout(f"{outer.url}/shop", work).commit == commit


@pytest.mark.parametrize(
    "credentials, login",
    [
        ({"username": "deploy", "password": "s3cr:et/ü"}, ("deploy", "s3cr:et/ü")),
        ({"token": "a-token-of-some-length"}, ("x-token-auth", "a-token-of-some-length")),
        ({"username": "me", "token": "a-token-of-some-length"}, ("me", "a-token-of-some-length")),
    ],
)
def test_the_login_is_sent_and_never_shown(repositories, repository, work, credentials, login):
    commit = repository.commit({"a": "b"})
    with git_server(repositories, login=basic(*login)) as server:
        access = Access("main", server.url, {}, credentials)
        assert checkout("shop", work, access=access).commit == commit
        assert set(server.record.logins) == {None, basic(*login)}
        assert checkout(f"{server.url}/shop", work, access=access).commit == commit
    shown = "\n".join(work.lines)
    assert login[1] not in shown
    config = next(path for path in Path(store.settings.data, "git").glob("*/config"))
    assert login[1] not in config.read_text()


def test_a_login_is_never_taken_along_by_a_redirect(repositories, repository, work):
    repository.commit({"a": "b"})
    with git_server(repositories, login="anything") as thief:
        with git_server(repositories, redirect_to=thief.url) as server:
            access = Access("main", server.url, {}, {"token": "a-token-of-some-length"})
            with pytest.raises(ForeignError, match="redirects elsewhere"):
                checkout("shop", work, access=access)
        assert [login for login in thief.record.logins if login] == []


@pytest.mark.parametrize("credentials", [{}, {"username": "deploy", "password": "wrong-password"}])
def test_a_refused_login_is_told_without_the_password(repositories, repository, work, credentials):
    repository.commit({"a": "b"})
    with (
        git_server(repositories, login=basic("deploy", "right")) as server,
        pytest.raises(ForeignError, match="refused the login: check the integration's credentials") as caught,
    ):
        checkout(f"{server.url}/shop", work, access=Access("main", server.url, {}, credentials))
    assert "wrong-password" not in str(caught.value) + "\n".join(work.lines)


def test_a_missing_repository_is_told(repositories, work):
    with git_server(repositories) as server, pytest.raises(ForeignError, match="no repository at this address"):
        checkout(f"{server.url}/nothing", work)


def test_an_unreachable_server_is_told(repositories, work):
    with git_server(repositories) as server:
        url = server.url
    with pytest.raises(ForeignError, match=r"127\.0\.0\.1, port \d+, cannot be reached"):
        checkout(f"{url}/shop", work)
    with pytest.raises(ForeignError, match=r"no-such-host\.invalid cannot be resolved"):
        checkout("https://no-such-host.invalid/shop", work)
    with pytest.raises(ForeignError, match=r"no-such-host\.invalid cannot be resolved"):
        checkout("git://no-such-host.invalid/shop", work)


def test_a_server_that_answers_nonsense_is_told(repositories, work):
    (repositories / "page").mkdir()
    with git_server(repositories) as server, pytest.raises(ForeignError, match="could not be fetched"):
        checkout(f"{server.url}/page", work)


# Over SSH.


def key_pair():
    """Return (private key as OpenSSH writes it, public key line)."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
    return private.decode(), key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    ).decode()


@pytest.fixture
def ssh_server(host, repositories):
    """A host of the fleet with a key let in; yields (host, private key, URL's beginning)."""
    private, public = key_pair()
    host.authorize(public)
    payload = host.api_payload()
    return host, private, f"ssh://{payload['user']}@{payload['address']}:{payload['port']}"


def test_a_repository_is_read_over_ssh(ssh_server, repository, work):
    host, private, base = ssh_server
    commit = repository.commit({"a": "b"})
    repository.git("config", "safe.directory", "*")
    known = f"[{host.address}]:{host.api_payload()['port']} {host.host_key}\n"
    access = Access("main", None, {"known_hosts": known}, {"ssh_key": private.replace("\n", "\r\n")})
    driver, url = Git(access), f"{base}{repository.folder}"
    assert [(ref.kind, ref.name, ref.commit) for ref in driver.refs(url)] == [("branch", "main", commit)]
    assert driver.resolve(url, "main").commit == commit
    assert driver.prove(repository=url).describe()["ok"]
    assert checkout(url, work, access=access).commit == commit
    assert list(Path(store.settings.data, "scratch").iterdir()) == [], "the key is gone from the disk"


def test_a_changed_host_key_is_refused(ssh_server, repository, work):
    host, private, base = ssh_server
    repository.commit({"a": "b"})
    _, other = key_pair()
    access = Access(
        "main", None, {"known_hosts": f"[{host.address}]:{host.api_payload()['port']} {other}\n"}, {"ssh_key": private}
    )
    with pytest.raises(ForeignError, match=r"refused the server's host key.*known_hosts"):
        checkout(f"{base}{repository.folder}", work, access=access)


def test_an_unknown_key_is_refused(ssh_server, repository, work):
    host, _, base = ssh_server
    stranger, _ = key_pair()
    known = f"[{host.address}]:{host.api_payload()['port']} {host.host_key}\n"
    with pytest.raises(ForeignError, match="refused the login"):
        checkout(
            f"{base}{repository.folder}",
            work,
            access=Access("main", None, {"known_hosts": known}, {"ssh_key": stranger}),
        )


@pytest.mark.parametrize(
    "settings_, credentials, lacks", [({}, {"ssh_key": "x"}, "known_hosts"), ({"known_hosts": "x"}, {}, "ssh_key")]
)
def test_ssh_needs_a_key_and_pinned_host_keys(repositories, work, settings_, credentials, lacks):
    with pytest.raises(ForeignError, match=f"'main' lacks the .*{lacks}"):
        checkout("git@127.0.0.1:shop.git", work, access=Access("main", None, settings_, credentials))


# A login that is refused.


@pytest.fixture
def shop(integration, repositories, repository):
    """Serve a repository to whoever knows the password; returns (server, driver(), what the integration says of its circuit)."""
    repository.commit({"a": "b"})
    circuits.forget()
    with git_server(repositories, login=basic("deploy", "right-password")) as server:
        integration("code", "git", server.url, {"username": "deploy", "password": "wrong-password"})

        def driver():
            return foreign.driver_named("code", "source")

        yield server, driver, lambda: IntegrationController(None).get("code")["circuit"]
    circuits.forget()


def attempts(server):
    """Return how often somebody tried to log in."""
    return len([login for login in server.record.logins if login])


def right(server):
    """Return what mends the integration."""
    return {"credentials": {"username": "deploy", "password": "right-password"}}


@pytest.mark.parametrize("look", ["fetch", "refs"])
def test_a_refused_login_is_not_repeated_until_the_credentials_are_others(shop, work, look):
    server, driver, circuit = shop
    looks = {"fetch": lambda: driver().checkout("shop", "main", "main", work), "refs": lambda: driver().refs("shop")}
    for _ in range(3):
        with pytest.raises(ForeignError, match="refused the login") as failed:
            looks[look]()
        assert failed.value.kind == errors.REFUSED_CREDENTIALS and not failed.value.may_pass
    assert "It was not asked again" in failed.value.detail and "wrong-password" not in failed.value.detail
    assert attempts(server) == 1
    assert circuit()["state"] == "open" and "refused the login" in circuit()["reason"]
    IntegrationController(ANN).update("code", right(server))
    assert looks[look]() and circuit()["state"] == "closed"


def test_a_test_that_succeeds_lets_the_login_be_used_again(shop, work):
    server, driver, circuit = shop
    with pytest.raises(ForeignError, match="refused the login"):
        driver().checkout("shop", "main", "main", work)
    checks = IntegrationController(ANN).prove("code")["checks"]
    assert [check["ok"] for check in checks] == [True, False] and "Name a repository" in checks[1]["message"]
    assert not IntegrationController(ANN).prove("code", "shop")["ok"] and attempts(server) == 2 and circuit()["state"] == "open"
    server.login = basic("deploy", "wrong-password")
    assert IntegrationController(ANN).prove("code", "shop")["ok"] and circuit()["state"] == "closed"
    assert driver().checkout("shop", "main", "main", work)


def test_who_has_no_login_shuts_nobody_out(shop, work, integration):
    server, _, _ = shop
    integration("open", "git", server.url)
    for _ in range(2):
        with pytest.raises(ForeignError, match="refused the login") as failed:
            foreign.driver_named("open", "source").refs("shop")
        assert failed.value.kind == errors.NOT_PERMITTED
    assert IntegrationController(None).get("open")["circuit"]["state"] == "closed"


# A name that leads elsewhere a moment later.


@pytest.fixture
def known_once(monkeypatch):
    """Return a name for an address that only the fence can resolve: nothing that resolves it again gets anywhere."""
    resolve, name = socket.getaddrinfo, "git.rebound.test"

    def name_of(address):
        monkeypatch.setattr(
            socket,
            "getaddrinfo",
            lambda host, *arguments, **options: resolve(address if host == name else host, *arguments, **options),
        )
        return name

    return name_of


def test_ssh_goes_to_the_address_that_was_judged(ssh_server, repository, work, known_once):
    host, private, _ = ssh_server
    commit = repository.commit({"a": "b"})
    repository.git("config", "safe.directory", "*")
    payload, name = host.api_payload(), known_once(host.address)
    known = f"[{name}]:{payload['port']} {host.host_key}\n"
    access = Access("main", None, {"known_hosts": known}, {"ssh_key": private})
    url = f"ssh://{payload['user']}@{name}:{payload['port']}{repository.folder}"
    assert checkout(url, work, access=access).commit == commit
    assert [ref.commit for ref in Git(access).refs(url)] == [commit]
    stranger = Access("main", None, {"known_hosts": known.replace(name, "other.test")}, {"ssh_key": private})
    with pytest.raises(ForeignError, match="refused the server's host key"):
        checkout(url, work, access=stranger)


@pytest.fixture
def git_daemon(repositories):
    """git's own server; its repositories are below a folder named like the host that was asked for. Yields its port."""
    port = free_port()
    argv = ["git", "daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1", f"--port={port}"]
    argv += [f"--interpolated-path={repositories}/%H%D", str(repositories)]
    environment = {
        **os.environ,
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
    }
    with subprocess.Popen(argv, env=environment, stderr=subprocess.DEVNULL, process_group=0) as daemon:
        try:
            ends_at = time.monotonic() + 60
            while not is_open(port) and time.monotonic() < ends_at:
                time.sleep(0.05)
            yield port
        finally:
            os.killpg(daemon.pid, signal.SIGTERM)


def is_open(port):
    """Say whether something listens at a port of this machine."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


def test_git_s_own_protocol_goes_to_the_address_that_was_judged(git_daemon, repositories, work, known_once):
    name = known_once("127.0.0.1")
    commit = Repository(repositories / name / "shop").commit({"a": "b"})
    url = f"git://{name}:{git_daemon}/shop"
    assert checkout(url, work).commit == commit
    assert [ref.commit for ref in Git(Access()).refs(url)] == [commit]
