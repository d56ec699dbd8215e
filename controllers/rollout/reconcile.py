"""The reconciler: one short, re-entrant pass over a deploy's rows. Read, decide, write, and only then enqueue.

Passes may come late, twice or at once; the deploy's row is locked for the length of a pass, and every change is a
compare-and-set, so that only the rows decide what happens next.
"""

import functools

from peewee import JOIN, Case, fn

import failpoints
from controllers import rows
from controllers.desired import waves
from controllers.jobs import queue, states, transitions
from controllers.jobs.kinds import Kind, declare
from controllers.rollout import gates, snapshots
from models import Deploy, Host, HostRun, HostWatch, Zone
from models.db import clock, database, is_postgresql, now

# So many messages of a zone may wait; more would only be enqueued again while they wait in the queue.
MOST_UNANSWERED = 50
LOOK_EVERY_MS = 5_000  # A host under watch is looked at this often, and once more at the end of its time.

GOING_ON = HostRun.state.not_in(states.HOST_RUN_ENDED)
BAD = HostRun.state.in_(states.HOST_RUN_BAD)  # did not do what was asked
WELL = HostRun.state.in_(("succeeded", "unchanged"))  # runs the release
SWITCHED = (HostRun.state == "succeeded") | HostRun.was_switched  # run the new release because of this deploy


def reconcile(deploy_id):
    """Carry a deploy one step further, then enqueue the host runs that are to be carried out now."""
    with database.atomic():
        deploy = lock(deploy_id)
        if deploy is None or deploy.state in states.DEPLOY_ENDED:
            messages = []
        else:
            messages = Pass(deploy).run()
        failpoints.reach("reconcile.before-commit")
    failpoints.reach("reconcile.after-commit")
    for task, row_id, zone in messages:
        enqueue(task, row_id, zone)
    failpoints.reach("reconcile.after")


def enqueue(task, row_id, zone):
    """Send one message; one for a host run that the broker did not take is to be enqueued by the next pass."""
    if not queue.enqueue(task, row_id, zone=zone) and zone:
        HostRun.update(enqueued_at=None).where(HostRun.id == row_id).execute()


def lock(deploy_id):
    """Return the deploy's row, locked until the transaction ends (SQLite's writers already exclude each other)."""
    query = Deploy.select().where(Deploy.id == deploy_id)
    if is_postgresql():
        query = query.for_update()
    return query.get_or_none()


def others_ahead(deploy):
    """Say whether another deploy of the same target is under way, or was asked for before and waits in the queue."""
    of_target = {"application": deploy.application_id, "environment": deploy.environment_id}
    is_ahead = Deploy.state.in_(("running", "paused", "rolling_back")) | ((Deploy.state == "queued") & (Deploy.id < deploy.id))
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


class Pass:
    """One look at a deploy and what follows from it. `messages` collects (task, id, zone) to enqueue after the commit.

    It asks for numbers, and for those host runs alone that are to be enqueued, so that a pass costs among many hosts what it
    costs among few.
    """

    def __init__(self, deploy):
        self.deploy = deploy
        self.messages = []
        self.clock = clock()

    def run(self):
        """Decide and write; returns the messages."""
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
        enqueued = [row_id for _, row_id, zone in self.messages if zone]
        if enqueued:
            HostRun.update(enqueued_at=now()).where(HostRun.id.in_(enqueued), self.is_free()).execute()
        return self.messages

    # What it asks of the host runs.

    def select(self, *columns, where=()):
        """Return the query for columns of the deploy's host runs that meet all conditions in `where`."""
        return HostRun.select(*columns).where(HostRun.deploy == self.deploy, *where)

    def is_any(self, *conditions):
        """Say whether any run meets the conditions."""
        return self.select(where=conditions).exists()

    def count(self, *conditions):
        """Return how many runs meet the conditions."""
        return self.select(fn.COUNT(HostRun.id), where=conditions).scalar()

    def names(self, *conditions):
        """Return the names of the hosts whose runs meet the conditions, in the order in which they go."""
        query = self.select(Host.name, where=conditions).join(Host).order_by(HostRun.wave, HostRun.id)
        return [name for (name,) in query.tuples()]

    def open_wave(self):
        """Return the first wave that is not through, or None."""
        return self.select(fn.MIN(HostRun.wave), where=[GOING_ON]).scalar()

    def is_free(self):
        """Return the condition that nobody works on a run."""
        return HostRun.lease_expires_at.is_null() | (HostRun.lease_expires_at <= self.clock)

    # Before it begins.

    def wait(self):
        """Put a scheduled deploy into the queue when it is due and nothing hinders it."""
        if self.deploy.cancel_requested_by:
            self.cancel_before_start()
        elif self.deploy.state == "scheduled" and self.deploy.start_at <= self.clock:
            hindrance = gates.hindrance(self.deploy)
            if hindrance:
                self.hold_back(hindrance)
            else:
                transitions.move_deploy(self.deploy, "queued", reason=None)

    def cancel_before_start(self):
        """End a deploy that has touched no host."""
        self.skip_pending("cancelled before it started")
        transitions.move_deploy(self.deploy, "cancelled", reason=f"cancelled by {self.deploy.cancel_requested_by}")

    def begin(self):
        """Start a queued deploy when its target is free."""
        if self.deploy.cancel_requested_by:
            self.cancel_before_start()
        elif not others_ahead(self.deploy):
            hindrance = gates.hindrance(self.deploy)
            if hindrance:
                self.hold_back(hindrance)
                return
            self.leave_out()
            transitions.move_deploy(self.deploy, "running", started_at=now(), reason=None)

    def leave_out(self):
        """Leave out the hosts that were taken out of service since the deploy was asked for, and put the others into waves anew:
        the one that was to lead may be missing. One that is taken out later is left out when its turn comes (host_run.py).
        """
        pending = self.select(HostRun, Host, where=[HostRun.state == "pending"]).join(Host)
        runs = list(pending.order_by(HostRun.wave, HostRun.id))
        left_out = [run for run in runs if run.host.maintenance_reason]
        if not left_out:
            return
        for run in left_out:
            transitions.move_host_run(run, "skipped", message=run.host.why_left_out)
        leads = snapshots.has_release_process(self.deploy)
        groups = waves.batches([run for run in runs if run not in left_out], self.deploy.strategy, leads)
        for wave, members in [*enumerate(groups), (waves.wave_left_out(groups, leads), left_out)]:
            HostRun.update(wave=wave).where(HostRun.id.in_([run.id for run in members])).execute()

    def hold_back(self, hindrance):
        """Write down what keeps the deploy from beginning now, and have what is no longer known found out anew."""
        if hindrance != self.deploy.reason:
            Deploy.update(reason=hindrance).where(Deploy.id == self.deploy.id).execute()
        gates.renew_issues_check(self.deploy)

    # Wave by wave.

    def advance(self):
        """Start the next hosts, or end the rollout."""
        if self.deploy.cancel_requested_by:
            self.cancel()
            return
        if self.has_failed():
            self.give_up()
            return
        wave = self.open_wave()
        under_watch = self.under_watch(wave)
        if under_watch:
            self.watch(under_watch)
        elif wave is None and self.is_any(WELL):
            self.succeed()
        elif wave is None:
            well = " well" if self.is_any(SWITCHED) else ""  # It runs on hosts that turned unhealthy under watch.
            self.give_up(f"no host runs the release{well}: ")
        elif self.is_to_be_resumed_before(wave):
            self.pause_before(wave)
        elif not self.is_pausing_before(wave):
            self.start_wave(wave)

    def start_wave(self, wave):
        """Enqueue the hosts of a wave; only for its first one while no host has shown that the release works."""
        if self.is_first_awaited():
            is_under_way = HostRun.state == "running"
            waiting = self.select(HostRun.id, where=[GOING_ON, HostRun.wave == wave])
            self.enqueue_for(HostRun.id == waiting.order_by(is_under_way.desc(), HostRun.id).limit(1).scalar())
        else:
            self.enqueue_for(HostRun.wave == wave)

    def is_first_awaited(self):
        """Say whether hosts go one by one, because none has succeeded yet."""
        is_asked_for = bool(self.deploy.strategy.get("healthy_first"))
        return is_asked_for and not self.is_any(WELL)

    def ended_before(self, wave):
        """Return when the last run of the waves before one has ended, None where none has."""
        return self.select(fn.MAX(HostRun.ended_at), where=[HostRun.wave < wave]).scalar()

    def is_to_be_resumed_before(self, wave):
        """Say whether the strategy's pause before a wave is one that only a person ends, and nobody has."""
        is_asked_for = self.deploy.strategy["pause_s"] == waves.UNTIL_RESUMED
        return is_asked_for and self.deploy.resumed_wave < wave and self.ended_before(wave) is not None

    def is_pausing_before(self, wave):
        """Say whether the strategy's pause between waves, if it has one in seconds, still lasts."""
        pause_s = self.deploy.strategy["pause_s"] or 0
        if not pause_s or pause_s == waves.UNTIL_RESUMED:
            return False
        ended_at = self.ended_before(wave)
        return ended_at is not None and self.clock < ended_at + self.bake_ms + pause_s * 1000

    def pause_before(self, wave):
        """Make the deploy paused."""
        last = self.select(fn.MAX(HostRun.wave)).scalar()
        transitions.move_deploy(self.deploy, "paused", reason=f"waits to be resumed before wave {wave + 1} of {last + 1}")

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

    def under_watch(self, wave):
        """Return {wave: when its time under watch is over} of the waves before `wave` (None: of all) that are still watched.

        A wave is watched until a good look at each host that has switched has begun after that time.
        """
        if not self.bake_ms:
            return {}
        ends_at = fn.MAX(HostRun.ended_at) + self.bake_ms
        seen_at = fn.MIN(Case(None, [(HostRun.state == "succeeded", fn.COALESCE(HostWatch.looked_at, 0))]))
        through = self.select(HostRun.wave, ends_at, where=[] if wave is None else [HostRun.wave < wave])
        through = through.join(HostWatch, JOIN.LEFT_OUTER)
        return dict(through.group_by(HostRun.wave).having(seen_at < ends_at).tuples())

    def watch(self, under_watch):
        """Enqueue the looks that are due."""
        for wave, ends_at in under_watch.items():
            due_since = self.clock - LOOK_EVERY_MS
            if self.clock >= ends_at:
                due_since = max(due_since, ends_at - 1)
            of_run = HostWatch.select().where(HostWatch.host_run == HostRun.id)
            is_through = (HostWatch.looked_at >= ends_at) | (HostWatch.tried_at > due_since)
            is_due = ~fn.EXISTS(of_run.where(is_through))
            self.enqueue("windlass.bake_host", HostRun.state == "succeeded", HostRun.wave == wave, is_due)

    # Enqueueing.

    def enqueue_for(self, *conditions, among=("running", "pending")):
        """Enqueue the runs in these states that meet the conditions and are to be carried out now."""
        is_due = HostRun.due_at.is_null() | (HostRun.due_at <= self.clock)
        for state in among:
            self.enqueue("windlass.host_run", HostRun.state == state, is_due, *conditions)

    def enqueue(self, task, *conditions):
        """Enqueue a task about each run that meets the conditions, nobody works on, and was not enqueued a moment ago.

        Never for so many that too many messages wait in a zone's queue; whoever answers one makes another pass.
        """
        is_not_enqueued = HostRun.enqueued_at.is_null() | (HostRun.enqueued_at <= self.clock - queue.ENQUEUE_AGAIN_MS)
        for zone in self.zones:
            if zone.room > 0:
                where = [*conditions, self.is_free(), is_not_enqueued, Host.zone == zone.id]
                found = self.select(HostRun.id, where=where).join(Host).order_by(HostRun.wave, HostRun.id)
                messages = [(task, run_id, zone.name) for (run_id,) in found.limit(zone.room).tuples()]
                zone.room -= len(messages)
                self.messages += messages

    @functools.cached_property
    def zones(self):
        """All zones; `room` is for how many more messages a zone's queue has room. A worker that comes clears `enqueued_at`."""
        is_unanswered = HostRun.enqueued_at > self.clock - queue.ENQUEUE_AGAIN_MS
        enqueued = self.select(Host.zone, fn.COUNT(HostRun.id), where=[is_unanswered]).join(Host).group_by(Host.zone)
        unanswered = dict(enqueued.tuples())
        found = list(Zone.select(Zone.id, Zone.name))
        for zone in found:
            zone.room = MOST_UNANSWERED - unanswered.get(zone.id, 0)
        return found

    # Ends.

    def has_failed(self):
        """Say whether more hosts failed than the strategy tolerates, or the one that all others rely on."""
        bad = self.count(BAD)
        if not bad:
            return False
        if self.is_any(BAD, HostRun.wave == 0) and self.is_release_process_undone():
            return True
        if self.deploy.strategy["on_failure"] == "continue" and self.is_any(GOING_ON):
            return False
        return bad > waves.tolerated(self.deploy.strategy, self.count())

    def is_release_process_undone(self):
        """Say whether there is a `release` process that has not run: then no other host may switch, whatever is tolerated."""
        has_led = (HostRun.wave == 0) & WELL
        return snapshots.has_release_process(self.deploy) and not self.is_any(HostRun.was_switched | has_led)

    def is_busy(self):
        """Say whether any host is still being worked on."""
        return self.is_any(HostRun.state == "running")

    def skip_pending(self, message):
        """Leave out the hosts that have not begun."""
        transitions.move_host_runs(self.deploy, "skipped", HostRun.state == "pending", message=message)

    def keep_going_with_running(self):
        """Wait for hosts under way; enqueue those whose worker died, because they must not stay half done."""
        self.enqueue_for(among=["running"])

    def give_up(self, why=""):
        """Too many hosts failed, or none is left that runs the release: stop, and take switched hosts back where that is asked.

        `why` stands before the reason.
        """
        self.skip_pending("the rollout stopped before this host")
        if self.is_busy():
            self.keep_going_with_running()
            return
        bad = list(self.select(HostRun.message, HostRun.before, where=[BAD]).order_by(HostRun.wave, HostRun.id))
        reason = why + (self.failure_reason(bad) if bad else self.describe_left_out())
        if self.deploy.strategy["on_failure"] != "rollback":
            transitions.move_deploy(self.deploy, "failed", reason=reason)
        elif self.is_any(SWITCHED):
            transitions.move_deploy(self.deploy, "rolling_back", reason=reason)
            transitions.move_host_runs(
                self.deploy,
                "pending",
                SWITCHED,
                goal="restore",
                was_switched=False,
                attempt=0,
                enqueued_at=None,
                due_at=None,
                ended_at=None,
                message="going back",
            )
        else:
            restored = any(run.before and run.before.get("restored") for run in bad)
            transitions.move_deploy(self.deploy, "rolled_back" if restored else "failed", reason=reason)

    def failure_reason(self, bad):
        """Return the first failure as people read it, and how many there are."""
        more = f" ({len(bad)} of {self.count()} hosts failed.)" if len(bad) > 1 else ""
        return (bad[0].message or "a host failed") + more

    def go_on_rolling_back(self):
        """Enqueue the hosts that are still to go back; end when all have."""
        goes_back = HostRun.goal == "restore"
        self.enqueue_for(goes_back)
        if self.is_any(goes_back, GOING_ON):
            return
        stuck = self.names(goes_back, HostRun.state != "rolled_back")
        if stuck:
            transitions.move_deploy(
                self.deploy,
                "failed",
                reason=f"{self.deploy.reason} These hosts could not be taken back and still run the new release: "
                f"{', '.join(stuck)}.",
            )
        else:
            transitions.move_deploy(self.deploy, "rolled_back", reason=self.deploy.reason)

    def cancel(self):
        """Stop where we are: hosts under way put themselves back, switched ones stay and are named."""
        self.skip_pending("cancelled before this host")
        if self.is_busy():
            self.keep_going_with_running()
            return
        switched = self.names(SWITCHED)
        stays = f"; the new release stays on {', '.join(switched)}" if switched else "; no host was switched"
        transitions.move_deploy(self.deploy, "cancelled", reason=f"cancelled by {self.deploy.cancel_requested_by}{stays}")

    def succeed(self):
        """Every host is through, and the release runs."""
        bad = self.names(BAD)
        failed = bad and f"{len(bad)} of {self.count()} hosts failed, which the strategy tolerates: {', '.join(bad)}"
        notes = [note for note in (failed, self.describe_left_out()) if note]
        transitions.move_deploy(self.deploy, "succeeded", reason="; ".join(notes) or None)

    def describe_left_out(self):
        """Return which hosts were left out as people read it, "" for none."""
        skipped = self.names(HostRun.state == "skipped")
        return f"left out: {', '.join(skipped)}" if skipped else ""

    def wake_the_next(self):
        """Enqueue the deploy that waits for this target."""
        waiting = next_in_queue(self.deploy)
        if waiting:
            self.messages.append(("windlass.reconcile", waiting, None))


def enqueue_due():
    """Enqueue the deploys that are due and have not ended."""
    is_due = (Deploy.start_at <= now()) & (Deploy.state == "scheduled")
    is_cancelled = Deploy.cancel_requested_by.is_null(False) & Deploy.state.in_(states.DEPLOY_WAITING)
    is_going_on = Deploy.state.in_(states.DEPLOY_GOING_ON)  # NOT IN would read every deploy that there ever was.
    due = Deploy.select(Deploy.id).where(is_due | is_cancelled | is_going_on).order_by(Deploy.id)
    for (deploy_id,) in due.tuples():
        queue.enqueue("windlass.reconcile", deploy_id)


KIND = declare(Kind("windlass.reconcile", run=reconcile, sweep=enqueue_due, is_first=True))
