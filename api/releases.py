"""Routes of /applications/<name>/releases."""

from api import Stream, route
from api.schemas.deploys import EventList, EventQuery, NoFields, StreamQuery
from api.schemas.releases import Comparison, Release, ReleaseFields, ReleaseInFull, ReleaseQuery
from api.shapes import Page
from api.sse import as_stream, place
from controllers.releases.releases import ReleaseController
from utils.decorators import auth, validate

RELEASES = "/applications/<name>/releases"
RELEASE = RELEASES + "/<version>"


@route("GET", RELEASES, summary="List an application's releases", returns=Page[Release])
@auth()
@validate(query=ReleaseQuery)
def list_releases(actor, name, query):
    """Newest first."""
    return ReleaseController(actor).listing(name, **query)


@route(
    "POST",
    RELEASES,
    summary="Build a release",
    status=202,
    returns=Release,
    location="/applications/{application}/releases/{version}",
)
@auth()
@validate(ReleaseFields)
def create_release(actor, name, fields):
    """The build begins at once; follow its stream until its state is ready or failed."""
    return ReleaseController(actor).create(name, fields)


@route("GET", RELEASE, summary="Show a release", returns=ReleaseInFull)
@auth()
def show_release(actor, name, version):
    """By its version such as v12, or latest for the newest one that is ready."""
    return ReleaseController(actor).get(name, version)


@route("POST", RELEASE + "/cancel", summary="Cancel a release that is being built", returns=Release)
@auth()
@validate(NoFields)
def cancel_release(actor, name, version, fields):
    """Its build ends, here and in the other system that does it, and the release fails: cancelled by whoever asked."""
    return ReleaseController(actor).cancel(name, version)


@route("GET", RELEASE + "/events", summary="Show a build's events", returns=EventList)
@auth()
@validate(query=EventQuery)
def show_release_events(actor, name, version, query):
    """Oldest first; numbers have no gaps."""
    return ReleaseController(actor).history(name, version, **query)


@route("GET", RELEASE + "/stream", summary="Follow a build", produces="text/event-stream")
@auth()
@validate(query=StreamQuery)
def follow_release(actor, name, version, query, last_event_id):
    """Its events as they come, after the one named by Last-Event-ID; the stream ends when the build has ended."""
    return Stream(as_stream(ReleaseController(actor).follow(name, version, place(last_event_id, query) or 0)))


@route("GET", RELEASES + "/<older>/compare/<newer>", summary="Compare two releases", returns=Comparison)
@auth()
def compare_releases(actor, name, older, newer):
    """What deploying the second instead of the first changes."""
    return ReleaseController(actor).compare(name, older, newer)
