"""Builds: releases and the virtualenvs that releases with the same locked dependencies share."""

from peewee import BigIntegerField, BlobField, CharField, ForeignKeyField, IntegerField, TextField

from models.db import BaseModel
from models.fields import JSONField, TimeField
from models.inventory import Application
from models.leased import LeasedModel


class Release(LeasedModel):
    """An immutable build; `number` counts per application, `version` is what people call it ("v12").

    `digest` names the source archive, `lock_digest` the locked dependencies, both SHA-256 in hex. `lock` is the text of
    the lock itself, `processes` what the Procfile or windlass.json says, `settings` the rest of windlass.json. `partners`
    is what the application says of other systems ("build", "artifacts"), as it was when the release was asked for;
    `foreign_build` how far a build there is, `bundle` where the release was published. `due_at` is when a build that waits
    for another system is looked at again, `attempt` how often it was begun since it last got anywhere, `missed` how often
    its source was away. `cancel_requested_by` wants its build to end.
    """

    application = ForeignKeyField(Application, backref="releases", on_delete="CASCADE")
    number = IntegerField()
    version = CharField()
    ref = CharField(null=True)
    commit = CharField(null=True)
    package_version = CharField(null=True)
    source = JSONField()
    state = CharField()
    digest = CharField(null=True)
    lock_digest = CharField(null=True)
    lock_kind = CharField(null=True)
    lock = TextField(null=True)
    python_version = CharField(null=True)
    processes = JSONField(default=dict)
    settings = JSONField(default=dict)
    size_bytes = BigIntegerField(null=True)
    error = TextField(null=True)
    partners = JSONField(default=dict)
    foreign_build = JSONField(null=True)
    bundle = JSONField(null=True)
    requested_by = CharField()
    cancel_requested_by = CharField(null=True)
    created_at = TimeField()
    ended_at = TimeField(null=True)
    missed = IntegerField(default=0)

    class Meta:
        indexes = (
            (("application", "number"), True),
            (("application", "version"), True),
            (("state",), False),
            (("application", "state", "number"), False),
        )


class BuiltEnvironment(BaseModel):
    """A virtualenv's content built for one lock and one platform; `digest` is its archive's SHA-256.

    `platform` is a string such as "cpython-311-x86_64-linux-gnu-2.36"; `name` (SHA-256 over lock and platform) is the
    folder's name under envs/ on a host.
    """

    name = CharField(unique=True)
    lock_digest = CharField(index=True)
    platform = CharField()
    digest = CharField()
    size_bytes = BigIntegerField()
    created_at = TimeField()


class Tree(BaseModel):
    """What a tree consists of, by its digest; written where it was made, read by every worker, also those that lack its files.

    `entries` is its manifest (lib/store.py), each file with the bytes it takes on its way to a host: JSON, compressed (zlib).
    """

    digest = CharField(unique=True)
    entries = BlobField()
