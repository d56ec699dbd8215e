"""Routes of /session and /me: logging in and out with a browser, and who the caller is."""

from bottle import request, response

from api import route
from api.call import cookie_name
from api.schemas.access import LoginFields, Me
from config import settings
from controllers.access import sessions
from utils.decorators import CALL, auth, validate


@route("POST", "/session", summary="Log in", status=201, returns=Me)
@validate(LoginFields)
def log_in(fields):
    """Begin a browser session: the answer sets its cookie; its csrf_token goes into the header X-CSRF-Token of each change."""
    secret, lifetime_s, me = sessions.log_in(fields, request.environ[CALL].address())
    response.set_cookie(
        cookie_name(),
        secret,
        path="/",
        max_age=lifetime_s,
        httponly=True,
        samesite="lax",
        secure=settings.web.secure_cookies,
    )
    return me


@route("DELETE", "/session", summary="Log out")
@auth()
def log_out(actor):
    """End the browser session whose cookie came with the request."""
    secret = request.environ[CALL].session_secret()
    if secret:
        sessions.SessionController(actor).log_out(secret)
    response.delete_cookie(cookie_name(), path="/", httponly=True, samesite="lax", secure=settings.web.secure_cookies)


@route("GET", "/me", summary="Who am I and what may I do", returns=Me)
@auth()
def show_me(actor):
    """The caller, and for a browser session the CSRF token."""
    return sessions.SessionController(actor).get(request.environ[CALL].identity[1])
