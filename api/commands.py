"""Routes of /commands."""

from api import Stream, route
from api.schemas.commands import Command, CommandFields, CommandInShort, CommandQuery
from api.schemas.deploys import EventList, EventQuery, NoFields, StreamQuery
from api.shapes import Page
from api.sse import as_stream, place
from controllers.commands.commands import CommandController
from utils.decorators import auth, validate


@route("GET", "/commands", summary="List commands", returns=Page[CommandInShort])
@auth()
@validate(query=CommandQuery)
def list_commands(actor, query):
    """Newest first."""
    return CommandController(actor).listing(**query)


@route("POST", "/commands", summary="Run a command", status=201, returns=Command, location="/commands/{id}")
@auth(administrator=True)
@validate(CommandFields)
def create_command(actor, fields):
    """It begins at once on all its hosts; follow its stream. For administrators."""
    return CommandController(actor).create(fields)


@route("GET", "/commands/<number:int>", summary="Show a command", returns=Command)
@auth()
def show_command(actor, number):
    """How it goes on each host."""
    return CommandController(actor).get(number)


@route("POST", "/commands/<number:int>/cancel", summary="Cancel a command", returns=Command)
@auth(administrator=True)
@validate(NoFields)
def cancel_command(actor, number, fields):
    """Where it runs it is ended with all its processes; where it has not begun it does not. For administrators."""
    return CommandController(actor).cancel(number)


@route("GET", "/commands/<number:int>/events", summary="Show a command's events", returns=EventList)
@auth()
@validate(query=EventQuery)
def show_command_events(actor, number, query):
    """Its output and its changes of state, oldest first; numbers have no gaps."""
    return CommandController(actor).history(number, **query)


@route("GET", "/commands/<number:int>/stream", summary="Follow a command", produces="text/event-stream")
@auth()
@validate(query=StreamQuery)
def follow_command(actor, number, query, last_event_id):
    """Its events as they come, after the one named by Last-Event-ID; the stream ends when the command has ended."""
    return Stream(as_stream(CommandController(actor).follow(number, place(last_event_id, query) or 0)))
