"""Integrations: configured foreign systems. Credentials go in, sealed, and never come out in an answer."""

import json

import secretbox
from controllers import etags, foreign, paging, rows
from controllers.errors import Invalid, Unavailable
from models import Application, Integration
from models.db import clock, database
from utils.datekit import rfc3339


def describe(integration):
    """Return an integration in the API's shape: of its credentials only the names, kept beside the sealed values."""
    driver = foreign.drivers().get(integration.driver)
    return {
        "name": integration.name,
        "driver": integration.driver,
        "roles": [driver.role] if driver else [],
        "url": integration.url,
        "credentials": credential_names(integration),
        "settings": integration.settings,
        "created_at": rfc3339(integration.created_at),
        "updated_at": rfc3339(integration.updated_at),
    }


def credential_names(integration):
    """Return the names of the credentials that are set; None when their key is gone and they must be entered again."""
    try:
        return sorted(credentials_of(integration))
    except Unavailable:
        return None


def credentials_of(integration):
    """Return {name: value}; internal, never for an answer. Raises Unavailable when they cannot be opened."""
    if not integration.credentials:
        return {}
    try:
        return json.loads(secretbox.open_sealed(integration.credentials))
    except secretbox.SecretBoxError as error:
        raise Unavailable(
            f"The credentials of integration {integration.name}: {error}", code="secret-unreadable"
        ) from None


def sealed(credentials):
    """Return credentials as they are stored, None where there are none."""
    return secretbox.seal(json.dumps(credentials)) if credentials else None


def check(driver, url, settings, credentials):
    """Raise Invalid for everything the driver cannot use; its messages never repeat a value."""
    mistakes = foreign.mistakes_in(driver, url, settings, credentials)
    if mistakes:
        raise Invalid(mistakes)


def listing(actor, limit=paging.LIMIT, after=None):
    """Return a page of integrations by name."""
    return paging.page(Integration.select(), Integration.name, describe, limit, after)


def get(actor, name):
    """Return one integration."""
    return describe(rows.named(Integration, name, "integration"))


def create(actor, fields):
    """Make an integration from name, driver, url, credentials and settings; returns it. Raises Invalid and Conflict."""
    url, settings, credentials = fields.get("url"), fields.get("settings") or {}, fields.get("credentials") or {}
    check(fields["driver"], url, settings, credentials)
    with database.atomic(), rows.once("an integration", fields["name"]):
        made_at = clock()
        return describe(
            Integration.create(
                name=fields["name"],
                driver=fields["driver"],
                url=url,
                settings=settings,
                credentials=sealed(credentials),
                created_at=made_at,
                updated_at=made_at,
            )
        )


def update(actor, name, changes, if_match=None):
    """Change url, settings or credentials, each as a whole, None removes it; returns the integration.

    Raises Invalid, PreconditionFailed, and Unavailable when credentials that stay cannot be opened to be checked.
    """
    with database.atomic():
        integration = rows.named_for_change(Integration, name, "integration")
        etags.require_match(if_match, describe(integration))
        integration.url = changes.get("url", integration.url)
        integration.settings = changes.get("settings", integration.settings) or {}
        credentials = (changes["credentials"] or {}) if "credentials" in changes else credentials_of(integration)
        check(integration.driver, integration.url, integration.settings, credentials)
        if "credentials" in changes:
            integration.credentials = sealed(credentials)
        # Answers show no credentials, so this time is all that tells two versions with different ones apart.
        integration.updated_at = max(clock(), integration.updated_at + 1)
        integration.save()
        return describe(integration)


def delete(actor, name):
    """Delete an integration; refused with Conflict while the source of an application names it."""
    with database.atomic():
        integration = rows.named_for_change(Integration, name, "integration")
        sources = Application.select(Application.name, Application.source).order_by(Application.name)
        rows.refuse_while_used(
            f"Integration {name}",
            [
                f"the source of application {application.name}"
                for application in sources
                if application.source.get("integration") == name
            ],
        )
        integration.delete_instance()
