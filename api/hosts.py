"""Routes of /hosts."""

from api import route
from api.schemas.deploys import NoFields
from api.schemas.hosts import Host, HostChanges, HostFields, MaintenanceFields, ObserveFields, TrustedHost, TrustFields
from api.schemas.lists import HostQuery
from api.shapes import Page
from controllers.fleet.host_checks import HostCheckController
from controllers.fleet.hosts import HostController
from utils.decorators import auth, validate


@route("GET", "/hosts", summary="List hosts", returns=Page[Host])
@auth()
@validate(query=HostQuery)
def list_hosts(actor, query):
    """By name."""
    return HostController(actor).listing(**query)


@route("POST", "/hosts", summary="Register a host", status=201, returns=Host, location="/hosts/{name}")
@auth()
@validate(HostFields)
def create_host(actor, fields):
    """Trust and check it next."""
    return HostController(actor).create(fields)


@route("GET", "/hosts/<name>", summary="Show a host", returns=Host)
@auth()
def show_host(actor, name):
    """Its settings, and what was last seen of it."""
    return HostController(actor).get(name)


@route("PATCH", "/hosts/<name>", summary="Change a host", returns=Host)
@auth()
@validate(HostChanges)
def change_host(actor, name, fields, if_match):
    """Of settings, what is left out stays."""
    return HostController(actor).update(name, fields, if_match)


@route("DELETE", "/hosts/<name>", summary="Delete a host", status=204)
@auth()
def delete_host(actor, name):
    """Refused while a target names it or a deploy goes to it; what runs there is left alone."""
    HostController(actor).delete(name)


@route("POST", "/hosts/<name>/check", summary="Look at a host now", returns=Host)
@auth()
@validate(NoFields)
def check_host(actor, name, fields):
    """A worker of its zone observes facts and problems; nothing on the host changes."""
    return HostCheckController(actor).check(name)


@route("POST", "/hosts/<name>/observe", summary="Look for drift on a host now", returns=Host)
@auth()
@validate(ObserveFields)
def observe_host(actor, name, fields):
    """Compares what is there with what was deployed, and reads every deployed file unless verify is false."""
    return HostCheckController(actor).observe(name, fields)


@route("POST", "/hosts/<name>/trust", summary="Pin a host's key", returns=TrustedHost)
@auth()
@validate(TrustFields)
def trust_host(actor, name, fields):
    """The key it shows now, the one with a fingerprint, or a given one that is pinned without asking the host."""
    if "host_key" in fields:
        return HostController(actor).pin(name, fields["host_key"])
    return HostCheckController(actor).trust(name, fields)


@route("POST", "/hosts/<name>/maintenance", summary="Take a host out of service, or put it back", returns=Host)
@auth()
@validate(MaintenanceFields)
def set_host_maintenance(actor, name, fields):
    """Deploys leave out a host that is out of service."""
    return HostController(actor).set_maintenance(name, fields)
