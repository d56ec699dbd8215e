"""Deliveries to foreign systems: written in the transaction of what they are about, sent later through the queue."""

from peewee import CharField, ForeignKeyField, TextField

from models.deploy import Deploy
from models.fields import JSONField, TimeField
from models.leased import LeasedModel
from models.release import Release


class Delivery(LeasedModel):
    """One thing to be said or done in a foreign system because of a deploy, or of a release alone.

    `key` names what is said and to whom, so that nothing is written down twice. `action` is what is done, `subject` what it
    is done to (a commit, an issue, an address), `payload` the rest of what the driver needs. `due_at` is when the next
    attempt may begin; `answer` is what the system gave back, such as a link.
    """

    key = CharField(unique=True)
    deploy = ForeignKeyField(Deploy, null=True, backref="deliveries", on_delete="CASCADE")
    release = ForeignKeyField(Release, null=True, backref="deliveries", on_delete="CASCADE")
    integration = CharField(null=True)
    action = CharField()
    subject = CharField(null=True)
    payload = JSONField(default=dict)
    state = CharField()
    error = TextField(null=True)
    answer = JSONField(null=True)
    created_at = TimeField()
    ended_at = TimeField(null=True)

    class Meta:
        indexes = ((("state", "due_at"), False), (("deploy",), False), (("integration", "id"), False))
