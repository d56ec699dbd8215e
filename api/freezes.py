"""Routes of /freezes."""

from api import route
from api.schemas.guards import Freeze, FreezeChanges, FreezeFields
from api.shapes import ListQuery, Page
from controllers.guards.freezes import FreezeController
from utils.decorators import auth, validate


@route("GET", "/freezes", summary="List freezes", returns=Page[Freeze])
@auth()
@validate(query=ListQuery)
def list_freezes(actor, query):
    """By name."""
    return FreezeController(actor).listing(**query)


@route("POST", "/freezes", summary="Make a freeze", status=201, returns=Freeze, location="/freezes/{name}")
@auth(administrator=True)
@validate(FreezeFields)
def create_freeze(actor, fields):
    """Once, from starts_at to ends_at, or weekly. For administrators."""
    return FreezeController(actor).create(fields)


@route("GET", "/freezes/<name>", summary="Show a freeze", returns=Freeze)
@auth()
def show_freeze(actor, name):
    """When nobody deploys what, and why."""
    return FreezeController(actor).get(name)


@route("PATCH", "/freezes/<name>", summary="Change a freeze", returns=Freeze)
@auth(administrator=True)
@validate(FreezeChanges)
def change_freeze(actor, name, fields, if_match):
    """What is not named stays. For administrators."""
    return FreezeController(actor).update(name, fields, if_match)


@route("DELETE", "/freezes/<name>", summary="Delete a freeze", status=204)
@auth(administrator=True)
def delete_freeze(actor, name):
    """What waited for its end goes on. For administrators."""
    FreezeController(actor).delete(name)
