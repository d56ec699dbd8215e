"""Hooks that foreign systems sent, and the deploys that follow from them without anybody asking."""

from peewee import CharField, ForeignKeyField, TextField

from models.deploy import Deploy
from models.fields import JSONField, TimeField
from models.inventory import Integration, Target
from models.leased import LeasedModel
from models.release import Release


class Hook(LeasedModel):
    """A message that was received, checked and read; `news` is what it says. `delivery` distinguishes it from its repetitions."""

    integration = ForeignKeyField(Integration, backref="hooks", on_delete="CASCADE")
    delivery = CharField()
    event = CharField()
    news = JSONField()
    state = CharField()
    outcome = TextField(null=True)
    received_at = TimeField()
    ended_at = TimeField(null=True)

    class Meta:
        indexes = ((("integration", "delivery"), True), (("state",), False))


class Automation(LeasedModel):
    """A release that a rule wants in a target: deployed once it is ready and, where asked, its commit's build is green."""

    target = ForeignKeyField(Target, backref="automations", on_delete="CASCADE")
    release = ForeignKeyField(Release, backref="automations", on_delete="CASCADE")
    deploy = ForeignKeyField(Deploy, null=True, on_delete="SET NULL")
    rule = JSONField()
    reason = CharField()
    state = CharField()
    outcome = TextField(null=True)
    created_at = TimeField()
    ended_at = TimeField(null=True)

    class Meta:
        indexes = ((("target", "release"), True), (("state", "due_at"), False))
