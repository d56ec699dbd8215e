"""A release that this machine does not hold is fetched from where it was published, and checked against its digest."""

import scratch
import store
from controllers import foreign
from controllers.releases import bundles


def is_here(release):
    """Say whether a release's tree is in this machine's store."""
    return store.is_there(store.manifest_path(release.digest))


def ensure(release, say):
    """Make sure that a release's tree is in this machine's store; `say(text)` is told when it must be fetched.

    Raises ForeignError, BadBundle, and store.StoreError when it is nowhere.
    """
    if is_here(release):
        return
    if release.bundle is None:
        raise store.Missing(
            f"This worker's store does not hold {release.version}, and it was published nowhere: build it again, "
            "let workers share <data>, or give the application a place for artifacts."
        )
    kept = release.bundle
    say(f"Fetching {release.version} from {kept['integration']}: {kept['path']}")
    driver = foreign.driver_named(kept["integration"], "artifacts")
    with scratch.folder("bundle") as folder, open(folder / "bundle", "w+b") as file:
        driver.fetch(kept["path"], file, kept["sha256"])
        file.seek(0)
        bundles.restore(release, file)
