"""What becomes of a command on a host when the worker before died: a real agent, and rows as that worker left them."""

import uuid

import pytest

from controllers.commands import command_run
from models import Command, CommandRun
from models.db import clock, now
from tests import factories
from tests.fleet.keeper import find_program

pytestmark = pytest.mark.usefixtures("database")
LIMIT_S = 30


@pytest.fixture
def asked(tmp_path):
    """asked(argv, ago_s) makes a command that a worker wrote down so long ago, and died; returns its run."""
    settings = {"python": find_program("python3"), "nginx": None, "supervisor": {"programs": "/", "command": ["false"]}}
    host = factories.host(transport="local", root=str(tmp_path / "srv"), settings=settings)

    def make(argv, ago_s):
        command = Command.create(
            key=uuid.uuid4().hex,
            argv=argv,
            time_limit_s=LIMIT_S,
            state="running",
            requested_by="ann",
            created_at=now(),
        )
        return CommandRun.create(
            command=command,
            host=host,
            host_name=host.name,
            state="running",
            attempt=1,
            asked_at=clock() - ago_s * 1000,
            lease_owner="dead",
            lease_expires_at=now() - 1,
        )

    return make


def carried_out(run):
    """Return a run as it is after another worker has had it, and its command."""
    command_run.KIND.carry_out(run.id)
    fresh = CommandRun.get_by_id(run.id)
    return fresh, fresh.command


def test_one_that_was_not_begun_a_moment_ago_is_begun(asked, tmp_path):
    mark = tmp_path / "mark"
    run, command = carried_out(asked(["touch", str(mark)], ago_s=5))
    assert (run.state, command.state, mark.exists()) == ("succeeded", "succeeded", True)


def test_one_that_was_not_begun_in_time_is_not_begun_any_more(asked, tmp_path):
    mark = tmp_path / "mark"
    run, command = carried_out(asked(["touch", str(mark)], ago_s=LIMIT_S + command_run.PATIENCE_S + 5))
    assert (run.state, command.state, mark.exists()) == ("failed", "failed", False)
    assert "has not begun" in run.message and "Run it again if it is still wanted." in run.message


def test_one_that_certainly_cannot_begin_has_failed_with_the_reason(asked):
    run, _ = carried_out(asked(["no-such-program"], ago_s=5))
    assert run.state == "failed" and "There is no program 'no-such-program'" in run.message


def test_one_that_began_is_followed_however_late(asked, tmp_path):
    marks = tmp_path / "marks"
    run = asked(["sh", "-c", f"echo x >> {marks}; exit 3"], ago_s=5)
    before, _ = carried_out(run)
    # As if the worker had died before it wrote the end down, and nobody had come for hours.
    again = {"state": "running", "asked_at": clock() - 10**7, "exit_code": None, "ended_at": None, "message": None}
    CommandRun.update(again).where(CommandRun.id == run.id).execute()
    Command.update(state="running").where(Command.id == run.command_id).execute()
    after, _ = carried_out(run)
    assert (before.exit_code, after.exit_code, after.state) == (3, 3, "failed")
    assert marks.read_text() == "x\n"
