"""Trying out on workers what only they can tell."""

from peewee import CharField, ForeignKeyField

from models.db import BaseModel
from models.fields import JSONField, TimeField
from models.inventory import Integration


class Trial(BaseModel):
    """An integration that a worker of a zone is to try out; `answer` is what it found. Gone once somebody has read it."""

    integration = ForeignKeyField(Integration, on_delete="CASCADE")
    zone = CharField()
    answer = JSONField(null=True)
    created_at = TimeField()
