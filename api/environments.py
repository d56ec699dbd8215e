"""Routes of /environments."""

from api import route
from api.schemas.inventory import Environment, EnvironmentChanges, EnvironmentFields
from api.shapes import ListQuery, Page
from controllers.catalog.environments import EnvironmentController
from utils.decorators import auth, validate


@route("GET", "/environments", summary="List environments", returns=Page[Environment])
@auth()
@validate(query=ListQuery)
def list_environments(actor, query):
    """In their order of promotion."""
    return EnvironmentController(actor).listing(**query)


@route(
    "POST",
    "/environments",
    summary="Make an environment",
    status=201,
    returns=Environment,
    location="/environments/{name}",
)
@auth()
@validate(EnvironmentFields)
def create_environment(actor, fields):
    """It comes last in the order of promotion if no position is given."""
    return EnvironmentController(actor).create(fields)


@route("GET", "/environments/<name>", summary="Show an environment", returns=Environment)
@auth()
def show_environment(actor, name):
    """Its place in the order of promotion."""
    return EnvironmentController(actor).get(name)


@route("PATCH", "/environments/<name>", summary="Change an environment", returns=Environment)
@auth()
@validate(EnvironmentChanges)
def change_environment(actor, name, fields, if_match):
    """Move it in the order of promotion."""
    return EnvironmentController(actor).update(name, fields, if_match)


@route("DELETE", "/environments/<name>", summary="Delete an environment", status=204)
@auth()
def delete_environment(actor, name):
    """Refused while it has targets, or deploys in its history."""
    EnvironmentController(actor).delete(name)
