"""One-off commands: what somebody runs by hand, and how it goes on each host."""

from peewee import BigIntegerField, CharField, ForeignKeyField, IntegerField, TextField

from models.db import BaseModel
from models.fields import JSONField, TimeField
from models.inventory import Host
from models.leased import LeasedModel


class Command(BaseModel):
    """A command that somebody runs on hosts; `argv` is its words. Names are kept, so that it outlives what they name.

    Where its words hold secret values, `argv` has them masked, and `sealed_argv` as they are until the command has ended.
    `key` names it on the hosts, and is never given out again, also not by a Windlass that was set up anew.
    """

    key = CharField(unique=True)
    argv = JSONField()
    sealed_argv = TextField(null=True)
    application = CharField(null=True)
    environment = CharField(null=True)
    time_limit_s = IntegerField()
    state = CharField()
    cancel_requested_by = CharField(null=True)
    requested_by = CharField()
    created_at = TimeField()
    ended_at = TimeField(null=True)

    class Meta:
        indexes = ((("state",), False), (("application", "environment", "id"), False))


class CommandRun(LeasedModel):
    """A command on one host.

    `recorded_bytes` is up to where its output was written down, `asked_at` when the host was first asked.
    """

    command = ForeignKeyField(Command, backref="runs", on_delete="CASCADE")
    host = ForeignKeyField(Host, null=True, on_delete="SET NULL")
    host_name = CharField()
    state = CharField()
    exit_code = IntegerField(null=True)
    message = TextField(null=True)
    recorded_bytes = BigIntegerField(default=0)
    asked_at = TimeField(null=True)
    ended_at = TimeField(null=True)

    class Meta:
        indexes = ((("command", "host_name"), True), (("state",), False))
