"""Webhooks, Slack and e-mail: one suite for all of them, and what is particular to each."""

import contextlib
import socketserver
import ssl
import threading

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

from controllers import foreign
from controllers.foreign import ForeignError, errors
from controllers.foreign.errors import Unclear
from controllers.foreign.notify.base import Message
from controllers.foreign.notify.slack import text_of
from tests.fleet.keeper import free_port
from tests.foreign.certificates import authority_and_server
from tests.foreign.standins.chat import Receiver, Slack

MESSAGE = Message(
    key="windlass-7",
    event="deploy.failed",
    subject="shop v3 in production has failed",
    text="web-1: check: GET / answered with <500> & gave up",
    data={
        "event": "deploy.failed",
        "deploy": 7,
        "url": "https://windlass.example.net/deploys/7",
        "requested_by": "ann",
    },
)
PASSWORD = "mail-passw0rd"


class Mailbox:
    """What an SMTP server does with a message; `codes` are answers to the next ones."""

    def __init__(self):
        self.mails, self.codes = [], []

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server, session, envelope):
        if self.codes:
            code = self.codes.pop(0)
            if code == "cut":
                self.mails.append(envelope)
                server.transport.abort()
            return f"{code} said the stand-in"
        self.mails.append(envelope)
        return "250 queued"


def logs_in(server, session, envelope, mechanism, data):
    return AuthResult(handled=False, success=data.login == b"windlass" and data.password == PASSWORD.encode())


class TLSMail(Controller):
    """An SMTP server with STARTTLS that wants a login."""

    def __init__(self, box, context):
        self.context = context
        super().__init__(box, hostname="127.0.0.1", port=free_port())

    def factory(self):
        return SMTP(self.handler, tls_context=self.context, require_starttls=True, auth_required=True, authenticator=logs_in)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return authority_and_server(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def box(certificates):
    """A mailbox whose server is up; `port` is where."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.chain, certificates.key)
    made = Mailbox()
    controller = TLSMail(made, context)
    controller.start()
    made.port = controller.port
    yield made
    controller.stop()


@pytest.fixture
def receiver():
    with Receiver() as running:
        yield running


@pytest.fixture
def slack():
    with Slack() as running:
        yield running


@pytest.fixture
def webhook(integration, receiver):
    integration("ops", "webhook", f"{receiver.url}/hook", {"secret": receiver.secret})
    return foreign.driver_named("ops", "notify")


@pytest.fixture
def channel(integration, slack):
    integration("chat", "slack", None, {"webhook_url": slack.url + slack.path})
    return foreign.driver_named("chat", "notify")


def mail_settings(box, certificates, **changes):
    return {
        "host": "127.0.0.1",
        "port": box.port,
        "sender": "windlass@example.net",
        "to": ["ops@example.net"],
        "ca": certificates.authority,
        **changes,
    }


@pytest.fixture
def mail(integration, box, certificates):
    """Make the driver: mail(**settings)."""

    def make(password=PASSWORD, **changes):
        login = {"username": "windlass", "password": password}
        integration("mail", "email", None, login, mail_settings(box, certificates, **changes))
        return foreign.driver_named("mail", "notify")

    return make


# Webhooks.


def test_a_webhook_is_signed_and_its_repetition_is_known(webhook, receiver):
    assert webhook.send(MESSAGE) == {"status": 204}
    webhook.send(MESSAGE)
    assert receiver.taken == {"windlass-7": {"type": "deploy.failed", "id": "windlass-7", "data": MESSAGE.data}}


def test_a_lost_answer_is_unclear_and_sent_once(webhook, receiver):
    receiver.fault("lost", times=1)
    with pytest.raises(Unclear):
        webhook.send(MESSAGE)
    assert len(receiver.requests) == 1
    webhook.send(MESSAGE)
    assert len(receiver.taken) == 1


@pytest.mark.parametrize(
    "status, kind, may_pass",
    [
        (401, errors.REFUSED_CREDENTIALS, False),
        (404, errors.NOT_FOUND, False),
        (429, errors.RATE_LIMITED, True),
        (503, errors.UNAVAILABLE, True),
    ],
)
def test_what_a_receiver_answers_decides_whether_it_is_tried_again(webhook, receiver, status, kind, may_pass):
    receiver.fault("status", status=status, retry_after=40 if status == 429 else None)
    with pytest.raises(ForeignError) as failed:
        webhook.send(MESSAGE)
    assert (failed.value.kind, failed.value.may_pass) == (kind, may_pass)
    assert failed.value.retry_after_s == (40 if status == 429 else None)
    assert receiver.secret not in str(failed.value)


def test_a_ping_proves_a_webhook(webhook, receiver):
    proof = webhook.prove().describe()
    assert proof["ok"] and receiver.requests[0].json["type"] == "ping"


def test_a_webhook_does_not_get_around_the_fence(webhook, settings, receiver):
    settings.network.allow = []
    with pytest.raises(ForeignError, match=r"network\.allow"):
        webhook.send(MESSAGE)
    assert not receiver.requests


# Slack.


def test_a_message_in_slack_means_nothing_but_itself(channel, slack):
    channel.send(MESSAGE)
    assert slack.posted == [
        "<https://windlass.example.net/deploys/7|shop v3 in production has failed>\n"
        "asked for by ann\nweb-1: check: GET / answered with &lt;500&gt; &amp; gave up"
    ]
    assert text_of(Message("k", "e", "a <!channel> b")) == "a &lt;!channel&gt; b"


def test_slack_is_proved_without_anybody_seeing_it(channel, slack, integration):
    assert channel.prove().describe()["ok"] and not slack.posted
    integration("gone", "slack", None, {"webhook_url": f"{slack.url}/services/T000/B000/other"})
    proof = foreign.driver_named("gone", "notify").prove().describe()
    assert not proof["ok"] and "no_service" in proof["checks"][0]["message"]


def test_the_address_of_a_slack_webhook_is_never_told(channel, slack):
    slack.fault("status", status=500)
    with pytest.raises(ForeignError) as failed:
        channel.send(MESSAGE)
    assert "s3cretpath" not in repr(failed.value.extra) + str(failed.value)


# E-mail.


def test_a_mail_goes_out_encrypted_and_logged_in(mail, box):
    mail(to=["ops@example.net", "dev@example.net"]).send(MESSAGE)
    (envelope,) = box.mails
    text = envelope.content.decode()
    assert envelope.rcpt_tos == ["ops@example.net", "dev@example.net"]
    assert "Message-ID: <windlass-7@example.net>" in text and "Subject: shop v3 in production has failed" in text
    assert "https://windlass.example.net/deploys/7" in text


def test_a_subject_cannot_bring_headers_of_its_own(mail, box):
    mail().send(Message("k", "e", "hello\r\nBcc: spy@example.net"))
    assert box.mails[0].rcpt_tos == ["ops@example.net"] and b"\nBcc:" not in box.mails[0].content.partition(b"\r\n\r\n")[0]


@pytest.mark.parametrize("password, ok", [(PASSWORD, True), ("wrong", False)])
def test_a_login_is_proved_without_a_mail(mail, box, password, ok):
    proof = mail(password).prove().describe()
    assert proof["ok"] is ok and not box.mails
    assert ok or "refuses the credentials" in proof["checks"][0]["message"]


@pytest.mark.parametrize("code, kind", [("451", errors.UNAVAILABLE), ("554", errors.REFUSED), ("cut", errors.UNCLEAR)])
def test_a_server_that_does_not_take_a_mail_is_reported(mail, box, code, kind):
    driver = mail()
    box.codes.append(code)
    with pytest.raises(ForeignError) as failed:
        driver.send(MESSAGE)
    assert failed.value.kind == kind and PASSWORD not in str(failed.value)


@contextlib.contextmanager
def odd_server(behave):
    """Run a server that does `behave(connection, over)` with whoever comes; yields what has its port."""
    over = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            with contextlib.suppress(OSError):
                behave(self.request, over)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads, server.port = True, server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            over.set()
            server.shutdown()
            thread.join()


def drip(connection, over):
    connection.sendall(b"220 ")
    while not over.wait(0.02):
        connection.sendall(b"x")


@pytest.mark.parametrize(
    "behave, kind",
    [
        (lambda connection, over: over.wait(30), errors.TIMED_OUT),
        (drip, errors.TIMED_OUT),
        (lambda connection, over: connection.sendall(b"\x00\xff{]\r\n" * 20), errors.UNAVAILABLE),
        (lambda connection, over: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"), errors.UNAVAILABLE),
        (lambda connection, over: None, errors.UNAVAILABLE),
        (lambda connection, over: connection.sendall(b"421 too busy\r\n"), errors.UNAVAILABLE),
    ],
    ids=["slow", "drip", "garbage", "another-protocol", "reset", "busy"],
)
def test_a_mail_server_that_misbehaves_is_named_and_given_up_in_time(integration, certificates, foreign_settings, behave, kind):
    foreign_settings.foreign.read_timeout_s = 0.4
    foreign_settings.foreign.total_timeout_s = 0.8
    with odd_server(behave) as server:
        login = {"username": "windlass", "password": PASSWORD}
        integration("mail", "email", None, login, mail_settings(server, certificates))
        with pytest.raises(ForeignError) as failed:
            foreign.driver_named("mail", "notify").send(MESSAGE)
    assert failed.value.kind == kind and "'mail'" in failed.value.detail and PASSWORD not in failed.value.detail


def test_a_login_that_was_refused_is_not_tried_again(mail, box):
    mail(password="wrong")
    for _ in range(3):
        with pytest.raises(ForeignError) as failed:
            foreign.driver_named("mail", "notify").send(MESSAGE)
        assert failed.value.kind == errors.REFUSED_CREDENTIALS
    assert "It was not asked again" in failed.value.detail and not box.mails


def test_a_mail_does_not_get_around_the_fence(mail, box, settings):
    settings.network.allow = []
    with pytest.raises(ForeignError, match=r"network\.allow"):
        mail().send(MESSAGE)
    assert not box.mails


def test_receivers_that_are_refused_are_named_and_the_others_get_it(mail, box):
    assert mail(to=["ops@example.net", "nobody@example.net"]).send(MESSAGE) == {"refused": ["nobody@example.net"]}
    assert len(box.mails) == 1


def test_a_server_with_another_certificate_is_not_given_the_password(mail, box):
    with pytest.raises(ForeignError) as failed:
        mail(ca=None).send(MESSAGE)
    assert failed.value.kind == errors.UNAVAILABLE and not box.mails


def test_a_server_that_offers_no_encryption_is_not_given_the_password(integration, certificates):
    mailbox = Mailbox()
    controller = Controller(mailbox, hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        mailbox.port = controller.port
        integration("mail", "email", None, {"username": "u", "password": "p"}, mail_settings(mailbox, certificates))
        with pytest.raises(ForeignError, match="does not offer"):
            foreign.driver_named("mail", "notify").send(MESSAGE)
    finally:
        controller.stop()
    assert not mailbox.mails


@pytest.mark.parametrize(
    "driver, url, credentials, chosen, field",
    [
        ("webhook", None, {"secret": "x"}, {}, "url"),
        ("webhook", "https://x.example", {}, {}, "credentials"),
        ("slack", None, {}, {}, "credentials"),
        ("slack", "https://x.example", {"webhook_url": "https://x.example/1"}, {}, "url"),
        ("slack", None, {"webhook_url": "file:///etc"}, {}, "credentials.webhook_url"),
        ("email", None, {}, {"host": "x"}, "settings.sender"),
        ("email", None, {}, {"host": "x", "sender": "a@b", "to": ["a@b\nBcc: c@d"]}, "settings.to.0"),
        (
            "email",
            None,
            {"username": "u", "password": "p"},
            {"host": "x", "sender": "a@b", "to": ["a@b"], "security": "none"},
            "settings.security",
        ),
        (
            "email",
            None,
            {"username": "u", "password": "\u00e4"},
            {"host": "x", "sender": "a@b", "to": ["a@b"]},
            "credentials.password",
        ),
        ("webhook", "https://x.example", {"secret": "x"}, {"events": "deploy.*"}, "settings.events"),
    ],
)
def test_what_cannot_work_is_refused_field_by_field(driver, url, credentials, chosen, field):
    assert field in [name for name, _ in foreign.mistakes_in(driver, url, chosen, credentials)]
