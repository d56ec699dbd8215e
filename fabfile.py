"""Fabric tasks for those who deploy with ``fab``: the commands of ``windlass``, by the same code, over HTTP.

    fab deploy --application=shop --environment=production [--release=v12 | --ref=main]
    fab rollback --application=shop --environment=production
    fab status

Server and token come from WINDLASS_URL and WINDLASS_TOKEN, or from ``windlass login``; exit codes are those of
``windlass`` (docs/cli.md). Nothing here connects to a host: Windlass does that.
"""

import pathlib
import sys

from fabric import task
from invoke.exceptions import Exit

CLIENT = pathlib.Path(__file__).resolve().parent / "cli"
if str(CLIENT) not in sys.path:
    sys.path.insert(0, str(CLIENT))

from windlass_cli.errors import EXIT_DONE, EXIT_USAGE  # noqa: E402
from windlass_cli.main import main  # noqa: E402

ENDING = {
    "wait": "--no-wait: do not wait for the end",
    "timeout": "wait no longer than so many seconds",
    "yes": "ask nothing",
}
TARGET = {"application": "what to deploy", "environment": "where to deploy it"}


@task(
    auto_shortflags=False,
    help={
        **TARGET,
        **ENDING,
        "release": "a version, or latest (the default)",
        "ref": "build a release of this branch, tag or commit first",
    },
)
def deploy(context, application=None, environment=None, release=None, ref=None, wait=True, timeout=None, yes=False):
    """Roll a release out to an environment and show the progress of every host."""
    require(application=application, environment=environment)
    what = [] if ref else [release or "latest"]
    built = [f"--ref={ref}"] if ref else []
    if ref and release:
        raise Exit("--release and --ref both say what to deploy: give one of them.", EXIT_USAGE)
    run("deploy", f"--to={environment}", *built, *ending(wait, timeout, yes), "--", application, *what)


@task(auto_shortflags=False, help={**TARGET, **ENDING})
def rollback(context, application=None, environment=None, wait=True, timeout=None, yes=False):
    """Go back to the release before the newest deploy of an environment."""
    require(application=application, environment=environment)
    run("rollback", f"--in={environment}", *ending(wait, timeout, yes), "--", application)


@task(
    auto_shortflags=False,
    help={"application": "only of this application", "environment": "only of this environment", "json": "write JSON"},
)
def status(context, application=None, environment=None, json=False):
    """Show what should run where, and what does."""
    chosen = {"--application": application, "--environment": environment}
    run("status", *(f"{name}={value}" for name, value in chosen.items() if value), *(["--json"] if json else []))


def require(**given):
    """Exit with 2 when a value is missing, naming it."""
    for name, value in given.items():
        if not value:
            raise Exit(f"Say which {name}: --{name}=NAME", EXIT_USAGE)


def ending(wait, timeout, yes):
    """Return the client's options for how to wait and whether to ask."""
    return [
        *(["--follow"] if wait else []),
        *([f"--timeout={timeout}"] if timeout else []),
        *(["--yes"] if yes else []),
    ]


def run(*arguments):
    """Run the client and end the task with its exit code."""
    code = main(list(arguments))
    if code != EXIT_DONE:
        raise Exit(code=code)
