"""``windlass login``, ``windlass logout`` and ``windlass whoami``."""

import sys

import click

from windlass_cli import settings
from windlass_cli.command_line.invocation import Command
from windlass_cli.errors import NeedsAnswer


@click.command(cls=Command)
@click.pass_obj
def login(invocation):
    """Keep a token for the server, after trying it.

    The token comes from --token, WINDLASS_TOKEN, a hidden prompt, or the first line of standard input. It is kept
    in ~/.config/windlass/config.json (or under $XDG_CONFIG_HOME) for this server alone, readable by you alone.

    \b
      windlass login --url https://windlass.example.org
      windlass login --url https://windlass.example.org < token
    """
    settings.read_file()  # a broken settings file is told before anything is asked
    chosen = _chosen(invocation)
    if settings.is_unprotected(chosen.url):
        invocation.output.warning(f"{chosen.url} is not encrypted: others on the way can read the token.")
    me = invocation.client_for(chosen).get("me")
    path = settings.keep(chosen)
    if invocation.as_json:
        invocation.output.json(me)
    else:
        invocation.output.line(f"Logged in at {chosen.url} as {me.get('name') or me.get('user') or 'the token’s owner'}.")
    invocation.output.note(f"The token is kept in {path}.")


def _chosen(invocation):
    """Return the Settings to log in with, asking for what is missing."""
    known = settings.load(invocation.url)
    if invocation.can_ask and not invocation.url:
        url = click.prompt("Server", default=known.url, err=True)
        known = settings.load(url)
    token = invocation.token or settings.from_environment(settings.TOKEN_VARIABLE) or _asked(invocation)
    return settings.Settings(known.url, settings.clean_token(token))


def _asked(invocation):
    """Return the token that a person types unseen, or the first line of standard input."""
    if invocation.can_ask:
        return click.prompt("Token", hide_input=True, err=True)
    line = "" if invocation.no_input or sys.stdin.isatty() else sys.stdin.readline()
    if not line.strip():
        raise NeedsAnswer(
            "There is no token to log in with.",
            remedy="Give it by --token, WINDLASS_TOKEN or standard input: windlass login < token",
        )
    return line


@click.command(cls=Command)
@click.pass_obj
def logout(invocation):
    """Forget the token kept for the server.

    The token itself stays valid on the server until it is revoked there.
    """
    url = invocation.settings.url
    known = settings.forget(url)
    if invocation.as_json:
        invocation.output.json({"url": url, "forgotten": known})
    else:
        invocation.output.line(f"The token for {url} is forgotten." if known else f"No token was kept for {url}.")


@click.command(cls=Command)
@click.pass_obj
def whoami(invocation):
    """Show who you are at the server, and what you may do there."""
    me = invocation.client.get("me")
    if invocation.as_json:
        invocation.output.json(me)
        return
    invocation.output.record(
        (
            ("Name", me.get("name")),
            ("Administrator", "yes" if me.get("is_administrator") else "no"),
            ("Permissions", ", ".join(me.get("permissions") or [])),
            ("Server", invocation.settings.url),
        )
    )
