"""One host of the fleet: real sshd, supervisord and nginx on an address of its own, with ways to break each of them."""

import base64
import contextlib
import errno
import hashlib
import http.client
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import supervisor

from . import texts
from .keeper import FleetError, NotAvailable, await_process, find_program, free_port, is_listening
from .reaper import descendants, processes, send

BALLAST = ".ballast"


class Host:
    """A host; `Fleet` makes them. Everything it has is under `folder`, applications are deployed under `root`."""

    def __init__(self, keeper, folder, name, address, python=None):
        self.keeper, self.name, self.address = keeper, name, address
        self.folder = Path(folder)
        self.root = self.folder / "srv"
        self.user = pwd.getpwuid(os.getuid()).pw_name
        self.port = free_port(address)
        self.nginx_port = free_port(address)
        self.python = python or host_python()
        self.sshd = self.nginx = self.supervisord = None
        self._orphans = {}

    # What a controller has to know about it.

    @property
    def settings(self):
        """The host's settings as the API takes them."""
        return {
            "python": self.python,
            "nginx": {
                "sites": str(self.folder / "nginx" / "sites"),
                "command": self.nginx_command,
                "listen": f"{self.address}:{self.nginx_port}",
            },
            "supervisor": {
                "programs": str(self.folder / "supervisor" / "programs"),
                "command": self.supervisor_command,
            },
        }

    @property
    def nginx_command(self):
        """The argv that -t and -s reload are appended to."""
        conf = self.folder / "nginx" / "nginx.conf"
        return [
            find_program("nginx"),
            "-p",
            f"{self.folder}/nginx",
            "-e",
            f"{self.folder}/log/nginx-error.log",
            "-c",
            str(conf),
        ]

    @property
    def supervisor_command(self):
        """The argv of supervisorctl."""
        return [str(self.folder / "bin" / "supervisorctl"), "-c", str(self.folder / "supervisor" / "supervisord.conf")]

    def puppet_command(self):
        """Return the argv of a puppet that is this host's alone."""
        self.write_script("bin/puppet", texts.puppet_script(self.folder))
        return [str(self.folder / "bin" / "puppet")]

    @property
    def url(self):
        """Where its nginx listens once a site is there."""
        return f"http://{self.address}:{self.nginx_port}"

    @property
    def host_key(self):
        """The public host key: type and base64, as in known_hosts."""
        return " ".join((self.folder / "ssh" / "host_ed25519.pub").read_text().split()[:2])

    @property
    def fingerprint(self):
        """The host key's fingerprint as `ssh-keygen -l` prints it."""
        digest = hashlib.sha256(base64.b64decode(self.host_key.split()[1])).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    def api_payload(self, **changes):
        """Return the body of POST /hosts that registers this host, with `changes` to it."""
        return {
            "name": self.name,
            "address": self.address,
            "port": self.port,
            "user": self.user,
            "transport": "ssh",
            "root": str(self.root),
            "settings": self.settings,
            **changes,
        }

    def without_python(self):
        """Return settings that name an interpreter the host does not have."""
        return {**self.settings, "python": str(self.folder / "bin" / "python-that-is-not-there")}

    def without_nginx(self):
        """Return settings that name an nginx the host does not have."""
        command = [str(self.folder / "bin" / "nginx-that-is-not-there")]
        return {**self.settings, "nginx": {**self.settings["nginx"], "command": command}}

    def without_supervisor(self):
        """Return settings that name a supervisorctl the host does not have."""
        command = [str(self.folder / "bin" / "supervisorctl-that-is-not-there")]
        return {**self.settings, "supervisor": {**self.settings["supervisor"], "command": command}}

    # Life.

    def prepare(self):
        """Write everything the daemons need."""
        for name in ("bin", "log", "ssh", "nginx/sites", "supervisor/programs", "srv", "tmp"):
            (self.folder / name).mkdir(parents=True)
        self.make_host_key()
        vendor = Path(supervisor.__file__).parent.parent
        self.write("ssh/authorized_keys", "")
        self.write("ssh/sshd_config", texts.sshd_config(self.folder, self.address, self.port, root_is_locked()))
        self.write("nginx/nginx.conf", texts.nginx_config(self.folder, nginx_user()))
        self.write("supervisor/supervisord.conf", texts.supervisord_config(self.folder, self.name))
        self.write_script("bin/session", texts.session_script(self.folder))
        for program in ("supervisord", "supervisorctl"):
            self.write_script(f"bin/{program}", texts.supervisor_script(sys.executable, vendor, program))

    def start(self):
        """Prepare it and start all its daemons; returns when they answer."""
        self.prepare()
        starting = [self._launch_sshd(), self._launch_supervisord(), self._launch_nginx()]
        for process, is_ready in starting:
            await_process(process, is_ready)

    def write(self, name, text):
        """Write a file below the host's folder."""
        (self.folder / name).write_text(text)

    def write_script(self, name, text):
        """Write an executable file below the host's folder."""
        self.write(name, text)
        (self.folder / name).chmod(0o755)

    # sshd.

    def start_sshd(self):
        """Start sshd and wait until it accepts connections."""
        await_process(*self._launch_sshd())

    def _launch_sshd(self):
        if os.getuid() == 0:
            # sshd(8) as root insists on it; Debian makes it at boot.
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        argv = [find_program("sshd"), "-D", "-e", "-f", self.folder / "ssh" / "sshd_config"]
        self.sshd = self.keeper.start(argv, self.folder / "log" / "sshd.log")
        return self.sshd, lambda: is_listening((self.address, self.port))

    def stop_sshd(self, sessions=True):
        """Stop sshd: nobody can connect any more. With `sessions`, those connected are cut off too."""
        if sessions:
            self.cut_connections()
        self.sshd.stop(tree=False)

    def connections(self):
        """Return the process ids of sshd's that serve a connection."""
        return [pid for pid in descendants(self.sshd.pid) if executable_of(pid).endswith("/sshd")]

    def cut_connections(self):
        """Cut all SSH connections without a word, as a network does; what they ran keeps running. Returns how many processes."""
        return len([send(pid, signal.SIGKILL) for pid in self.connections()])

    @contextlib.contextmanager
    def silence(self):
        """Let SSH hang for the time of the `with` block: connections stay open, nothing is answered."""
        silent = [self.sshd.pid, *self.connections()]
        for pid in silent:
            send(pid, signal.SIGSTOP)
        try:
            yield self
        finally:
            for pid in silent:
                send(pid, signal.SIGCONT)

    def make_host_key(self):
        """Make a new host key."""
        path = self.folder / "ssh" / "host_ed25519"
        for old in (path, path.with_suffix(".pub")):
            old.unlink(missing_ok=True)
        subprocess.run(
            [find_program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", self.name, "-f", str(path)], check=True
        )

    def rotate_host_key(self):
        """Change the host key, as a reinstalled machine or an attacker would have another."""
        self.stop_sshd()
        self.make_host_key()
        self.start_sshd()

    def authorize(self, public_key):
        """Let a public key (one line) log in."""
        with open(self.folder / "ssh" / "authorized_keys", "a") as keys:
            keys.write(public_key.strip() + "\n")

    def ssh_argv(self, key_file):
        """Return the argv of OpenSSH's client for this host, its key pinned; a command is to be appended."""
        known_hosts = self.folder / "ssh" / "known_hosts"
        known_hosts.write_text(f"[{self.address}]:{self.port} {self.host_key}\n")
        options = {
            "IdentitiesOnly": "yes",
            "BatchMode": "yes",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": known_hosts,
            "GlobalKnownHostsFile": "/dev/null",
        }
        return [
            find_program("ssh"),
            "-F",
            "none",
            "-i",
            str(key_file),
            "-p",
            str(self.port),
            "-l",
            self.user,
            *[word for name, value in options.items() for word in ("-o", f"{name}={value}")],
            self.address,
        ]

    # supervisord and its programs.

    def start_supervisord(self):
        """Start supervisord; programs that an earlier one left running end first, as systemd would have it."""
        for pid, born in self._orphans.items():
            if processes().get(pid, (0, 0))[1] == born:
                send(pid, signal.SIGKILL)
        self._orphans = {}
        await_process(*self._launch_supervisord())

    def _launch_supervisord(self):
        path = self.folder / "supervisor" / "supervisor.sock"
        argv = [self.folder / "bin" / "supervisord", "-n", "-c", self.folder / "supervisor" / "supervisord.conf"]
        self.supervisord = self.keeper.start(argv, self.folder / "log" / "supervisord.out")
        return self.supervisord, lambda: path.exists() and is_listening(str(path))

    def stop_supervisord(self, programs=True):
        """Stop supervisord; without `programs` it is killed and what it ran goes on running."""
        if programs:
            return self.supervisord.stop(signal.SIGTERM)
        self._orphans.update(self.programs())
        return self.supervisord.stop(signal.SIGKILL, tree=False)

    def programs(self):
        """Return {pid: start time} of everything that runs below supervisord."""
        return descendants(self.supervisord.pid)

    def supervisorctl(self, *arguments):
        """Run supervisorctl; returns the subprocess.CompletedProcess with text."""
        return subprocess.run([*self.supervisor_command, *arguments], capture_output=True, text=True, timeout=60)

    # nginx.

    def start_nginx(self):
        """Start nginx and wait until it answers."""
        await_process(*self._launch_nginx())

    def _launch_nginx(self):
        path = self.folder / "nginx" / "alive.sock"
        path.unlink(missing_ok=True)
        self.nginx = self.keeper.start(self.nginx_command, self.folder / "log" / "nginx.out")
        return self.nginx, lambda: path.exists() and is_listening(str(path))

    def stop_nginx(self):
        """Stop nginx at once."""
        self.nginx.stop()

    def nginx_status(self):
        """Return the status with which nginx itself answers: 204. Raises OSError when it does not."""
        with contextlib.closing(http.client.HTTPConnection("localhost", timeout=60)) as connection:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(str(self.folder / "nginx" / "alive.sock"))
            connection.request("GET", "/")
            return connection.getresponse().status

    def get(self, path="/", server_name=None):
        """Ask the host's nginx for a page; returns (status, body as text). Raises OSError when nobody answers."""
        with contextlib.closing(http.client.HTTPConnection(self.address, self.nginx_port, timeout=60)) as connection:
            connection.request("GET", path, headers={"Host": server_name} if server_name else {})
            response = connection.getresponse()
            return response.status, response.read().decode(errors="replace")

    # Its disk.

    @contextlib.contextmanager
    def small_disk(self, megabytes):
        """Put the host's root on a file system of that size for the time of the `with` block; root only.

        What was deployed before is hidden meanwhile.
        """
        if os.getuid() != 0:
            raise NotAvailable("root, to mount a small file system")
        mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "windlass-test", str(self.root)]
        done = subprocess.run(mount, capture_output=True, text=True)
        if done.returncode:
            raise NotAvailable(f"the right to mount a file system: {done.stderr.strip()}")
        try:
            yield self
        finally:
            subprocess.run(["umount", "-l", str(self.root)], check=True)

    def fill_disk(self, leave_bytes=0):
        """Fill what is left of the host's root, except `leave_bytes`. Only a `small_disk` is filled."""
        if not os.path.ismount(self.root):
            raise FleetError("only a small_disk() is filled, never the machine's own")
        with open(self.root / BALLAST, "wb") as ballast:
            while True:
                free = shutil.disk_usage(self.root).free - leave_bytes
                try:
                    return os.posix_fallocate(ballast.fileno(), 0, max(free, 1))
                except OSError as error:  # Somebody else wrote something meanwhile.
                    if error.errno != errno.ENOSPC or free < 1:
                        raise

    def free_disk(self):
        """Take away what fill_disk put there."""
        (self.root / BALLAST).unlink(missing_ok=True)


def host_python():
    """Return the interpreter of hosts: the system's, as on a real machine, else the one running this."""
    system = "/usr/bin/python3"
    return system if os.access(system, os.X_OK) else os.path.realpath(sys.executable)


def nginx_user():
    """Return whom nginx's workers run as when it is started by root: not root, as on a real machine."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("www-data", "nginx", "nobody") if name in names), None)


def root_is_locked():
    """Whether sshd without PAM would refuse root, whose password is locked on some images."""
    if os.getuid() != 0:
        return False
    lines = Path("/etc/shadow").read_text().splitlines()
    return any(line.startswith("root:!") for line in lines)


def executable_of(pid):
    """Return the path of what a process runs, "" when it is gone."""
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return ""
