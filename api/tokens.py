"""Routes of /tokens, the bearer tokens."""

from api import route
from api.schemas.access import NewToken, Token, TokenChanges, TokenFields
from api.shapes import ListQuery, Page
from controllers.access.tokens import TokenController
from utils.decorators import auth, validate


@route("GET", "/tokens", summary="List tokens", returns=Page[Token])
@auth()
@validate(query=ListQuery)
def list_tokens(actor, query):
    """The caller's tokens; an administrator sees everybody's."""
    return TokenController(actor).listing(**query)


@route("POST", "/tokens", summary="Make a token", status=201, returns=NewToken, location="/tokens/{id}")
@auth()
@validate(TokenFields)
def create_token(actor, fields):
    """The answer holds the secret, this once."""
    return TokenController(actor).create(fields)


@route("GET", "/tokens/<token_id:int>", summary="Show a token", returns=Token)
@auth()
def show_token(actor, token_id):
    """A token, without its secret."""
    return TokenController(actor).get(token_id)


@route("PATCH", "/tokens/<token_id:int>", summary="Change a token", returns=Token)
@auth()
@validate(TokenChanges)
def change_token(actor, token_id, fields, if_match):
    """Rename a token, or change when it ends."""
    return TokenController(actor).update(token_id, fields, if_match)


@route("DELETE", "/tokens/<token_id:int>", summary="Revoke a token")
@auth()
def revoke_token(actor, token_id):
    """From the next request on, the token is refused."""
    TokenController(actor).delete(token_id)
