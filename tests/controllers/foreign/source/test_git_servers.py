"""Git repositories over HTTP and SSH: logins, redirects, and servers that refuse."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import store
from controllers.foreign import Access, ForeignError
from controllers.foreign.source.git import Git
from tests.controllers.foreign.source.test_git import checkout
from tests.controllers.servers import basic, git_server

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
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
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
