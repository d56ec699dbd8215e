"""From an unsuccessful answer to the exception that tells it: the only place that knows what a status means."""

import requests

from windlass_cli.errors import BadAnswer, Busy, ClientTooOld, NotAllowed, NotFound, Problem

CLASSES = {401: NotAllowed, 403: NotAllowed, 404: NotFound, 429: Busy, 502: Busy, 503: Busy, 504: Busy}
TOO_OLD = "client-too-old"
IN_FLIGHT = "request-in-flight"


def problem_from(response, url, has_token):
    """Return the Problem for an answer with a status of 400 or more.

    ``url`` is the server's address and ``has_token`` whether a token was sent, for the remedy.
    """
    document = _document(response)
    status = response.status_code
    retry_after = wait_asked_for(response)
    if status == 400 and document.get("code") == TOO_OLD:
        return _too_old(document)
    remedy = _remedy(status, document, url, has_token, retry_after)
    kind = CLASSES.get(status, Problem)
    return kind(status, document, _message(response, document), _details(status, document), remedy, retry_after)


def redirect_from(response, url):
    """Return the BadAnswer for a redirect, which is never followed: the token must not go where it was not meant to."""
    place = response.headers.get("Location", "elsewhere")
    return BadAnswer(
        f"{url} sends us to {place} (status {response.status_code}).",
        remedy="If that is where Windlass is, give its address by --url or WINDLASS_URL.",
    )


def is_in_flight(response):
    """Say whether the server still works on the first request with the same Idempotency-Key."""
    return response.status_code == 409 and _document(response).get("code") == IN_FLIGHT


def is_worth_repeating(response):
    """Say whether the same request may succeed in a moment: the server says when, or a proxy has lost it just now.

    A 503 of Windlass itself without Retry-After has tried already; it says what is missing.
    """
    if CLASSES.get(response.status_code) is not Busy:
        return False
    return wait_asked_for(response) is not None or not _document(response)


def wait_asked_for(response):
    """Return the seconds of the Retry-After header (RFC 9110, 10.2.3), None without one or when it is a date."""
    text = response.headers.get("Retry-After", "").strip()
    return int(text) if text.isascii() and text.isdigit() else None


def _document(response):
    """Return the problem document, empty when the answer has none (a proxy's HTML page, garbage)."""
    try:
        document = response.json()
    except (requests.RequestException, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _message(response, document):
    text = document.get("detail") or document.get("title")
    if isinstance(text, str) and text.strip():
        return text.strip()
    return f"The server answered {response.status_code} {response.reason or ''}".strip() + "."


def _details(status, document):
    """Return the lines below the message: what is wrong with which field, and the request to name in a report."""
    errors = document.get("errors")
    rows = [row for row in errors if isinstance(row, dict)] if isinstance(errors, list) else []
    lines = [f"{row.get('field') or 'request'}: {row.get('message') or 'not accepted'}" for row in rows]
    detail = str(document.get("detail"))
    lines = [line for line in lines if line not in detail]
    if document.get("request_id") and status >= 500:  # only then is it worth looking into the server's log
        lines.append(f"request {document['request_id']}")
    return lines


def _remedy(status, document, url, has_token, retry_after):
    """Return what to do next, None when the message says it all."""
    if isinstance(document.get("remedy"), str):
        return document["remedy"]
    if status == 401:
        return f"{'The token is not accepted (any more). ' if has_token else ''}Log in: windlass login --url {url}"
    if retry_after is not None:
        return f"Try again in {retry_after} s."
    if not document:
        return f"That does not come from Windlass itself: look at what answers at {url}, and at any proxy between."
    if status == 500:
        return "The server's log says more, under the request's id."
    return None


def _too_old(document):
    lines = [f"minimum: {document.get('minimum') or 'unknown'}", f"desired: {document.get('desired') or 'unknown'}"]
    upgrade = document.get("upgrade") or "pip install --upgrade windlass-cli"
    return ClientTooOld(400, document, _message_too_old(document), lines, f"Upgrade: {upgrade}")


def _message_too_old(document):
    text = document.get("detail")
    return text if isinstance(text, str) and text else "This client is too old for the server."
