"""A page that says which release of itself is being served, and by whom. Change VERSION, commit, deploy, reload."""

import html
import json
import os
import socket
import time
from pathlib import Path

VERSION = "1.0"
STARTED_AT = time.time()
PAGE = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")


def application(environ, start_response):
    """Answer a request, as PEP 3333 has it."""
    path = environ.get("PATH_INFO") or "/"
    if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        return answer(
            start_response,
            "405 Method Not Allowed",
            "text/plain",
            "Only GET is answered here.\n",
            ("Allow", "GET, HEAD"),
        )
    if path == "/":
        return answer(start_response, "200 OK", "text/html", page())
    if path == "/healthz":
        return answer(start_response, "200 OK", "application/json", json.dumps({"status": "ok", **facts()}) + "\n")
    if path == "/version":
        return answer(start_response, "200 OK", "text/plain", f"{VERSION}\n")
    return answer(start_response, "404 Not Found", "text/plain", "There is nothing here.\n")


def facts():
    """Return what there is to tell about this process."""
    return {
        "version": VERSION,
        "release": os.environ.get("WINDLASS_RELEASE", "none, it was started by hand"),
        "slot": os.environ.get("WINDLASS_SLOT", "none"),
        "host": socket.gethostname(),
        "process": os.getpid(),
        "up_for_s": round(time.time() - STARTED_AT),
    }


def page():
    """Return the page with the facts filled in."""
    told = facts()
    rows = "".join(
        f"<div><dt>{html.escape(name.removesuffix('_s').replace('_', ' '))}</dt>"
        f"<dd>{html.escape(str(value))}{' s' if name.endswith('_s') else ''}</dd></div>"
        for name, value in told.items()
        if name != "version"
    )
    return (
        PAGE.replace("{{version}}", html.escape(VERSION))
        .replace("{{facts}}", rows)
        .replace("{{greeting}}", html.escape(greeting()))
    )


def greeting():
    """Return the greeting, which a variable of the target may change."""
    return os.environ.get("HELLO_GREETING", "Hello from Windlass")


def answer(start_response, status, content_type, text, *headers):
    """Begin an answer and return its body."""
    body = text.encode()
    start_response(
        status,
        [
            ("Content-Type", f"{content_type}; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            *headers,
        ],
    )
    return [body]
