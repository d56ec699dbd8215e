"""git's options and environment, and what its complaints mean."""

import os
import subprocess

import pytest

from controllers.foreign import Access, ForeignError
from controllers.foreign.source import git_commands
from controllers.foreign.source.git_address import address_of


def test_a_command_is_an_argv_with_everything_dangerous_switched_off():
    argv = git_commands.git("fetch", "x")
    assert argv[0] == "git" and argv[-2:] == ["fetch", "x"]
    switched = {argv[place + 1] for place, word in enumerate(argv) if word == "-c"}
    assert {
        "core.hooksPath=/dev/null",
        "core.fsmonitor=false",
        "credential.helper=",
        "http.followRedirects=false",
        "gc.autoDetach=false",
    } <= switched


def test_only_the_protocol_of_the_address_is_allowed(settings, tmp_path):
    for text, allowed in (("https://h/x", "https"), ("http://h/x", "http:https"), ("git://h/x", "git")):
        variables = git_commands.remote_environment(address_of(text), Access(), tmp_path, {"all_proxy": "socks5h://gate"})
        assert variables["GIT_ALLOW_PROTOCOL"] == allowed
        assert variables["all_proxy"] == "socks5h://gate"
        assert (
            variables["GIT_CONFIG_GLOBAL"] == os.devnull
            and variables["GIT_CONFIG_NOSYSTEM"] == "1"
            and variables["GIT_TERMINAL_PROMPT"] == "0"
        )


def test_no_variable_of_ours_reaches_git(settings, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_SSH_COMMAND", "evil")
    monkeypatch.setenv("WINDLASS_DATABASE_URL", "postgresql://u:p@h/d")
    monkeypatch.setenv("LD_PRELOAD", "evil.so")
    variables = git_commands.remote_environment(address_of("https://h/x"), Access(), tmp_path, {})
    assert not {"GIT_SSH_COMMAND", "WINDLASS_DATABASE_URL", "LD_PRELOAD"} & set(variables)


def ask(variables, question):
    """Return (status, answer) of the program that git asks."""
    done = subprocess.run([variables["GIT_ASKPASS"], question], env=variables, capture_output=True, text=True)
    return done.returncode, done.stdout


def test_the_password_is_told_to_its_own_server_only(settings, tmp_path):
    access = Access("main", "https://git.example.net:8443/team", {}, {"username": "me", "password": "p'a\"ss $(id) \\ *"})
    variables = git_commands.remote_environment(address_of("https://git.example.net:8443/team/shop"), access, tmp_path, {})
    assert ask(variables, "Username for 'https://git.example.net:8443': ") == (0, "me\n")
    assert ask(variables, "Password for 'https://me@git.example.net:8443': ") == (0, "p'a\"ss $(id) \\ *\n")
    for question in (
        "Password for 'https://me@evil.example': ",
        "Password for 'https://me@git.example.net:8443.evil.example': ",
        "Password for 'http://me@git.example.net:8443': ",
        "Username for 'https://git.example.net': ",
        "Enter passphrase for key: ",
        "",
    ):
        assert ask(variables, question) == (1, "")
    assert os.stat(variables["GIT_ASKPASS"]).st_mode & 0o077 == 0


def test_ssh_gets_a_private_key_file_and_pinned_host_keys(settings, tmp_path):
    folder = tmp_path / "private"
    folder.mkdir()
    access = Access("main", None, {"known_hosts": "h ssh-ed25519 AAAA"}, {"ssh_key": "-----BEGIN-----\r\nkey\r\n-----END-----"})
    variables = git_commands.remote_environment(address_of("git@h:x"), access, folder, {"all_proxy": "unused"})
    assert variables["GIT_SSH"] == str(folder / "ssh") and "GIT_SSH_COMMAND" not in variables
    config = (folder / "ssh_config").read_text()
    for line in (
        "StrictHostKeyChecking yes",
        "BatchMode yes",
        "IdentitiesOnly yes",
        "GlobalKnownHostsFile /dev/null",
        "ProxyCommand none",
    ):
        assert line in config
    assert (folder / "key").read_text() == "-----BEGIN-----\nkey\n-----END-----\n"
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())


def test_ssh_without_an_integration_says_what_it_needs(settings, tmp_path):
    with pytest.raises(ForeignError, match="the application's source needs an integration"):
        git_commands.remote_environment(address_of("git@h:x"), Access(), tmp_path, {})


@pytest.mark.parametrize(
    "tail, meaning",
    [
        (["fatal: unable to access 'https://h/x/': Could not resolve host: h"], "cannot be resolved"),
        (["remote: HTTP Basic: Access denied", "fatal: Authentication failed for 'https://h/x/'"], "refused the login"),
        (["fatal: could not read Username for 'https://h': terminal prompts disabled"], "refused the login"),
        (
            ["git@h: Permission denied (publickey).", "fatal: Could not read from remote repository."],
            "refused the login",
        ),
        (
            [
                "No ED25519 host key is known for h and you have requested strict checking.",
                "Host key verification failed.",
            ],
            "known_hosts",
        ),
        (["ssh: connect to host h port 22: Connection refused"], "does not answer"),
        (["fatal: repository 'https://h/x/' not found"], "no repository"),
        (["fatal: unable to access 'https://h/x/': SSL certificate problem: self-signed certificate"], "certificate"),
        (["fatal: write error: No space left on device"], "disk is full"),
        (["note", "fatal: something nobody has seen", "fatal: the consequence of it"], "something nobody has seen"),
        ([], "did not say why"),
    ],
)
def test_complaints_are_translated(tail, meaning):
    assert meaning in git_commands.meaning_of(tail)


@pytest.mark.parametrize(
    "repository, url, credentials, is_own",
    [
        ("https://h/shop", "https://h", {"username": "me", "password": "p"}, True),
        ("https://you@h/shop", "https://h", {"username": "me", "password": "p"}, True),
        ("https://h/shop", "https://h", {"token": "t"}, True),
        ("https://you@h/shop", "https://h", {"token": "t"}, False),
        ("https://you:yours@h/shop", "https://h", {"token": "t"}, False),
        ("ssh://git@h/shop", "ssh://git@h", {"ssh_key": "k"}, True),
        ("ssh://root@h/shop", "ssh://git@h", {"ssh_key": "k"}, False),
        ("git@h:shop", None, {"ssh_key": "k"}, False),
        ("https://h/shop", "https://h", {}, False),
    ],
)
def test_a_login_that_somebody_else_named_is_not_the_integration_s(repository, url, credentials, is_own):
    assert git_commands.is_own_login(address_of(repository), Access("main", url, {}, credentials)) is is_own


def test_what_the_fence_refused_comes_first():
    assert (
        git_commands.meaning_of(["fatal: Can't complete SOCKS5 connection"], ["h is this machine itself"])
        == "h is this machine itself"
    )


@pytest.mark.parametrize("text", ["plain", 'with "quotes" and \\ and # and ;'])
def test_values_survive_the_configuration_file(tmp_path, text):
    path = git_commands.write(tmp_path / "config", f"[x]\n\ty = {git_commands.quoted(text)}\n")
    done = subprocess.run(["git", "config", "--file", path, "x.y"], capture_output=True, text=True, check=True)
    assert done.stdout == f"{text}\n"
