"""Routes of /zones."""

from api import route
from api.schemas.inventory import Zone, ZoneChanges, ZoneFields
from api.shapes import ListQuery, Page
from controllers.catalog.zones import ZoneController
from utils.decorators import auth, validate


@route("GET", "/zones", summary="List zones", returns=Page[Zone])
@auth()
@validate(query=ListQuery)
def list_zones(actor, query):
    """By name."""
    return ZoneController(actor).listing(**query)


@route("POST", "/zones", summary="Make a zone", status=201, returns=Zone, location="/zones/{name}")
@auth()
@validate(ZoneFields)
def create_zone(actor, fields):
    """A worker that serves it makes its SSH key pair and tells the public key soon after."""
    return ZoneController(actor).create(fields)


@route("GET", "/zones/<name>", summary="Show a zone", returns=Zone)
@auth()
def show_zone(actor, name):
    """Its public key goes into authorized_keys on its hosts."""
    return ZoneController(actor).get(name)


@route("PATCH", "/zones/<name>", summary="Change a zone", returns=Zone)
@auth()
@validate(ZoneChanges)
def change_zone(actor, name, fields, if_match):
    """With public_key null a worker tells the public key of the private one it holds now."""
    return ZoneController(actor).update(name, fields, if_match)


@route("DELETE", "/zones/<name>", summary="Delete a zone", status=204)
@auth()
def delete_zone(actor, name):
    """Refused while it has hosts."""
    ZoneController(actor).delete(name)
