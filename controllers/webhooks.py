"""Webhooks: URLs of programs that are told what happens. Each is an integration of driver webhook, shown in fewer words."""

import secrets

from controllers import integrations, paging, rows
from controllers.errors import NotFound
from models import Integration
from utils.datekit import rfc3339

DRIVER = "webhook"
CHOICE = ("events", "applications", "environments")


def describe(row):
    """Return a webhook in the API's shape."""
    return {
        "name": row.name,
        "url": row.url,
        **{name: (row.settings or {}).get(name) for name in CHOICE},
        "circuit": integrations.describe(row)["circuit"],
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
    }


def find(name):
    """Return a webhook's row. Raises NotFound."""
    row = rows.named(Integration, name, "webhook")
    if row.driver != DRIVER:
        raise NotFound(f"There is no webhook '{name}'; the integration of that name is of driver {row.driver}.")
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
    row = find(name)
    meant = {}
    if "url" in changes:
        meant["url"] = changes["url"]
    if "secret" in changes:
        meant["credentials"] = {"secret": changes["secret"]}
    if any(part in changes for part in CHOICE):
        meant["settings"] = {**(row.settings or {}), **choice_of(changes)}
        meant["settings"] = {part: value for part, value in meant["settings"].items() if value is not None}
    integrations.update(actor, name, meant, if_match)
    return get(actor, name)


def delete(actor, name):
    """Delete a webhook. Raises NotFound."""
    find(name)
    integrations.delete(actor, name)


def choice_of(fields):
    """Return what is said of which messages are told."""
    return {part: fields[part] for part in CHOICE if part in fields}
