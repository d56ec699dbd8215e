"""Applications: what is deployed, and where its releases come from."""

from controllers import etags, foreign, paging, rows
from controllers.controller import Controller
from controllers.errors import Invalid
from models import Application, Environment, Integration, Target
from models.db import clock
from utils.datekit import rfc3339

DEFAULT_BRANCH = "main"
# Fields that name an integration of the role that is called alike.
PARTNERS = ("build", "artifacts", "tracker")
NO_FILES = (
    "Builds of '{}' (driver {}) leave no file that could be the release's code: leave artifact out, which makes it the "
    "commit's own tree, or name an integration whose builds leave one."
)


def describe(application):
    """Return an application in the API's shape."""
    return {
        "name": application.name,
        "source": application.source,
        **{field: getattr(application, field) for field in PARTNERS},
        "team": application.team,
        "processes": application.processes,
        "created_at": rfc3339(application.created_at),
        "updated_at": rfc3339(application.updated_at),
    }


def complete_source(source, integrations):
    """Return a source with its defaults filled in; raises Invalid when its integration cannot give it.

    integrations: the query for those that may be named.
    """
    is_package = source.get("package") is not None
    integration = source.get("integration")
    if integration is not None:
        check_integration("source", integration, "artifacts" if is_package else "source", integrations)
    if is_package:
        return {
            "integration": integration,
            "package": source["package"],
            "requirements": source.get("requirements") or [],
        }
    check_repository(integration, source["repository"])
    return {
        "integration": integration,
        "repository": source["repository"],
        "branch": source.get("branch") or DEFAULT_BRANCH,
    }


def check_integration(field, name, role, integrations):
    """Return the driver of the integration of this name; raises Invalid unless it has the role that a field needs.

    integrations: the query for those that may be named.
    """
    field = f"{field}.integration"
    found = integrations.where(Integration.name == name).first()
    if found is None:
        raise Invalid([(field, f"There is no integration '{name}'; make it first, or leave it out.")])
    driver = foreign.drivers().get(found.driver)
    if driver is None or driver.role != role:
        fitting = " or ".join(driver.name for driver in foreign.drivers().values() if driver.role == role)
        raise Invalid([(field, f"'{name}' is of driver {found.driver}; this needs one of driver {fitting}.")])
    return driver


def partners(fields, integrations):
    """Return the fields that name integrations of other roles, of those that are given. Raises Invalid.

    integrations: the query for those that may be named.
    """
    given = {field: fields[field] for field in PARTNERS if field in fields}
    for field, value in given.items():
        if value is not None:
            driver = check_integration(field, value["integration"], field, integrations)
            if field == "build" and value.get("artifact") and not driver.leaves_files:
                raise Invalid([("build.artifact", NO_FILES.format(value["integration"], driver.name))])
    return given


def check_repository(integration, repository):
    """Raise Invalid for a place the source's driver would never go to; a folder is looked for where builds run."""
    if repository.startswith(("/", "file:")):
        return
    driver = foreign.driver_for({"integration": integration, "repository": repository})
    try:
        driver.address_of(repository)
    except foreign.ForeignError as error:
        raise Invalid([("source.repository", error.detail)]) from None


def users_of(application):
    """Return what needs an application, as [(row, short text)]."""
    targets = rows.target_query().where(Target.application == application).order_by(Environment.position)
    return [(target, f"its target in {target.environment.name}") for target in targets]


class ApplicationController(Controller):
    """Applications as people make, change and delete them."""

    def listing(self, limit=paging.LIMIT, after=None):
        """Return a page of applications by name."""
        return paging.page(self.visible(Application), Application.name, describe, limit, after)

    def get(self, name):
        """Return one application."""
        return describe(self.named(Application, name, "application"))

    def create(self, fields):
        """Make an application from name, source and maybe team and processes; returns it. Raises Invalid and Conflict."""
        with (
            self.change("application.create", fields["name"], **fields),
            rows.once("an application", fields["name"]),
        ):
            made_at = clock()
            return describe(
                Application.create(
                    name=fields["name"],
                    source=complete_source(fields["source"], self.visible(Integration)),
                    team=fields.get("team"),
                    processes=fields.get("processes") or {},
                    **partners(fields, self.visible(Integration)),
                    created_at=made_at,
                    updated_at=made_at,
                )
            )

    def update(self, name, changes, if_match=None):
        """Change an application, each field as a whole; returns it. Raises Invalid and PreconditionFailed."""
        with self.change("application.update", name, **changes):
            application = self.named(Application, name, "application", to_change=True)
            etags.require_match(if_match, describe(application))
            if "source" in changes:
                application.source = complete_source(changes["source"], self.visible(Integration))
            for field, value in partners(changes, self.visible(Integration)).items():
                setattr(application, field, value)
            if "team" in changes:
                application.team = changes["team"]
            if "processes" in changes:
                application.processes = changes["processes"]
            application.updated_at = clock()
            application.save()
            return describe(application)

    def delete(self, name):
        """Delete an application with its releases and its history; refused with Conflict while it has targets."""
        with self.change("application.delete", name):
            application = self.named(Application, name, "application", to_change=True)
            self.refuse_while_used(f"Application {name}", users_of(application))
            application.delete_instance()
