"""Encrypt what must be kept secret in the database, with a key that lives beside it in a file of its own.

Fernet (AES-128-CBC with HMAC-SHA256, from `cryptography`) seals and proves; the key file is made on first use.
"""

import functools
import hmac
import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from config import settings


class SecretBoxError(Exception):
    """A secret cannot be sealed or opened; the message says what to do."""


class Secret:
    """A text that shows itself only when asked to: `reveal()`. Not a str, so that no encoder or format writes it out."""

    __slots__ = ("_text",)

    def __init__(self, text):
        self._text = text

    def reveal(self):
        """Return the text itself."""
        return self._text

    def __repr__(self):
        return "Secret(•••)"

    __str__ = __repr__

    def __eq__(self, other):
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self):
        return hash(self._text)

    def __bool__(self):
        return bool(self._text)


def read_or_make_key(path):
    """Return the key in a file, which is made (mode 0600) if it is not there yet; safe between processes."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = path.with_name(f"{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    if not path.exists():
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(Fernet.generate_key() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            os.link(aside, path)  # Unlike a rename, a link never replaces the key another process has just made.
        except FileExistsError:
            pass  # The other process was quicker; its key is the one to use.
        finally:
            aside.unlink()
    return path.read_bytes().strip()


@functools.lru_cache(maxsize=8)
def box_of(key_file):
    """Return the box whose key is in `key_file`; raises SecretBoxError when the file cannot be used."""
    try:
        return Fernet(read_or_make_key(Path(key_file)))
    except OSError as error:
        raise SecretBoxError(f"secret.key_file {key_file} cannot be read or made: {error.strerror}.") from error
    except ValueError:
        raise SecretBoxError(f"secret.key_file {key_file} does not hold a key; restore it from a backup.") from None


def seal(text):
    """Return a text encrypted with the key of this installation, as ASCII text."""
    return box_of(settings.secret.key_file).encrypt(text.encode()).decode()


def open_sealed(token):
    """Return the text that `seal` encrypted; raises SecretBoxError when it was changed or sealed with another key."""
    try:
        return box_of(settings.secret.key_file).decrypt(token.encode()).decode()
    except InvalidToken:
        raise SecretBoxError(
            f"a stored secret cannot be opened with the key in {settings.secret.key_file}: put back the key it was "
            "sealed with, or enter the secret again."
        ) from None


def derived_key(purpose):
    """Return 32 bytes that are a key for one purpose alone, derived from this installation's key (HMAC-SHA256)."""
    box_of(settings.secret.key_file)  # Makes the file on first use and refuses one that holds no key.
    return hmac.digest(read_or_make_key(Path(settings.secret.key_file)), f"windlass {purpose}".encode(), "sha256")
