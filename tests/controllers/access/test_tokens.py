"""Rules of tokens that hold for every entry point."""

import pytest

from controllers.access import tokens
from controllers.actor import Actor
from controllers.errors import Forbidden, NotFound
from models import User
from models.db import clock


@pytest.fixture
def ada(database):
    """A user who is no administrator."""
    user = User.create(name="ada", created_at=clock())
    return Actor(user.name, user.id)


def test_secrets_are_long_random_and_recognisable(administrator):
    made = {tokens.create(administrator, {"name": "ci"})["secret"] for _ in range(5)}
    assert len(made) == 5 and all(secret.startswith("wl_") and len(secret) >= 43 for secret in made)


def test_a_tokens_owner_manages_it(ada):
    made = tokens.create(ada, {"name": "laptop"})
    assert tokens.update(ada, made["id"], {"name": "old laptop"})["name"] == "old laptop"
    tokens.delete(ada, made["id"])
    assert tokens.listing(ada)["items"] == []


def test_somebody_elses_token_is_as_absent_as_none(administrator, ada):
    made = tokens.create(administrator, {"name": "ci"})
    messages = set()
    for token_id in (made["id"], 999):
        with pytest.raises(NotFound) as refused:
            tokens.get(ada, token_id)
        messages.add((refused.value.code, refused.value.detail.replace(str(token_id), "N")))
    assert len(messages) == 1


def test_naming_oneself_as_the_owner_is_no_privilege(ada):
    assert tokens.create(ada, {"name": "x", "user": "ada"})["user"] == "ada"
    with pytest.raises(Forbidden):
        tokens.create(ada, {"name": "x", "user": "nobody"})


def test_an_end_that_is_taken_back(administrator, ada):
    made = tokens.create(ada, {"name": "x"})
    assert tokens.update(ada, made["id"], {"expires_at": None})["expires_at"] is None
