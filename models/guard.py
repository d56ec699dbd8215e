"""What may hold a deploy back: locks of targets, freezes, and approvals."""

from peewee import CharField, ForeignKeyField, TextField

from models.db import BaseModel
from models.deploy import Deploy
from models.fields import JSONField, TimeField
from models.inventory import Target


class Lock(BaseModel):
    """Who keeps others from deploying to a target, and why; over when `expires_at` has passed."""

    target = ForeignKeyField(Target, backref="locks", unique=True, on_delete="CASCADE")
    holder = CharField()
    reason = TextField()
    created_at = TimeField()
    expires_at = TimeField(null=True)


class Freeze(BaseModel):
    """A time in which nobody deploys: once, from `starts_at` to `ends_at`, or every week.

    `weekly` is {"begins": "fri 16:00", "ends": "mon 08:00", "timezone": "Europe/Berlin"}. `applications` and
    `environments` are the names it is about, null for all.
    """

    name = CharField(unique=True)
    reason = TextField()
    starts_at = TimeField(null=True)
    ends_at = TimeField(null=True)
    weekly = JSONField(null=True)
    applications = JSONField(null=True)
    environments = JSONField(null=True)
    created_by = CharField()
    created_at = TimeField()
    updated_at = TimeField()


class Approval(BaseModel):
    """One person agreed to a deploy that somebody else had asked for, by the digest of its plan."""

    deploy = ForeignKeyField(Deploy, backref="approvals", on_delete="CASCADE")
    approved_by = CharField()
    comment = TextField(null=True)
    digest = CharField()
    created_at = TimeField()

    class Meta:
        indexes = ((("deploy", "approved_by"), True),)
