"""Routes of /applications/<name>/targets/<environment>/lock."""

from api import Made, route
from api.schemas.guards import Lock, LockFields, UnlockQuery
from controllers.guards.locks import LockController
from utils.decorators import auth, validate

PATH = "/applications/<name>/targets/<environment>/lock"


@route("GET", PATH, summary="Show a target's lock", returns=Lock)
@auth()
def show_lock(actor, name, environment):
    """404 when nobody holds one."""
    return LockController(actor).get(name, environment)


@route("PUT", PATH, summary="Lock a target", returns=Lock, also={201: Lock})
@auth()
@validate(LockFields)
def put_lock(actor, name, environment, fields, if_match):
    """Nobody else can deploy to it then. 201 when it is new; 409 when somebody else holds one, unless force is true."""
    lock, is_new = LockController(actor).put(name, environment, fields, if_match)
    return Made(lock) if is_new else lock


@route("DELETE", PATH, summary="Unlock a target", status=204)
@auth()
@validate(query=UnlockQuery)
def delete_lock(actor, name, environment, query):
    """409 when somebody else holds it, unless force is true."""
    LockController(actor).delete(name, environment, **query)
