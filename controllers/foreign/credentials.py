"""The kinds of credentials that integrations have, and the HTTP headers they become.

An integration's credentials are of one kind:
basic {username, password} · token {token} · user-token {username, token} · api-token {email, token}
header {header, value} · ssh-key {ssh_key}
"""

import base64
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, create_model

NOT_SECRET = frozenset({"username", "email", "header"})


@dataclass(frozen=True)
class Kind:
    """One kind of credentials: its name and the names of its values."""

    name: str
    fields: tuple

    def __str__(self):
        return " and ".join(self.fields)


BASIC = Kind("basic", ("username", "password"))
TOKEN = Kind("token", ("token",))
USER_TOKEN = Kind("user-token", ("username", "token"))
API_TOKEN = Kind("api-token", ("email", "token"))
HEADER = Kind("header", ("header", "value"))
SSH_KEY = Kind("ssh-key", ("ssh_key",))


class CredentialsModel(BaseModel):
    """Credentials as an integration takes them: the values of one kind, or none."""

    model_config = ConfigDict(extra="forbid", strict=True)


def one_of(*kinds):
    """Return the pydantic model of credentials that are of one of the given kinds; its `kinds` are these."""
    names = dict.fromkeys(name for kind in kinds for name in kind.fields)
    model = create_model("Credentials", __base__=CredentialsModel, **dict.fromkeys(names, (str | None, None)))
    model.kinds = kinds
    model.__doc__ = "; or ".join(map(str, kinds)) or "None."
    return model


def given(credentials):
    """Return the names of the values that are there."""
    return {name for name, value in credentials.items() if value}


def kind_of(credentials, kinds):
    """Return which of the kinds credentials are of, None when they are of none."""
    return next((kind for kind in kinds if set(kind.fields) == given(credentials)), None)


def mistakes_in(credentials, kinds):
    """Return [(field, message)] for credentials that are of none of the kinds; none at all are no mistake."""
    if not given(credentials) or kind_of(credentials, kinds):
        return []
    return [("credentials", f"Give {', or '.join(map(str, kinds))}; nothing else beside it.")]


def basic(username, password):
    """Return the header of HTTP basic authentication (RFC 7617)."""
    return {"Authorization": "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()}


def bearer(token):
    """Return the header of a bearer token (RFC 6750)."""
    return {"Authorization": f"Bearer {token}"}


def headers_of(credentials):
    """Return the headers that credentials of any kind usually become; drivers with other customs make their own."""
    if credentials.get("header"):
        return {credentials["header"]: credentials.get("value") or ""}
    user = credentials.get("username") or credentials.get("email")
    if user:
        return basic(user, credentials.get("password") or credentials.get("token") or "")
    return bearer(credentials["token"]) if credentials.get("token") else {}
