"""An authority and a server's certificate for 127.0.0.1, made for one run."""

import datetime
import ipaddress
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Certificates:
    """The authority's certificate as PEM text, and the files of the server's certificate and key."""

    authority: str
    chain: str
    key: str


def authority_and_server(folder):
    """Make both below a folder."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name, name = named("Test authority"), named("127.0.0.1")
    ca = signed(ca_name, ca_name, ca_key, ca_key, x509.BasicConstraints(ca=True, path_length=0))
    place = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    server = signed(name, ca_name, key, ca_key, place)
    pem = serialization.Encoding.PEM
    (folder / "server.pem").write_bytes(server.public_bytes(pem))
    (folder / "server.key").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return Certificates(ca.public_bytes(pem).decode(), str(folder / "server.pem"), str(folder / "server.key"))


def named(text):
    """Return a certificate's name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def signed(name, issuer, key, issuer_key, extension):
    """Return a certificate that is good for a day."""
    at = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - datetime.timedelta(hours=1))
        .not_valid_after(at + datetime.timedelta(days=1))
        .add_extension(extension, critical=False)
    )
    return builder.sign(issuer_key, hashes.SHA256())
