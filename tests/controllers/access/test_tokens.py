"""Rules of tokens that hold for every entry point."""

import pytest

from controllers.access.tokens import TokenController
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
    made = {TokenController(administrator).create({"name": "ci"})["secret"] for _ in range(5)}
    assert len(made) == 5 and all(secret.startswith("wl_") and len(secret) >= 43 for secret in made)


def test_a_tokens_owner_manages_it(ada):
    made = TokenController(ada).create({"name": "laptop"})
    assert TokenController(ada).update(made["id"], {"name": "old laptop"})["name"] == "old laptop"
    TokenController(ada).delete(made["id"])
    assert TokenController(ada).listing()["items"] == []


def test_somebody_elses_token_is_as_absent_as_none(administrator, ada):
    made = TokenController(administrator).create({"name": "ci"})
    messages = set()
    for token_id in (made["id"], 999):
        with pytest.raises(NotFound) as refused:
            TokenController(ada).get(token_id)
        messages.add((refused.value.code, refused.value.detail.replace(str(token_id), "N")))
    assert len(messages) == 1


def test_naming_oneself_as_the_owner_is_no_privilege(ada):
    assert TokenController(ada).create({"name": "x", "user": "ada"})["user"] == "ada"
    with pytest.raises(Forbidden):
        TokenController(ada).create({"name": "x", "user": "nobody"})


def test_an_end_that_is_taken_back(administrator, ada):
    made = TokenController(ada).create({"name": "x"})
    assert TokenController(ada).update(made["id"], {"expires_at": None})["expires_at"] is None
