"""A worker that does not hold a release: it fetches the bundle back, believes nothing else, and says when there is none."""

import hashlib
import io
from pathlib import Path

import pytest

import store
from controllers.errors import WindlassError
from controllers.foreign import ForeignError
from controllers.jobs import outbox
from controllers.notifications import delivery_run
from controllers.releases import bundles, fetch
from models import Delivery, Release
from models.db import now
from tests import factories
from tests.foreign.conftest import foreign_settings
from tests.foreign.standins.artifactory import Artifactory

__all__ = ["foreign_settings"]
PATH = "shop/shop-v1.tar.gz"


class Place:
    """Where releases are kept: `read`, `write` and `remove` its file, as somebody else does."""

    def __init__(self, files, folder):
        self.files, self.folder = files, folder

    def read(self):
        return self.files[f"releases/{PATH}"].content if self.files is not None else (self.folder / PATH).read_bytes()

    def write(self, content):
        if self.files is not None:
            self.files[f"releases/{PATH}"].content = content
        else:
            (self.folder / PATH).write_bytes(content)

    def remove(self):
        if self.files is not None:
            del self.files[f"releases/{PATH}"]
        else:
            (self.folder / PATH).unlink()


@pytest.fixture(params=["artifactory", "directory"])
def place(request, integration, settings, tmp_path):
    """The integration `kept`, of either driver."""
    if request.param == "directory":
        folder = tmp_path / "kept"
        folder.mkdir()
        settings.artifacts.local_paths = [str(tmp_path)]
        integration("kept", "directory", settings={"folder": str(folder)})
        yield Place(None, folder)
        return
    with Artifactory() as standin:
        url = f"{standin.url}/artifactory"
        integration("kept", "artifactory", url, {"token": standin.token}, {"repository": "releases"})
        yield Place(standin.files, None)


def tree(content=b"print(1)\n"):
    """Put a tree into the store; returns its digest."""
    sha256, size = store.add_bytes(content)
    return store.add_manifest([["app.py", 0o644, size, sha256]])


@pytest.fixture
def release(database):
    return factories.release(digest=tree(), lock="", commit="c" * 40)


def publish(release):
    """Let a worker publish a release; returns the delivery."""
    about = outbox.columns(("release", release.id), outbox.PUBLISH, "kept", PATH, release=release.id)
    Delivery.insert(about).on_conflict_ignore().execute()
    row = Delivery.get(Delivery.action == outbox.PUBLISH)
    Delivery.update(due_at=now()).where(Delivery.id == row.id).execute()
    delivery_run.KIND.carry_out(row.id)
    return Delivery.get_by_id(row.id)


@pytest.fixture
def elsewhere(settings, tmp_path):
    """Go to a worker with an empty data folder: elsewhere(); back again: elsewhere(back=True)."""
    home = settings.data

    def go(back=False):
        settings.data = home if back else str(tmp_path / "elsewhere")

    return go


def fetched(release):
    """Make sure of a release as a worker does; returns what people are told."""
    lines = []
    fetch.ensure(Release.get_by_id(release.id), lines.append)
    return lines


def test_a_worker_with_an_empty_folder_fetches_the_release_and_keeps_it(release, place, elsewhere):
    assert publish(release).state == "delivered"
    elsewhere()
    assert not store.has(release.digest)
    assert fetched(release) == [f"Fetching v1 from kept: {PATH}"]
    assert store.has(release.digest) and store.read(store.manifest(release.digest)[0][3]) == b"print(1)\n"
    assert fetched(release) == []


def test_a_bundle_that_is_gone_is_told_with_its_place(release, place, elsewhere):
    publish(release)
    place.remove()
    elsewhere()
    with pytest.raises(ForeignError, match="'kept'") as failed:
        fetched(release)
    assert failed.value.kind == "not-found" and not store.has(release.digest)


@pytest.mark.parametrize("damage", [lambda content: content[:-20], lambda content: content + b"x", lambda _: b""])
def test_a_bundle_that_was_changed_there_is_refused(release, place, elsewhere, damage):
    publish(release)
    place.write(damage(place.read()))
    elsewhere()
    with pytest.raises(ForeignError, match=r"'kept'.* changed or damaged"):
        fetched(release)
    assert not store.has(release.digest)


def test_the_bundle_of_another_release_is_none_of_this_one(release, place, elsewhere):
    publish(release)
    other, file = factories.release(digest=tree(b"evil\n"), version="v2", number=2), io.BytesIO()
    bundles.write(other, file)
    place.write(file.getvalue())
    false = {**Release.get_by_id(release.id).bundle, "sha256": hashlib.sha256(file.getvalue()).hexdigest()}
    Release.update(bundle=false).where(Release.id == release.id).execute()
    elsewhere()
    with pytest.raises(bundles.BadBundle, match="which v1 consists of"):
        fetched(release)
    assert not store.has(release.digest)


def test_what_was_published_nowhere_says_what_to_do(release, elsewhere):
    elsewhere()
    with pytest.raises(store.Missing, match="build it again, let workers share <data>, or give the application a place"):
        fetched(release)


def test_a_worker_without_the_release_leaves_publishing_to_one_that_has_it(release, place, elsewhere):
    elsewhere()
    row = publish(release)
    assert row.state == "waiting" and "store does not hold v1" in row.error and row.due_at
    elsewhere(back=True)
    assert publish(release).state == "delivered" and Release.get_by_id(release.id).bundle["path"] == PATH


def test_a_release_that_is_published_again_is_fetched_first(release, place, elsewhere):
    publish(release)
    elsewhere()
    Delivery.update(state="waiting").execute()
    assert publish(release).state == "delivered" and store.has(release.digest)


def test_a_deleted_integration_is_told(release, place, elsewhere):
    publish(release)
    from models import Integration

    Integration.delete().execute()
    elsewhere()
    with pytest.raises(WindlassError, match="kept"):
        fetched(release)


def test_nothing_half_fetched_stays(release, place, elsewhere, settings):
    publish(release)
    content = place.read()
    place.write(content[: len(content) // 2])
    elsewhere()
    for _ in range(2):
        with pytest.raises(ForeignError):
            fetched(release)
    assert [path for path in Path(settings.data).rglob("*") if path.is_file() and "bundle" in path.name] == []
    place.write(content)
    fetched(release)
