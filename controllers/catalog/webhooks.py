"""Webhooks: URLs of programs that get messages about deploys. Each is an integration of driver webhook, in fewer words."""

import secrets

from controllers import etags, paging
from controllers.catalog import integrations
from controllers.catalog.integrations import IntegrationController
from controllers.controller import Controller
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


def require_webhook(row):
    """Return an integration's row that is a webhook's. Raises NotFound for any other."""
    if row.driver != DRIVER:
        raise NotFound(f"There is no webhook '{row.name}'; the integration of that name is of driver {row.driver}.")
    return row


def choice_of(fields):
    """Return what is said of whether, and of which, messages are told."""
    return {part: fields[part] for part in SETTINGS if part in fields}


class WebhookController(Controller):
    """Webhooks as people make, change and delete them."""

    def find(self, name, to_change=False):
        """Return a webhook's row. Raises NotFound."""
        return require_webhook(self.named(Integration, name, "webhook", to_change))

    def listing(self, limit=paging.LIMIT, after=None):
        """Return a page of webhooks by name."""
        query = self.visible(Integration).where(Integration.driver == DRIVER)
        return paging.page(query, Integration.name, describe, limit, after)

    def get(self, name):
        """Return one webhook. Raises NotFound."""
        return describe(self.find(name))

    def create(self, fields):
        """Make a webhook from name, url, and maybe secret and what to tell; returns it with its secret, this once.

        Raises Invalid, Conflict.
        """
        secret = fields.get("secret") or secrets.token_urlsafe(32)
        self.integrations.create(
            {
                "name": fields["name"],
                "driver": DRIVER,
                "url": fields["url"],
                "credentials": {"secret": secret},
                "settings": choice_of(fields),
            }
        )
        return {**self.get(fields["name"]), "secret": secret}

    def update(self, name, changes, if_match=None):
        """Change url (with its secret), secret or what to tell; returns the webhook.

        Raises NotFound, Invalid, PreconditionFailed.
        """
        with database.atomic():
            row = self.find(name, to_change=True)
            etags.require_match(if_match, describe(row))
            meant = {}
            if "url" in changes:
                meant["url"] = changes["url"]
            if "secret" in changes:
                meant["credentials"] = {"secret": changes["secret"]}
            if any(part in changes for part in SETTINGS):
                chosen = {**(row.settings or {}), **choice_of(changes)}
                meant["settings"] = {part: value for part, value in chosen.items() if value is not None}
            self.integrations.update(name, meant)
            return self.get(name)

    def delete(self, name):
        """Delete a webhook. Raises NotFound."""
        self.find(name)
        self.integrations.delete(name)

    @property
    def integrations(self):
        """The controller of integrations, of which a webhook is one, for the same actor."""
        return IntegrationController(self.actor)
