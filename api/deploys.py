"""Routes of /deploys, and the stream of all of them."""

from api import Stream, Text, route
from api.schemas.deploys import (
    ApprovalFields,
    Deploy,
    DeployFields,
    EventList,
    EventQuery,
    HostRun,
    NoFields,
    StreamQuery,
)
from api.schemas.lists import DeployQuery
from api.shapes import ListQuery, Page
from api.sse import as_stream, place
from controllers.rollout.deploy_views import DeployViewController
from controllers.rollout.deploys import DeployController
from controllers.rollout.pauses import PauseController
from utils.decorators import auth, validate


@route("GET", "/deploys", summary="List deploys", returns=Page[Deploy])
@auth()
@validate(query=DeployQuery)
def list_deploys(actor, query):
    """Newest first."""
    return DeployController(actor).listing(**query)


@route("POST", "/deploys", summary="Deploy a release", status=201, returns=Deploy, location="/deploys/{id}")
@auth()
@validate(DeployFields)
def create_deploy(actor, fields):
    """The rollout begins at once; follow its stream."""
    return DeployController(actor).create(fields)


@route("GET", "/deploys/<number:int>", summary="Show a deploy", returns=Deploy)
@auth()
def show_deploy(actor, number):
    """Its state and its progress."""
    return DeployController(actor).get(number)


@route("GET", "/deploys/<number:int>/hosts", summary="Show a deploy's hosts", returns=Page[HostRun])
@auth()
@validate(query=ListQuery)
def show_deploy_hosts(actor, number, query):
    """In the order in which they go, each with the steps of its newest attempt."""
    return DeployViewController(actor).hosts(number, **query)


@route("GET", "/deploys/<number:int>/events", summary="Show a deploy's events", returns=EventList)
@auth()
@validate(query=EventQuery)
def show_deploy_events(actor, number, query):
    """Oldest first; numbers have no gaps."""
    return DeployViewController(actor).history(number, **query)


@route("GET", "/deploys/<number:int>/log", summary="Show a deploy's log", produces="text/plain")
@auth()
def show_deploy_log(actor, number):
    """All events so far as lines of text."""
    return Text(DeployViewController(actor).log(number))


@route("POST", "/deploys/<number:int>/approve", summary="Approve a deploy", returns=Deploy)
@auth()
@validate(ApprovalFields)
def approve_deploy(actor, number, fields):
    """It was asked for by somebody else; the last approval that its environment needs lets it go on."""
    return DeployController(actor).approve(number, fields)


@route("POST", "/deploys/<number:int>/cancel", summary="Cancel a deploy", returns=Deploy)
@auth()
@validate(NoFields)
def cancel_deploy(actor, number, fields):
    """Hosts under way go back to what they had; hosts that have switched stay."""
    return DeployController(actor).cancel(number)


@route("POST", "/deploys/<number:int>/pause", summary="Pause a deploy", returns=Deploy)
@auth()
@validate(NoFields)
def pause_deploy(actor, number, fields):
    """Hosts under way go on to their end; no other begins until it is resumed."""
    return PauseController(actor).pause(number)


@route("POST", "/deploys/<number:int>/resume", summary="Resume a deploy", returns=Deploy)
@auth()
@validate(NoFields)
def resume_deploy(actor, number, fields):
    """The next wave begins."""
    return PauseController(actor).resume(number)


@route("POST", "/deploys/<number:int>/hosts/<host>/retry", summary="Retry a host of a paused deploy", returns=HostRun)
@auth()
@validate(NoFields)
def retry_deploy_host(actor, number, host, fields):
    """It failed or was left out; it is tried again once the deploy is resumed."""
    return PauseController(actor).retry_host(number, host)


@route("POST", "/deploys/<number:int>/hosts/<host>/skip", summary="Leave a host of a paused deploy out", returns=HostRun)
@auth()
@validate(NoFields)
def skip_deploy_host(actor, number, host, fields):
    """It has not begun, or it failed; a host that is left out does not count as failed."""
    return PauseController(actor).skip_host(number, host)


@route("POST", "/deploys/<number:int>/retry", summary="Retry a failed deploy", returns=Deploy)
@auth()
@validate(NoFields)
def retry_deploy(actor, number, fields):
    """Its hosts that have not succeeded are tried again."""
    return DeployController(actor).retry(number)


@route(
    "POST",
    "/deploys/<number:int>/rollback",
    summary="Roll a deploy back",
    status=201,
    returns=Deploy,
    location="/deploys/{id}",
)
@auth()
@validate(NoFields)
def roll_deploy_back(actor, number, fields):
    """A new deploy of the release that ran before this one."""
    return DeployController(actor).rollback(number)


@route("GET", "/deploys/<number:int>/stream", summary="Follow a deploy", produces="text/event-stream")
@auth()
@validate(query=StreamQuery)
def follow_deploy(actor, number, query, last_event_id):
    """Its events as they come, after the one named by Last-Event-ID; the stream ends when the deploy has ended."""
    return Stream(as_stream(DeployViewController(actor).follow(number, place(last_event_id, query) or 0)))


@route("GET", "/stream", summary="Follow all deploys", produces="text/event-stream")
@auth()
@validate(query=StreamQuery)
def follow_deploys(actor, query, last_event_id):
    """Changes of state of all deploys as they come, after the one named by Last-Event-ID; without end."""
    return Stream(as_stream(DeployViewController(actor).follow_all(place(last_event_id, query))))
