"""Routes of /preparations, and of /hosts/<name>/prepare, which begins one."""

from api import Stream, route
from api.schemas.deploys import EventList, EventQuery, NoFields, StreamQuery
from api.schemas.preparations import Preparation, PreparationFields, PreparationQuery
from api.shapes import Page
from api.sse import as_stream, place
from controllers.fleet.preparations import PreparationController
from utils.decorators import auth, validate


@route(
    "POST",
    "/hosts/<name>/prepare",
    summary="Make a host ready for deploys",
    status=202,
    returns=Preparation,
    location="/preparations/{id}",
)
@auth()
@validate(PreparationFields)
def prepare_host(actor, name, fields):
    """A worker of its zone logs in and makes user, folders, packages and configuration; what is there is left alone."""
    return PreparationController(actor).create(name, fields)


@route("GET", "/preparations", summary="List preparations of hosts", returns=Page[Preparation])
@auth()
@validate(query=PreparationQuery)
def list_preparations(actor, query):
    """Newest first."""
    return PreparationController(actor).listing(**query)


@route("GET", "/preparations/<number:int>", summary="Show a preparation", returns=Preparation)
@auth()
def show_preparation(actor, number):
    """How far it is, and what it changed."""
    return PreparationController(actor).get(number)


@route("POST", "/preparations/<number:int>/cancel", summary="Cancel a preparation", returns=Preparation)
@auth()
@validate(NoFields)
def cancel_preparation(actor, number, fields):
    """What it has done by then stays; another one goes on from there."""
    return PreparationController(actor).cancel(number)


@route("GET", "/preparations/<number:int>/events", summary="Show a preparation's events", returns=EventList)
@auth()
@validate(query=EventQuery)
def show_preparation_events(actor, number, query):
    """Its tasks and what they said, oldest first; numbers have no gaps."""
    return PreparationController(actor).history(number, **query)


@route("GET", "/preparations/<number:int>/stream", summary="Follow a preparation", produces="text/event-stream")
@auth()
@validate(query=StreamQuery)
def follow_preparation(actor, number, query, last_event_id):
    """Its events as they come, after the one named by Last-Event-ID; the stream ends when the preparation has ended."""
    return Stream(as_stream(PreparationController(actor).follow(number, place(last_event_id, query) or 0)))
