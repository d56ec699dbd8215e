"""What a host is to be for a release: which virtualenv fits it, and the specification its agent is given."""

from controllers.desired import spec
from controllers.errors import BuildFailed, StepFailed
from controllers.releases.dependencies import platforms, virtualenvs
from controllers.rollout import maintenance, snapshots

ADVISORY_PROBLEMS = {"disk-low", "clock-skew"}


def environment_for(release, facts, output, with_files=False):
    """Return (python, built environment) for a host, building it where no build for its platform exists yet.

    `output` takes the lines of a build; with_files: it is built as well where only other machines have its files. Raises
    StepFailed, and ForeignError while the package index is away.
    """
    version = release.python_version or ".".join(facts["python"].split(".")[:2])
    interpreter = facts["pythons"].get(version)
    if not interpreter:
        raise StepFailed(
            "python-version-missing",
            "preflight",
            f"the release needs Python {version}; the host has {', '.join(sorted(facts['pythons']))}",
            f"Install python{version} on the host, or change .python-version.",
        )
    platform = platforms.platform_of(facts, version)
    recorded = None if with_files else virtualenvs.recorded(release, platform)
    try:
        environment = recorded or virtualenvs.ensure(release, platform, output)
    except BuildFailed as error:
        raise StepFailed(
            "environment-not-built",
            "preflight",
            str(error),
            "Change the dependencies, then build and deploy a new release.",
        ) from None
    return {"path": interpreter, "version": version}, environment


def specification(host, release, environment, python, snapshot, variables, state, deploy_id):
    """Return what a host (a models.Host) is to be, for its agent; `state` is what that answered to `begin` or `observe`.

    Whether the target is in maintenance is asked now and not taken from the snapshot: it can change during a rollout.
    """
    about = {"root": host.root, "settings": host.settings, "address": host.address}
    build = {"digest": release.digest, "version": release.version, "processes": snapshots.commands(release, snapshot)}
    return spec.build(
        release.application.name,
        build,
        environment.name,
        python,
        snapshot,
        variables,
        about,
        state,
        deploy_id,
        maintenance.page_of(release.application_id, snapshot["environment"]),
    )
