"""Versions of a resource: the tag of its JSON, and changes that are made only to the version the caller has seen."""

from controllers.errors import PreconditionFailed
from utils.core import tag_of, to_json


def require_match(if_match, representation):
    """Raise PreconditionFailed unless the header If-Match, when there is one, names this representation (a plain dict).

    `if_match` is the header's value or None; "*" names any version. The comparison is the strong one of RFC 9110,
    section 13.1.1. Call it inside the transaction that makes the change.
    """
    if if_match is None or if_match.strip() == "*":
        return
    current = tag_of(to_json(representation))
    if current not in [tag.strip() for tag in if_match.split(",")]:
        raise PreconditionFailed(
            "Somebody changed this since you read it: read it again, then repeat your change.", current=current
        )
