"""Maintenance of targets: users are shown a page instead of the application, until somebody lifts it."""

from peewee import BooleanField, CharField, ForeignKeyField, IntegerField, TextField

from models.db import BaseModel
from models.fields import TimeField
from models.inventory import Host, Target
from models.leased import LeasedModel


class Maintenance(BaseModel):
    """Whether a target is closed, by whom and what users are told; kept when it is lifted, until all hosts have followed.

    `number` rises with every change; a host has followed when its maintenance host's number is the same.
    """

    target = ForeignKeyField(Target, backref="maintenance", unique=True, on_delete="CASCADE")
    is_on = BooleanField()
    number = IntegerField()
    holder = CharField()
    reason = TextField(null=True)
    message = TextField(null=True)
    retry_after_s = IntegerField(null=True)
    since = TimeField()


class MaintenanceHost(LeasedModel):
    """The work of closing or opening one host of a target: done once `number` is the maintenance's.

    `message` is what went wrong at the last attempt, or what is to be said of the last one that worked out.
    """

    maintenance = ForeignKeyField(Maintenance, backref="maintenance_hosts", on_delete="CASCADE")
    host = ForeignKeyField(Host, on_delete="CASCADE")
    number = IntegerField(default=0)
    has_failed = BooleanField(default=False)
    message = TextField(null=True)
    changed_at = TimeField(null=True)

    class Meta:
        indexes = ((("maintenance", "host"), True),)
