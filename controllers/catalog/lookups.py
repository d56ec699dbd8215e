"""What foreign systems have to choose from: repositories, refs, versions of a package. Asked for while somebody waits."""

from dataclasses import asdict
from itertools import islice

from controllers import foreign, paging
from controllers.controller import Controller
from controllers.errors import Conflict, NotFound
from models import Application, Integration
from utils.stringkit import has, near

PATIENCE_S = 20  # Somebody waits for the answer.
GLANCE_S = 5  # What is asked for waits for the answer.
NEAR_REFS, REFS_COMPARED = 3, 300


def no_such_ref(source, ref):
    """Return the sentence for a ref that an application's repository has not; None where it has it, or does not say at once.

    A source that is away, slow or refuses us, or a full disk here, keeps nobody from asking for a release: the build tells.
    """
    repository = source["repository"]
    try:
        driver = foreign.driver_for(source, GLANCE_S)
        if driver.has_ref(repository, ref, source.get("branch")) is not False:
            return None
        meant = near(ref, [found.name for found in islice(driver.refs(repository), REFS_COMPARED)], NEAR_REFS)
    except (NotFound, foreign.ForeignError, OSError):
        return None
    hint = f"did you mean {' or '.join(meant)}?" if meant else "GET /applications/<name>/refs lists what it has."
    return f"{repository} has no branch, tag or commit '{ref}'; {hint}"


class LookupController(Controller):
    """What somebody may choose from in the systems that they may see."""

    def repositories(self, integration, query=None, limit=paging.LIMIT, after=None):
        """Return a page of the repositories that an integration's credentials may see, those with `query` in their names.

        Raises NotFound, Conflict where the system cannot tell any, ForeignError.
        """
        row = self.named(Integration, integration, "integration")
        driver = foreign.drivers().get(row.driver)
        if driver is None or driver.role != "source" or not driver.has_repositories:
            able = [name for name, each in foreign.drivers().items() if each.role == "source" and each.has_repositories]
            raise Conflict(
                f"Integration {integration} is of driver {row.driver}, which cannot list repositories; "
                f"{', '.join(able)} can. Give a repository by its name or URL.",
                code="no-repositories",
            )
        driver = driver(foreign.hurried(foreign.access_of(row), PATIENCE_S))
        return paging.part(lambda: driver.repositories(query), asdict, limit, after)

    def refs(self, application, query=None, limit=paging.LIMIT, after=None):
        """Return a page of the branches, then the tags of an application's repository, those with `query` in their names.

        Raises NotFound, Conflict for an application without a repository, ForeignError.
        """
        source = self.named(Application, application, "application").source
        if source.get("package"):
            raise Conflict(
                f"{application} is the package {source['package']} of an index and has no branches and tags: "
                "ask for its versions.",
                code="no-repository",
            )
        driver = foreign.driver_for(source, PATIENCE_S)
        return paging.part(
            lambda: (ref for ref in driver.refs(source["repository"], query) if has(ref.name, query)),
            asdict,
            limit,
            after,
        )

    def versions(self, application, query=None, limit=paging.LIMIT, after=None):
        """Return a page of the versions of an application's package, newest first, those with `query` in them.

        Raises NotFound, Conflict for an application that is no package or whose index only uv knows, ForeignError.
        """
        source = self.named(Application, application, "application").source
        if not source.get("package"):
            raise Conflict(f"{application} has a repository and is no package of an index: ask for its refs.", code="no-package")
        driver = foreign.driver_for(source, PATIENCE_S)
        if driver.index().url is None:
            raise Conflict(
                f"{application} names no integration and the setting build.index_url is empty, so only uv knows which index "
                "its package comes from: name an integration in the source.",
                code="no-index",
            )
        package = source["package"].partition("[")[0]
        return paging.part(
            lambda: (found for found in driver.package_versions(package) if has(found.version, query)),
            asdict,
            limit,
            after,
        )
