#!/usr/bin/env python3
"""Windlass's hosts as an inventory of Ansible: ansible-playbook -i etc/ansible/inventory.py site.yml

It asks the API of Windlass at $WINDLASS_URL (http://127.0.0.1:8080 if unset) with the token in $WINDLASS_TOKEN. The host keys
that are pinned there are written to a known_hosts file of its own, in $XDG_CACHE_HOME/windlass (else ~/.cache/windlass), and
Ansible's ssh is told to accept no others: a host without a pinned key is refused. Which private key opens the hosts is said
to Ansible as usual, with --private-key or an agent.
"""

import argparse
import hashlib
import json
import os
import pathlib
import shlex
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request

DEFAULT_URL = "http://127.0.0.1:8080"
TIMEOUT_S = 30
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the token is for one server alone."""

    def redirect_request(self, *_):
        """Let the redirect be an error."""


def fail(message):
    """End with a message on stderr; Ansible shows it."""
    sys.exit(f"windlass inventory: {message}")


def server():
    """Return (address, token) from the environment."""
    url = (os.environ.get("WINDLASS_URL") or DEFAULT_URL).strip().rstrip("/").removesuffix("/api/v1").rstrip("/")
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        fail("WINDLASS_URL is not the address of a server; set it as in WINDLASS_URL=https://windlass.example.org")
    token = (os.environ.get("WINDLASS_TOKEN") or "").strip()
    if not token:
        fail("set WINDLASS_TOKEN to a token of Windlass")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        print("windlass inventory: the token is sent over http and can be read on the way; use https", file=sys.stderr)
    return url, token


def ask(url, token, host=None):
    """Return the JSON object that Windlass answers: the inventory, or the variables of one host."""
    query = "?" + urllib.parse.urlencode({"host": host}) if host is not None else ""
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    request = urllib.request.Request(f"{url}/api/v1/inventory/ansible{query}", headers=headers)  # noqa: S310  (server() checks it)
    try:
        with urllib.request.build_opener(NoRedirects).open(request, timeout=TIMEOUT_S) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        fail(f"{url} answered {error.code}: {reason_of(error)}")
    except (OSError, ValueError) as error:
        fail(f"{url} gave no inventory: {error}; is WINDLASS_URL right?")


def reason_of(error):
    """Return what a problem's answer says, in one line."""
    try:
        return str(json.load(error)["detail"])
    except (OSError, ValueError, KeyError, TypeError):
        return error.reason


def known_hosts_path(url):
    """Return where the pinned keys of a server's hosts are kept, in a folder that only this user can enter."""
    home = os.environ.get("XDG_CACHE_HOME") or ""
    base = pathlib.Path(home) if os.path.isabs(home) else pathlib.Path.home() / ".cache"
    folder = base / "windlass"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder / f"known_hosts-{hashlib.sha256(url.encode()).hexdigest()[:12]}"


def write_keys(path, variables):
    """Write the pinned keys in one step, each under its host's name in Windlass: addresses may be shared or change."""
    lines = [f"{name} {of['windlass_host_key']}\n" for name, of in sorted(variables.items()) if of["windlass_host_key"]]
    descriptor, made = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.writelines(lines)
    os.replace(made, path)


def pinned(name, variables, path):
    """Return a host's variables, with what makes ssh accept its pinned key and no other."""
    if variables.get("ansible_connection") == "local":
        return variables
    options = {
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": f'"{path}"',
        "GlobalKnownHostsFile": "/dev/null",
        "HostKeyAlias": name,
        "CheckHostIP": "no",
    }
    words = [word for option, value in options.items() for word in ("-o", f"{option}={value}")]
    return {**variables, "ansible_ssh_common_args": shlex.join(words)}


def main():
    """Print what Ansible asked for as JSON."""
    parser = argparse.ArgumentParser(description="Windlass's hosts as an inventory of Ansible.")
    wanted = parser.add_mutually_exclusive_group(required=True)
    wanted.add_argument("--list", action="store_true", help="all groups and hosts")
    wanted.add_argument("--host", metavar="NAME", help="the variables of one host")
    arguments = parser.parse_args()
    url, token = server()
    path = known_hosts_path(url)
    if arguments.host is not None:
        answer = pinned(arguments.host, ask(url, token, arguments.host), path)
    else:
        answer = ask(url, token)
        variables = answer["_meta"]["hostvars"]
        write_keys(path, variables)
        answer["_meta"]["hostvars"] = {name: pinned(name, of, path) for name, of in variables.items()}
    json.dump(answer, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
