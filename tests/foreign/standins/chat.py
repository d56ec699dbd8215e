"""Stand-ins for what takes messages: a program that checks Standard Webhooks signatures, and Slack's incoming webhooks."""

import base64
import hashlib
import hmac
import time

from tests.foreign.standins.frame import Reply, StandIn, route


class Receiver(StandIn):
    """A program behind a webhook: takes what is signed with its secret, each id once."""

    secret = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()

    def __init__(self):
        super().__init__()
        self.taken = {}

    @route("POST", "/hook")
    def take(self, request):
        """As the specification's reference libraries verify."""
        key, at = request.headers["webhook-id"], request.headers["webhook-timestamp"]
        if abs(time.time() - int(at)) > 300:
            raise Reply({"message": "too old"}, 400)
        raw = base64.b64decode(self.secret.removeprefix("whsec_"))
        expected = hmac.new(raw, f"{key}.{at}.".encode() + request.body, hashlib.sha256).digest()
        if request.headers["webhook-signature"] != "v1," + base64.b64encode(expected).decode():
            raise Reply({"message": "wrong signature"}, 401)
        self.taken.setdefault(key, request.json)
        return Reply(None, 204)


class Slack(StandIn):
    """Slack's incoming webhooks: answers in words, and refuses a payload without text only when the webhook is there."""

    path = "/services/T000/B000/s3cretpath"

    def __init__(self):
        super().__init__()
        self.posted = []

    @route("POST", "/services/(?P<rest>.*)")
    def take(self, request, rest):
        """Take a message."""
        if request.path != self.path:
            raise Reply(b"no_service", 404, kind="text/plain")
        if not request.json.get("text"):
            raise Reply(b"no_text", 400, kind="text/plain")
        self.posted.append(request.json["text"])
        return Reply(b"ok", kind="text/plain; charset=utf-8")

    def error(self, status, message="rate_limited"):
        """Errors are words as well."""
        return message
