"""The baseline of bench/api: Bottle alone, answering what GET /me answers."""

import bottle

application = bottle.Bottle()


@application.get("/api/v1/me")
def show_me():
    """The same JSON as Windlass's, of nobody in particular."""
    return {
        "csrf_token": None,
        "is_administrator": True,
        "name": "admin",
        "permissions": ["read", "deploy", "configure", "administer"],
    }


@application.get("/api/v1/health")
def show_health():
    """Tells that the server is up."""
    return {"status": "ok"}
