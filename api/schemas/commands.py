"""Bodies and answers of /commands."""

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from api.schemas.lists import Filter
from api.schemas.names import HostName, Name, unique
from api.shapes import Answer, Fields, ListQuery, Time

LONGEST = 32 * 1024
DAY_S = 86_400


def words(value):
    """Check the words of a command: the first is a program, and all of them together fit."""
    if not value[0].strip() or value[0].startswith("-"):
        raise ValueError("A command begins with a program, such as systemctl or /usr/bin/uptime.")
    if sum(len(word.encode()) for word in value) > LONGEST:
        raise ValueError(f"The words of a command have at most {LONGEST} bytes together.")
    return value


Word = Annotated[str, StringConstraints(max_length=LONGEST)]


class CommandFields(Fields):
    """A command to run, on hosts or where an application runs."""

    argv: Annotated[list[Word], Field(min_length=1, max_length=200), AfterValidator(words)] = Field(
        description="Its words, the program first; no shell reads them."
    )
    hosts: Annotated[list[HostName], Field(min_length=1, max_length=500), AfterValidator(unique)] = Field(
        default=None, description="Where; with an application: only these of its target's hosts."
    )
    application: Name = Field(default=None, description="Run in the release that runs now, with its virtualenv and variables.")
    environment: Name = None
    time_limit_s: Annotated[int, Field(ge=1, le=DAY_S)] = Field(
        default=None,
        description="Seconds after which it is ended; 60 by default, at most the setting command.time_limit_s.",
    )


class CommandQuery(ListQuery):
    """A page of commands, newest first."""

    application: Filter | None = None
    environment: Filter | None = None
    host: Filter | None = None
    state: Annotated[Filter, Field(description="running, succeeded, failed or cancelled.")] | None = None


class CommandProgress(Answer):
    """On how many hosts it runs, has ended, and has not ended well."""

    total: int
    done: int
    failed: int


class CommandRun(Answer):
    """A command on one host."""

    host: str
    state: str = Field(
        description="pending, running; ended: succeeded, failed, cancelled, skipped, unreachable (it did not begin), or "
        "unclear: it began, and nobody knows how it ended; it is not repeated."
    )
    exit_code: int | None = Field(description="128 and the signal's number where a signal ended it.")
    message: str | None
    started_at: Time | None
    ended_at: Time | None


class CommandInShort(Answer):
    """A command that somebody ran."""

    id: int
    argv: list[str]
    application: str | None
    environment: str | None
    time_limit_s: int
    state: str = Field(description="running, succeeded (on all hosts), failed or cancelled.")
    progress: CommandProgress
    requested_by: str
    cancel_requested_by: str | None
    created_at: Time
    ended_at: Time | None


class Command(CommandInShort):
    """A command with its hosts."""

    hosts: list[CommandRun]
