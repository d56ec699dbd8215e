"""What each kind of value takes and refuses."""

import pytest
from pydantic import TypeAdapter, ValidationError

from api.schemas import applications, hosts, inventory, names, targets


def accepts(kind, value):
    """Return what a kind of value makes of a value."""
    return TypeAdapter(kind).validate_python(value, strict=True)


def refusal(kind, value):
    """Return the message a value is refused with."""
    with pytest.raises(ValidationError) as caught:
        accepts(kind, value)
    return caught.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    "kind, good",
    [
        (names.Name, ["a", "shop", "shop-2", "2fast", "a" * 40]),
        (names.HostName, ["web-1", "web-1.example.net", "10-0-0-5", "a" * 100]),
        (names.ProcessName, ["web", "worker_2", "release"]),
        (names.VariableName, ["A", "_x", "DATABASE_URL", "lower1"]),
        (names.Tag, ["web", "role:db", "eu-1", "v=2"]),
        (names.UserName, ["root", "deploy", "www-data", "_x.y"]),
        (names.Program, ["python3", "/usr/local/bin/python3.12", "./python"]),
        (names.HealthPath, ["/", "/health?full=1", "/a%20b"]),
        (names.Folder, ["/srv", "/srv/windlass", "/tmp/a_b-c.d/e@f+g=h"]),
        (
            names.Address,
            ["web-1", "web-1.example.net", "10.0.0.5", "::1", "2001:db8::1", "my_host", "xn--bcher-kva.example"],
        ),
        (names.ServerName, ["example.net", "*.example.net"]),
        (names.Listen, ["80", "65535", "10.0.0.1:8080", "[::1]:8080", "*:80"]),
        (names.Argv, [["nginx"], ["sudo", "-n", "nginx", "-c", "/etc/my nginx.conf"]]),
        (names.Line, ["new disk", "Müller & Söhne"]),
        (names.ShellLine, ["gunicorn --bind unix:$SOCKET 'shop:app'"]),
        (names.share_type(1, "x"), [1, 10_000, "1%", "100%"]),
        (names.share_type(0, "x"), [0, "0%", "99%"]),
        (applications.Package, ["httpbin", "httpbin[mainapp]", "zope.interface", "a"]),
        (applications.Requirement, ["gunicorn", "gunicorn==23.0.0", "uvicorn[standard]>=0.30,<1"]),
        (applications.Branch, ["main", "feature/x", "v1.2"]),
        (
            applications.Repository,
            [
                "https://git.example.net/team/shop.git",
                "ssh://git@git.example.net:7999/team/shop.git",
                "git@git.example.net:team/shop.git",
                "/srv/git/shop.git",
                "file:///srv/git/shop",
                "team/shop",
                "http://git.example.net:3000/x",
            ],
        ),
        (hosts.Fingerprint, ["SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"]),
    ],
)
def test_good_values_stay_what_they_are(kind, good):
    for value in good:
        assert accepts(kind, value) == value


@pytest.mark.parametrize(
    "kind, bad",
    [
        (names.Name, ["", "Shop", "-rf", "a.b", "a/b", "..", "a b", "a_b", "ä", "a\n", "a" * 41, "a\0"]),
        (names.HostName, ["", "Web", "-x", ".", "..", "a..b", "a.", "a/b", "a\n", "a" * 101]),
        (names.ProcessName, ["", "Web", "1web", "we b", "web\n", "../x", "a" * 31]),
        (names.VariableName, ["", "1A", "A-B", "A B", "A=B", "Ä", "A\n", "$(id)", "A" * 101]),
        (names.Tag, ["", "Web", "-x", "a b", "a\n", "a" * 51]),
        (names.UserName, ["", "-oProxyCommand=x", "a b", "a@b", "a:b", "1a", "a\n", "a" * 33]),
        (names.Program, ["", "-c", "python3 -c", "py;thon", "$(x)", "python\n"]),
        (names.HealthPath, ["", "health", "http://x/", "/a b", "/ä", "/a\r\nHost: x", "/" + "a" * 500]),
        (
            names.Folder,
            [
                "",
                "/",
                "srv",
                "/srv/",
                "/srv//x",
                "/srv/../etc",
                "/srv/./x",
                "/srv/a b",
                "/srv/$x",
                "/srv/a;b",
                "/srv/a\n",
                "/srv/%(x)s",
                "/" + "a" * 200,
            ],
        ),
        (
            names.Address,
            [
                "",
                "-x",
                "a b",
                "http://x",
                "web:22",
                "10.0.0.256",
                "1.2.3",
                "fe80::1%eth0",
                "a..b",
                "a/b",
                "-oX=y.example",
                "a\n",
                "a" * 254,
            ],
        ),
        (names.ServerName, ["", "*", "a b", "x;", "_", "example.net.", "a.*.b", "x{}", "1.2.3.4.", "a\n"]),
        (
            names.Listen,
            ["", "0", "65536", "80;", "x:80", "::1:80", "[::1]", "10.0.0.1:", "80 ssl", "unix:/x", "80\n", "٣"],
        ),
        (names.Argv, [[], [""], ["-x"], "nginx", ["nginx", 3], ["nginx", "a\0"], ["nginx", "a\nb"], ["x"] * 51]),
        (names.Line, ["", "  ", "a\nb", "a\x1b[2J", "a" * 201]),
        (names.ShellLine, ["", "a\nb", "a\0b", "a" * 4001]),
        (names.share_type(1, "x"), [0, -1, 1.5, True, None, "0%", "101%", "25", "25 %", "%", "", [], 10_001, "٢%"]),
        (names.share_type(0, "x"), [-1, False, "-1%", "100.5%"]),
        (names.Port, [0, 65536, "22", 22.0, True, None]),
        (
            applications.Requirement,
            [
                "",
                "-e .",
                "-r x",
                "--index-url=x",
                "x @ https://x/y",
                "../x",
                "/x",
                "x\n-r y",
                "x\n",
                "x>=1\n",
                "x;y",
                "x>=1 #",
            ],
        ),
        (
            applications.Package,
            ["", "-e", "a b", "a==1", "a;x", "../a", "https://x/y.whl", "a[", "a]", "a[;]", "a @ https://x"],
        ),
        (
            applications.Branch,
            [
                "",
                "-x",
                "a b",
                "a..b",
                "a~1",
                "a^",
                "a:b",
                "@{1}",
                "@",
                "/a",
                "a/",
                "a//b",
                "a.lock",
                ".a",
                "a.",
                "a\n",
                "a" * 201,
            ],
        ),
        (
            applications.Repository,
            [
                "",
                "-x",
                "--upload-pack=x",
                "ext::sh -c id",
                "ext::x",
                "fd::17",
                "https://u:p@h/x",
                "https://token@h/x",
                "ssh://u:p@h/x",
                "ssh://-oX/x",
                "ftp://h/x",
                "javascript://x",
                "https://",
                "https:///x",
                "https://h/a b",
                "https://h/a\n",
                "host:-x",
                "../x",
                "a/../b",
                "x" * 501,
                "ssh://a@b@c/x",
            ],
        ),
        (hosts.Fingerprint, ["", "MD5:aa", "SHA256:short", "sha256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"]),
    ],
)
def test_bad_values_are_refused(kind, bad):
    for value in bad:
        assert refusal(kind, value), value


@pytest.mark.parametrize("given, spelling", [("2001:0DB8::0001", "2001:db8::1"), ("10.0.0.5", "10.0.0.5")])
def test_an_address_gets_its_one_spelling(given, spelling):
    assert accepts(names.Address, given) == spelling


def test_repeated_items_count_once():
    assert accepts(hosts.Tags, ["b", "a", "b"]) == ["b", "a"]
    assert accepts(targets.HostSelector, ["web-2", "web-1", "web-2"]) == ["web-2", "web-1"]
    assert accepts(targets.HostSelector, {"tags": ["web", "web"]}) == {"tags": ["web"]}


@pytest.mark.parametrize(
    "bad",
    [
        [],
        {},
        None,
        "web-1",
        {"tags": []},
        {"tags": "web"},
        {"names": ["web-1"]},
        ["Web"],
        [1],
        {"tags": ["web"], "hosts": []},
        ["-x"],
        ["*"],
    ],
)
def test_hosts_are_names_or_tags(bad):
    assert "hosts" in refusal(targets.HostSelector, bad)


@pytest.mark.parametrize(
    "good",
    [
        "",
        "x",
        "ä" * 100,
        "two\nlines",
        {"value": "x"},
        {"value": "x", "secret": True},
        {"value": "x", "secret": False},
        {"secret": True},
        "x" * 32 * 1024,
    ],
)
def test_values_of_variables(good):
    assert accepts(targets.VariableValue, good) == ({"value": good} if isinstance(good, str) else good)


@pytest.mark.parametrize(
    "bad",
    [
        1,
        None,
        True,
        [],
        {},
        {"value": 1},
        {"value": None},
        {"secret": False},
        {"value": "geheim-1", "secret": "yes"},
        {"value": "geheim-1", "hidden": True},
        "geheim-1\0",
        {"value": "geheim-1" * 4097},
        "ä" * 16_385,
        "geheim-1\ud800",
    ],
)
def test_bad_values_of_variables_are_refused_without_repeating_them(bad):
    assert "geheim" not in refusal(targets.VariableValue, bad)


def test_null_removes_a_variable_in_a_change_only():
    assert accepts(targets.VariableChange, None) is None
    assert refusal(targets.VariableValue, None)


@pytest.mark.parametrize(
    "bad",
    ["https://u:p@h/", "https://u@h/", "ftp://h/", "h", "https://h/a b", "https://ä/", "javascript:x", "https://"],
)
def test_urls_of_integrations(bad):
    with pytest.raises(ValidationError) as caught:
        inventory.IntegrationChanges.model_validate({"url": bad})
    assert caught.value.errors()[0]["loc"] == ("url",)


@pytest.mark.parametrize("bad", ["blue-green", "", "Rolling", None, 1])
def test_a_kind_of_rollout_that_there_is_not_is_refused_with_those_there_are(bad):
    assert "rolling" in refusal(targets.Kind, bad)


@pytest.mark.parametrize("value", [0, 86_400, "resume"])
def test_a_pause_is_seconds_or_until_resumed(value):
    assert accepts(targets.Pause, value) == value


@pytest.mark.parametrize("value", [-1, 86_401, "manual", "60", True, None, 1.5])
def test_other_pauses_are_refused_with_what_to_use_instead(value):
    assert '"resume"' in refusal(targets.Pause, value)
