"""Preparations: a bare host is made ready for deploys, by the playbook that comes with Windlass."""

from peewee import BooleanField, CharField, ForeignKeyField, TextField

from models.fields import JSONField, TimeField
from models.inventory import Host
from models.leased import LeasedModel


class Preparation(LeasedModel):
    """One preparation of a host. `login_user` is who logs in for it, `changed` the tasks that changed something.

    `host_name` is kept, so that it outlives the host.
    """

    host = ForeignKeyField(Host, null=True, on_delete="SET NULL")
    host_name = CharField()
    login_user = CharField()
    is_check = BooleanField()
    state = CharField()
    changed = JSONField(null=True)
    message = TextField(null=True)
    requested_by = CharField()
    cancel_requested_by = CharField(null=True)
    created_at = TimeField()
    started_at = TimeField(null=True)
    ended_at = TimeField(null=True)

    class Meta:
        indexes = ((("host_name", "id"), False), (("state",), False))
