"""Driver of notifications by e-mail: SMTP (RFC 5321), with STARTTLS (RFC 3207) or TLS from the start (RFC 8314), and a login."""

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

import egress
from config import settings
from controllers.foreign import Check, ForeignError, Proof, circuits, errors, transport
from controllers.foreign.credentials import BASIC, one_of
from controllers.foreign.errors import Unclear
from controllers.foreign.notify.base import Choice, NotifyDriver

PORTS = {"starttls": 587, "tls": 465, "none": 25}
Address = Annotated[str, StringConstraints(pattern=r"^[^\s@<>,;:\"\\]+@[A-Za-z0-9.-]+$", max_length=254)]


class Email(NotifyDriver):
    """E-mail by an SMTP server."""

    name = "email"
    Credentials = one_of(BASIC)
    needs_url = False
    places = ("host", "port", "security")

    class Settings(Choice):
        """The server, and who writes to whom."""

        host: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.:-]+$", max_length=253)]
        port: int | None = Field(default=None, ge=1, le=65535, description="default 587, 465 with tls, 25 with none")
        security: Literal["starttls", "tls", "none"] = "starttls"
        sender: Address
        to: list[Address] = Field(min_length=1, max_length=50)

    @classmethod
    def mistakes_together(cls, url, settings, credentials):
        """A password travels encrypted or not at all."""
        mistakes = super().mistakes_together(url, settings, credentials)
        if url:
            mistakes.append(("url", "Leave it out: the server goes into settings.host."))
        if credentials and settings.get("security") == "none":
            mistakes.append(("settings.security", "A password is sent over starttls or tls only."))
        mistakes += [
            (f"credentials.{name}", "Use ASCII: the standard library's SMTP sends nothing else when it logs in.")
            for name, value in credentials.items()
            if not (value or "").isascii()
        ]
        return mistakes

    def __init__(self, access):
        super().__init__(access)
        self.settings = self.Settings.model_validate(access.settings)

    def send(self, message):
        """Send a message to all receivers; its Message-ID is the same for every attempt."""
        mail = self.mail_of(message)
        refused = self.talk(lambda server: server.send_message(mail), hands_over=True)
        return {"refused": sorted(refused)} if refused else None

    def talk(self, do, hands_over=False):
        """Return what `do(server)` returns in a session with the server; all of it is over in foreign.total_timeout_s.

        hands_over: whether `do` gives a message away, so that one without an answer may have been taken. Raises ForeignError.
        """
        circuit, total_s = circuits.Circuit(self.access), settings.foreign.total_timeout_s
        circuit.check()
        is_in = is_done = False
        with circuit.slot(total_s), transport.Exchange(total_s) as exchange:
            try:
                with self.server(exchange) as server:
                    is_in = True
                    answer = do(server)
                    is_done = True
            except (smtplib.SMTPException, OSError) as error:
                if not is_done:  # Else only the farewell went wrong.
                    failed = self.failure(error, hands_over and is_in, exchange.is_over)
                    if failed.kind in circuits.COUNTED:
                        circuit.failed(failed)
                    raise failed from None
        circuit.succeeded()
        return answer

    def mail_of(self, message):
        """Return the e-mail that a message becomes."""
        mail = EmailMessage()
        mail["Subject"] = " ".join(message.subject.split())
        mail["From"] = self.settings.sender
        mail["To"] = ", ".join(self.settings.to)
        mail["Date"] = formatdate()
        mail["Message-ID"] = f"<{message.key}@{self.settings.sender.rpartition('@')[2]}>"
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody answers this with a note of absence.
        lines = [message.subject, *filter(None, [message.text, message.data.get("url")])]
        mail.set_content("\n\n".join(lines) + "\n")
        return mail

    def server(self, exchange):
        """Return a session with the server, encrypted and logged in as configured. Raises what smtplib does, ForeignError."""
        options, seconds = self.settings, settings.foreign.read_timeout_s
        context = self.trust()
        kind = TLSServer if options.security == "tls" else PlainServer
        try:
            server = kind(options.host, options.port or PORTS[options.security], seconds, context, exchange)
        except egress.Refused as error:
            raise ForeignError(f"The integration '{self.access.name}' cannot be asked: {error}", access=self.access) from None
        try:
            if options.security == "starttls":
                server.starttls(context=context)
            if self.access.credentials:
                server.login(self.access.credentials["username"], self.access.credentials["password"])
        except BaseException:
            server.close()
            raise
        return server

    def trust(self):
        """Return the TLS context of this integration. Raises ForeignError."""
        try:
            return transport.trust(self.settings.ca)
        except ssl.SSLError:
            raise ForeignError(
                f"The integration '{self.access.name}' has a setting ca that is no certificate (PEM): correct it.",
                access=self.access,
            ) from None

    def failure(self, error, was_handed_over, is_late):
        """Return the ForeignError for what went wrong with the server; is_late: it was ended because it took too long."""
        who, message = f"The integration '{self.access.name}'", "it took too long" if is_late else message_of(error)
        if isinstance(error, smtplib.SMTPAuthenticationError):
            return ForeignError(f"{who} refuses the credentials ({message}).", errors.REFUSED_CREDENTIALS, self.access)
        if isinstance(error, smtplib.SMTPNotSupportedError):
            return ForeignError(f"{who} does not offer what its settings ask for: {message}.", errors.REFUSED, self.access)
        if isinstance(error, smtplib.SMTPResponseException):
            kind = errors.REFUSED if error.smtp_code >= 500 else errors.UNAVAILABLE
            return ForeignError(f"{who} does not take the message ({message}).", kind, self.access)
        if isinstance(error, smtplib.SMTPRecipientsRefused):
            codes = [code for code, _ in error.recipients.values()]
            kind = errors.REFUSED if min(codes) >= 500 else errors.UNAVAILABLE
            return ForeignError(f"{who} refuses all receivers ({message}).", kind, self.access)
        if was_handed_over:  # smtplib's own errors are OSErrors too; those with an answer are handled above.
            return Unclear(f"{who} was given a message and did not say whether it took it: {message}.", self.access)
        is_late = is_late or "timed out" in str(error)  # smtplib reports a time-out as a connection that was closed.
        kind = errors.TIMED_OUT if is_late else errors.UNAVAILABLE
        return ForeignError(f"{who} cannot be used now: {message}. It is asked again later.", kind, self.access)

    def prove(self, **hints):
        """Connect, encrypt and log in; no mail is sent."""
        try:
            self.talk(lambda server: server.noop())
        except ForeignError as error:
            return Proof(None, [Check("login", False, error.detail)])
        return Proof(None, [Check("login", True, "The server takes mail from us.")])


class PlainServer(smtplib.SMTP):
    """An SMTP session that leads where the fence lets it."""

    def __init__(self, host, port, seconds, context, exchange):
        self.context = context
        exchange.watch(self)
        super().__init__(host, port, timeout=seconds)

    def _get_socket(self, host, port, timeout):
        try:
            plug = egress.connect(host, port, timeout)
        except egress.Refused:
            raise
        except egress.NetworkError as error:
            raise OSError(str(error).rstrip(".")) from None
        plug.settimeout(timeout)
        return plug


class TLSServer(PlainServer):
    """One that is encrypted from the start."""

    def _get_socket(self, host, port, timeout):
        return self.context.wrap_socket(super()._get_socket(host, port, timeout), server_hostname=host)


def message_of(error):
    """Return the message of a server or of the operating system, as one line."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, text = next(iter(error.recipients.values()))
    elif isinstance(error, smtplib.SMTPResponseException):
        code, text = error.smtp_code, error.smtp_error
    else:
        return str(error) or type(error).__name__
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    return f"{code} {' '.join(text.split())[:200]}".rstrip(". ")
