"""Drivers: found by being there, and strict about what they are given."""

import pytest

from controllers import foreign
from controllers.errors import NotFound
from controllers.foreign.artifacts.package_index import PackageIndex, default_index
from controllers.foreign.source.git import Git


def test_drivers_are_listed_with_what_they_take():
    described = {item["name"]: item for item in foreign.describe_drivers()}
    roles = {name: item["role"] for name, item in described.items()}
    sources = {name for name, role in roles.items() if role == "source"}
    assert sources == {"bitbucket-cloud", "bitbucket-server", "git", "gitea", "github", "gitlab"}
    assert roles["package-index"] == "artifacts"
    assert set(described["git"]["credentials"]["properties"]) == {"username", "password", "token", "ssh_key"}
    assert set(described["git"]["settings"]["properties"]) == {"known_hosts", "ca"}
    assert {"name": "api-token", "fields": ("email", "token")} in described["bitbucket-cloud"]["credential_kinds"]
    assert all(item["summary"] for item in described.values())


@pytest.mark.parametrize(
    "driver, url, given, credentials, fields",
    [
        ("git", None, {}, {}, []),
        ("git", "https://h", {}, {"token": "t"}, []),
        ("git", None, {"known_hosts": "x"}, {"ssh_key": "k"}, []),
        ("git", None, {}, {"token": "t"}, ["url"]),
        ("git", None, {}, {"ssh_key": "k"}, ["settings.known_hosts"]),
        ("git", "https://h", {}, {"token": "t", "password": "p"}, ["credentials"]),
        ("git", "https://h", {"known_host": "x"}, {"pasword": "p"}, ["settings.known_host", "credentials.pasword"]),
        ("git", "https://h", {}, {"token": 5}, ["credentials.token"]),
        ("package-index", "https://h/simple", {}, {"username": "u", "password": "p"}, []),
        ("package-index", "https://h/simple", {}, {"token": "t"}, []),
        ("package-index", None, {}, {}, ["url"]),
        ("package-index", "ssh://h", {}, {}, ["url"]),
        ("package-index", "https://h", {}, {"username": "u"}, ["credentials"]),
        ("package-index", "https://h", {}, {"username": "u", "password": "p", "token": "t"}, ["credentials"]),
        ("github", None, {}, {"token": "t"}, []),
        ("github", None, {}, {"username": "u", "password": "p"}, ["credentials.username", "credentials.password"]),
        ("gitea", None, {}, {"token": "t"}, ["url"]),
        ("bitbucket-cloud", None, {}, {"email": "a@example.com"}, ["credentials"]),
        ("gitlab", "http://169.254.169.254/", {}, {}, ["url"]),
        ("gitlab", "https://h", {"ca": "nonsense"}, {}, ["settings.ca"]),
        ("no-such-driver", None, {}, {}, ["driver"]),
    ],
)
def test_what_a_driver_cannot_use_is_told_by_field(settings, driver, url, given, credentials, fields):
    mistakes = foreign.mistakes_in(driver, url, given, credentials)
    assert [field for field, _ in mistakes] == fields
    assert all(message.endswith((".", "permitted", "string")) for _, message in mistakes)


def test_messages_never_repeat_a_secret():
    mistakes = foreign.mistakes_in("git", None, {"x": "s3cret"}, {"token": ["s3cret"], "y": "s3cret"})
    assert mistakes and "s3cret" not in repr(mistakes)


def test_an_access_does_not_show_its_credentials(integration):
    integration("main", url="https://h", credentials={"username": "me", "token": "s3cret"})
    access = foreign.access_of(foreign.row_of("main"))
    assert access.credentials["token"] == "s3cret"
    assert "s3cret" not in repr(access)
    assert access.secrets() == ["s3cret"]


def test_the_driver_follows_from_the_source(integration):
    integration("code", url="https://h")
    integration("packages", "package-index", url="https://h/simple")
    assert isinstance(foreign.driver_for({"repository": "x", "branch": "main"}), Git)
    assert isinstance(foreign.driver_for({"integration": "code", "repository": "x"}), Git)
    assert isinstance(foreign.driver_for({"integration": None, "package": "x"}), PackageIndex)
    assert foreign.driver_for({"integration": "packages", "package": "x"}).index().url == "https://h/simple"
    with pytest.raises(foreign.ForeignError, match="cannot give artifacts"):
        foreign.driver_for({"integration": "code", "package": "x"})
    with pytest.raises(NotFound, match="no integration 'gone'"):
        foreign.driver_for({"integration": "gone", "package": "x"})


def test_the_key_that_sealed_a_secret_must_be_there(integration, settings, tmp_path):
    integration("main", url="https://h", credentials={"token": "s3cret"})
    settings.secret.key_file = str(tmp_path / "another.key")
    with pytest.raises(foreign.ForeignError, match="cannot be opened with the key"):
        foreign.access_of(foreign.row_of("main"))


@pytest.mark.parametrize(
    "url, plain, username, password",
    [
        ("https://h/simple", "https://h/simple", None, None),
        ("https://me:p%40ss@h:8443/simple", "https://h:8443/simple", "me", "p@ss"),
        ("https://token@h/simple", "https://h/simple", "token", ""),
    ],
)
def test_the_default_index_is_taken_apart(settings, url, plain, username, password):
    settings.build.index_url = url
    index = default_index()
    assert (index.url, index.username, index.password) == (plain, username, password)
    assert "p@ss" not in repr(index)


def test_every_driver_can_be_tried_out_and_says_how_its_hooks_are_made():
    for driver in foreign.drivers().values():
        assert driver.prove is not foreign.Driver.prove, driver.name
        if driver.takes_hooks:
            assert driver.hook_setup and driver.read_hook is not foreign.Driver.read_hook, driver.name
            assert driver.verify_hook is not foreign.Driver.verify_hook, driver.name
