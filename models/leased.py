"""Rows that a worker claims and works on: the columns that every kind of work shares."""

from peewee import CharField, IntegerField

from models.db import BaseModel
from models.fields import TimeField


class LeasedModel(BaseModel):
    """A row that one worker at a time works on, under a lease (controllers/jobs/leases.py).

    `attempt` counts the attempts since the work last got anywhere. `due_at` is when the next one may begin, null for at once;
    `enqueued_at` when a worker was last sent a message, until one has come. `lease_owner` works on it until
    `lease_expires_at`, or longer if it says so in time; `epoch` rises with every claim, so that an old owner can be
    distinguished from the newest. Times are milliseconds of the database's clock.
    """

    attempt = IntegerField(default=0)
    due_at = TimeField(null=True)
    enqueued_at = TimeField(null=True)
    lease_owner = CharField(null=True)
    lease_expires_at = TimeField(null=True)
    epoch = IntegerField(default=0)
