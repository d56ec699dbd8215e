"""The unit files of a slot: systemd itself accepts them, and what it would start is what was meant."""

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as some

from controllers.desired import spec
from tests.fleet.systemctl import argv_of, parse, split_words

COMMANDS = {
    "web": "gunicorn app:app --bind unix:$SOCKET",
    "port": "python server.py $PORT",
    "worker": "while true; do sleep 1; done | cat",
    "beat-2": "FOO=1 celery beat",
}
SHAPES = {
    "systems, as a user": {"is_root": True},
    "systems, as root": {"is_root": True, "uid": 0},
    "users": {"is_root": False},
}


def units(root="/srv/windlass", commands=COMMANDS, is_root=True, uid=1000):
    """Return {unit: text} of slot a."""
    facts = {"user": "deploy" if uid else "root", "uid": uid, "supervisor": {"is_root": is_root}}
    host = {"root": root, "settings": {"supervisor": {"kind": "systemd"}}}
    about = spec.programs("shop", "a", commands, host, facts)
    assert (about["kind"], about["path"]) == ("systemd", "windlass-shop-a.*.service")
    parts = about["text"].split("# unit ")[1:]
    return {part.split("\n", 1)[0]: "# unit " + part for part in parts}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("root", ["/srv/windlass", "/srv/a b%n$HOME'\"é"], ids=["plain", "odd"])
def test_systemd_accepts_the_units(tmp_path, shape, root):
    made = units(root, **shape)
    assert len(made) == len(COMMANDS)
    for name, text in made.items():
        (tmp_path / name).write_text(text.replace("User=deploy", "User=daemon"))
    paths = [str(path) for path in sorted(tmp_path.iterdir())]
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *paths], capture_output=True, text=True, timeout=120)
    output = "\n".join(line for line in (done.stdout + done.stderr).splitlines() if "windlass-" in line)
    assert (done.returncode, output) == (0, "")


def test_systemd_analyze_sees_mistakes(tmp_path):
    path = tmp_path / "windlass-shop-a.web.service"
    path.write_text(units()["windlass-shop-a.web.service"].replace("/bin/sh", "/no/such/program"))
    argv = ["systemd-analyze", "verify", "--man=no", str(path)]
    assert "/no/such/program" in subprocess.run(argv, capture_output=True, text=True, timeout=120).stderr


@given(some.text(some.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_a_word_is_read_back_as_it_was(text):
    line = f"/bin/sh {spec.systemd_word(text)}"
    assert argv_of(line) == ["/bin/sh", text]
    assert "\n" not in line and "\r" not in line


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (r'/bin/echo "a b" c\x20d', ["/bin/echo", "a b", "c d"]),
        (r"'it''s' \\ \"", ["its", "\\", '"']),
        (r'"\101\n\u00e9"', ["A\né"]),
    ],
)
def test_the_reader_itself_follows_systemd(line, words):
    assert split_words(line) == words


def test_stopping_is_as_under_supervisord():
    made = {name.split(".")[1]: parse(text) for name, text in units().items()}
    modes = {name: unit["Service", "KillMode"] for name, unit in made.items()}
    assert modes == {"web": "mixed", "port": "mixed", "beat-2": "control-group", "worker": "control-group"}
    assert all(unit["Service", "TimeoutStopSec"] == str(spec.STOP_WAIT_S) for unit in made.values())
    assert all(unit["Service", "User"] == "deploy" for unit in made.values())
    assert ("Service", "User") not in parse(units(is_root=False)["windlass-shop-a.web.service"])
