"""What the commands change, on the real API: what is not named stays, secrets stay out of sight."""

import socketserver
import threading
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest

from tests.conftest import ADMIN_TOKEN, opened_database


class ThreadingServer(socketserver.ThreadingMixIn, WSGIServer):
    """A WSGI server that answers several requests at a time."""


class QuietHandler(WSGIRequestHandler):
    """Writes no line for each request."""

    def log_message(self, *arguments):
        """Say nothing."""


@pytest.fixture
def database(request, settings):
    """The models on SQLite; what differs between databases is not the client's business."""
    yield from opened_database(request, settings, "sqlite")


@pytest.fixture
def address(application, administrator):
    """The address of the real API, with the zone and the environments of a first start."""
    from controllers.catalog import environments, zones

    zones.ensure_default()
    environments.ensure_first()
    with make_server("127.0.0.1", 0, application, ThreadingServer, QuietHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def real(address, windlass, monkeypatch):
    """Run the client against the real API, as the administrator."""
    monkeypatch.setenv("WINDLASS_URL", address)
    monkeypatch.setenv("WINDLASS_TOKEN", ADMIN_TOKEN)
    return windlass


@pytest.fixture
def done(real):
    """Run a command that must succeed; returns what it wrote."""

    def run(*arguments):
        answer = real(*arguments)
        assert answer.code == 0, answer.err
        return answer.out

    return run


def credentials_of(name):
    from controllers.catalog import integrations
    from models import Integration

    return integrations.credentials_of(Integration.get(Integration.name == name))


def test_an_integration_takes_several_secrets_in_one_call(real, done, tmp_path, monkeypatch):
    monkeypatch.setenv("CI_USER", "ada")
    (tmp_path / "token").write_text("t0p-secret\n")
    made = real(
        *("integrations", "create", "ci", "--driver", "jenkins", "--address", "https://ci.example.net"),
        *("--secret", f"token=@{tmp_path}/token", "--secret", "username=env:CI_USER"),
    )
    assert made.code == 0, made.err
    assert "t0p-secret" not in made.out + made.err
    assert credentials_of("ci") == {"username": "ada", "token": "t0p-secret"}
    monkeypatch.setenv("CI_TOKEN", "newer")
    done("integrations", "set", "ci", "--credential", "username=eve", "--secret", "token=env:CI_TOKEN")
    assert credentials_of("ci") == {"username": "eve", "token": "newer"}


def test_an_integration_is_changed_and_what_is_not_given_stays(real, done):
    done(
        *("integrations", "create", "store", "--driver", "artifactory", "--address", "https://a.example.net"),
        *("--setting", "repository=bundles", "--setting", "pypi_repository=pypi", "--credential", "token=x"),
    )
    done("integrations", "set", "store", "--setting", "repository=releases")
    shown = done("integrations", "show", "store")
    assert "releases" in shown and "pypi" in shown and "https://a.example.net" in shown
    assert credentials_of("store") == {"token": "x"}
    done("integrations", "set", "store", "--no-credentials")
    done("integrations", "set", "store", "--address", "https://b.example.net")
    assert credentials_of("store") == {}
    refused = real("integrations", "set", "store", "--unset", "no-such")
    assert refused.code == 1 and "Set are: pypi_repository, repository" in refused.err
    done("integrations", "set", "store", "--unset", "pypi_repository")
    shown = done("integrations", "show", "store")
    assert "pypi" not in shown and "releases" in shown and "https://b.example.net" in shown


def test_credentials_do_not_follow_an_integration_to_another_place(real, done):
    done(
        *("integrations", "create", "stash", "--driver", "git", "--address", "https://a.example.net"),
        *("--credential", "username=ada", "--credential", "password=x"),
    )
    refused = real("integrations", "set", "stash", "--address", "https://b.example.net")
    assert refused.code == 1 and "credentials" in refused.err
    assert "https://a.example.net" in done("integrations", "show", "stash")


@pytest.mark.parametrize(
    "arguments",
    [
        ("integrations", "set", "stash"),
        ("integrations", "set", "stash", "--no-credentials", "--credential", "a=b"),
        ("integrations", "set", "stash", "--secret", "token=hush-hush"),
        ("integrations", "set", "stash", "--secret", "token=@a", "--secret", "token=@b"),
        ("integrations", "set", "stash", "--secret", "username", "--secret", "token=-"),
        ("targets", "variables", "shop", "production", "--secret", "KEY=hush-hush"),
        ("webhooks", "set", "chat"),
        ("webhooks", "set", "chat", "--address", "https://chat.example.net/2"),
        ("hosts", "set", "web1"),
        ("hosts", "set", "web1", "--tag", "a", "--no-tags"),
        ("applications", "create", "shop", "--package", "httpbin", "--branch", "main"),
        ("freezes", "set", "xmas"),
        ("freezes", "set", "xmas", "--until", "2027-01-01T00:00:00Z", "--weekly", "a", "b", "UTC"),
        ("freezes", "set", "xmas", "--everything", "--application", "shop"),
        ("tokens", "set", "4"),
    ],
)
def test_what_says_too_little_or_too_much_is_wrong_usage_and_asks_nothing(windlass, api, arguments):
    answer = windlass(*arguments)
    assert answer.code == 2 and answer.err
    assert "hush-hush" not in answer.err
    assert not api.requests


@pytest.mark.parametrize("source", ["@/no/such/file", "@/dev/null", "env:NO_SUCH_VARIABLE", "@/proc/self/exe"])
def test_a_secret_that_is_not_where_it_should_be_changes_nothing(windlass, api, source):
    answer = windlass("targets", "variables", "shop", "production", "--secret", f"KEY={source}")
    assert answer.code == 1 and source.partition(":")[2].lstrip("@") in answer.err
    assert not api.requests


def test_several_secrets_are_typed_one_after_the_other(terminal, api):
    window = terminal(["targets", "variables", "shop", "production", "--secret", "KEY", "--secret", "URL"])
    window.until("KEY:").type("first\r").until("URL:").type("second\r")
    code, shown = window.end()
    assert code == 0 and "first" not in shown and "second" not in shown
    assert [api.variables[name]["value"] for name in ("KEY", "URL")] == ["first", "second"]


def test_a_webhook_is_changed(command, address, real, done):
    done("webhooks", "create", "chat", "https://chat.example.net/1", "--event", "deploy.failed")
    shown = done("webhooks", "set", "chat", "--environment", "production")
    assert "deploy.failed" in shown and "production" in shown
    assert "deploy.failed" not in done("webhooks", "set", "chat", "--event", "*")
    assert "off" in done("webhooks", "set", "chat", "--off") and "off" in done("webhooks", "list")
    assert "asked" in done("webhooks", "set", "chat", "--on")
    secret = credentials_of("chat")
    options = ["--address", "https://chat.example.net/2", "--ask-secret"]
    surroundings = {"WINDLASS_URL": address, "WINDLASS_TOKEN": ADMIN_TOKEN}
    moved = command(["webhooks", "set", "chat", *options], stdin=b"a-secret-of-ours-that-is-long\n", **surroundings)
    assert moved.code == 0, moved.err
    assert "https://chat.example.net/2" in done("webhooks", "show", "chat")
    assert credentials_of("chat") == {"secret": "a-secret-of-ours-that-is-long"} != secret
    assert real("webhooks", "set", "other", "--event", "*").code == 1


def test_a_host_is_changed(real, done):
    done("hosts", "add", "web1", "--user", "ada", "--tag", "web", "--tag", "eu")
    shown = done("hosts", "set", "web1", "--address", "10.0.0.7", "--port", "2222", "--settings", '{"nginx": null}')
    assert "10.0.0.7:2222" in shown and "web, eu" in shown and "ada" in shown
    assert "eu" not in done("hosts", "set", "web1", "--tag", "web")
    assert "Tags" not in done("hosts", "set", "web1", "--no-tags")
    assert real("hosts", "set", "web2", "--user", "eve").code == 1


def test_an_application_is_changed(real, done, tmp_path):
    done(
        *("applications", "create", "shop", "--repository", "https://git.example.net/shop.git"),
        *("--process", "web=run web", "--process", "worker=run worker"),
    )
    shown = done("applications", "set", "shop", "--branch", "stable", "--no-process", "worker", "--team", "web")
    assert "https://git.example.net/shop.git (stable)" in shown and "run web" in shown and "run worker" not in shown
    done("integrations", "create", "ci", "--driver", "jenkins", "--address", "https://ci.example.net")
    (tmp_path / "build.json").write_text('{"integration": "ci", "job": "shop"}')
    assert "via ci shop" in done("applications", "set", "shop", "--build", f"@{tmp_path}/build.json")
    assert "via ci" not in done("applications", "set", "shop", "--build", "null")
    shown = done("applications", "set", "shop", "--package", "httpbin", "--requirement", "gunicorn>=23")
    assert "httpbin" in shown and "git.example.net" not in shown and "Team" in shown
    assert real("applications", "set", "shop", "--branch", "main").code == 2
    assert real("applications", "set", "shop").code == 2
    shown = done("applications", "set", "shop", "--repository", "https://git.example.net/new.git")
    assert "new.git" in shown and "httpbin" not in shown


def test_a_target_says_how_rollouts_go_there(done):
    done("applications", "create", "shop", "--package", "httpbin")
    done("hosts", "add", "here", "--transport", "local")
    done("targets", "set", "shop", "production", "--host", "here", "--strategy", "rolling", "--batch", "25%")
    shown = done(
        *("targets", "set", "shop", "production", "--pause", "resume", "--bake", "30", "--max-failures", "10%"),
        *("--on-failure", "stop", "--drain", "5", "--no-keep-warm"),
    )
    assert "until somebody resumes" in shown and "stop, when more than 10%" in shown and "rolling, 25%" in shown
    assert "5 s, then the old release is ended" in shown
    assert "rolling, 25%" in done("targets", "set", "shop", "production", "--pause", "10", "--keep-warm")


def test_a_freeze_is_changed(done):
    done(
        *("freezes", "create", "xmas", "--reason", "holidays", "--environment", "production"),
        *("--from", "2026-12-20T00:00:00Z", "--until", "2027-01-02T00:00:00Z"),
    )
    shown = done("freezes", "set", "xmas", "--until", "2027-01-05T00:00:00Z")
    assert "2026-12-20" in shown and "2027-01-05" in shown and "production" in shown
    assert "every week" in done(
        *("freezes", "set", "xmas", "--weekly", "fri 16:00", "mon 08:00", "Europe/Berlin", "--everything"),
    )
    assert "production" not in done("freezes", "list")
    times = ("--from", "2026-12-20T00:00:00Z", "--until", "2027-01-02T00:00:00Z")
    assert "every week" not in done("freezes", "set", "xmas", *times)


def test_zones_are_made_shown_and_deleted(real, done):
    from models import Zone

    assert "none yet" in done("zones", "create", "dmz") + done("zones", "list")
    assert "no public key yet" in real("zones", "show", "dmz").err
    Zone.update(public_key="ssh-ed25519 AAAA dmz").where(Zone.name == "dmz").execute()
    assert done("zones", "show", "dmz") == "ssh-ed25519 AAAA dmz\n"
    assert done("zones", "refresh", "dmz") == ""
    assert real("zones", "delete", "dmz").code == 2
    assert done("zones", "delete", "dmz", "--yes") == "dmz is deleted.\n"


def test_who_one_is_and_how_long_a_token_holds(real, done):
    assert "admin" in done("whoami") and "yes" in done("whoami")
    done("tokens", "create", "ci", "--expires", "2099-01-01T00:00:00Z")
    number = next(line.split()[0] for line in done("tokens", "list").splitlines() if " ci " in line)
    assert "ends never" in done("tokens", "set", number, "--expires", "never")
    assert "robot" in done("tokens", "set", number, "--name", "robot")
    assert real("tokens", "set", number, "--expires", "tomorrow").code == 1


def test_preparations_are_listed(done, real):
    assert done("hosts", "preparations") == ""
    assert "no such preparation" in real("hosts", "preparations", "--state", "failed").err
