"""Zones' SSH keys: only workers that serve a zone hold its private key; everybody may read the public one."""

import os

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from config import data_path, settings
from controllers.errors import Unavailable


def key_file(zone_name):
    """Return the path of a zone's private key: the configured one, or <data>/ssh/<zone>.key, made on first use."""
    if settings.ssh.key_file:
        return settings.ssh.key_file
    path = data_path("ssh", f"{zone_name}.key")
    if not path.exists():
        _write_new_key(path)
    return str(path)


def _write_new_key(path):
    """Write a new ed25519 key in OpenSSH's format, whole or not at all; the first of two writers wins."""
    text = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    aside = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(aside, path)
    except FileExistsError:
        pass  # Another process was quicker; its key is the zone's.
    finally:
        os.unlink(aside)


def public_key(zone_name):
    """Return the zone's public key as a line for authorized_keys."""
    path = key_file(zone_name)
    try:
        with open(path, "rb") as file:
            private = load_ssh_private_key(file.read(), password=None)
    except (OSError, ValueError) as error:
        raise Unavailable(
            f"The SSH key of zone {zone_name} cannot be used ({error}); see the setting ssh.key_file.",
            code="zone-key-unusable",
        ) from None
    line = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return f"{line} windlass-{zone_name}"


def prepare(zone):
    """Write a zone's public key into its row, so that people can read it and hosts can be given it."""
    zone.public_key = public_key(zone.name)
    zone.save(only=["public_key"])
