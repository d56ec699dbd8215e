"""Routes of /hooks, where foreign systems report what happened, and of the hooks that were received."""

from api import route
from api.schemas.deploys import NoFields
from api.schemas.hooks import Automation, Hook, HookReceived, HookSecret
from api.shapes import ListQuery, Page
from controllers.automation.hooks import HookController, receive
from controllers.automation.rules import AutomationController
from utils.decorators import auth, message, validate


@route("POST", "/hooks/<name>", summary="Take a foreign system's hook", status=202, returns=HookReceived)
@message
def receive_hook(name, headers, body):
    """Signed with the secret of the integration; answered at once, worked on later, and once however often it comes."""
    return receive(name, headers, body)


@route("GET", "/integrations/<name>/hooks", summary="List the hooks an integration received", returns=Page[Hook])
@auth()
@validate(query=ListQuery)
def list_hooks(actor, name, query):
    """Newest first, with what followed from each."""
    return HookController(actor).listing(name, **query)


@route("POST", "/integrations/<name>/hook", summary="Open an integration's hook", returns=HookSecret)
@auth(administrator=True)
@validate(NoFields)
def open_hook(actor, name, fields):
    """Makes the secret the system signs with, in place of the one before; this answer alone shows it."""
    return HookController(actor).open(name)


@route("DELETE", "/integrations/<name>/hook", summary="Close an integration's hook", status=204)
@auth(administrator=True)
def close_hook(actor, name):
    """No more hooks are taken for it."""
    HookController(actor).close(name)


@route(
    "GET",
    "/applications/<name>/targets/<environment>/automations",
    summary="List a target's automatic deploys",
    returns=Page[Automation],
)
@auth()
@validate(query=ListQuery)
def list_automations(actor, name, environment, query):
    """What its rules wanted, newest first, and what became of it."""
    return AutomationController(actor).listing(name, environment, **query)
