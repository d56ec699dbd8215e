"""Fixtures of builds' tests: a place for repositories, a package index, and work that remembers its output."""

import json

import pytest

from controllers.build_work import Work
from tests.controllers.servers import package_index
from tests.stack import Repository


@pytest.fixture
def repositories(tmp_path, settings):
    """A folder whose repositories Windlass may read by path."""
    folder = tmp_path / "repositories"
    folder.mkdir()
    settings.git.local_paths = [str(folder)]
    settings.network.allow = ["127.0.0.0/8"]
    return folder


@pytest.fixture
def repository(repositories):
    """An empty repository among them."""
    return Repository(repositories / "shop")


@pytest.fixture
def packages(tmp_path):
    """The folder of packages that the index serves."""
    folder = tmp_path / "packages"
    folder.mkdir()
    return folder


@pytest.fixture
def index(packages, settings):
    """A package index, which is the one of the setting build.index_url."""
    settings.network.allow = ["127.0.0.0/8"]
    with package_index(packages) as server:
        settings.build.index_url = server.url
        yield server


@pytest.fixture
def work():
    """Work with a minute's time; `lines` has what was told to people."""
    lines = []
    made = Work(lines.append, 60)
    made.lines = lines
    return made


@pytest.fixture
def integration(database):
    """Make integrations: integration(name, driver, url, credentials, settings)."""
    import secretbox
    from models import Integration
    from models.db import now

    def make(name, driver="git", url=None, credentials=None, settings=None):
        sealed = secretbox.seal(json.dumps(credentials)) if credentials else None
        return Integration.create(
            name=name,
            driver=driver,
            url=url,
            credentials=sealed,
            settings=settings or {},
            created_at=now(),
            updated_at=now(),
        )

    return make
