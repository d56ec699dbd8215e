"""A release that this machine does not hold is fetched from where it was published, and checked against its digest."""

import scratch
import store
from controllers import foreign
from controllers.releases import bundles


def is_here(release):
    """Say whether a release's tree is in this machine's store."""
    return store.is_there(store.manifest_path(release.digest))


def ensure(release, output):
    """Make sure that a release's tree is in this machine's store; `output(text)` takes a line when it must be fetched.

    Raises ForeignError, BadBundle, and store.StoreError when it is nowhere.
    """
    if is_here(release):
        return
    if release.bundle is None:
        raise store.Missing(
            f"This worker's store does not hold {release.version}, and it was published nowhere: build it again, "
            "let workers share <data>, or give the application a place for artifacts."
        )
    bundle = release.bundle
    output(f"Fetching {release.version} from {bundle['integration']}: {bundle['path']}")
    driver = foreign.driver_named(bundle["integration"], "artifacts")
    with scratch.folder("bundle") as folder, open(folder / "bundle", "w+b") as file:
        driver.fetch(bundle["path"], file, bundle["sha256"])
        file.seek(0)
        bundles.restore(release, file)
