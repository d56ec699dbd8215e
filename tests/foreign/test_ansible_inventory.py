"""etc/ansible/inventory.py with the real ansible-playbook: it finds hosts in their groups, and believes pinned keys alone."""

import json
import os
import stat
import subprocess
import sys
import tempfile

import pytest

from tests.stack import ROOT, running_stack

SCRIPT = ROOT / "etc" / "ansible" / "inventory.py"
PLAYBOOK = """\
- hosts: {group}
  gather_facts: false
  tasks:
    - name: write who it is
      copy: {{content: "{{{{ inventory_hostname }}}}", dest: "{{{{ windlass_root }}}}/played"}}
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A running Windlass."""
    with running_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture(scope="module")
def hosts(stack, fleet_factory):
    """Two hosts that Windlass knows and has pinned the keys of, in different groups."""
    fleet = fleet_factory(2)
    for host, tag in zip(fleet, ("web", "batch-jobs"), strict=True):
        stack.add_host(host, tags=[tag])
    return list(fleet)


@pytest.fixture
def environment(stack, tmp_path):
    """What ansible is started with: nothing of this machine's own settings."""
    with tempfile.TemporaryDirectory(prefix="wl-", dir="/tmp") as sockets:  # A socket's path must be short.
        yield environment_of(stack, tmp_path, sockets)


def environment_of(stack, tmp_path, sockets):
    """Return the variables of ansible's process."""
    return {
        "PATH": f"{ROOT / 'env' / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_HOME": str(tmp_path / "ansible"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": sockets,
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "WINDLASS_URL": stack.url,
        "WINDLASS_TOKEN": stack.token,
    }


def run(argv, environment):
    """Run a command to its end."""
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)


def play(stack, environment, group, folder):
    """Let ansible-playbook log in to a group's hosts and write a file there."""
    key, book = stack.data / "ssh" / "default.key", folder / "site.yml"
    book.write_text(PLAYBOOK.format(group=group))
    return run(["ansible-playbook", "-i", str(SCRIPT), str(book), "--private-key", str(key)], environment)


def test_a_playbook_reaches_the_hosts_of_a_group(stack, hosts, environment, tmp_path):
    done = play(stack, environment, "tag_web", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (hosts[0].root / "played").read_text() == hosts[0].name and not (hosts[1].root / "played").exists()
    assert hosts[1].name not in done.stdout


def test_a_host_that_shows_another_key_is_refused(stack, hosts, environment, tmp_path):
    hosts[1].rotate_host_key()
    done = play(stack, environment, "tag_batch_jobs", tmp_path)
    assert done.returncode != 0 and "UNREACHABLE" in done.stdout, done.stdout + done.stderr
    assert "Host key verification failed" in done.stdout + done.stderr


def test_it_lists_what_the_api_tells_and_writes_the_pinned_keys(stack, hosts, environment, tmp_path):
    inventory = json.loads(run([sys.executable, str(SCRIPT), "--list"], environment).stdout)
    one = json.loads(run([sys.executable, str(SCRIPT), "--host", hosts[0].name], environment).stdout)
    assert inventory["_meta"]["hostvars"][hosts[0].name] == one
    (known_hosts,) = (tmp_path / "cache" / "windlass").iterdir()
    assert f"{hosts[0].name} {one['windlass_host_key']}" in known_hosts.read_text().splitlines()
    assert stat.S_IMODE(known_hosts.stat().st_mode) == 0o600 and str(known_hosts) in one["ansible_ssh_common_args"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"WINDLASS_TOKEN": ""}, "set WINDLASS_TOKEN"),
        ({"WINDLASS_TOKEN": "wrong"}, "answered 401"),
        ({"WINDLASS_URL": "file:///etc/passwd"}, "WINDLASS_URL is not the address"),
        ({"WINDLASS_URL": "http://127.0.0.1:1"}, "gave no inventory"),
    ],
)
def test_what_is_wrong_is_said(environment, changes, message):
    done = run([sys.executable, str(SCRIPT), "--list"], {**environment, **changes})
    assert (done.returncode, done.stdout) == (1, "") and message in done.stderr
