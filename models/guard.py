"""What stands between a wish to deploy and a rollout: locks of targets."""
from peewee import CharField, ForeignKeyField, TextField

from models.db import BaseModel
from models.fields import TimeField
from models.inventory import Target


class Lock(BaseModel):
    """Who keeps others from deploying to a target, and why; over when `expires_at` has passed."""
    target = ForeignKeyField(Target, backref="locks", unique=True, on_delete="CASCADE")
    holder = CharField()
    reason = TextField()
    created_at = TimeField()
    expires_at = TimeField(null=True)
