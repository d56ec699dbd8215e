"""Histories: numbered, append-only events of a deploy or of a release's build."""

from peewee import CharField, IntegerField, TextField

from models.db import BaseModel
from models.fields import JSONField, TimeField


class Topic(BaseModel):
    """A history ("deploy-12", "release-7") and the number of its newest event."""

    name = CharField(unique=True)
    newest = IntegerField(default=0)


class Event(BaseModel):
    """One line of a history; numbers have no gaps within a topic."""

    topic = CharField()
    number = IntegerField()
    at = TimeField()
    kind = CharField()
    host = CharField(null=True)
    step = CharField(null=True)
    text = TextField(null=True)
    data = JSONField(null=True)

    class Meta:
        indexes = ((("topic", "number"), True),)
