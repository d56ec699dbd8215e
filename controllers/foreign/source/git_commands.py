"""Command lines of git: the options and the environment that restrict it, and what its error messages mean.

Nothing of this machine's own git configuration applies, no hook and no helper program runs, and nothing asks a
question. A password goes to git through a program it asks (gitcredentials(7)), a key through a configuration file of
ssh, both in a private folder that lives as long as the command.
"""

import os
import re
import shlex
from pathlib import Path

import egress
from config import settings
from controllers.foreign import ForeignError
from controllers.foreign.errors import NOT_PERMITTED, REFUSED_CREDENTIALS, UNAVAILABLE, UNUSABLE
from controllers.foreign.source.git_address import address_of

STALLED_S = 60  # A transfer below 1,000 bytes a second for this long is given up.
PASSED_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "CURL_CA_BUNDLE", "TMPDIR")
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
TOKEN_USER = "x-token-auth"  # noqa: S105  Servers that take a token as a password accept any user name with it.
OPTIONS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.askPass=",
    "credential.helper=",
    "fetch.recurseSubmodules=false",
    "submodule.recurse=false",
    "gc.autoDetach=false",
    "maintenance.autoDetach=false",
    "protocol.version=2",
    "http.lowSpeedLimit=1000",
    f"http.lowSpeedTime={STALLED_S}",
    "advice.detachedHead=false",
)

# git is given the password only for the very server it belongs to, whatever a redirect makes of the question.
ASKPASS = """#!/bin/sh
case "$1" in
    "Username for '$WINDLASS_ASK_ORIGIN"[/\\']*) printf '%s\\n' "$WINDLASS_ASK_USERNAME" ;;
    "Password for '$WINDLASS_ASK_SCHEME"*"@$WINDLASS_ASK_HOST"[/\\']*) printf '%s\\n' "$WINDLASS_ASK_PASSWORD" ;;
    *) exit 1 ;;
esac
"""

SSH_CONFIG = """Host *
    BatchMode yes
    IdentitiesOnly yes
    IdentityAgent none
    IdentityFile {key}
    PreferredAuthentications publickey
    StrictHostKeyChecking yes
    UserKnownHostsFile {known_hosts}
    GlobalKnownHostsFile /dev/null
    UpdateHostKeys no
    ForwardAgent no
    ClearAllForwardings yes
    PermitLocalCommand no
    ProxyCommand none
    ControlMaster no
    ControlPath none
    ConnectTimeout 15
    ServerAliveInterval 15
    ServerAliveCountMax 3
"""

REFUSED_LOGIN = r"Authentication failed|HTTP Basic: Access denied|Permission denied \(|error: 401|invalid credentials"
NO_LOGIN = r"could not read (Username|Password)|terminal prompts disabled|unable to get password|error: 403"

# What git, curl and ssh write, and what it means to whoever reads a build's error. The first that matches counts.
MEANINGS = (
    (
        r"Host key verification failed|REMOTE HOST IDENTIFICATION",
        "ssh refused the server's host key: compare it with the integration's setting known_hosts.",
    ),
    (
        f"{REFUSED_LOGIN}|{NO_LOGIN}",
        "the server refused the login: check the integration's credentials.",
    ),
    (
        r"error in libcrypto|invalid format|Load key",
        "ssh cannot use the key: give the integration a private key in OpenSSH's or PEM format without a passphrase.",
    ),
    (
        r"unable to update url base from redirection|error: 30\d",
        "the server redirects elsewhere: use the address it redirects to.",
    ),
    (
        r"Repository not found|does not appear to be a git repository|does not exist|repository .* not found|"
        r"not valid: is this a git repository|"
        r"error: 404|not a git repository|not exported",
        "there is no repository at this address, or the login may not see it.",
    ),
    (
        r"Could not resolve host(name)?|Name or service not known|Temporary failure in name resolution",
        "the server's name cannot be resolved.",
    ),
    (
        r"Connection refused|No route to host|Network is unreachable|Failed to connect|timed out|"
        r"Operation too slow|Connection (reset|closed)",
        "the server does not answer.",
    ),
    (
        r"SSL certificate problem|server certificate verification failed|certificate",
        "the server's certificate is not one this machine trusts.",
    ),
    (r"No space left on device", "this machine's disk is full."),
)
MAY_PASS = re.compile(
    r"Could not resolve host|Name or service not known|Temporary failure in name resolution|Connection refused|"
    r"No route to host|Network is unreachable|Failed to connect|timed out|Operation too slow|Connection (was )?(reset|closed)|"
    r"error: (429|5\d\d)|early EOF|unexpected disconnect|hung up unexpectedly|RPC failed|Empty reply from server",
    re.I,
)


class MirrorBroken(Exception):
    """The mirror of a repository is damaged; it holds nothing that cannot be fetched again."""


def git(*arguments, follow_redirects=False):
    """Return the argv of a git command."""
    options = (*OPTIONS, f"http.followRedirects={'initial' if follow_redirects else 'false'}")
    return ["git", *(word for option in options for word in ("-c", option)), *arguments]


def base_environment(folder):
    """Return the variables of every git command; `folder` is a private one that serves as its home."""
    passed = {name: os.environ[name] for name in PASSED_VARIABLES if name in os.environ}
    return {
        **passed,
        "PATH": os.environ.get("PATH", DEFAULT_PATH),
        "LC_ALL": "C.UTF-8",
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_ALLOW_PROTOCOL": "file",
        "GIT_PROTOCOL_FROM_USER": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "SSH_ASKPASS_REQUIRE": "never",
    }


def remote_environment(address, access, folder, gate_variables, judged=None):
    """Return the variables of a git command that talks to a repository's server, writing into `folder` what it needs for that.

    access: the integration (foreign.Access); gate_variables: those that send it through the fence; judged: the IP address
    that ssh and git://, which go around it, are to use. Raises ForeignError.
    """
    allowed = "http:https" if address.protocol == "http" else address.protocol  # A redirect may only make it safer.
    variables = {**base_environment(folder), "GIT_ALLOW_PROTOCOL": allowed}
    if address.protocol == "file":
        # Repositories of other users may be read: the configuration has opened the folder they are in.
        folders = "".join(f"\tdirectory = {quoted(path)}\n" for path in (address.path, f"{address.path}/.git"))
        return {**variables, "GIT_CONFIG_GLOBAL": write(folder / "gitconfig", f"[safe]\n{folders}")}
    if address.protocol == "ssh":
        return {**variables, **ssh_variables(address, access, folder, judged)}
    if judged:
        variables["GIT_OVERRIDE_VIRTUAL_HOST"] = address.origin.partition("://")[2]
    variables |= gate_variables
    if access.settings.get("ca"):
        variables["GIT_SSL_CAINFO"] = write(folder / "ca.pem", access.settings["ca"])
    username, password = login(address, access)
    if password is None:
        return variables
    return {
        **variables,
        "GIT_ASKPASS": write(folder / "askpass", ASKPASS, 0o700),
        "WINDLASS_ASK_ORIGIN": address.origin,
        "WINDLASS_ASK_SCHEME": f"{address.protocol}://",
        "WINDLASS_ASK_HOST": address.origin.partition("://")[2],
        "WINDLASS_ASK_USERNAME": username,
        "WINDLASS_ASK_PASSWORD": password,
    }


def login(address, access):
    """Return (user name, password) for a server reached by HTTP, (None, None) when there is none."""
    if address.password is not None:
        return address.username or TOKEN_USER, address.password
    password = access.credentials.get("password") or access.credentials.get("token")
    if not password:
        return None, None
    return access.credentials.get("username") or address.username or TOKEN_USER, password


def is_own_login(address, access):
    """Say whether an integration's credentials are what a repository's server is given, and nothing of whoever named the
    repository: a wrong user name in its URL says nothing of the integration, which others use too.
    """
    if not access.credentials or address.password is not None:
        return False
    if address.protocol != "ssh" and access.credentials.get("username"):
        return True
    return address.username == (address_of(access.url).username if access.url else None)


def ssh_variables(address, access, folder, judged):
    """Return the variables that make git use a configured key and pinned host keys alone. Raises ForeignError."""
    key, known_hosts = access.credentials.get("ssh_key"), access.settings.get("known_hosts")
    if not key or not known_hosts:
        lacks = (
            "credential ssh_key (a private key)"
            if not key
            else "setting known_hosts (the server's host keys, as ssh-keyscan prints them)"
        )
        owner = (
            f"the integration '{access.name}' lacks the"
            if access.name
            else "the application's source needs an integration with the"
        )
        raise ForeignError(f"A repository is reached by SSH with a key of its own and pinned host keys; {owner} {lacks}.")
    key_file = write(folder / "key", key.replace("\r\n", "\n").rstrip("\n") + "\n")
    hosts_file = write(folder / "known_hosts", known_hosts.replace("\r\n", "\n").rstrip("\n") + "\n")
    config = write(folder / "ssh_config", SSH_CONFIG.format(key=f'"{key_file}"', known_hosts=f'"{hosts_file}"'))
    wrapper = write(folder / "ssh", f'#!/bin/sh\nexec ssh -F {shlex.quote(config)} "$@"\n', 0o700)
    if judged:  # The host keys are still those of the name.
        place = f"    HostName {judged}\n    HostKeyAlias {address.place}\n"
        with open(config, "a", encoding="utf-8") as file:
            file.write(place)
    return {"GIT_SSH": wrapper, "GIT_SSH_VARIANT": "ssh"}


def write(path, text, mode=0o600):
    """Write a private file and return its path as text."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(text)
    return str(path)


def quoted(text):
    """Return a value as git's configuration file format quotes it (git-config(1), "Syntax")."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def time_limit(remaining_s):
    """Return the seconds a git command may take when a build has `remaining_s` left."""
    return min(settings.git.timeout_s, remaining_s)


def meaning_of(tail, gate_failures=()):
    """Return what the last lines a git command wrote mean, as the end of a sentence."""
    if gate_failures:
        return gate_failures[-1]
    text = "\n".join(tail)
    for pattern, meaning in MEANINGS:
        if re.search(pattern, text, re.I):
            return meaning
    last = tail[-1] if tail else "git did not say why."
    complaint = next((line for line in tail if line.startswith(("fatal:", "error:"))), last)
    return complaint.removeprefix("fatal: ").removeprefix("error: ")


def kind_of_barrier(error):
    """Return the kind of error that a network.NetworkError is: what the fence refuses it refuses for ever."""
    return UNUSABLE if isinstance(error, egress.Refused) else UNAVAILABLE


def kind_of(tail, proxy, is_own_login):
    """Return the kind of error that the last lines a git command wrote mean: unavailable where asking again may help.

    is_own_login: whether it was given the integration's credentials, which are then what is refused.
    """
    if proxy.failures:
        return UNUSABLE if proxy.has_refused else UNAVAILABLE
    if is_own_login and re.search(REFUSED_LOGIN, "\n".join(tail), re.I):
        return REFUSED_CREDENTIALS
    if re.search(f"{REFUSED_LOGIN}|{NO_LOGIN}", "\n".join(tail), re.I):
        return NOT_PERMITTED
    return UNAVAILABLE if MAY_PASS.search("\n".join(tail)) else UNUSABLE


def is_mirror_broken(tail):
    """Say whether what git wrote means that the mirror itself, which can be made again, is damaged."""
    return bool(
        re.search(
            r"corrupt|bad config|bad object|unable to read (tree|sha1)|loose object|packfile .* (is|cannot)|bad (pack|signature)|"
            r"Unable to create '.*\.lock'|not a git repository: '|missing blob|inflate|could not parse|"
            r"did not receive expected object",
            "\n".join(tail),
            re.I,
        )
    )


def mirror_folder(key):
    """Return the bare repository that a mirror is."""
    return Path(settings.data, "git", key)
