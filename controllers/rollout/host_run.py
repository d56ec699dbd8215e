"""Drive one host through its part of a deploy: claim the run, open one connection, go through the steps, say how it ended."""

import contextlib
import functools

import failpoints
from config import settings
from controllers import transports
from controllers.desired import spec
from controllers.errors import StepFailed
from controllers.fleet import placements, playbooks
from controllers.foreign import ForeignError
from controllers.jobs import fencing, leases, states, transitions
from controllers.jobs.attempt import CANCELLED, FENCED, HANDED_OVER, Attempt
from controllers.jobs.history import Recorder
from controllers.jobs.kinds import Kind, declare
from controllers.releases import retention
from controllers.rollout import await_release, desired_state, maintenance, playbook_run, reconcile, ship, snapshots
from controllers.rollout.planning import plan_rows
from models import Deploy, HostRun
from models.db import clock, database, now
from remote.session import AgentError, ConnectionLost
from remote.ssh import Unreachable

MOST_ATTEMPTS = 3
# An attempt whose worker died does not count as one of those, but something may be killing the workers.
MOST_DEATHS = 20
RETRY_AFTER_MS = (1_000, 4_000)
LOCK_WAIT_S = 20
GRACE_S = 60  # The agent ends a `release` process that takes too long itself, puts things back and says so.


def give_up(run):
    """End a run whose workers have died one after the other, so that it cannot go on killing them."""
    message = (
        f"{run.host.name}: the worker died in each of {MOST_DEATHS} attempts. Look at the workers' memory and logs; "
        "nothing needs cleaning up, so retry when they are well."
    )
    transitions.move_host_run(run, "failed", guard=leases.is_held(run), message=message, **leases.FREE)


def is_out_of_service(run):
    """Say whether a run's host was taken out of service before anything was done to it."""
    if run.goal != "deploy" or not run.host.maintenance_reason:
        return False
    return run.before is None or not run.steps.exists()


def leave_out(run):
    """End the run of a host that is out of service; where all others rely on its `release` process it has failed."""
    end = functools.partial(transitions.move_host_run, run, guard=leases.is_held(run), **leases.FREE)
    if run.wave > 0 or not snapshots.has_release_process(run.deploy):
        end("skipped", message=run.host.why_left_out)
        return
    message = (
        f"{run.host.name}: {run.host.why_left_out}, and it is to run the release process, which all other hosts rely on. "
        "Put it back into service, then retry the deploy."
    )
    end("failed", message=message, code="in-maintenance")


class HostRunAttempt(Attempt):
    """One attempt of one host run."""

    model, what = HostRun, "host run"

    def __init__(self, host_run):
        super().__init__(host_run)
        self.deploy = host_run.deploy
        self.host = host_run.host
        self.application = host_run.deploy.application
        self.variables, secret_values = snapshots.open_variables(host_run.deploy.snapshot)
        self.record = Recorder(host_run, secret_values, playbooks.step_names(host_run.deploy.snapshot))
        self.playbooks = playbook_run.PlaybookRun(host_run, self.record, self.variables, secret_values)
        self.origin = await_release.Origin(host_run, self.record)
        self.session = None
        self.has_switched = False

    @classmethod
    def may_begin(cls):
        """A run that has not begun waits while its deploy is paused."""
        is_going_on = HostRun.deploy.in_(Deploy.select(Deploy.id).where(Deploy.state.in_(("running", "rolling_back"))))
        return (HostRun.state == "running") | ((HostRun.state == "pending") & is_going_on)

    @classmethod
    def claim(cls, row_id):
        """Take the run's lease and make it running; returns the fresh row or None."""
        with database.atomic():
            run = super().claim(row_id)
            if run and run.state == "pending":
                transitions.move_host_run(run, "running", started_at=run.started_at or now())
        return run

    @classmethod
    def carry_out(cls, row_id):
        """Carry out a host run if nobody else does; returns when it ended, was handed over or is to be tried again later."""
        run = cls.claim(row_id)
        if run is None:
            return
        if run.deploy.state in states.DEPLOY_ENDED:
            leases.release(run)
            return
        if run.attempt > MOST_DEATHS:
            give_up(run)
        elif is_out_of_service(run):
            leave_out(run)
        else:
            cls(run).run()
        # At once and not through the queue: what follows should not wait for a message.
        reconcile.reconcile(run.deploy_id)

    def work(self):
        """Go through the steps and write down how it ended."""
        try:
            with contextlib.closing(self):
                outcome, message = self.restore() if self.row.goal == "restore" else self.deploy_release()
            self.end(outcome, message)
        except (AgentError, StepFailed) as error:
            self.refused(error)
        except Unreachable as error:
            self.not_reached(error)
        except ConnectionLost as error:
            self.cut_off(error)
        except ForeignError as error:
            # Only what the release comes from, and only where it is away; see await_release.py.
            self.await_origin(error)

    def broke(self, message):
        """Windlass made a mistake."""
        self.fail(message)

    def recording(self):
        """The history of the run with its steps."""
        return self.record

    # What is done, in order.

    def deploy_release(self):
        """Bring the deploy's release to the host; returns (end state, message)."""
        release = self.deploy.release
        if playbooks.has(self.deploy.snapshot, playbooks.AT_CONNECT):
            self.obtain()  # Else what runs there would run again each time that the release cannot be had.
        self.playbooks.at(playbooks.AT_CONNECT)
        state = self.connect_and_begin()
        python, environment = desired_state.environment_for(release, state["facts"], self.origin.output)
        specification = desired_state.specification(
            self.host, release, environment, python, self.deploy.snapshot, self.variables, state, self.deploy.id
        )
        damaged = {kind for kind, _ in spec.damaged(specification, state["application"])}
        environment = self.have_files(release, environment, state, damaged)
        self.hold_to_plan(release, environment, python, state)
        if spec.is_in_place(specification, state) and not (self.row.before or {}).get("is_fresh"):
            placements.write(self.deploy, self.host, state["application"])
            if self.row.before is not None:  # An attempt that was cut off did it, and may not have come to its end.
                self.has_switched = True
                self.playbooks.at(playbooks.AT_END)
            self.record.skip_rest("nothing to do")
            if self.playbooks.has_changed:
                return "succeeded", "already ran exactly this; what ran before it changed the host"
            return "unchanged", "already runs exactly this"
        self.remember(specification, state["application"])
        self.playbooks.at(playbooks.AT_SHIP)
        self.ship_release(release, state["application"], "release" in damaged)
        self.playbooks.at(playbooks.AT_ENVIRONMENT)
        self.ship_environment(environment, python, state["application"], "environment" in damaged)
        self.playbooks.at(playbooks.AT_CONFIGURE)
        answer = self.activate(release, specification)
        self.has_switched = True
        placements.write(self.deploy, self.host, answer["application"])
        self.playbooks.at(playbooks.AT_END)
        return "succeeded", describe_switch(answer)

    def restore(self):
        """Bring the host back to what it ran before this deploy; returns (end state, message)."""
        self.connect_and_begin()
        before = self.row.before or {}
        answer = self.session.request(
            "restore",
            on_event=self.record.take_event,
            timeout_s=settings.deploy.time_limit_s,
            slot=before.get("active"),
            closed=maintenance.site_of(self.deploy.application, self.deploy.environment, self.host),
            reason="the rollout is rolled back",
        )
        placements.write(self.deploy, self.host, answer["application"])
        return "rolled_back", "back on what ran before" if before.get("active") else "nothing ran before; taken out again"

    def connect_and_begin(self):
        """Steps connect and preflight: log in, take the host's lock, see what is there."""
        self.record.step("connect", "running")
        self.look()
        if self.row.before is None:
            self.leave_if_stopped("connect")
        self.session = transports.open_host(self.host)
        state = self.session.request(
            "begin",
            on_event=self.take_first_event,
            timeout_s=LOCK_WAIT_S + 30,
            root=self.host.root,
            app=self.application.name,
            settings=self.host.settings,
            epoch=fencing.following(self.application, self.host),
            deploy=self.deploy.id,
            lock_wait_s=LOCK_WAIT_S,
            texts=True,
            deep=placements.has_damage(self.application, self.host),
        )
        # To be able to begin, the agent has put `current` right, should somebody have changed it; that was a change, too.
        state["application"]["current"] = state.pop("current_before")
        before = self.row.before or state["application"]
        if self.stopped_because != CANCELLED or before["active"] == state["application"]["active"]:
            self.leave_if_stopped("preflight")
        for problem in state["problems"]:
            if problem["code"] not in desired_state.ADVISORY_PROBLEMS:
                self.record.step("preflight", "failed", problem["message"])
                raise StepFailed(problem["code"], "preflight", problem["message"], problem["remedy"])
            self.record.output("preflight", f"{problem['message']}. {problem['remedy']}")
        return state

    def leave_if_stopped(self, step):
        """Raise StepFailed if this run was asked to stop, now that the host is as it was before."""
        if self.stopped_because:
            raise StepFailed("aborted", step, f"stopped before the host was changed: {self.stopped_because}", "")

    def have_files(self, release, environment, state, damaged):
        """Have here what is to be sent to the host; returns the virtualenv as it is here."""
        if release.digest not in state["application"]["releases"] or "release" in damaged:
            self.obtain()
        if environment.name not in state["application"]["environments"] or "environment" in damaged:
            environment = desired_state.environment_for(release, state["facts"], self.origin.output, with_files=True)[1]
        self.waits_no_longer()
        return environment

    def obtain(self):
        """Have the release's files here, unless the run is to stop. Raises ForeignError while what keeps them is away."""
        if self.origin.is_done:
            return
        self.look()
        self.leave_if_stopped("preflight")
        self.origin.obtain()
        self.waits_no_longer()

    def waits_no_longer(self):
        """Forget that what the release comes from was away."""
        if self.row.away:
            HostRun.update(away=None, message=None).where(self.is_held()).execute()
            self.row.away = None

    def take_first_event(self, event):
        """The agent's first word shows that the host has a Python that runs it."""
        if self.record.current == "connect":
            self.record.step("connect", "done")
        self.record.take_event(event)

    def hold_to_plan(self, release, environment, python, state):
        """What is about to change is what the deploy's plan says, or the host is left alone; an own plan is only kept."""
        if self.row.before is not None:
            return  # An earlier attempt was held to it, and has begun to change the host since.
        texts = state["application"]["texts"]
        found = plan_rows.changes_on(self.host, release, environment, python, self.deploy.snapshot, self.variables, state)
        moved = plan_rows.hold(self.row, found, texts)
        if not moved:
            return
        for item in moved:
            self.record.output("preflight", f"{item['message']}\n{item.get('diff') or ''}")
        detail = "; ".join(item["message"] for item in moved)
        message = f"the host has changed since plan {self.deploy.plan_id} was made: {detail}"
        masked = [{**item, "message": self.record.masked(item["message"])} for item in moved]
        raise plan_rows.Stale("preflight", message, "Nothing was touched", masked)

    def remember(self, specification, before):
        """Keep what the host ran before this deploy touched it first; a later attempt must not overwrite that.

        `is_fresh` is kept because an attempt that has mended files and was cut off leaves processes started from damaged ones.
        """
        if self.row.before is None:
            is_fresh = spec.needs_fresh_start(specification, before)
            recorded = {"active": before["active"], "current": before["current"], "is_fresh": is_fresh}
            HostRun.update(before=recorded).where(self.is_held()).execute()
            self.row.before = recorded

    def ship_release(self, release, before, is_damaged):
        """Step ship: send what the host lacks of the code."""
        if release.digest in before["releases"] and not is_damaged:
            self.record.step("ship", "skipped", "the release is already there")
            return
        self.send("release", release.digest, release.digest, mend=is_damaged)

    def ship_environment(self, environment, python, before, is_damaged):
        """Step environment: send what the host lacks of the virtualenv."""
        if environment.name in before["environments"] and not is_damaged:
            return  # The step is that of `activate` alone, which tries the interpreter.
        self.send("environment", environment.name, environment.digest, python=python, mend=is_damaged)

    def send(self, kind, name, digest, **how):
        """Send a tree to the host, or what it lacks of it."""
        ship.ship(self.session, kind, name, digest, self.record.take_event, settings.deploy.time_limit_s, **how)

    def activate(self, release, specification):
        """Steps configure to clean, on the host."""
        return self.session.request(
            "activate",
            on_event=self.record.take_event,
            timeout_s=settings.deploy.time_limit_s + GRACE_S,
            spec=specification,
            once=self.release_process(release),
            keep=retention.needed(self.deploy, self.host, specification),
            fresh=self.row.before.get("is_fresh", False),
        )

    def release_process(self, release):
        """Return the `release` process for the one host that runs it, or None; a rollback does not run it."""
        command = snapshots.commands(release, self.deploy.snapshot).get(spec.RELEASE_PROCESS)
        if not command or self.row.wave > 0 or self.deploy.rollback_of_id:
            return None
        return {
            "name": spec.RELEASE_PROCESS,
            "command": command,
            "key": f"{self.deploy.id}-{self.deploy.retries}-release",
            "timeout_s": settings.deploy.time_limit_s,
        }

    # What else is asked in the meantime.

    def is_cancelled(self):
        """Only the way to the new release is cancelled, never the way back."""
        is_cancelled = Deploy.cancel_requested_by.is_null(False)
        return self.row.goal == "deploy" and Deploy.select().where(Deploy.id == self.deploy.id, is_cancelled).exists()

    def interrupt(self, why):
        """Have the agent stop at its next safe point."""
        self.playbooks.stop()
        if self.session:
            self.session.abort(why)
        failpoints.reach(f"host_run.stop.{why}")

    def close(self):
        """End the connection."""
        if self.session:
            self.row.bytes_sent += self.session.bytes_sent
            self.session.close()

    # How it ended.

    def end(self, state, message, code=None, data=None):
        """Write the run's end, if it is still ours."""
        self.record.flush()
        transitions.move_host_run(
            self.row,
            state,
            guard=self.is_held(),
            data=data,
            message=message,
            code=code,
            was_switched=self.has_switched and state == "failed",
            bytes_sent=self.row.bytes_sent,
            **leases.FREE,
        )

    def as_it_was(self):
        """Return what a cancelled run leaves behind, as people read it."""
        ran = " but for what its playbooks and manifests did" if self.playbooks.has_changed else ""
        return f"the host is as it was before{ran}"

    def fail(self, message, state="failed", step=None, **more):
        """Write a failure with host, step and remedy; `step` is the one that failed where it is not the one under way.

        `more` is what end() takes besides.
        """
        if step and step != self.record.current:
            self.record.step(step, "failed", message)
        self.record.fail_current(message)
        self.end(state, self.record.masked(message), **more)

    def refused(self, error):
        """The host's agent reported an error."""
        if self.stopped_because in (FENCED, HANDED_OVER):
            self.put_back()
        elif error.code == "fenced" and self.row.attempt < MOST_ATTEMPTS:
            self.overtake(error)
        elif error.code == "locked" and self.row.attempt < MOST_ATTEMPTS:
            self.put_back(RETRY_AFTER_MS[-1])
        elif self.stopped_because == CANCELLED and self.has_switched:
            self.fail(f"cancelled in {error.step}; the new release runs")
        elif self.stopped_because == CANCELLED:
            self.fail(f"cancelled; {self.as_it_was()}", "rolled_back")
        else:
            self.failed_on_host(error)

    def failed_on_host(self, error):
        """A step failed; the agent may have put the host back."""
        is_back = self.is_back(error)
        if is_back:
            self.note_back()
        restored = " The release that ran before still serves." if is_back else ""
        self.fail(
            sentence(self.host.name, error.step or self.record.current, error.message, error.remedy) + restored,
            step=error.step,
            code=error.code,
            data={"moved": error.moved} if isinstance(error, plan_rows.Stale) else None,
        )

    def overtake(self, error):
        """Go on above the epoch that a host has seen, if this run is the newest one by the database.

        A host can have seen more than this database gave out: it was deployed to from a Windlass that was set up anew since. A
        worker that was overtaken has lost its lease, so it never gets here with one.
        """
        if leases.extend(self.row):
            fencing.go_on_from(self.application, self.host, error.detail.get("epoch", 0))
        self.put_back()

    def is_back(self, error):
        """Say whether the agent put the host back on what it ran before."""
        return bool(error.restored and self.row.before and self.row.before["current"])

    def note_back(self):
        """Note for the reconciler that the host is back on what it ran before."""
        HostRun.update(before={**self.row.before, "restored": True}).where(self.is_held()).execute()

    def not_reached(self, error):
        """The host could not be logged in to."""
        if error.is_final or self.row.attempt >= MOST_ATTEMPTS:
            self.fail(sentence(self.host.name, "connect", str(error), error.remedy), "unreachable", code=error.code)
        else:
            self.try_again(str(error))

    def cut_off(self, error):
        """The connection broke while the host was worked on."""
        if self.stopped_because in (FENCED, HANDED_OVER):
            self.put_back()
        elif self.stopped_because == CANCELLED and self.row.before is None:
            self.fail(f"cancelled; {self.as_it_was()}", "rolled_back")
        elif self.row.attempt >= MOST_ATTEMPTS:
            self.fail(
                sentence(
                    self.host.name,
                    self.record.current,
                    str(error),
                    "See that the host and the network to it are up, then retry; nothing needs cleaning up.",
                ),
                "unreachable",
                code="connection-lost",
            )
        else:
            self.try_again(str(error))

    def await_origin(self, error):
        """What the release comes from is away: wait for it, the host untouched, for as long as is bearable."""
        if self.stopped_because:
            self.refused(StepFailed("aborted", "preflight", f"stopped while it waited: {self.stopped_because}", ""))
            return
        try:
            pause_s, message, away = self.origin.pause(error)
        except StepFailed as too_long:
            self.refused(too_long)
            return
        self.origin.output(message)
        self.record.flush()
        self.wait(pause_s * 1000, message, away)

    def wait(self, after_ms, message, away):
        """Leave the run to an attempt after some time, and count this one not. Where nothing was done, it has not begun."""
        if self.row.before is not None:
            self.put_back(after_ms, is_unused=True, message=message, away=away)
            return
        transitions.move_host_run(
            self.row,
            "pending",
            guard=self.is_held(),
            message=message,
            away=away,
            attempt=self.row.attempt - 1,
            due_at=clock() + after_ms,
            enqueued_at=None,
            bytes_sent=self.row.bytes_sent,
            **leases.FREE,
        )

    def try_again(self, message):
        """Leave the run to a later attempt, which first looks at what the host is like."""
        self.record.fail_current(message)
        self.record.output(self.record.current, f"{message}; trying again (attempt {self.row.attempt} of {MOST_ATTEMPTS})")
        self.record.flush()
        self.put_back(RETRY_AFTER_MS[min(self.row.attempt, len(RETRY_AFTER_MS)) - 1])

    def put_back(self, after_ms=0, is_unused=False, **columns):
        """Leave the run to a later attempt. One that was not used does not count."""
        unused = 1 if is_unused or self.stopped_because == HANDED_OVER else 0
        super().put_back(after_ms, attempt=HostRun.attempt - unused, bytes_sent=self.row.bytes_sent, **columns)


def describe_switch(answer):
    """Return how a host came to run what it runs now, where that is worth telling."""
    if not answer["warm"]:
        return None
    return "switched to the slot that was still up" if answer["switched"] else "put right; its processes went on"


def sentence(host, step, message, remedy):
    """Return an error as people read it: where, what, what to do."""
    return f"{host}: {step}: {message.rstrip('.')}." + (f" {remedy.rstrip('.')}." if remedy else "")


KIND = declare(Kind("windlass.host_run", run=HostRunAttempt.carry_out))
