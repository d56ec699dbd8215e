"""Driver of notifications in Slack, or in Mattermost, Rocket.Chat and others that take Slack's incoming webhooks.

Source: docs.slack.dev/messaging/sending-messages-using-incoming-webhooks: POST {"text"}, answered with the text "ok"; in a
text, &, < and > are written as entities and <url|words> is a link.
"""

from urllib.parse import urlsplit

from controllers.foreign import Check, ForeignError, Proof
from controllers.foreign.credentials import Kind, one_of
from controllers.foreign.errors import UNKNOWN, Unclear
from controllers.foreign.http import Http
from controllers.foreign.notify.base import NotifyDriver

WEBHOOK_URL = Kind("webhook-url", ("webhook_url",))
NO_TEXT = frozenset({"no_text", "invalid_payload", "missing_text_or_fallback_or_attachments"})


class Slack(NotifyDriver):
    """A channel of Slack, Mattermost or the like, by an incoming webhook; its URL is a secret and kept as one."""

    name = "slack"
    Credentials = one_of(WEBHOOK_URL)
    needs_credentials = True
    needs_url = False

    @classmethod
    def mistakes_together(cls, url, settings, credentials):
        """The address is kept with the credentials alone."""
        mistakes = super().mistakes_together(url, settings, credentials)
        if url:
            mistakes.append(("url", "Leave it out: the webhook's URL goes into credentials.webhook_url."))
        given = credentials.get("webhook_url") or ""
        if given and (not given.startswith(("https://", "http://")) or not urlsplit(given).netloc):
            mistakes.append(("credentials.webhook_url", "Give the URL that the incoming webhook has, with https://."))
        return mistakes

    def post(self, body):
        """POST a payload to the webhook. Raises ForeignError, Unclear."""
        url = self.access.credentials["webhook_url"]
        return Http(self.access, url, login={}).sent_json("POST", url, body, None, None)

    def send(self, message):
        """Post a message, once: Slack cannot be asked what was posted, so one whose answer was lost is not sent again unasked."""
        try:
            self.post({"text": text_of(message)})
        except Unclear as lost:
            raise ForeignError(
                f"The integration '{self.access.name}' was sent the message and its answer was lost. Look whether it is there; "
                "if it is not, send it again.",
                UNKNOWN,
                self.access,
            ) from lost

    def prove(self, **hints):
        """Post a payload without a text, which Slack refuses only after it has found the webhook; nobody sees anything."""
        try:
            self.post({})
        except ForeignError as error:
            known = error.vendor_status == 400 and (error.vendor_message or "") in NO_TEXT
            message = "The webhook is there." if known else error.detail
            return Proof(None, [Check("webhook", known, message)])
        return Proof(None, [Check("webhook", True, "The webhook answers.")])


def text_of(message):
    """Return a message in Slack's markup."""
    subject, url = escaped(message.subject), message.data.get("url")
    lines = [f"<{url}|{subject}>" if url else subject]
    if message.data.get("requested_by"):
        lines.append(f"asked for by {escaped(message.data['requested_by'])}")
    if message.text:
        lines.append(escaped(message.text))
    return "\n".join(lines)


def escaped(text):
    """Return a text whose characters mean nothing in Slack's markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
