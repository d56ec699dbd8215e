"""Driver of notifications to programs: an HTTP POST of JSON, signed as the Standard Webhooks specification has it.

Source: github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md: the headers webhook-id, webhook-timestamp
(seconds since 1970) and webhook-signature, "v1," and the base64 of the HMAC-SHA256 over "<id>.<timestamp>.<body>".
"""

import base64
import hashlib
import hmac
import json
import time

from controllers.foreign import Proof, attempt
from controllers.foreign.credentials import Kind, one_of
from controllers.foreign.http import Http
from controllers.foreign.notify.base import Message, NotifyDriver

SECRET = Kind("secret", ("secret",))


class Webhook(NotifyDriver):
    """A URL that is told what happens: JSON by POST, signed (Standard Webhooks), sent again until it is answered with 2xx."""

    name = "webhook"
    Credentials = one_of(SECRET)
    needs_credentials = True

    def send(self, message):
        """POST a message; its key is the webhook-id, by which a receiver knows repetitions. Returns the status."""
        body = json.dumps({"type": message.event, "id": message.key, "data": message.data}).encode()
        headers = {
            "Content-Type": "application/json",
            **signed(self.access.credentials["secret"], message.key, int(time.time()), body),
        }
        answer = Http(self.access, login={}).ask("POST", self.access.url, data=body, headers=headers)
        return {"status": answer.status}

    def prove(self, **hints):
        """Send a message of type ping."""
        ping = Message(key=f"ping-{int(time.time())}", event="ping", subject="ping")
        return Proof(None, [attempt("send", lambda: self.send(ping), lambda sent: f"A ping was answered with {sent['status']}.")])


def signed(secret, key, at, body):
    """Return the headers that say who sent a body, as which message, when. `secret` may have the form whsec_<base64>."""
    raw = base64.b64decode(secret.removeprefix("whsec_")) if secret.startswith("whsec_") else secret.encode()
    digest = hmac.digest(raw, b".".join([key.encode(), str(at).encode(), body]), hashlib.sha256)
    return {
        "webhook-id": key,
        "webhook-timestamp": str(at),
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }
