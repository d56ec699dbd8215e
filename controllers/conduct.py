"""The conductor: one short, re-entrant tick over a deploy's rows. Read, decide, write, and only then ring.

Ticks may come late, twice or at once; the deploy's row is locked for the length of a tick, and every change is a
compare-and-set, so that only the rows decide what happens next.
"""

import collections
import functools

import failpoints
from controllers import bake, dispatch, gates, rows, snapshots, states
from controllers.rollout import waves
from models import Deploy, Host, HostRun, Zone
from models.db import clock, database, is_postgresql, now

RING_AGAIN_MS = 10_000  # A bell that was lost is rung again after this time.
MOST_UNANSWERED = 50  # So many bells of a zone may wait; more would only be rung again while they wait in the queue.
LOOK_EVERY_MS = 5_000  # A host under watch is looked at this often, and once more at the end of its time.


def conduct(deploy_id):
    """Carry a deploy one step further, then ring for the host runs that are to be carried out now."""
    with database.atomic():
        deploy = lock(deploy_id)
        if deploy is None or deploy.state in states.DEPLOY_ENDED:
            bells = []
        else:
            bells = Tick(deploy).run()
        failpoints.reach("conduct.before-commit")
    failpoints.reach("conduct.after-commit")
    for task, row_id, zone in bells:
        ring(task, row_id, zone)
    failpoints.reach("conduct.after")


def ring(task, row_id, zone):
    """Ring one bell; one for a host run that the broker did not take is to be rung by the next tick."""
    if not dispatch.ring(task, row_id, zone=zone) and zone:
        HostRun.update(rung_at=None).where(HostRun.id == row_id).execute()


def lock(deploy_id):
    """Return the deploy's row, locked until the transaction ends (SQLite's writers already exclude each other)."""
    query = Deploy.select().where(Deploy.id == deploy_id)
    if is_postgresql():
        query = query.for_update()
    return query.get_or_none()


def others_ahead(deploy):
    """Say whether another deploy of the same target is under way, or was asked for before and waits in the queue."""
    of_target = {"application": deploy.application_id, "environment": deploy.environment_id}
    is_ahead = Deploy.state.in_(("running", "paused", "rolling_back")) | (
        (Deploy.state == "queued") & (Deploy.id < deploy.id)
    )
    return Deploy.select().filter(**of_target).where(Deploy.id != deploy.id, is_ahead).exists()


def next_in_queue(deploy):
    """Return the id of the oldest deploy waiting for this one's target, or None."""
    return (
        Deploy.select(Deploy.id)
        .where(
            Deploy.application == deploy.application_id,
            Deploy.environment == deploy.environment_id,
            Deploy.state == "queued",
        )
        .order_by(Deploy.id)
        .limit(1)
        .scalar()
    )


class Tick:
    """One look at a deploy and what follows from it. `bells` collects (task, id, zone) to ring after the commit."""

    def __init__(self, deploy):
        self.deploy = deploy
        self.bells = []
        self.clock = clock()
        self.runs = list(HostRun.select().where(HostRun.deploy == deploy).order_by(HostRun.wave, HostRun.id))

    def run(self):
        """Decide and write; returns the bells."""
        if self.deploy.state in states.DEPLOY_WAITING or self.deploy.state == "queued":
            rows.hold_target(self.deploy.application_id, self.deploy.environment_id)
        if self.deploy.state in states.DEPLOY_WAITING:
            self.wait()
        if self.deploy.state == "queued":
            self.begin()
        if self.deploy.state == "running":
            self.advance()
        elif self.deploy.state == "paused":
            self.hold()
        if self.deploy.state == "rolling_back":
            self.go_on_rolling_back()
        if self.deploy.state in states.DEPLOY_ENDED:
            self.wake_the_next()
        rung = [row_id for _, row_id, zone in self.bells if zone]
        if rung:
            HostRun.update(rung_at=now()).where(HostRun.id.in_(rung)).execute()
        return self.bells

    def wait(self):
        """Put a scheduled deploy into the queue when it is due and nothing hinders it."""
        if self.deploy.cancel_requested_by:
            self.cancel_before_start()
        elif self.deploy.state == "scheduled" and self.deploy.start_at <= self.clock and not self.is_hindered():
            states.move_deploy(self.deploy, "queued", reason=None)

    def cancel_before_start(self):
        """End a deploy that has touched no host."""
        self.skip_pending("cancelled before it started")
        states.move_deploy(self.deploy, "cancelled", reason=f"cancelled by {self.deploy.cancel_requested_by}")

    def begin(self):
        """Start a queued deploy when its target is free."""
        if self.deploy.cancel_requested_by:
            self.cancel_before_start()
        elif not others_ahead(self.deploy) and not self.is_hindered():
            states.move_deploy(self.deploy, "running", started_at=now(), reason=None)

    def is_hindered(self):
        """Say whether something keeps the deploy from beginning now, and write down what."""
        hindrance = gates.hindrance(self.deploy)
        if hindrance and hindrance != self.deploy.reason:
            Deploy.update(reason=hindrance).where(Deploy.id == self.deploy.id).execute()
        return bool(hindrance)

    def advance(self):
        """Start the next hosts, or end the rollout."""
        if self.deploy.cancel_requested_by:
            self.cancel()
        elif self.has_failed():
            self.give_up()
        elif self.is_baking():
            self.watch()
        elif self.open_wave() is None:
            self.succeed()
        else:
            self.start_wave(self.open_wave())

    def open_wave(self):
        """Return the first wave that is not through, or None."""
        return min((run.wave for run in self.runs if run.state not in states.HOST_RUN_ENDED), default=None)

    def start_wave(self, wave):
        """Ring for the hosts of a wave; only for its first one while no host has shown that the release works."""
        if self.is_pausing_before(wave):
            return
        waiting = [run for run in self.runs if run.wave == wave and run.state not in states.HOST_RUN_ENDED]
        waiting.sort(key=lambda run: run.state != "running")
        for run in waiting[:1] if self.is_first_awaited() else waiting:
            self.ring_for(run)

    def is_first_awaited(self):
        """Say whether hosts go one by one, because none has succeeded yet."""
        is_asked_for = bool(self.deploy.strategy.get("healthy_first"))
        return is_asked_for and not any(run.state in ("succeeded", "unchanged") for run in self.runs)

    def is_pausing_before(self, wave):
        """Say whether the strategy's pause between waves lasts; one that only a person ends makes the deploy paused."""
        pause_s = self.deploy.strategy["pause_s"] or 0
        ended = [run.ended_at for run in self.runs if run.wave < wave and run.ended_at]
        if not pause_s or not ended:
            return False
        if pause_s == waves.UNTIL_RESUMED:
            return self.deploy.resumed_wave < wave and self.pause_before(wave)
        return self.clock < max(ended) + self.bake_ms + pause_s * 1000

    def pause_before(self, wave):
        """Make the deploy paused; returns whether it is."""
        last = max(run.wave for run in self.runs)
        return states.move_deploy(
            self.deploy, "paused", reason=f"waits to be resumed before wave {wave + 1} of {last + 1}"
        )

    def hold(self):
        """While paused, hosts under way go on to their end and no other begins; what failed is judged on resuming."""
        if self.deploy.cancel_requested_by:
            self.cancel()
        else:
            self.keep_going_with_running()

    # Watching what has switched.

    @property
    def bake_ms(self):
        """For how long hosts are watched after their wave has switched."""
        return (self.deploy.strategy["bake_s"] or 0) * 1000

    def under_watch(self):
        """Return the runs whose hosts have switched and are still to be watched: those of waves that are through."""
        wave = self.open_wave()
        switched = [run for run in self.runs if run.state == "succeeded" and (wave is None or run.wave < wave)]
        return [run for run in switched if (run.watched or {}).get("looked_at", 0) < self.bake_ends_at(run)]

    @functools.cached_property
    def wave_ended_at(self):
        """When the last host of each wave came to its end."""
        ends = {}
        for run in self.runs:
            ends[run.wave] = max(ends.get(run.wave, 0), run.ended_at or 0)
        return ends

    def bake_ends_at(self, run):
        """Return when a host's time under watch is over; a good look must have begun after that."""
        return self.wave_ended_at[run.wave] + self.bake_ms

    def is_baking(self):
        """Say whether hosts are under watch; the rollout waits for them."""
        return bool(self.bake_ms and self.under_watch())

    def watch(self):
        """Ring for the looks that are due."""
        for run in self.under_watch():
            ends_at, rung_at = self.bake_ends_at(run), run.rung_at or 0
            due_at = min(rung_at + LOOK_EVERY_MS, ends_at) if rung_at < ends_at else rung_at + LOOK_EVERY_MS
            is_looked_at = run.lease_expires_at and run.lease_expires_at > self.clock
            if self.clock >= due_at and not is_looked_at and not self.is_unanswered(run):
                self.ring("windlass.bake_host", run)

    def ring_for(self, run):
        """Ring for one host run unless it is being carried out, is not due, or was rung for a moment ago."""
        if run.state not in ("pending", "running") or (run.due_at and run.due_at > self.clock):
            return
        if run.lease_expires_at and run.lease_expires_at > self.clock:
            return
        if run.rung_at and run.rung_at > self.clock - RING_AGAIN_MS and not run.lease_expires_at:
            return
        self.ring("windlass.host_run", run)

    def is_unanswered(self, run):
        """Say whether a host was rung for a moment ago and nobody has come yet."""
        if not run.rung_at or run.rung_at <= self.clock - RING_AGAIN_MS:
            return False
        if run.lease_expires_at and run.lease_expires_at > self.clock:
            return False
        if run.state == "succeeded":
            return run.rung_at > max(run.ended_at, bake.tried_at(run))
        return run.state in ("pending", "running")

    @functools.cached_property
    def zones(self):
        """The zone's name for each host."""
        hosts = HostRun.select(HostRun.host).where(HostRun.deploy == self.deploy)
        return dict(Host.select(Host.id, Zone.name).join(Zone).where(Host.id.in_(hosts)).tuples())

    @functools.cached_property
    def unanswered(self):
        """How many bells wait in each zone's queue."""
        return collections.Counter(self.zones[run.host_id] for run in self.runs if self.is_unanswered(run))

    def ring(self, task, run):
        """Ring for a task about one host in its zone, unless too many bells wait there; whoever answers one ticks again."""
        zone = self.zones[run.host_id]
        if self.is_unanswered(run) or self.unanswered[zone] < MOST_UNANSWERED:
            self.unanswered[zone] += 1
            self.bells.append((task, run.id, zone))

    # Ends.

    def bad(self):
        """Return the runs that did not do what was asked."""
        return [run for run in self.runs if run.state in states.HOST_RUN_BAD]

    def has_failed(self):
        """Say whether more hosts failed than the strategy tolerates, or the one that all others rely on."""
        if any(run.wave == 0 for run in self.bad()) and self.is_release_process_undone():
            return True
        if self.deploy.strategy["on_failure"] == "continue" and any(
            run.state not in states.HOST_RUN_ENDED for run in self.runs
        ):
            return False
        return len(self.bad()) > waves.tolerated(self.deploy.strategy, len(self.runs))

    def is_release_process_undone(self):
        """Say whether there is a `release` process that has not run: then no other host may switch, whatever is tolerated."""
        led = any(run.was_switched or (run.wave == 0 and run.state in ("succeeded", "unchanged")) for run in self.runs)
        return not led and snapshots.has_release_process(self.deploy)

    def switched(self):
        """Return the runs whose hosts run the new release because of this deploy."""
        return [run for run in self.runs if run.state == "succeeded" or run.was_switched]

    def is_busy(self):
        """Say whether any host is still being worked on."""
        return any(run.state == "running" for run in self.runs)

    def skip_pending(self, message):
        """Leave out the hosts that have not begun."""
        for run in self.runs:
            if run.state == "pending":
                states.move_host_run(run, "skipped", message=message)

    def keep_going_with_running(self):
        """Wait for hosts under way; ring for those whose worker died, because they must not stay half done."""
        for run in self.runs:
            if run.state == "running":
                self.ring_for(run)

    def give_up(self):
        """Too many hosts failed: stop, and take the switched hosts back where that is asked."""
        self.skip_pending("the rollout stopped before this host")
        if self.is_busy():
            self.keep_going_with_running()
            return
        reason = self.failure_reason()
        switched = self.switched()
        if self.deploy.strategy["on_failure"] != "rollback":
            states.move_deploy(self.deploy, "failed", reason=reason)
        elif switched:
            states.move_deploy(self.deploy, "rolling_back", reason=reason)
            for run in switched:
                states.move_host_run(
                    run,
                    "pending",
                    goal="restore",
                    was_switched=False,
                    attempt=0,
                    rung_at=None,
                    due_at=None,
                    ended_at=None,
                    message="going back",
                )
        else:
            restored = any(run.before and run.before.get("restored") for run in self.bad())
            states.move_deploy(self.deploy, "rolled_back" if restored else "failed", reason=reason)

    def failure_reason(self):
        """Return the first failure as people read it, and how many there are."""
        bad = self.bad()
        more = f" ({len(bad)} of {len(self.runs)} hosts failed.)" if len(bad) > 1 else ""
        return (bad[0].message or "a host failed") + more

    def go_on_rolling_back(self):
        """Ring for the hosts that are still to go back; end when all have."""
        going_back = [run for run in self.runs if run.goal == "restore"]
        for run in going_back:
            self.ring_for(run)
        if any(run.state in ("pending", "running") for run in going_back):
            return
        stuck = [run for run in going_back if run.state != "rolled_back"]
        if stuck:
            names = ", ".join(run.host.name for run in stuck)
            states.move_deploy(
                self.deploy,
                "failed",
                reason=f"{self.deploy.reason} These hosts could not be taken back and still run the new release: {names}.",
            )
        else:
            states.move_deploy(self.deploy, "rolled_back", reason=self.deploy.reason)

    def cancel(self):
        """Stop where we are: hosts under way put themselves back, switched ones stay and are named."""
        self.skip_pending("cancelled before this host")
        if self.is_busy():
            self.keep_going_with_running()
            return
        switched = [run.host.name for run in self.switched()]
        stays = f"; the new release stays on {', '.join(switched)}" if switched else "; no host was switched"
        states.move_deploy(self.deploy, "cancelled", reason=f"cancelled by {self.deploy.cancel_requested_by}{stays}")

    def succeed(self):
        """Every host is through."""
        bad, skipped = self.bad(), [run for run in self.runs if run.state == "skipped"]
        notes = []
        if bad:
            names = ", ".join(run.host.name for run in bad)
            notes.append(f"{len(bad)} of {len(self.runs)} hosts failed, which the strategy tolerates: {names}")
        if skipped:
            notes.append(f"left out: {', '.join(run.host.name for run in skipped)}")
        states.move_deploy(self.deploy, "succeeded", reason="; ".join(notes) or None)

    def wake_the_next(self):
        """Ring for the deploy that waits for this target."""
        waiting = next_in_queue(self.deploy)
        if waiting:
            self.bells.append(("windlass.conduct", waiting, None))
