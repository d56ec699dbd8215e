"""A bare Debian host: a throwaway copy of this machine with an sshd of its own, in which nothing was made ready for deploys.

It is an overlay over / in a mount namespace of its own, so that users, packages, folders and configuration can really be
made there while the machine stays as it is. python3 is not installed; apt finds it in a repository on the host's own disk.
"""

import contextlib
import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

from . import texts
from .fleet import claim_network
from .host import Host, nginx_user, root_is_locked
from .keeper import Keeper, NotAvailable, await_process, find_program, is_listening

SHOP = "/opt/packages"
INSTALLED = ("ca-certificates", "nginx", "openssh-server", "sudo", "supervisor")  # As far as the host's dpkg knows.
# $1 is the host's folder; what is done then is done in the copy. Nothing is fetched: the only packages are those in SHOP.
IN_A_COPY = f"""\
set -e
cd "$1"
mount -t tmpfs -o mode=0755 none copy
mkdir copy/upper copy/work copy/root
mount -t overlay overlay -o lowerdir=/,upperdir=copy/upper,workdir=copy/work copy/root
cd copy/root
mount --rbind /dev dev
mount -t proc proc proc
mount -t tmpfs -o mode=0755 none run
mkdir run/lock run/sshd
rm -rf etc/windlass srv/windlass etc/sudoers.d/windlass root/.ssh etc/nginx/sites-enabled/* usr/bin/python3
rm -rf etc/apt/sources.list.d/* etc/apt/sources.list var/lib/apt/lists/*
echo 'deb [trusted=yes] file:{SHOP} ./' > etc/apt/sources.list
cp -r "$1/shop" .{SHOP}
awk -v RS= -v ORS='\\n\\n' '$2 ~ /^({"|".join(INSTALLED)})$/' var/lib/dpkg/status | grep -v Depends: > status
mv status var/lib/dpkg/status
mkdir -m 0700 root/.ssh
"$1/change"
exec chroot . /usr/sbin/sshd -D -e -f "$1/ssh/sshd_config"
"""


class BareHost(Host):
    """A bare host. `change` is shell that changes its files before it starts, in the folder that is its /."""

    def __init__(self, keeper, folder, name, address, change=""):
        super().__init__(keeper, folder, name, address, python="python3")
        self.change = change

    def prepare(self):
        """Write what its sshd needs, and its packages."""
        for name in ("log", "ssh", "copy", "shop"):
            (self.folder / name).mkdir(parents=True)
        self.make_host_key()
        self.write("ssh/sshd_config", sshd_config(self.folder, self.address, self.port))
        self.write_script("change", f"#!/bin/sh\nset -e\n{self.change}\n")
        self.make_package("python3", installed_version("python3"), {"usr/bin/python3": "python3.11"})

    def make_package(self, name, version, links):
        """Put a package into the host's repository that holds nothing but links {path: where to}."""
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder, "root")
            control = f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: Test <test@example.com>\n"
            for path, where in links.items():
                (root / path).parent.mkdir(parents=True)
                (root / path).symlink_to(where)
            (root / "DEBIAN").mkdir(parents=True)
            (root / "DEBIAN" / "control").write_text(f"{control}Description: {name} for tests\n")
            root.chmod(0o755)
            made = self.folder / "shop" / f"{name}.deb"
            subprocess.run(["dpkg-deb", "--build", "-Znone", root, made], check=True, capture_output=True)
        digest = hashlib.sha256(made.read_bytes()).hexdigest()
        where = f"Filename: ./{made.name}\nSize: {made.stat().st_size}\nSHA256: {digest}\n"
        entry = f"{control}{where}Description: {name} for tests\n\n"
        with open(self.folder / "shop" / "Packages", "a") as file:
            file.write(entry)

    def start(self):
        """Prepare it and start its sshd; returns when that answers."""
        self.prepare()
        argv = ["unshare", "--mount", "sh", "-c", IN_A_COPY, "copy", self.folder]
        self.sshd = self.keeper.start(argv, self.folder / "log" / "sshd.log")
        await_process(self.sshd, lambda: is_listening((self.address, self.port)), timeout_s=60)

    @property
    def disk(self):
        """The host's / as this machine sees it, for as long as its sshd runs."""
        return Path(f"/proc/{self.sshd.pid}/root")

    def path(self, name):
        """Return where this machine sees a file of the host."""
        return self.disk / name.lstrip("/")

    def authorize(self, public_key, user="root"):
        """Let a public key log in as root, as whoever set the machine up would."""
        assert user == "root"
        with open(self.path("/root/.ssh/authorized_keys"), "a") as keys:
            keys.write(public_key.strip() + "\n")

    def inside(self, *argv):
        """Return the argv that runs a command on the host as root."""
        return ["nsenter", "--target", str(self.sshd.pid), "--mount", "--root", "--wd=/", "--", *argv]

    def run(self, *argv):
        """Run a command on the host as root; returns what it wrote."""
        done = subprocess.run(self.inside(*argv), capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return done.stdout

    def start_services(self, user):
        """Start what a host's init would: nginx, and the supervisord of `user`."""
        self.run("install", "-d", "-o", user, "/run/windlass", "/var/log/windlass")
        supervisord = self.inside(
            "setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups",
            "/usr/bin/supervisord", "-n", "-c", "/etc/windlass/supervisord.conf",
        )  # fmt: skip
        nginx = self.inside("/usr/sbin/nginx", "-g", "daemon off;")
        self.supervisord = self.keeper.start(supervisord, self.folder / "log" / "supervisord.out")
        self.nginx = self.keeper.start(nginx, self.folder / "log" / "nginx.out")
        await_process(self.supervisord, self.path("/run/windlass/supervisor.sock").exists, timeout_s=60)
        await_process(self.nginx, lambda: self.path("/run/nginx.pid").exists(), timeout_s=60)


def installed_version(package):
    """Return the version of a package on this machine."""
    argv = ["dpkg-query", "-W", "-f", "${Version}", package]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def sshd_config(folder, address, port):
    """Return sshd_config(5) as on a fresh Debian: keys of each user's own, and sftp."""
    plain = texts.sshd_config(folder, address, port, root_is_locked())
    ours = ("ForceCommand", "AuthorizedKeysFile", "SetEnv")
    kept = [line for line in plain.splitlines() if not line.startswith(ours)]
    return "\n".join([*kept, "Subsystem sftp /usr/lib/openssh/sftp-server", ""])


@contextlib.contextmanager
def bare_host(change=""):
    """Run a bare host for the length of a block. Raises NotAvailable without root, the right to mount, or a Debian with nginx."""
    may_mount = nginx_user() and not subprocess.call(["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"])
    if not may_mount:
        raise NotAvailable("root and the right to mount, for a throwaway copy of this machine")
    for program in ("apt-get", "supervisord", "nginx", "visudo", "sudo", "setpriv"):
        find_program(program)
    with Keeper() as keeper, tempfile.TemporaryDirectory(prefix="wl-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        network = claim_network(keeper)
        host = BareHost(keeper, Path(folder, "h1"), f"bare-{network}-{os.urandom(3).hex()}", f"127.0.{network}.1", change)
        host.start()
        yield host
