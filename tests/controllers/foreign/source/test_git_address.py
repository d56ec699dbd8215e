"""What a repository may be called, and where its credentials may go."""

import os

import pytest

from controllers.foreign import Access, ForeignError
from controllers.foreign.source.git import Git, check_ref
from controllers.foreign.source.git_address import address_of


@pytest.mark.parametrize(
    "text, url, protocol, host, port",
    [
        (
            "https://git.example.net/team/shop.git",
            "https://git.example.net/team/shop.git",
            "https",
            "git.example.net",
            None,
        ),
        ("https://git.example.net:8443/shop", "https://git.example.net:8443/shop", "https", "git.example.net", 8443),
        ("http://[fd00::1]:80/shop", "http://[fd00::1]:80/shop", "http", "fd00::1", 80),
        (
            "ssh://git@git.example.net:2222/shop.git",
            "ssh://git@git.example.net:2222/shop.git",
            "ssh",
            "git.example.net",
            2222,
        ),
        ("git@git.example.net:team/shop.git", "git@git.example.net:team/shop.git", "ssh", "git.example.net", None),
        ("git.example.net:shop.git", "git.example.net:shop.git", "ssh", "git.example.net", None),
        ("git://git.example.net/shop", "git://git.example.net/shop", "git", "git.example.net", None),
    ],
)
def test_places_are_understood(settings, text, url, protocol, host, port):
    address = address_of(text)
    assert (address.url, address.protocol, address.host, address.port) == (url, protocol, host, port)


@pytest.mark.parametrize(
    "text",
    [
        "--upload-pack=touch /tmp/x",
        "-oProxyCommand=id",
        "ext::sh -c id",
        "fd::17",
        "https::x",
        "ssh://-oProxyCommand=id/x",
        "-host:path",
        "git@-oX:path",
        "ssh://git@-x/y",
        "ssh://-user@host/x",
        "ssh://a;b@host/x",
        "host:-path",
        "http://",
        "https:///path",
        "ftp://host/x",
        "git+ssh://host/x",
        "https://host/a b",
        "https://host/a\nb",
        "https://host/\0",
        "",
        "   ",
        "https://user@evil@host/x",
        "../outside",
        "a/../../b",
        "relative/path",
        "file://host/share",
        "https://host:99999/x",
        "https://[::1/x",
        "x" * 1001,
    ],
)
def test_what_could_be_anything_else_is_refused(settings, text):
    with pytest.raises(ForeignError):
        address_of(text)


def test_a_password_leaves_the_url(settings):
    address = address_of("https://deploy:s3cr%20et@git.example.net/shop.git")
    assert (address.url, address.username, address.password) == (
        "https://git.example.net/shop.git",
        "deploy",
        "s3cr et",
    )


@pytest.mark.parametrize(
    "base, name, url",
    [
        ("https://git.example.net/team", "shop.git", "https://git.example.net/team/shop.git"),
        ("https://git.example.net/", "team/shop", "https://git.example.net/team/shop"),
        ("git@git.example.net:team", "shop.git", "git@git.example.net:team/shop.git"),
        ("ssh://git@git.example.net/srv", "shop.git", "ssh://git@git.example.net/srv/shop.git"),
    ],
)
def test_a_relative_name_is_below_the_integration(settings, base, name, url):
    assert address_of(name, base).url == url


@pytest.mark.parametrize("name", ["../other", "a/../../b", "..", "a/.."])
def test_a_relative_name_stays_below_the_integration(settings, name):
    with pytest.raises(ForeignError):
        address_of(name, "https://git.example.net/team")


def test_folders_are_closed_unless_the_configuration_opens_them(settings, tmp_path):
    repository = tmp_path / "open" / "shop"
    repository.mkdir(parents=True)
    with pytest.raises(ForeignError, match=r"git.local_paths"):
        address_of(str(repository))
    settings.git.local_paths = [str(tmp_path / "open")]
    assert address_of(str(repository)).protocol == "file"
    assert address_of(f"file://{repository}").url == str(repository)


def test_no_link_or_dots_lead_out_of_the_open_folders(settings, tmp_path):
    (tmp_path / "closed" / "shop").mkdir(parents=True)
    (tmp_path / "open").mkdir()
    os.symlink(tmp_path / "closed", tmp_path / "open" / "link")
    settings.git.local_paths = [str(tmp_path / "open")]
    for path in ("open/link/shop", "open/../closed/shop", "open-too", "open/%2e%2e/closed/shop"):
        with pytest.raises(ForeignError):
            address_of(f"{tmp_path}/{path}")
    with pytest.raises(ForeignError, match=r"git\.local_paths"):
        address_of(f"file://{tmp_path}/open/%2e%2e/closed/shop")


@pytest.mark.parametrize(
    "repository",
    [
        "https://evil.example/team/shop.git",
        "https://git.example.net.evil.example/team/shop",
        "https://git.example.net:444/team/shop",
        "http://git.example.net/team/shop",
        "https://git.example.net/other/shop",
        "https://git.example.net/teammate/shop",
        "git@git.example.net:team/shop",
    ],
)
def test_credentials_go_to_their_own_server_only(settings, repository):
    driver = Git(Access("main", "https://git.example.net/team", {}, {"token": "secret-token"}))
    with pytest.raises(ForeignError, match="not below the URL of the integration 'main'"):
        driver.address_of(repository)
    assert driver.address_of("shop.git").url == "https://git.example.net/team/shop.git"
    assert driver.address_of("https://git.example.net/team/shop.git").url == "https://git.example.net/team/shop.git"


def test_a_token_without_a_url_goes_nowhere(settings):
    with pytest.raises(ForeignError, match="no URL"):
        Git(Access("main", None, {}, {"token": "secret-token"})).address_of("https://git.example.net/shop.git")


def test_what_one_login_fetched_is_no_other_s(settings):
    address = address_of("https://git.example.net/shop.git")
    assert len({address.key(None), address.key("one"), address.key("two")}) == 3
    assert address.key("one") == address_of("https://user:password@git.example.net/shop.git").key("one")


@pytest.mark.parametrize("ref", ["main", "feature/x-1", "v1.0", "3f2a9c1", "a" * 40, "refs/heads/main", "müller"])
def test_refs(ref):
    check_ref(ref)


@pytest.mark.parametrize(
    "ref",
    [
        "--upload-pack=x",
        "-x",
        "a..b",
        "a b",
        "a~1",
        "a^",
        "a:b",
        "HEAD@{1}",
        "a?",
        "a*",
        "[a]",
        "a\\b",
        "/a",
        "a/",
        "a.",
        "a.lock",
        "a//b",
        "",
        None,
        "x" * 251,
        "a\0b",
        "a\nb",
    ],
)
def test_what_is_no_ref_is_refused(ref):
    with pytest.raises(ForeignError):
        check_ref(ref)
