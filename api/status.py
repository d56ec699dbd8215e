"""Routes of /status."""

from api import route
from api.schemas.lists import PublicStatusQuery, StatusQuery
from api.schemas.status import PublicStatus, StatusList
from api.shapes import Page
from controllers import status
from utils.decorators import auth, jsonp, validate
from utils.decorators import request_cache as cache


@route("GET", "/status", summary="What should run where, and what was seen", returns=StatusList)
@auth()
@validate(query=StatusQuery)
def show_status(actor, query):
    """One item for each target."""
    return status.StatusController(actor).listing(**query)


@route("GET", "/status/public", summary="What everybody may know", returns=Page[PublicStatus])
@jsonp
@validate(query=PublicStatusQuery)
@cache(2)
def show_public_status(query):
    """Names, releases and states. No credentials are read; with callback it is a script (JSONP)."""
    return status.public(query["limit"], query["after"])
