"""Watch a deploy or a build to its end: which display shows it, and what to do when the watching is stopped."""

from windlass_cli.display.displays import LiveDisplay, LogDisplay, PlainDisplay, QuietDisplay, title
from windlass_cli.display.progress import Rollout
from windlass_cli.jobs.rollouts import await_release, host_runs
from windlass_cli.jobs.waiting import await_end, goes_on

QUIET, FOLLOW, LOG = "quiet", "follow", "log"


def watch_deploy(client, output, deploy, manner, deadline):
    """Wait until ``deploy`` has ended and return it as it is then; ``manner`` is QUIET, FOLLOW or LOG.

    Raises Interrupted on Ctrl-C and WaitTimedOut at the deadline; both say that the deploy goes on.
    """
    number = deploy["id"]
    remedy = f"Follow it: windlass logs {number} --follow   Cancel it: windlass cancel {number}"
    with goes_on(f"deploy {number} goes on", remedy):
        if manner == QUIET:
            output.note(f"Waiting for deploy {number}: {title(deploy)}.")
        rollout = Rollout(deploy, host_runs(client, number))
        with _display(output, rollout, manner) as display:
            return await_end(client, "deploy", number, display, deadline)


def watch_build(client, output, application, release, deadline):
    """Wait until a ``release`` is built, showing the build's output on stderr, and return it as it is then.

    Raises BuildFailed, Interrupted or WaitTimedOut.
    """
    version = release["version"]
    remedy = (
        f"See how it ends: windlass releases show {application} {version}   "
        f"Cancel it: windlass releases cancel {application} {version}"
    )
    with goes_on(f"release {version} of {application} is still being built", remedy):
        output.note(f"Building release {version} of {application}.")
        return await_release(client, application, version, lambda event: _show_build(output, event), deadline)


def _display(output, rollout, manner):
    kinds = {QUIET: QuietDisplay, LOG: LogDisplay, FOLLOW: LiveDisplay if output.is_live else PlainDisplay}
    return kinds[manner](output, rollout)


def _show_build(output, event):
    for line in str(event.get("text") or "").splitlines():
        output.note("│ ", line)
