"""Routes of /integrations."""

from api import FOREIGN, route
from api.schemas.inventory import (
    Drivers,
    Integration,
    IntegrationChanges,
    IntegrationFields,
    Proof,
    ProofFields,
    Repository,
)
from api.schemas.lists import ChoiceQuery
from api.shapes import ListQuery, Page
from controllers.catalog.integrations import IntegrationController
from controllers.catalog.lookups import LookupController
from utils.decorators import auth, validate
from utils.decorators import request_cache as cache


@route("GET", "/integrations", summary="List integrations", returns=Page[Integration])
@auth()
@validate(query=ListQuery)
def list_integrations(actor, query):
    """By name; credentials are named, never shown."""
    return IntegrationController(actor).listing(**query)


@route(
    "POST",
    "/integrations",
    summary="Make an integration",
    status=201,
    returns=Integration,
    location="/integrations/{name}",
)
@auth()
@validate(IntegrationFields)
def create_integration(actor, fields):
    """A foreign system: its driver, where it is, and the credentials for it."""
    return IntegrationController(actor).create(fields)


@route("GET", "/integrations/drivers", summary="List the drivers", returns=Drivers)
@auth()
def list_drivers(actor):
    """What an integration can be of: role, settings and credentials of each driver, as JSON schemas."""
    return IntegrationController(actor).drivers()


@route("GET", "/integrations/<name>", summary="Show an integration", returns=Integration)
@auth()
def show_integration(actor, name):
    """Credentials are named, never shown."""
    return IntegrationController(actor).get(name)


@route("PATCH", "/integrations/<name>", summary="Change an integration", returns=Integration)
@auth()
@validate(IntegrationChanges)
def change_integration(actor, name, fields, if_match):
    """Credentials and settings are replaced whole; null removes them."""
    return IntegrationController(actor).update(name, fields, if_match)


@route("POST", "/integrations/<name>/test", summary="Try an integration out", returns=Proof)
@auth()
@validate(ProofFields)
def test_integration(actor, name, fields):
    """Prove that URL and credentials work; what does not is among the checks. Nothing is changed there."""
    return IntegrationController(actor).prove(name, **fields)


@route(
    "GET",
    "/integrations/<name>/repositories",
    summary="List the repositories an integration can see",
    returns=Page[Repository],
    errors=FOREIGN,
)
@auth()
@validate(query=ChoiceQuery)
@cache(10)
def list_repositories(actor, name, query):
    """As the system tells now; those with the query in their names. Refused where the system keeps none or cannot list them."""
    return LookupController(actor).repositories(name, **query)


@route("DELETE", "/integrations/<name>", summary="Delete an integration", status=204)
@auth()
def delete_integration(actor, name):
    """Refused while an application's source uses it."""
    IntegrationController(actor).delete(name)
