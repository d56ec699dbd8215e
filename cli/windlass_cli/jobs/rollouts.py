"""The jobs that take more than one request: build a release, start a deploy, roll back, wait for the end.

The commands and the fab tasks both drive these; nothing here prints.
"""

from windlass_cli.api.feed import number_of
from windlass_cli.errors import BadAnswer, BuildFailed, RolloutFailed, WindlassError

LATEST = "latest"
#: Seconds between two looks at a release that is being built.
BUILD_PAUSE_S = 1


def having(answer, name):
    """Return the API's ``answer`` when it has the member ``name`` that is needed next; else raise BadAnswer."""
    if not isinstance(answer, dict) or not answer.get(name):
        raise BadAnswer(f"The server's answer has no {name}.", remedy="Is the address that of a Windlass server?")
    return answer


def newest_ready(client, application):
    """Return the newest release of ``application`` that is ready; WindlassError when there is none."""
    for release in client.items("applications", application, "releases", state="ready", limit=1):
        return having(release, "version")
    raise WindlassError(
        f"{application} has no release that is ready.",
        remedy=f"Make one: windlass releases create {application} --wait",
    )


def find_release(client, application, wanted):
    """Return the release ``wanted``: a version, or ``latest`` for the newest one that is ready."""
    if wanted == LATEST:
        return newest_ready(client, application)
    return having(client.get("applications", application, "releases", wanted), "version")


def create_release(client, application, ref=None, package_version=None, upgrade_dependencies=False):
    """Ask for a release of a git reference or a package version and return it; it is being built then.

    With neither, the application's own branch is built, or the newest version of its package.
    """
    given = {"ref": ref, "package_version": package_version, "upgrade_dependencies": upgrade_dependencies}
    body = {name: value for name, value in given.items() if value}
    return having(client.post("applications", application, "releases", body=body), "version")


def await_release(client, application, version, show, deadline):
    """Wait until the release is built and return it, handing every event of the build to ``show``.

    Raises BuildFailed when it could not be built, and WaitTimedOut at the deadline.
    """
    release = await_build_end(client, application, version, show, deadline)
    if release.get("state") == "failed":
        why = release.get("error") or "the build's output says why"
        raise BuildFailed(
            f"Release {version} of {application} could not be built: {why}",
            release,
            remedy=f"See the whole build: windlass releases show {application} {version} --log",
        )
    return release


def await_build_end(client, application, version, show, deadline):
    """Wait until the release is built or has failed, as ``await_release`` does, and return it; raises WaitTimedOut."""
    last = 0
    while True:
        # The release is read before its events: once it has ended, no event comes after those read then.
        release = client.get("applications", application, "releases", version)
        for event in client.items("applications", application, "releases", version, "events", after=last):
            last = max(last, number_of(event))
            show(event)
        if release.get("state") != "building":
            return release
        deadline.sleep(BUILD_PAUSE_S)


def start_deploy(client, application, release, environment, strategy=None, **more):
    """Start a rollout of a release (a version) to an environment and return the deploy.

    ``strategy`` is a dict of what to change in the target's own strategy, None for nothing; ``more`` are further members
    of the wish, such as ``comment``, ``start_at`` and ``override``, of which those that are None are left out.
    """
    body = {"application": application, "release": release, "environment": environment}
    if strategy:
        body["strategy"] = strategy
    body.update((name, value) for name, value in more.items() if value)
    return having(client.post("deploys", body=body), "id")


def make_plan(client, application, release, environment, strategy, deadline):
    """Make a plan and return it once all its hosts were looked at; raises WaitTimedOut at the deadline."""
    body = {"application": application, "release": release, "environment": environment}
    if strategy:
        body["strategy"] = strategy
    return complete_plan(client, having(client.post("plans", body=body), "id"), deadline)


def complete_plan(client, plan, deadline):
    """Return a plan once all its hosts were looked at; raises WaitTimedOut at the deadline."""
    while plan.get("state") == "observing":
        deadline.sleep(BUILD_PAUSE_S)
        plan = having(client.get("plans", plan["id"]), "id")
    return plan


def newest_deploy(client, application, environment):
    """Return the newest deploy of a target that left its release somewhere; WindlassError when there is none.

    One that went back by itself, or failed before it switched a host, changed nothing that could be rolled back.
    """
    for deploy in client.items("deploys", application=application, environment=environment, limit=20):
        if not is_without_effect(having(deploy, "id")):
            return deploy
    raise WindlassError(
        f"Nothing was ever deployed of {application} to {environment}.", remedy="See what runs where: windlass status"
    )


def is_without_effect(deploy):
    """Say whether a deploy has ended without leaving its release on any host."""
    switched = (deploy.get("progress") or {}).get("switched", 1)
    return deploy.get("state") == "rolled_back" or (deploy.get("state") in ("failed", "cancelled") and not switched)


def roll_back(client, deploy):
    """Start going back to the release before ``deploy`` and return the new deploy."""
    return having(client.post("deploys", deploy["id"], "rollback"), "id")


def find_deploy(client, number):
    """Return the deploy with this number."""
    return having(client.get("deploys", number), "id")


def host_runs(client, number):
    """Return the host runs of a deploy."""
    return list(client.items("deploys", number, "hosts"))


def require_success(client, deploy):
    """Raise RolloutFailed, naming hosts and reasons, unless the deploy has succeeded."""
    if deploy.get("state") == "succeeded":
        return
    number = deploy.get("id")
    words = {"rolled_back": "was rolled back", "cancelled": "was cancelled"}
    reason = f": {deploy['reason']}" if deploy.get("reason") else "."
    details = [
        _failure_line(run) for run in host_runs(client, number) if run.get("state") in ("failed", "unreachable", "rolled_back")
    ]
    raise RolloutFailed(
        f"Deploy {number} {words.get(deploy.get('state'), 'failed')}{reason}",
        details,
        f"See everything: windlass logs {number}",
    )


def _failure_line(run):
    """Return one line about a host that did not go well: its name, state, step and the reason given."""
    steps = [step for step in run.get("steps") or [] if step.get("state") == "failed"]
    where = f" at {steps[-1].get('name')}" if steps else ""
    why = (steps[-1].get("message") if steps else None) or run.get("message")
    return f"{run.get('host')}: {run.get('state')}{where}" + (f": {why}" if why else "")
