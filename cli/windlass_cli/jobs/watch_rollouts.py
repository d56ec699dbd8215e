"""Waiting in front of a person: a display for the deploy, and what Ctrl-C and a passed deadline leave behind."""

from windlass_cli.display.displays import LiveDisplay, LogDisplay, PlainDisplay, QuietDisplay, title
from windlass_cli.display.progress import Rollout
from windlass_cli.errors import Interrupted, WaitTimedOut
from windlass_cli.jobs.rollouts import await_deploy, await_release, host_runs

QUIET, FOLLOW, LOG = "quiet", "follow", "log"


def watch_deploy(client, output, deploy, manner, deadline):
    """Wait until ``deploy`` has ended and return it as it is then; ``manner`` is QUIET, FOLLOW or LOG.

    Raises Interrupted on Ctrl-C and WaitTimedOut at the deadline; both say that the deploy goes on.
    """
    number = deploy["id"]
    try:
        if manner == QUIET:
            output.note(f"Waiting for deploy {number}: {title(deploy)}.")
        rollout = Rollout(deploy, host_runs(client, number))
        with _display(output, rollout, manner) as display:
            return await_deploy(client, number, display, deadline)
    except KeyboardInterrupt:
        raise Interrupted(f"Stopped watching; deploy {number} goes on.", remedy=_how_on(number)) from None
    except WaitTimedOut as error:
        raise WaitTimedOut(f"{error.message} Deploy {number} goes on.", remedy=_how_on(number)) from None


def watch_build(client, output, application, release, deadline):
    """Wait until a ``release`` is built, showing the build's output on stderr, and return it as it is then.

    Raises BuildFailed, Interrupted or WaitTimedOut.
    """
    version = release["version"]
    remedy = (
        f"See how it ends: windlass releases show {application} {version}   "
        f"Cancel it: windlass releases cancel {application} {version}"
    )
    try:
        output.note(f"Building release {version} of {application}.")
        return await_release(client, application, version, lambda event: _show_build(output, event), deadline)
    except KeyboardInterrupt:
        raise Interrupted(
            f"Stopped watching; release {version} of {application} is still being built.", remedy=remedy
        ) from None
    except WaitTimedOut as error:
        raise WaitTimedOut(
            f"{error.message} Release {version} of {application} is still being built.", remedy=remedy
        ) from None


def _display(output, rollout, manner):
    kinds = {QUIET: QuietDisplay, LOG: LogDisplay, FOLLOW: LiveDisplay if output.is_live else PlainDisplay}
    return kinds[manner](output, rollout)


def _show_build(output, event):
    for line in str(event.get("text") or "").splitlines():
        output.note("│ ", line)


def _how_on(number):
    return f"Follow it: windlass logs {number} --follow   Cancel it: windlass cancel {number}"
