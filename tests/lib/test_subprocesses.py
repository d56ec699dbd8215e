"""The one runner of local commands: what it hands on, what it limits, and that it leaves no process behind."""

import os
import signal
import sys
import threading

import pytest

import subprocesses

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}


def run(script, **options):
    """Run a Python script as a command."""
    options = {"environment": ENVIRONMENT, "timeout_s": 20, **options}
    return subprocesses.run([sys.executable, "-I", "-u", "-c", script], **options)


def await_end(pid):
    """Return once a process that is not our child is gone or dead."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    import select

    assert select.select([descriptor], [], [], 20)[0], f"process {pid} still runs"
    os.close(descriptor)


def test_output_and_error_output_are_kept_apart():
    lines = []
    done = run("import sys; print('data'); print('note', file=sys.stderr)", on_line=lines.append)
    assert done.output == b"data\n"
    assert lines == ["note"]


def test_merged_output_comes_line_by_line():
    lines = []
    done = run(
        "import sys; print('one'); print('two', file=sys.stderr); print('three', end='')",
        merged=True,
        on_line=lines.append,
    )
    assert lines == ["one", "two", "three"]
    assert done.output == b""


def test_no_variable_of_ours_reaches_the_command(monkeypatch):
    monkeypatch.setenv("WINDLASS_SECRET", "not for others")
    done = run("import os; print(sorted(os.environ))")
    assert b"WINDLASS_SECRET" not in done.output


def test_arguments_are_not_read_by_a_shell():
    done = subprocesses.run(["/bin/echo", "$HOME; echo two"], environment=ENVIRONMENT, timeout_s=10)
    assert done.output == b"$HOME; echo two\n"


def test_input_larger_than_a_pipe_holds_comes_back_whole():
    data = os.urandom(3_000_000)
    done = run("import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())", stdin=data)
    assert done.output == data


def test_a_command_that_does_not_read_its_input_is_no_failure():
    assert run("print('done')", stdin=b"x" * 3_000_000).output == b"done\n"


def test_a_failure_has_its_status_and_its_last_lines():
    with pytest.raises(subprocesses.Failed) as caught:
        run("import sys; [print(n, file=sys.stderr) for n in range(500)]; sys.exit(3)")
    assert caught.value.status == 3
    assert caught.value.tail[-1] == "499"
    assert len(caught.value.tail) <= subprocesses.TAIL_LINES


def test_a_death_by_signal_is_told():
    with pytest.raises(subprocesses.Failed, match="signal 9") as caught:
        run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert caught.value.status == -signal.SIGKILL


def test_a_missing_program_is_told_by_name():
    with pytest.raises(subprocesses.NotStarted, match="no-such-program"):
        subprocesses.run(["no-such-program"], environment=ENVIRONMENT, timeout_s=5)


def test_the_time_limit_ends_the_command():
    with pytest.raises(subprocesses.TimedOut, match="longer than"):
        run("import time; time.sleep(600)", timeout_s=0.3)


def test_silence_is_limited_apart_from_the_whole_time():
    with pytest.raises(subprocesses.TimedOut, match="said nothing"):
        run("import time; print('begun'); time.sleep(600)", timeout_s=60, silence_s=0.5)


def test_a_command_that_ignores_term_is_killed(monkeypatch):
    monkeypatch.setattr(subprocesses, "GRACE_S", 0.2)
    pids = []
    script = "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(os.getpid()); time.sleep(600)"
    stop = threading.Event()
    with pytest.raises(subprocesses.Stopped):
        run(script, merged=True, on_line=lambda line: (pids.append(int(line)), stop.set()), stop=stop)
    await_end(pids[0])


def test_grandchildren_end_with_the_command():
    pids = []
    script = (
        "import subprocess, sys, time; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
        "print(child.pid); time.sleep(600)"
    )
    stop = threading.Event()
    with pytest.raises(subprocesses.Stopped):
        run(script, merged=True, on_line=lambda line: (pids.append(int(line)), stop.set()), stop=stop)
    await_end(pids[0])


def test_a_left_behind_child_that_holds_the_pipes_does_not_hold_us():
    pids = []
    script = (
        "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
        "print(child.pid, file=sys.stderr); print('done')"
    )
    assert run(script, on_line=lambda line: pids.append(int(line))).output == b"done\n"
    await_end(pids[0])


def test_output_is_bounded():
    with pytest.raises(subprocesses.TooMuchOutput):
        run("import sys\nwhile True: sys.stdout.write('x' * 65536)", most_output=1_000_000)


def test_a_line_without_end_is_cut():
    lines = []
    run("print('x' * 100_000); print('after')", merged=True, on_line=lines.append)
    assert max(map(len, lines)) < subprocesses.LONGEST_LINE + 100
    assert lines[-1] == "after"
    assert sum(line.count("x") for line in lines) <= 100_000


def test_what_is_no_text_becomes_text():
    lines = []
    run(
        "import sys; sys.stdout.buffer.write(b'caf\\xe9 \\x00 \\x1b[31mred\\x1b[0m\\r50%\\rdone\\n')",
        merged=True,
        on_line=lines.append,
    )
    assert lines == ["caf\ufffd  red", "50%", "done"]


def test_streamed_output_is_not_kept():
    pieces = []
    done = run("import sys; sys.stdout.write('y' * 5_000_000)", on_output=pieces.append, most_output=10)
    assert sum(map(len, pieces)) == 5_000_000
    assert done.output == b""


def test_an_error_while_reading_ends_the_command():
    pids = []

    def read(line):
        pids.append(int(line))
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError):
        run("import os, time; print(os.getpid()); time.sleep(600)", merged=True, on_line=read)
    await_end(pids[0])
