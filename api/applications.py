"""Routes of /applications."""

from api import FOREIGN, route
from api.schemas.applications import Application, ApplicationChanges, ApplicationFields, PackageVersion, Ref
from api.schemas.lists import ChoiceQuery
from api.shapes import ListQuery, Page
from controllers.catalog import applications, lookups
from utils.decorators import auth, validate
from utils.decorators import request_cache as cache


@route("GET", "/applications", summary="List applications", returns=Page[Application])
@auth()
@validate(query=ListQuery)
def list_applications(actor, query):
    """By name."""
    return applications.listing(actor, **query)


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
    return applications.create(actor, fields)


@route("GET", "/applications/<name>", summary="Show an application", returns=Application)
@auth()
def show_application(actor, name):
    """Its source and its processes."""
    return applications.get(actor, name)


@route("PATCH", "/applications/<name>", summary="Change an application", returns=Application)
@auth()
@validate(ApplicationChanges)
def change_application(actor, name, fields, if_match):
    """What is named is replaced whole; the rest stays."""
    return applications.update(actor, name, fields, if_match)


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
    return lookups.refs(actor, name, **query)


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
    return lookups.versions(actor, name, **query)


@route("DELETE", "/applications/<name>", summary="Delete an application", status=204)
@auth()
def delete_application(actor, name):
    """With its releases and its history; refused while it has targets."""
    applications.delete(actor, name)
