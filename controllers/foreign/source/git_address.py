"""Check the address of a git repository as people write it, so that git can take it for nothing but an address."""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from config import settings
from controllers.foreign import ForeignError
from egress import DEFAULT_PORTS

SCHEMES = ("https", "http", "ssh", "git")
# user@host:path, git's short form of an SSH address. A path that begins with a digit and a slash would be a port's.
SSH_SHORT = re.compile(r"(?:([A-Za-z0-9_][A-Za-z0-9_.-]*)@)?([A-Za-z0-9][A-Za-z0-9.-]*):(?!//)([^\s:-][^\s]*)")
RELATIVE = re.compile(r"[A-Za-z0-9_~][A-Za-z0-9_.~-]*(/[A-Za-z0-9_~][A-Za-z0-9_.~-]*)*")
HELPER = re.compile(r"[A-Za-z0-9+.-]*::")  # A program of this name would carry the transfer out (gitremote-helpers(7)).
UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")
USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Address:
    """A repository's place: `url` as git is given it (no password), `protocol` as GIT_ALLOW_PROTOCOL names it."""

    url: str
    protocol: str
    host: str | None = None
    port: int | None = None
    path: str = ""
    username: str | None = None
    password: str | None = None

    @property
    def origin(self):
        """The beginning that all URLs of the same server share, without user name and path."""
        host = f"[{self.host}]" if self.host and ":" in self.host else self.host
        return f"{self.protocol}://{host}{f':{self.port}' if self.port else ''}"

    @property
    def place(self):
        """The host as files of host keys name it: with its port where that is not the usual one (sshd(8))."""
        return f"[{self.host}]:{self.port}" if self.port not in (None, DEFAULT_PORTS["ssh"]) else self.host

    def url_at(self, judged):
        """Return the URL with which git goes to an IP address; ssh is told it otherwise, and None leaves the URL as it is."""
        if judged is None or self.protocol != "git":
            return self.url
        host = f"[{judged}]" if ":" in judged else judged
        return f"git://{host}{f':{self.port}' if self.port else ''}{self.path}"

    def key(self, integration_name):
        """Return the name of the mirror; what was fetched with somebody's credentials is nobody else's."""
        return hashlib.sha256(f"{self.url}\n{integration_name or ''}".encode()).hexdigest()

    def is_below(self, base):
        """Say whether this repository is on the server and below the path of another address."""
        same_server = (self.protocol, self.host, self.port) == (base.protocol, base.host, base.port)
        folder = base.path.strip("/")
        return same_server and (not folder or f"{self.path.strip('/')}/".startswith(f"{folder}/"))


def address_of(repository, base_url=None):
    """Return the Address of a repository: a URL, user@host:path, an absolute path, or a path below `base_url`.

    Raises ForeignError for anything that git could take for an option, a program or a folder that is not open to it.
    """
    text = repository.strip()
    if not text or len(text) > 1000 or UNPRINTABLE.search(text) or text.startswith("-") or HELPER.match(text):
        raise ForeignError("A repository is named by its URL, such as https://git.example.net/team/shop.git, without spaces.")
    if "://" in text:
        return from_url(text)
    if text.startswith("/"):
        return local(text)
    if base_url and RELATIVE.fullmatch(text) and ".." not in text.split("/"):
        joined = f"{base_url.rstrip('/')}/{text}"
        return address_of(joined)
    short = SSH_SHORT.fullmatch(text)
    if short:
        user, host, path = short.groups()
        return Address(url=text, protocol="ssh", host=host.lower(), path=path, username=user)
    raise ForeignError(
        f"'{text[:100]}' is no repository: give a URL, user@host:path, an absolute path, "
        "or a path below the URL of an integration."
    )


def from_url(text):
    """Return the Address of a URL."""
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ForeignError("The repository's URL names no host.") from None
    if parts.scheme == "file":
        if parts.netloc:
            raise ForeignError("A file:// URL names a folder of this machine: write file:///path/to/repository.")
        return local(unquote(parts.path))
    if parts.scheme not in SCHEMES:
        raise ForeignError(
            f"'{parts.scheme}' is no way to reach a repository that Windlass uses: it takes {', '.join(SCHEMES)} and file."
        )
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    username = unquote(parts.username) if parts.username else None
    if not host or not re.match(r"[A-Za-z0-9\[:]", host) or parts.netloc.count("@") > 1:
        raise ForeignError("The repository's URL names no host.")
    if username and parts.scheme == "ssh" and not USER.fullmatch(username):
        raise ForeignError("The user name in the repository's URL holds characters that no user name has.")
    netloc = parts.netloc.rpartition("@")[2]
    if username and parts.scheme == "ssh":
        netloc = f"{username}@{netloc}"
    return Address(
        url=urlunsplit((parts.scheme, netloc, parts.path, "", "")),
        protocol=parts.scheme,
        host=host,
        port=port,
        path=parts.path,
        username=username,
        password=unquote(parts.password) if parts.password else None,
    )


def local(text):
    """Return the Address of a folder of this machine, which must be below one of the setting git.local_paths."""
    path = os.path.realpath(text)
    allowed = [os.path.realpath(folder) for folder in settings.git.local_paths]
    if not any(path == folder or path.startswith(f"{folder.rstrip('/')}/") for folder in allowed):
        raise ForeignError(
            f"Repositories may not be read from {text}: the setting git.local_paths names the folders that are open to Windlass."
        )
    if not Path(path).is_dir():
        raise ForeignError(f"There is no repository at {text}.")
    return Address(url=path, protocol="file", path=path)
