"""Routes of /applications."""

from api import FOREIGN, route
from api.schemas.applications import Application, ApplicationChanges, ApplicationFields, PackageVersion, Ref
from api.schemas.lists import ChoiceQuery
from api.shapes import ListQuery, Page
from controllers.catalog.applications import ApplicationController
from controllers.catalog.lookups import LookupController
from utils.decorators import auth, validate
from utils.decorators import request_cache as cache


@route("GET", "/applications", summary="List applications", returns=Page[Application])
@auth()
@validate(query=ListQuery)
def list_applications(actor, query):
    """By name."""
    return ApplicationController(actor).listing(**query)


@route(
    "POST",
    "/applications",
    summary="Make an application",
    status=201,
    returns=Application,
    location="/applications/{name}",
)
@auth()
@validate(ApplicationFields)
def create_application(actor, fields):
    """Its releases come from a git repository or from a package of a package index."""
    return ApplicationController(actor).create(fields)


@route("GET", "/applications/<name>", summary="Show an application", returns=Application)
@auth()
def show_application(actor, name):
    """Its source and its processes."""
    return ApplicationController(actor).get(name)


@route("PATCH", "/applications/<name>", summary="Change an application", returns=Application)
@auth()
@validate(ApplicationChanges)
def change_application(actor, name, fields, if_match):
    """What is named is replaced whole; the rest stays."""
    return ApplicationController(actor).update(name, fields, if_match)


@route(
    "GET",
    "/applications/<name>/refs",
    summary="List the branches and tags an application can be built from",
    returns=Page[Ref],
    errors=FOREIGN,
)
@auth()
@validate(query=ChoiceQuery)
@cache(10)
def list_refs(actor, name, query):
    """As its repository has them now: branches, then tags, with their commits; those with the query in their names."""
    return LookupController(actor).refs(name, **query)


@route(
    "GET",
    "/applications/<name>/versions",
    summary="List the versions of an application's package",
    returns=Page[PackageVersion],
    errors=FOREIGN,
)
@auth()
@validate(query=ChoiceQuery)
@cache(10)
def list_versions(actor, name, query):
    """As its package index has them now, newest first; those with the query in them."""
    return LookupController(actor).versions(name, **query)


@route("DELETE", "/applications/<name>", summary="Delete an application", status=204)
@auth()
def delete_application(actor, name):
    """With its releases and its history; refused while it has targets."""
    ApplicationController(actor).delete(name)
