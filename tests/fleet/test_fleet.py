"""The fleet's hosts are real, break on request and leave nothing behind."""

import errno
import os
import select
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from . import Fleet, FleetError
from .fixtures import skipped_if_unavailable
from .keeper import PROGRAMS, find_program, is_listening, is_running
from .reaper import descendants

ROOT = Path(__file__).resolve().parents[2]
SITE = "server {{ listen {listen}; location / {{ return 200 'version {version}'; }} }}\n"
PROGRAM = """\
[program:app]
command=/bin/sh -c "env > {folder}/app.env; sleep 1000 & exec sleep 1000"
autorestart=true
startsecs=0
stopasgroup=true
"""
# What a test runs in a process of its own, to kill it: starts a fleet, tells what runs and waits for its end.
OWNER = """\
import sys
sys.path[:0] = [{root!r}, {vendor!r}]
from tests.fleet import Fleet
from tests.fleet.reaper import descendants
with Fleet(size=1) as fleet:
    print(fleet.keeper.pid, fleet.directory, *descendants(fleet.keeper.pid), flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def key_file(tmp_path_factory):
    """A private key that the hosts of this module may know."""
    path = tmp_path_factory.mktemp("key") / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


def public(key_file):
    """Return the public half of a key."""
    return key_file.with_suffix(".pub").read_text()


def run(argv, **options):
    """Run a command and return its subprocess.CompletedProcess with text."""
    return subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, **options)


def await_end(pids):
    """Wait until all processes with these ids have ended; fails after a minute."""
    for pid in pids:
        try:
            ended = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        assert select.select([ended], [], [], 60)[0], f"process {pid} still runs"
        os.close(ended)


def start_program(host):
    """Have supervisord run an application of two processes; returns their ids."""
    host.write("supervisor/programs/app.conf", PROGRAM.format(folder=host.folder))
    assert "available" in host.supervisorctl("reread").stdout
    assert "added" in host.supervisorctl("add", "app").stdout
    return list(host.programs())


def serve(host, version):
    """Have nginx answer with a version."""
    host.write("nginx/sites/app.conf", SITE.format(listen=host.settings["nginx"]["listen"], version=version))
    assert run([*host.nginx_command, "-t"]).returncode == 0
    assert run([*host.nginx_command, "-s", "reload"]).returncode == 0


class TestSsh:
    def test_a_pinned_host_lets_an_authorized_key_run_commands_on_a_bare_path(self, host, key_file):
        host.authorize(public(key_file))
        done = run([*host.ssh_argv(key_file), "echo 'a b' $PATH; exit 7"], env={**os.environ, "PATH": "/sbin"})
        assert (done.returncode, done.stdout) == (7, "a b /usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin\n")

    def test_a_key_that_was_not_authorized_is_refused(self, host, key_file):
        done = run([*host.ssh_argv(key_file), "true"])
        assert done.returncode == 255
        assert "Permission denied (publickey)" in done.stderr

    def test_a_rotated_host_key_does_not_match_the_pinned_one(self, host, key_file):
        host.authorize(public(key_file))
        pinned, fingerprint = host.ssh_argv(key_file), host.fingerprint
        host.rotate_host_key()
        done = run([*pinned, "true"])
        assert done.returncode == 255
        assert host.fingerprint in done.stderr
        assert host.fingerprint != fingerprint
        assert run([*host.ssh_argv(key_file), "true"]).returncode == 0

    def test_the_fingerprint_is_what_ssh_keygen_says(self, host):
        listed = run(["ssh-keygen", "-l", "-f", str(host.folder / "ssh" / "host_ed25519.pub")])
        assert listed.stdout.split()[1] == host.fingerprint

    def test_a_cut_connection_ends_the_client_but_not_what_it_ran(self, host, key_file):
        host.authorize(public(key_file))
        with subprocess.Popen(
            [*host.ssh_argv(key_file), "echo $$; exec sleep 1000"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as client:
            remote = int(client.stdout.readline())
            assert host.cut_connections() >= 1
            assert client.wait(60) == 255
        assert is_running(remote)
        assert host.connections() == []
        assert run([*host.ssh_argv(key_file), "true"]).returncode == 0

    def test_a_stopped_sshd_refuses_connections_until_it_is_started(self, host, key_file):
        host.authorize(public(key_file))
        host.stop_sshd()
        assert "Connection refused" in run([*host.ssh_argv(key_file), "true"]).stderr
        host.start_sshd()
        assert run([*host.ssh_argv(key_file), "true"]).returncode == 0

    def test_a_silent_sshd_takes_connections_and_says_nothing(self, host):
        with host.silence():
            connection = socket.create_connection((host.address, host.port), timeout=0.2)
            with pytest.raises(TimeoutError):
                connection.recv(1)
        with connection:
            connection.settimeout(60)
            assert connection.recv(4) == b"SSH-"


class TestSupervisord:
    def test_programs_run_without_a_trace_of_the_developers_environment(self, host):
        start_program(host)
        assert "RUNNING" in host.supervisorctl("status", "app").stdout
        environment = (host.folder / "app.env").read_text()
        assert "PYTHON" not in environment
        assert "VIRTUAL_ENV" not in environment

    def test_stopped_it_takes_its_programs_along(self, host):
        programs = start_program(host)
        host.stop_supervisord()
        await_end(programs)
        assert host.supervisorctl("status").returncode != 0

    def test_killed_it_leaves_its_programs_which_end_when_it_is_started_again(self, host):
        programs = start_program(host)
        host.stop_supervisord(programs=False)
        assert not is_running(host.supervisord.pid)
        assert all(is_running(pid) for pid in programs)
        host.start_supervisord()
        await_end(programs)
        assert "RUNNING" in host.supervisorctl("status", "app").stdout


class TestNginx:
    def test_it_serves_its_sites_and_itself(self, host):
        assert host.nginx_status() == 204
        assert not is_listening((host.address, host.nginx_port))
        serve(host, 1)
        assert await_answer(host) == (200, "version 1")

    def test_its_workers_are_not_root(self, host):
        owners = {os.stat(f"/proc/{pid}").st_uid for pid in descendants(host.nginx.pid)}
        assert owners and 0 not in owners

    def test_stopped_it_is_gone_until_it_is_started(self, host):
        host.stop_nginx()
        with pytest.raises(ConnectionRefusedError):
            host.nginx_status()
        host.start_nginx()
        assert host.nginx_status() == 204


def await_answer(host):
    """Ask until nginx, told to reload, listens for its first site."""
    while True:
        try:
            return host.get()
        except ConnectionRefusedError:
            assert host.nginx.is_running


class TestDisk:
    def test_a_filled_small_disk_has_no_room_and_the_old_content_comes_back(self, host):
        (host.root / "old").write_text("kept")
        with skipped_if_unavailable(), host.small_disk(1):
            assert not (host.root / "old").exists()
            host.fill_disk()
            with pytest.raises(OSError) as full:
                (host.root / "new").write_bytes(b"x" * 65536)
            assert full.value.errno == errno.ENOSPC
            host.free_disk()
            (host.root / "new").write_bytes(b"x" * 65536)
        assert [path.name for path in host.root.iterdir()] == ["old"]

    def test_the_machines_own_disk_is_never_filled(self, host):
        with pytest.raises(FleetError, match="only a small_disk"):
            host.fill_disk()
        assert list(host.root.iterdir()) == []


class TestSettings:
    def test_the_payload_registers_the_host_as_it_is(self, host):
        payload = host.api_payload(zone="dmz")
        assert (payload["address"], payload["port"], payload["zone"]) == (host.address, host.port, "dmz")
        assert host.address.startswith("127.0.")
        settings = payload["settings"]
        assert Path(settings["nginx"]["sites"]).is_dir() and Path(settings["supervisor"]["programs"]).is_dir()
        assert run([settings["python"], "-c", "print(1)"]).stdout == "1\n"
        assert run([*settings["supervisor"]["command"], "pid"]).stdout.strip() == str(host.supervisord.pid)

    def test_broken_settings_name_programs_that_are_not_there(self, host):
        broken = [
            host.without_python()["python"],
            host.without_nginx()["nginx"]["command"][0],
            host.without_supervisor()["supervisor"]["command"][0],
        ]
        assert [Path(path).exists() for path in broken] == [False, False, False]
        assert host.settings["python"] not in broken

    def test_what_is_not_installed_becomes_a_skip_that_ci_recognises(self, monkeypatch):
        monkeypatch.setitem(PROGRAMS, "no-such-daemon", "no-such-package")
        with pytest.raises(pytest.skip.Exception, match=r"^needs: no-such-daemon "), skipped_if_unavailable():
            find_program("no-such-daemon")


class TestNothingIsLeft:
    def test_fleets_side_by_side_have_networks_of_their_own(self, fleet, host):
        addresses = {each.address for each in [*fleet, host]}
        assert len(addresses) == 3
        assert fleet[0].address.rpartition(".")[0] != host.address.rpartition(".")[0]

    def test_the_end_of_a_fleet_ends_daemons_programs_and_mounts(self):
        with skipped_if_unavailable(), Fleet(size=1) as fleet:
            host = fleet[0]
            pids = [host.sshd.pid, host.nginx.pid, host.supervisord.pid, fleet.keeper.pid, *start_program(host)]
            host.stop_supervisord(programs=False)
            read_only = host.root / "release"
            read_only.mkdir()
            (read_only / "file").touch()
            read_only.chmod(stat.S_IRUSR | stat.S_IXUSR)
            assert len(pids) == 6
        await_end(pids)
        assert not fleet.directory.exists()

    def test_a_failing_start_leaves_nothing(self, monkeypatch):
        fleet = Fleet(size=1)
        monkeypatch.setattr("pathlib.Path.write_text", lambda *_: (_ for _ in ()).throw(OSError("disk on fire")))
        with pytest.raises(OSError, match="disk on fire"):
            fleet.__enter__()
        await_end([fleet.keeper.pid])
        assert not fleet.directory.exists()

    @pytest.mark.parametrize("victim", ["owner", "reaper"])
    def test_a_killed_owner_or_reaper_takes_all_along(self, victim):
        with run_owner() as owner:
            reaper, directory, *daemons = owner.stdout.readline().split()
            assert len(daemons) >= 4
            os.kill(owner.pid if victim == "owner" else int(reaper), 9)
            await_end([int(reaper), *map(int, daemons)])
            owner.stdin.close()
            owner.wait(60)
        if victim == "owner":
            assert not Path(directory).exists()
        else:
            subprocess.run(["rm", "-r", directory], check=True)  # Its keeper was killed; this test cleans up instead.

    def test_an_interrupted_owner_takes_all_along(self):
        with run_owner() as owner:
            reaper, directory, *daemons = owner.stdout.readline().split()
            owner.send_signal(2)
            await_end([owner.pid, int(reaper), *map(int, daemons)])
        assert not Path(directory).exists()

    @pytest.mark.skipif(os.getuid() != 0, reason="needs: root, to become another user")
    def test_a_fleet_works_without_root(self):
        with run_owner("/usr/bin/python3", user="postgres", group="postgres", extra_groups=[]) as owner:
            reaper, directory, *daemons = owner.stdout.readline().split()
            assert Path(directory).owner() == "postgres"
            owner.stdin.close()
            await_end([int(reaper), *map(int, daemons)])
        assert owner.returncode == 0
        assert not Path(directory).exists()


def run_owner(python=sys.executable, **identity):
    """Start OWNER; its first line tells the reaper's id, the folder and the daemons' ids."""
    program = OWNER.format(root=str(ROOT), vendor=str(ROOT / "lib" / "vendor"))
    return subprocess.Popen(
        [python, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
        stderr=subprocess.DEVNULL,
        **identity,
    )
