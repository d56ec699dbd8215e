"""etc/provision.sh says what is missing, changes nothing without the right to, and leaves no trace of a failed installation.

What would install runs in a throwaway copy of this machine: an overlay in a mount namespace of its own, which takes root.
"""

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "etc" / "provision.sh"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHU4 operator@example"
MAY_MOUNT = os.getuid() == 0 and not subprocess.call(["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"])
NEEDS_ROOT = pytest.mark.skipif(not MAY_MOUNT, reason="needs: root and the right to mount, for a throwaway copy of this machine")
# $1 is a folder for the overlay, $2 a script to run in it. The package lists and sources are hidden: nothing is fetched.
IN_A_COPY = """\
set -e
mount -t tmpfs none "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
cd "$1/root"
mount --bind /dev dev
mount -t proc proc proc
mount -t tmpfs none run
mkdir run/lock
mount -t tmpfs none etc/apt/sources.list.d
: > etc/apt/sources.list
cat > usr/local/bin/provision
rm -f usr/sbin/policy-rc.d
chroot . bash -c "$2"
"""


def provision(*arguments, **options):
    """Run the script on this machine."""
    return subprocess.run(["bash", str(SCRIPT), *arguments], capture_output=True, text=True, timeout=60, **options)


def in_a_copy(folder, commands):
    """Run shell commands, in which `provision` is the script, in a throwaway copy of this machine."""
    argv = ["unshare", "--mount", "--pid", "--fork", "bash", "-c", IN_A_COPY, "copy", str(folder), commands]
    return subprocess.run(argv, input=SCRIPT.read_text(), capture_output=True, text=True, timeout=300)


def without_packages(tmp_path):
    """Return an environment whose dpkg knows no package, as on a machine where nothing is installed yet."""
    (tmp_path / "dpkg-query").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "dpkg-query").chmod(0o755)
    (tmp_path / "sudo").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "sudo").chmod(0o755)
    return {"PATH": f"{tmp_path}:/usr/bin:/bin"}


def test_it_names_what_is_missing_one_thing_a_line(tmp_path):
    done = provision("--check", "server", env=without_packages(tmp_path))
    assert done.returncode == 3
    assert "package postgresql\n" in done.stdout and "package redis-server\n" in done.stdout
    assert all(line.split()[0] in ("package", "service") and len(line.split()) == 2 for line in done.stdout.splitlines())


def test_several_roles_name_a_package_once(tmp_path):
    done = provision("--check", "bootstrap", "server", env=without_packages(tmp_path))
    assert done.stdout.splitlines().count("package python3-venv") == 1


def test_a_program_at_hand_does_as_well_as_its_package_where_only_that_is_wanted(tmp_path):
    environment = without_packages(tmp_path)
    (tmp_path / "chromium").write_text("")
    (tmp_path / "chromium").chmod(0o755)
    assert "package chromium" not in provision("--check", "test", env=environment).stdout
    (tmp_path / "nginx").write_text("")
    (tmp_path / "nginx").chmod(0o755)
    assert "package nginx" in provision("--check", "server", env=environment).stdout


@pytest.mark.parametrize(
    "arguments, said",
    [
        ([], "name at least one of"),
        (["tests"], "no role or option 'tests'"),
        (["--authorize"], "wants an SSH public key"),
        (["--authorize", KEY, "server"], "goes with the role target"),
        (["--authorize", "ssh-ed25519 AAAA\ncommand", "target"], "one line"),
        (["--authorize", 'command="sh" ' + KEY, "target"], "the content of a .pub file"),
    ],
)
def test_wrong_usage_is_refused_before_anything_is_done(arguments, said):
    done = provision(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


@NEEDS_ROOT
def test_without_the_right_to_install_it_says_what_and_how_and_changes_nothing():
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to other users.
        os.chmod(folder, 0o755)
        done = subprocess.run(
            ["bash", "-s", "--", "server"],
            input=SCRIPT.read_text(),
            env=without_packages(Path(folder)),
            capture_output=True,
            text=True,
            user="nobody",
            group="nogroup",
            extra_groups=[],
            cwd="/",
            timeout=60,
        )
    assert (done.returncode, done.stdout) == (4, "")
    assert "package redis-server" in done.stderr
    assert "nothing was changed" in done.stderr
    assert "sudo bash etc/provision.sh server" in done.stderr


@NEEDS_ROOT
@pytest.mark.parametrize("before", ["", "echo mine > /usr/sbin/policy-rc.d; "])
def test_a_failed_installation_leaves_the_ban_on_services_as_it_was(tmp_path, before):
    done = in_a_copy(
        tmp_path,
        f"{before}dpkg --purge --force-depends rsync >/dev/null; bash /usr/local/bin/provision test; "
        "echo status $?; cat /usr/sbin/policy-rc.d*",
    )
    assert "status 1\n" in done.stdout
    assert "could not install: rsync" in done.stderr
    assert done.stdout.endswith("status 1\nmine\n" if before else "status 1\n")


@NEEDS_ROOT
def test_what_a_killed_installation_left_is_put_right_by_the_next(tmp_path):
    mark = "written by Windlass's etc/provision.sh for the time of one installation"
    done = in_a_copy(
        tmp_path,
        f'printf "#!/bin/sh\n# {mark}\nexit 101\n" > /usr/sbin/policy-rc.d; '
        "echo mine > /usr/sbin/policy-rc.d.before-windlass; dpkg --purge --force-depends rsync >/dev/null; "
        "bash /usr/local/bin/provision test; cat /usr/sbin/policy-rc.d*",
    )
    assert done.stdout.endswith("mine\n")
    assert mark not in done.stdout


@NEEDS_ROOT
def test_a_target_gets_a_user_with_two_rights_and_no_more(tmp_path):
    if provision("--check", "target").stdout.count("package"):
        pytest.skip("needs: the packages of a target, since this test installs none (etc/provision.sh test)")
    done = in_a_copy(
        tmp_path,
        f"""
        bash /usr/local/bin/provision --authorize '{KEY}' target && bash /usr/local/bin/provision --authorize '{KEY}' target
        echo status $?
        bash /usr/local/bin/provision --check target; echo check $?
        cat /home/deploy/.ssh/authorized_keys
        stat -c '%U %a %n' /srv/windlass /home/deploy/.ssh/authorized_keys /etc/sudoers.d/windlass
        as_deploy() {{ setpriv --reuid=deploy --regid=deploy --init-groups "$@"; }}
        as_deploy sudo -n /usr/sbin/nginx -t >/dev/null 2>&1; echo nginx $?
        for forbidden in '/usr/sbin/nginx -T' '/usr/sbin/nginx -c /tmp/x' /bin/sh '/usr/bin/supervisorctl status'; do
          as_deploy sudo -n $forbidden >/dev/null 2>&1; echo forbidden $?
        done
        as_deploy touch /srv/windlass/x /etc/windlass/programs/x /etc/windlass/sites/x; echo writes $?
    """,
    )
    assert "status 0\n" in done.stdout and "check 0\n" in done.stdout, done.stderr
    assert done.stdout.count(KEY) == 1
    assert "deploy 755 /srv/windlass\n" in done.stdout
    assert "deploy 600 /home/deploy/.ssh/authorized_keys\n" in done.stdout
    assert "root 440 /etc/sudoers.d/windlass\n" in done.stdout
    assert "nginx 0\n" in done.stdout and "writes 0\n" in done.stdout
    assert done.stdout.count("forbidden 1\n") == 4
