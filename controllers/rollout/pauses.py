"""Pause a rollout and let it go on; while it is paused, try hosts again or leave them out."""

from controllers.controller import Controller
from controllers.errors import Conflict, NotFound
from controllers.jobs import queue, states, transitions
from controllers.rollout import deploy_views, deploys, snapshots
from controllers.rollout.deploys import DeployController
from models import Deploy, Host, HostRun


class PauseController(Controller):
    """Rollouts that are paused, for whoever pauses them and goes on."""

    def pause(self, deploy_id):
        """Pause a running deploy: hosts under way go on to their end, no other begins. Raises Conflict, NotFound."""
        row = DeployController(self.actor).find(deploy_id)
        with self.change("deploy.pause", deploy_id):
            if (
                row.state != "running"
                or row.cancel_requested_by
                or not transitions.move_deploy(row, "paused", reason=f"paused by {self.actor.name}")
            ):
                raise Conflict(
                    f"Deploy {deploy_id} is {newest_state(row)}; only a running deploy can be paused.",
                    code="not-pausable",
                )
        queue.enqueue("windlass.reconcile", row.id)
        return DeployController(self.actor).get(deploy_id)

    def resume(self, deploy_id):
        """Let a paused deploy go on, its next wave included. Raises Conflict, NotFound."""
        row = DeployController(self.actor).find(deploy_id)
        with self.change("deploy.resume", deploy_id):
            if (
                row.state != "paused"
                or row.cancel_requested_by
                or not transitions.move_deploy(row, "running", reason=None, resumed_wave=next_wave(row))
            ):
                raise Conflict(
                    f"Deploy {deploy_id} is {newest_state(row)}; only a paused deploy can be resumed.",
                    code="not-resumable",
                )
            HostRun.update(enqueued_at=None).where(HostRun.deploy == row, HostRun.state == "pending").execute()
        queue.enqueue("windlass.reconcile", row.id)
        return DeployController(self.actor).get(deploy_id)

    def retry_host(self, deploy_id, host):
        """Let a host of a paused deploy, which failed or was left out, be tried again once the deploy is resumed.

        Returns its run. Raises NotFound, Conflict.
        """
        with self.change("deploy.retry-host", deploy_id, host=host):
            run = self.run_in_pause(deploy_id, host)
            if run.state not in deploys.UNFINISHED:
                raise Conflict(
                    f"Host {host} is {run.state}; only one that failed or was left out can be tried again.",
                    code="not-retryable",
                )
            if run.host.maintenance_reason:
                raise Conflict(f"Host {host} is {run.host.why_left_out}. Put it back into service first.", code="in-maintenance")
            deploys.begin_again(run.deploy, HostRun.id == run.id)
        return deploy_views.describe_run(run_on(run.deploy, host), [])

    def skip_host(self, deploy_id, host):
        """Leave a host of a paused deploy out; returns its run. Raises NotFound, Conflict.

        It is one that has not begun, or one that failed, which no longer counts then.
        """
        with self.change("deploy.skip-host", deploy_id, host=host):
            run = self.run_in_pause(deploy_id, host)
            if "skipped" not in states.HOST_RUN[run.state] or run.state == "running":
                raise Conflict(f"Host {host} is {run.state} and cannot be left out.", code="not-skippable")
            if run.wave == 0 and snapshots.has_release_process(run.deploy):
                raise Conflict(
                    f"Host {host} runs the release process, which all other hosts rely on; try it again or cancel the deploy.",
                    code="runs-release-process",
                )
            transitions.move_host_run(run, "skipped", message=f"left out by {self.actor.name}")
        return deploy_views.describe_run(run, [])

    def run_in_pause(self, deploy_id, host):
        """Return the run of a host in a paused deploy. Raises NotFound, Conflict."""
        row = DeployController(self.actor).find(deploy_id)
        run = run_on(row, host)
        if run is None:
            raise NotFound(f"Deploy {deploy_id} does not go to a host {host}.")
        if row.state != "paused":
            raise Conflict(f"Deploy {deploy_id} is {row.state}; pause it first.", code="not-paused")
        return run


def newest_state(row):
    """Return a deploy's newest state in words."""
    fresh = Deploy.get_by_id(row.id)
    return "being cancelled" if fresh.cancel_requested_by and fresh.state not in states.DEPLOY_ENDED else fresh.state


def next_wave(row):
    """Return the wave that may begin once a deploy is resumed: the first that has not ended, none before where it was."""
    waiting = (HostRun.deploy == row) & HostRun.state.not_in(states.HOST_RUN_ENDED)
    wave = HostRun.select(HostRun.wave).where(waiting).order_by(HostRun.wave).limit(1).scalar() or 0
    return max(wave, row.resumed_wave)


def run_on(row, host):
    """Return a deploy's run on the host of this name, or None."""
    if "\0" in host:
        return None
    return HostRun.select(HostRun, Host).join(Host).where(HostRun.deploy == row, Host.name == host).first()
