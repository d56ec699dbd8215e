"""Who did what: entries that are only ever added, each bound to the one before it."""

from peewee import CharField, IntegerField, TextField

from models.db import BaseModel
from models.fields import JSONField, TimeField


class AuditEntry(BaseModel):
    """One change that somebody made. `seal` is a keyed digest over the entry and the seal before it (controllers/audit.py)."""

    number = IntegerField(unique=True)
    at = TimeField()
    actor = CharField()
    action = CharField()
    subject = TextField()
    data = JSONField()
    address = CharField(null=True)
    request_id = CharField(null=True)
    seal = CharField()

    class Meta:
        indexes = ((("actor", "number"), False), (("action", "number"), False))


class AuditHead(BaseModel):
    """The newest entry's number and seal: whoever adds one holds this row until the end of the transaction."""

    number = IntegerField(default=0)
    seal = CharField(default="")
