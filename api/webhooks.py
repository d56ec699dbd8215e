"""Routes of /webhooks."""

from api import route
from api.schemas.webhooks import NewWebhook, Webhook, WebhookChanges, WebhookFields
from api.shapes import ListQuery, Page
from controllers.catalog.webhooks import WebhookController
from utils.decorators import auth, validate


@route("GET", "/webhooks", summary="List webhooks", returns=Page[Webhook])
@auth()
@validate(query=ListQuery)
def list_webhooks(actor, query):
    """By name; their deliveries are at /deliveries?integration=<name>."""
    return WebhookController(actor).listing(**query)


@route("POST", "/webhooks", summary="Make a webhook", status=201, returns=NewWebhook, location="/webhooks/{name}")
@auth()
@validate(WebhookFields)
def create_webhook(actor, fields):
    """A URL that is told what happens, signed as Standard Webhooks; this answer alone shows the secret."""
    return WebhookController(actor).create(fields)


@route("GET", "/webhooks/<name>", summary="Show a webhook", returns=Webhook)
@auth()
def show_webhook(actor, name):
    """Where it goes and what it is told."""
    return WebhookController(actor).get(name)


@route("PATCH", "/webhooks/<name>", summary="Change a webhook", returns=Webhook)
@auth()
@validate(WebhookChanges)
def change_webhook(actor, name, fields, if_match):
    """Another URL needs a secret with it; null chooses everything."""
    return WebhookController(actor).update(name, fields, if_match)


@route("DELETE", "/webhooks/<name>", summary="Delete a webhook", status=204)
@auth()
def delete_webhook(actor, name):
    """What waits to be sent to it is given up."""
    WebhookController(actor).delete(name)
