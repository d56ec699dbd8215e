"""Bearer tokens: made, shown once, renamed, ended."""

import secrets

from controllers import paging
from controllers.access.sessions import digest
from controllers.controller import Controller
from controllers.errors import Forbidden, Invalid, NotFound
from controllers.etags import require_match
from models import Token, User
from models.db import clock
from utils.datekit import rfc3339, to_milliseconds

PREFIX = "wl_"


def expiry(moment, at):
    """Return when a token ends in milliseconds, None for never; raises Invalid for a time that has passed."""
    ends_at = to_milliseconds(moment)
    if ends_at is not None and ends_at <= at:
        raise Invalid([("expires_at", "must be in the future")])
    return ends_at


def describe(token):
    """Return a token in the API's shape."""
    return {
        "id": token.id,
        "name": token.name,
        "user": token.user.name,
        "created_at": rfc3339(token.created_at),
        "expires_at": rfc3339(token.expires_at),
        "last_used_at": rfc3339(token.last_used_at),
    }


class TokenController(Controller):
    """The tokens of whoever asks; an administrator manages everybody's."""

    def listing(self, limit=paging.LIMIT, after=None):
        """Return a page of the caller's tokens; an administrator sees everybody's."""
        return paging.page(self.managed(), Token.id, describe, limit, after)

    def get(self, token_id):
        """Return one token, never its secret."""
        return describe(self.find(token_id))

    def create(self, fields):
        """Make a token from "name", maybe "expires_at" (an aware datetime) and "user"; the answer alone holds its secret."""
        at = clock()
        secret = PREFIX + secrets.token_urlsafe(32)
        with self.change("token.create", fields["name"], **fields) as more:
            token = Token.create(
                user=self.owner_id(fields.get("user")),
                name=fields["name"],
                secret_hash=digest(secret),
                created_at=at,
                expires_at=expiry(fields.get("expires_at"), at),
            )
            more["id"] = token.id
        return {**describe(token), "secret": secret}

    def update(self, token_id, changes, if_match=None):
        """Change a token's "name" or "expires_at"."""
        with self.change("token.update", token_id, **changes):
            token = self.find(token_id)
            require_match(if_match, describe(token))
            if "name" in changes:
                token.name = changes["name"]
            if "expires_at" in changes:
                token.expires_at = expiry(changes["expires_at"], clock())
            token.save(only=[Token.name, Token.expires_at])
        return describe(token)

    def delete(self, token_id):
        """Revoke a token: the next request with it is refused."""
        with self.change("token.revoke", token_id) as more:
            token = self.find(token_id)
            more.update(name=token.name, user=token.user.name)
            token.delete_instance()

    def managed(self):
        """Return the query of the tokens a caller may manage, their users joined."""
        query = self.visible(Token, Token, User).join(User)
        return query if self.actor.is_administrator else query.where(Token.user == self.actor.user_id)

    def find(self, token_id):
        """Return a token's row; somebody else's is as absent as one that never was."""
        token = self.managed().where(Token.id == token_id).first()
        if token is None:
            raise NotFound(f"There is no token {token_id}.", code="token-not-found")
        return token

    def owner_id(self, name):
        """Return the id of the user a new token is for: the caller, or whom an administrator names."""
        if name is None or name == self.actor.name:
            return self.actor.user_id
        if not self.actor.is_administrator:
            raise Forbidden("Only an administrator may make tokens for somebody else.", code="not-administrator")
        user = self.visible(User, User.id).where(User.name == name).first()
        if user is None:
            raise Invalid([("user", f"there is no user {name}")])
        return user.id
