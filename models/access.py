"""Who may use Windlass: users, their tokens and their browser sessions."""

from peewee import BooleanField, CharField, ForeignKeyField, IntegerField, TextField

from models.db import BaseModel
from models.fields import JSONField, TimeField


class User(BaseModel):
    """A person or a machine that acts; the password is an argon2 hash, or null where only tokens serve."""

    name = CharField(unique=True)
    password_hash = CharField(null=True)
    is_administrator = BooleanField(default=False)
    created_at = TimeField()


class Token(BaseModel):
    """A bearer token; only the SHA-256 of its secret is kept."""

    user = ForeignKeyField(User, backref="tokens", on_delete="CASCADE")
    name = CharField()
    secret_hash = CharField(unique=True)
    created_at = TimeField()
    expires_at = TimeField(null=True)
    last_used_at = TimeField(null=True)


class Session(BaseModel):
    """A browser session; the cookie holds the secret whose SHA-256 is kept here."""

    user = ForeignKeyField(User, backref="sessions", on_delete="CASCADE")
    secret_hash = CharField(unique=True)
    csrf_token = CharField()
    created_at = TimeField()
    expires_at = TimeField(index=True)


class IdempotencyKey(BaseModel):
    """The first answer to a POST with an Idempotency-Key; status is null while it is being worked on.

    `made` is [kind, id] of what the request made, written in the transaction that makes it: a process that dies before it
    has answered leaves that behind, so that the repeated request makes nothing a second time.
    """

    user = ForeignKeyField(User, on_delete="CASCADE")
    key = CharField()
    request_hash = CharField()
    status = IntegerField(null=True)
    response = TextField(null=True)
    made = JSONField(null=True)
    created_at = TimeField(index=True)

    class Meta:
        indexes = ((("user", "key"), True),)
