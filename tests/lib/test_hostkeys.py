"""Public host keys are compared with what OpenSSH itself says of them."""

import subprocess

import pytest

import hostkeys


@pytest.fixture(
    scope="module",
    params=[["ed25519"], ["ecdsa", "-b", "256"], ["ecdsa", "-b", "521"], ["rsa", "-b", "2048"]],
    ids="-".join,
)
def key(request, tmp_path_factory):
    """A public key file made by ssh-keygen."""
    path = tmp_path_factory.mktemp("key") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", *request.param, "-N", "", "-C", "a comment", "-f", str(path)], check=True)
    return path.with_suffix(".pub")


def test_the_fingerprint_is_the_one_ssh_keygen_prints(key):
    printed = subprocess.run(["ssh-keygen", "-l", "-f", str(key)], check=True, capture_output=True, text=True).stdout.split()[1]
    assert hostkeys.fingerprint(hostkeys.normalised(key.read_text())) == printed


def test_comments_and_host_names_are_dropped(key):
    kind, blob = key.read_text().split()[:2]
    for line in (f"{kind} {blob} a comment", f"10.0.0.5 {kind} {blob}\n", f"  [10.0.0.5]:2222   {kind}\t{blob}"):
        assert hostkeys.normalised(line) == f"{kind} {blob}"


def test_half_a_key_is_refused(key):
    kind, blob = key.read_text().split()[:2]
    for line in (
        f"{kind} {blob[:-8]}",
        f"{kind} {blob[4:]}",
        f"{kind}",
        f"{kind} !!!",
        f"{kind} {blob}\n{kind} {blob}",
    ):
        with pytest.raises(ValueError, match="line"):
            hostkeys.normalised(line)


def test_a_key_of_another_type_than_it_says_is_refused(key):
    kind, blob = key.read_text().split()[:2]
    other = next(name for name in hostkeys.TYPES if name != kind)
    with pytest.raises(ValueError):
        hostkeys.normalised(f"{other} {blob}")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "x",
        "SHA256:abc",
        "ssh-dss AAAAB3NzaC1kc3MAAACBAA==",
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "ssh-ed25519-cert-v01@openssh.com AAAA",
    ],
)
def test_what_is_no_host_key_is_refused(line):
    with pytest.raises(ValueError):
        hostkeys.normalised(line)


def test_no_key_has_no_fingerprint():
    assert hostkeys.fingerprint(None) is None
