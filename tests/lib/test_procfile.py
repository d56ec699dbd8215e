"""Procfile, windlass.json, and the shell lines in them: what is accepted, what is refused, and what sh makes of a line."""

import json
import os
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

import procfile
from procfile import BadDescription


def test_a_procfile_is_read():
    text = (
        "\ufeff# what runs\nweb: gunicorn app:app --bind unix:$SOCKET\n\n"
        "  worker:   celery -A app worker  \r\nrelease:flask db upgrade\n"
    )
    assert procfile.parse_procfile(text) == {
        "web": "gunicorn app:app --bind unix:$SOCKET",
        "worker": "celery -A app worker",
        "release": "flask db upgrade",
    }


@pytest.mark.parametrize(
    "text, place, says",
    [
        ("web gunicorn", "line 1", "name: command"),
        ("\n\nweb:", "line 3", "name: command"),
        ("web: a\nweb: b", "line 2", "already"),
        ("Web: a", "line 1", "no process name"),
        ("web.1: a", "line 1", "no process name"),
        ("../x: a", "line 1", "no process name"),
        ("9web: a", "line 1", "no process name"),
        (f"{'w' * 31}: a", "line 1", "no process name"),
        ("web: a\x00b", "line 1", "control character"),
        (f"web: {'x' * 5000}", "line 1", "longer than"),
    ],
)
def test_a_bad_procfile_names_line_and_reason(text, place, says):
    with pytest.raises(BadDescription) as caught:
        procfile.parse_procfile(text)
    assert place in str(caught.value) and says in str(caught.value)


def test_too_many_processes_are_refused():
    with pytest.raises(BadDescription, match="21 processes"):
        procfile.parse_procfile("".join(f"p{number}: x\n" for number in range(21)))


def test_a_whole_windlass_json_is_read():
    document = {
        "processes": {"web": "x", "clock": None},
        "release": "migrate",
        "health": {"path": "/up", "timeout_s": 10, "expect_status": 204},
        "python": "3.12",
        "dependencies": "requirements/production.txt",
        "extras": ["prod"],
        "groups": ["server"],
    }
    assert procfile.parse_windlass_json(json.dumps(document)) == document


@pytest.mark.parametrize(
    "document, says",
    [
        ({"proceses": {}}, "did you mean 'processes'"),
        ({"health": {"pat": "/"}}, "did you mean 'health.path'"),
        ({"zzz": 1}, "known are"),
        ({"health": {"path": "up"}}, "'health.path'"),
        ({"health": {"timeout_s": True}}, "'health.timeout_s'"),
        ({"health": {"timeout_s": 0}}, "from 1 to 3600"),
        ({"health": {"expect_status": "200"}}, "'health.expect_status'"),
        ({"health": "/up"}, "'health' must be an object"),
        ({"processes": ["web"]}, "'processes' must be an object"),
        ({"processes": {"We b": "x"}}, "no process name"),
        ({"processes": {"web": ""}}, "one line"),
        ({"processes": {"web": "a\nb"}}, "line break"),
        ({"release": 5}, "'release'"),
        ({"python": "2.7"}, "'python'"),
        ({"python": 3.11}, "'python'"),
        ({"dependencies": "../outside.txt"}, "'dependencies'"),
        ({"dependencies": "/etc/passwd"}, "'dependencies'"),
        ({"extras": "prod"}, "'extras'"),
        ({"groups": ["--all"]}, "'groups'"),
    ],
)
def test_a_bad_windlass_json_names_the_key(document, says):
    with pytest.raises(BadDescription) as caught:
        procfile.parse_windlass_json(json.dumps(document))
    assert says in str(caught.value)


def test_every_mistake_is_named_at_once():
    with pytest.raises(BadDescription) as caught:
        procfile.parse_windlass_json('{"pyton": "3.11", "health": {"path": 1}, "extras": 1}')
    assert all(key in str(caught.value) for key in ("'pyton'", "'health.path'", "'extras'"))


@pytest.mark.parametrize(
    "text, says",
    [
        ("[]", "one JSON object"),
        ("{", "not valid JSON"),
        ('{"python": "3.11", "python": "3.12"}', "twice"),
        ("[" * 100_000, "windlass.json"),
    ],
)
def test_what_is_no_json_object_is_refused(text, says):
    with pytest.raises(BadDescription, match=says):
        procfile.parse_windlass_json(text)


@given(st.text(max_size=200))
def test_no_text_makes_the_readers_fail_in_another_way(text):
    for read in (procfile.parse_procfile, procfile.parse_windlass_json, procfile.python_version_in):
        try:
            assert isinstance(read(text), dict | str | None)
        except BadDescription as refusal:
            assert str(refusal).endswith(".")


def test_windlass_json_overrides_the_procfile():
    description = {"processes": {"web": "new", "worker": None, "clock": "tick"}, "release": "migrate"}
    assert procfile.processes_of({"web": "old", "worker": "w", "release": "r"}, description) == {
        "web": "new",
        "clock": "tick",
        "release": "migrate",
    }


@pytest.mark.parametrize(
    "text, version",
    [
        ("3.11\n", "3.11"),
        ("3.11.7", "3.11"),
        ("# pinned\n\ncpython-3.12.1\n3.11", "3.12"),
        ("python3.9", "3.9"),
        ("cpython@3.10", "3.10"),
        ("", None),
        ("\n# nothing\n", None),
    ],
)
def test_a_python_version_is_read(text, version):
    assert procfile.python_version_in(text) == version


@pytest.mark.parametrize("text", ["pypy3.10", ">=3.11", "3", "2.7", "system", "3.11; rm -rf /", "3.111"])
def test_an_unknown_python_version_is_refused(text):
    with pytest.raises(BadDescription, match=r".python-version"):
        procfile.python_version_in(text)


@pytest.mark.parametrize(
    "command, binding",
    [
        ("gunicorn app:app --bind unix:$SOCKET", "socket"),
        ("serve --socket=${SOCKET}", "socket"),
        ("serve ${SOCKET:?missing}", "socket"),
        ("gunicorn --bind 127.0.0.1:$PORT app:app", "port"),
        ("serve", "port"),
        ("serve $SOCKETS", "port"),
        ("serve SOCKET", "port"),
        ("serve ${SOCKET_DIR}", "port"),
    ],
)
def test_how_a_web_process_is_reached(command, binding):
    assert procfile.binding_of(command) == binding


@pytest.mark.parametrize(
    "line, result",
    [
        ("gunicorn app:app", "exec gunicorn app:app"),
        ("  gunicorn app:app  ", "exec gunicorn app:app"),
        ("exec gunicorn", "exec gunicorn"),
        ("FOO=1 gunicorn", "FOO=1; export FOO; exec gunicorn"),
        ("A='x y' B=\"$A z\" run --it", "A='x y' B=\"$A z\"; export A B; exec run --it"),
        ("A=1 exec run", "A=1; export A; exec run"),
        ("cd web && gunicorn app", "cd web && exec gunicorn app"),
        ("export A=1; gunicorn", "export A=1; exec gunicorn"),
        ("a || b", "a || exec b"),
        ("gunicorn -w $(nproc)", "exec gunicorn -w $(nproc)"),
        ("gunicorn -w ${WORKERS:-2} \"a;b|c\" 'd&e'", "exec gunicorn -w ${WORKERS:-2} \"a;b|c\" 'd&e'"),
        ("run 2>&1", "exec run 2>&1"),
        ("run >log", "exec run >log"),
        ("run -w $((2 * $(nproc) + 1)) `id -u`", "exec run -w $((2 * $(nproc) + 1)) `id -u`"),
        ("cd web && A=1 run", "cd web && { A=1; export A; exec run; }"),
        ("cd web; A=1 run", "cd web; A=1; export A; exec run"),
        ("bash -c 'a; b | c'", "exec bash -c 'a; b | c'"),
        # More than programs one after the other: left alone.
        ("a | b", "a | b"),
        ("a & b", "a & b"),
        ("a &", "a &"),
        ("(a; b)", "(a; b)"),
        ("{ a; b; }", "{ a; b; }"),
        ("if a; then b; fi", "if a; then b; fi"),
        ("while true; do run; done", "while true; do run; done"),
        ("! a", "! a"),
        ("cd x", "cd x"),
        ("A=1", "A=1"),
        ("run 'unfinished", "run 'unfinished"),
        ("run; # note", "run; # note"),
        ("cat <<E", "cat <<E"),
        ("f() { x; }", "f() { x; }"),
        ("run;", "run;"),
        (">log run", ">log run"),
        (". ./env", ". ./env"),
        ("A+=1 run", "A+=1 run"),
        ("trap 'rm x' EXIT; run", "trap 'rm x' EXIT; run"),
        ("run $(cat 'x y')", "run $(cat 'x y')"),
    ],
)
def test_the_last_program_is_executed_where_that_changes_nothing(line, result):
    assert procfile.shell_line(line) == result


LINES = [
    "echo one two",
    "A=1 sh -c 'echo $A'",
    "A='x  y' sh -c 'echo \"$A\"'",
    'X="a b" Y=$X sh -c \'echo "$Y"\'',
    "A=1 B=$A sh -c 'echo $B'",
    "cd / && pwd",
    "false || echo other",
    "true && echo both",
    "echo a; echo b",
    "echo a | tr a b",
    "(echo sub; echo shell)",
    "echo $(echo inner; echo more)",
    'echo "quoted ; && || | &"',
    "echo 'single ; \" quotes'",
    "echo back\\;slash",
    "if true; then echo yes; fi",
    "for x in 1 2; do echo $x; done",
    "echo ${UNSET:-default value}",
    "echo err >&2",
    "echo `echo tick; echo tock`",
    "PATH=/nowhere:$PATH sh -c 'echo $PATH'",
    "echo a # comment; echo b",
    "false; echo after",
    "true || echo never",
    "false && echo never",
    "exit 3",
    "sh -c 'exit 4'",
    "A=1 sh -c 'exit 5'",
    "false && A=1 sh -c 'echo $A'",
    "false || A=1 sh -c 'echo $A'",
    "true || A=1 sh -c 'echo $A'",
    "trap 'echo last' EXIT; echo first",
    "echo $((2 * $(echo 3) + 1))",
    "echo \"$(echo 'a;b' | tr ';' '&')\"",
]


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
@pytest.mark.parametrize("line", LINES)
def test_a_line_does_the_same_with_exec(shell, line):
    def result(command):
        done = subprocess.run([shell, "-c", command], capture_output=True, env={"PATH": os.environ["PATH"]}, timeout=20)
        return done.returncode, done.stdout, done.stderr

    assert result(procfile.shell_line(line)) == result(line)


@given(st.text(alphabet="ab =;&|$(){}'\"\\<>#`!\t", max_size=25))
def test_any_line_is_either_left_alone_or_only_added_to(line):
    result = procfile.shell_line(line)
    stripped = line.strip()
    assert result == stripped or "exec " in result
    assert len(result) >= len(stripped)
