"""Public host keys as OpenSSH writes them: "ssh-ed25519 AAAA… comment"."""

import base64
import hashlib

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")


def normalised(line):
    """Return a public key as "type base64", without its comment; raises ValueError saying what is wrong with it.

    A line of known_hosts or of ssh-keyscan begins with the host's name; that is left out here as well.
    """
    words = line.split()
    start = 0 if words and words[0] in TYPES else 1
    kind, blob = [*words[start : start + 2], "", ""][:2]
    if "\n" in line.strip() or kind not in TYPES:
        raise ValueError(f'Use one line such as "ssh-ed25519 AAAA…"; known types are {", ".join(TYPES)}.')
    try:
        load_ssh_public_key(f"{kind} {blob}".encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(
            "This is not a whole public key: copy the line from ssh-keyscan or from /etc/ssh/ssh_host_ed25519_key.pub."
        ) from None
    return f"{kind} {blob}"


def fingerprint(line):
    """Return the fingerprint of a normalised key as `ssh-keygen -l` prints it, and None for None."""
    if line is None:
        return None
    digest = hashlib.sha256(base64.b64decode(line.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
