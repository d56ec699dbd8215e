"""Webhooks: URLs of programs that are told what happens. Each is an integration of driver webhook, shown in fewer words."""

import secrets

from controllers import etags, paging, rows
from controllers.catalog import integrations
from controllers.errors import NotFound
from models import Integration
from models.db import database
from utils.datekit import rfc3339

DRIVER = "webhook"
CHOICE = ("events", "applications", "environments")
SETTINGS = ("enabled", *CHOICE)


def describe(row):
    """Return a webhook in the API's shape."""
    return {
        "name": row.name,
        "url": row.url,
        "enabled": (row.settings or {}).get("enabled", True),
        **{name: (row.settings or {}).get(name) for name in CHOICE},
        "circuit": integrations.describe(row)["circuit"],
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
    }


def find(name):
    """Return a webhook's row. Raises NotFound."""
    return require_webhook(rows.named(Integration, name, "webhook"))


def require_webhook(row):
    """Return an integration's row that is a webhook's. Raises NotFound for any other."""
    if row.driver != DRIVER:
        raise NotFound(f"There is no webhook '{row.name}'; the integration of that name is of driver {row.driver}.")
    return row


def listing(actor, limit=paging.LIMIT, after=None):
    """Return a page of webhooks by name."""
    return paging.page(
        Integration.select().where(Integration.driver == DRIVER), Integration.name, describe, limit, after
    )


def get(actor, name):
    """Return one webhook. Raises NotFound."""
    return describe(find(name))


def create(actor, fields):
    """Make a webhook from name, url, and maybe secret and what to tell; returns it with its secret, this once.

    Raises Invalid, Conflict.
    """
    secret = fields.get("secret") or secrets.token_urlsafe(32)
    integrations.create(
        actor,
        {
            "name": fields["name"],
            "driver": DRIVER,
            "url": fields["url"],
            "credentials": {"secret": secret},
            "settings": choice_of(fields),
        },
    )
    return {**get(actor, fields["name"]), "secret": secret}


def update(actor, name, changes, if_match=None):
    """Change url (with its secret), secret or what to tell; returns the webhook. Raises NotFound, Invalid, PreconditionFailed."""
    with database.atomic():
        row = require_webhook(rows.named_for_change(Integration, name, "webhook"))
        etags.require_match(if_match, describe(row))
        meant = {}
        if "url" in changes:
            meant["url"] = changes["url"]
        if "secret" in changes:
            meant["credentials"] = {"secret": changes["secret"]}
        if any(part in changes for part in SETTINGS):
            chosen = {**(row.settings or {}), **choice_of(changes)}
            meant["settings"] = {part: value for part, value in chosen.items() if value is not None}
        integrations.update(actor, name, meant)
        return get(actor, name)


def delete(actor, name):
    """Delete a webhook. Raises NotFound."""
    find(name)
    integrations.delete(actor, name)


def choice_of(fields):
    """Return what is said of whether, and of which, messages are told."""
    return {part: fields[part] for part in SETTINGS if part in fields}
