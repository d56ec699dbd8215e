"""Ask for deploys, look at them, and change their course."""

from peewee import JOIN, fn

import failpoints
from controllers import events, idempotency, paging, rows
from controllers.controller import Controller
from controllers.desired import waves
from controllers.desired.spec import RELEASE_PROCESS
from controllers.errors import Conflict, NotFound
from controllers.fleet import targets
from controllers.jobs import outbox, queue, states, transitions
from controllers.releases.releases import ReleaseController
from controllers.rollout import approvals, gates, snapshots
from controllers.rollout.approvals import ApprovalController
from controllers.rollout.planning import plan_rows
from models import Application, Deploy, Environment, HostRun, HostWatch, Plan, Release, Step
from models.db import now
from utils.datekit import rfc3339

UNFINISHED = ("failed", "unreachable", "skipped", "rolled_back")


class DeployController(Controller):
    """Deploys, for whoever asks."""

    def listing(self, limit=50, after=None, application=None, environment=None, state=None):
        """Return a page of deploys, newest first."""
        query = self.with_names()
        if application:
            # By its number, which tells the database how many deploys there are of it, and so which index serves.
            named = self.visible(Application, Application.id).where(Application.name == application)
            query = query.where(Deploy.application == named.scalar())
        if environment:
            query = query.where(Environment.name == environment)
        if state:
            query = query.where(Deploy.state == state)
        page = paging.page(query, Deploy.id, lambda row: row, limit, after, newest_first=True)
        return {**page, "items": describe_all(page["items"])}

    def with_names(self):
        """Return the query for deploys with everything that describing one needs, in one statement."""
        previous = Release.alias("previous")
        return (
            self.visible(Deploy, Deploy, Application, Environment, Release, previous)
            .join_from(Deploy, Application)
            .join_from(Deploy, Environment)
            .join_from(Deploy, Release, on=(Deploy.release == Release.id))
            .join_from(
                Deploy,
                previous,
                on=(Deploy.previous_release == previous.id),
                join_type=JOIN.LEFT_OUTER,
                attr="previous_release",
            )
        )

    def find(self, deploy_id):
        """Return a deploy's row; raises NotFound."""
        row = self.with_names().where(Deploy.id == deploy_id).get_or_none()
        if row is None:
            raise NotFound(f"There is no deploy {deploy_id}.")
        return row

    def get(self, deploy_id):
        """Return one deploy."""
        return describe_all([self.find(deploy_id)])[0]

    # Asking for one.

    def create(self, fields, is_automatic=False):
        """Ask for a deploy of a release to a target; returns it. Raises NotFound, Invalid, Conflict.

        Triggers in which no person decides say `is_automatic`: they are refused what people are only warned of.
        """
        target = self.target(fields["application"], fields["environment"])
        release = ReleaseController(self.actor).deployable(target.application, fields["release"])
        return self.start(target, release, fields, is_automatic=is_automatic)

    def start(self, target, release, asked, rollback_of=None, is_automatic=False):
        """Write the deploy with its host runs and enqueue it; returns it.

        `asked` is the wish: strategy, plan, comment, start_at, override.
        """
        action = "deploy.create" if rollback_of is None else "deploy.rollback"
        with self.change(action, where_of(target)) as change:
            rows.hold_target(target.application_id, target.environment_id)
            refuse_against_rollback(target, rollback_of)
            admitted = gates.admit(self.actor, target, release, asked, rollback_of, is_automatic)
            plan = self.plan_for(target, release, asked, is_kept=not admitted["approvals_needed"])
            columns = {**admitted, "comment": asked.get("comment"), "requested_by": self.actor.name}
            deploy = write(target, release, plan, rollback_of=rollback_of, **columns)
            change.update(deploy=deploy.id, release=release.version, comment=deploy.comment, override=deploy.override)
        failpoints.reach("deploy.created.before-enqueue")
        if not plan.is_kept:
            plan_rows.enqueue([plan.id])
        queue.enqueue("windlass.reconcile", deploy.id)
        failpoints.reach("deploy.created.after-enqueue")
        return self.get(deploy.id)

    def plan_for(self, target, release, asked, is_kept):
        """Return the plan that was asked for, or a new one. Raises Invalid, Conflict.

        In a new one that is kept the deploy writes down what it does; the other kind is drawn up now, for people to agree to.
        """
        number = asked.get("plan")
        if number:
            plan = self.visible(Plan).where(Plan.id == number).first()
            return plan_rows.accept(plan, number, target, release, asked.get("strategy"))
        snapshot = snapshots.take(target)
        strategy = targets.complete_strategy(asked.get("strategy") or {}, snapshot["strategy"])
        return plan_rows.write(self.actor, target, release, strategy, snapshot, is_kept)

    # Changing its course.

    def approve(self, deploy_id, fields):
        """Agree to a deploy that somebody else asked for; returns it. Raises NotFound, Forbidden, Conflict."""
        row = self.find(deploy_id)
        ApprovalController(self.actor).give(row, fields)
        queue.enqueue("windlass.reconcile", row.id)
        return self.get(deploy_id)

    def cancel(self, deploy_id):
        """Ask a deploy to stop; hosts under way go back, switched ones stay. Raises Conflict when it has ended."""
        row = self.find(deploy_id)
        with self.change("deploy.cancel", deploy_id):
            may_be = Deploy.state.in_(("pending_approval", "scheduled", "queued", "running", "paused"))
            asked = Deploy.update(cancel_requested_by=self.actor.name).where(
                Deploy.id == row.id, may_be, Deploy.cancel_requested_by.is_null()
            )
            if not asked.execute() and self.find(deploy_id).cancel_requested_by is None:
                state = self.find(deploy_id).state
                raise Conflict(f"Deploy {deploy_id} is {state} and cannot be cancelled.", code="not-cancellable")
        queue.enqueue("windlass.reconcile", row.id)
        return self.get(deploy_id)

    def retry(self, deploy_id):
        """Try the hosts of a failed deploy again that failed or were left out. Raises Conflict when that is not possible."""
        row = self.find(deploy_id)
        if row.state != "failed":
            raise Conflict(
                f"Deploy {deploy_id} is {row.state}; only a failed deploy can be retried. Start a new one instead.",
                code="not-retryable",
            )
        with self.change("deploy.retry", deploy_id):
            rows.hold_target(row.application_id, row.environment_id)
            refuse_superseded(row)
            gates.require_open(self.actor, row)
            if not transitions.move_deploy(
                row, "running", ended_at=None, reason=None, cancel_requested_by=None, retries=Deploy.retries + 1
            ):
                raise Conflict(f"Deploy {deploy_id} has just changed; look again.", code="not-retryable")
            begin_again(row)
        queue.enqueue("windlass.reconcile", row.id)
        return self.get(deploy_id)

    def rollback(self, deploy_id):
        """Make a deploy back to the release that ran before this deploy; returns the new deploy. Raises Conflict."""
        row = self.find(deploy_id)
        refuse_no_way_back(row)
        target = self.target(row.application.name, row.environment.name)
        asked = {"comment": f"rollback of deploy {deploy_id}"}
        return self.start(target, row.previous_release, asked, rollback_of=row)


def describe_all(found):
    """Return deploys (rows that `with_names` gave) in the API's shape, what belongs to them being read in one query each."""
    numbers = [row.id for row in found]
    progress, given = progress_of(numbers), approvals.given(numbers)
    return [describe(row, progress[row.id], given[row.id]) for row in found]


def progress_of(deploy_ids):
    """Return {deploy id: {"total", "done", "failed", "switched"}} in one query; switched hosts run what was deployed."""
    counts = {deploy_id: {"total": 0, "done": 0, "failed": 0, "switched": 0} for deploy_id in deploy_ids}
    columns = (HostRun.deploy, HostRun.state, HostRun.was_switched)
    query = HostRun.select(*columns, fn.COUNT(HostRun.id)).where(HostRun.deploy.in_(deploy_ids)).group_by(*columns)
    for deploy_id, state, was_switched, count in query.tuples():
        counts[deploy_id]["total"] += count
        counts[deploy_id]["done"] += count * (state in states.HOST_RUN_ENDED)
        counts[deploy_id]["failed"] += count * (state in states.HOST_RUN_BAD)
        counts[deploy_id]["switched"] += count * (state == "succeeded" or was_switched)
    return counts


def describe(row, progress, approvals_given):
    """Return a deploy in the API's shape."""
    return {
        "id": row.id,
        "application": row.application.name,
        "release": row.release.version,
        "environment": row.environment.name,
        "state": row.state,
        "strategy": row.strategy,
        "plan": row.plan_id,
        "progress": progress,
        "requested_by": row.requested_by,
        "comment": row.comment,
        "created_at": rfc3339(row.created_at),
        "started_at": rfc3339(row.started_at),
        "ended_at": rfc3339(row.ended_at),
        "reason": row.reason,
        "previous_release": row.previous_release.version if row.previous_release_id else None,
        "rollback_of": row.rollback_of_id,
        "cancel_requested_by": row.cancel_requested_by,
        "warnings": row.warnings,
        "start_at": rfc3339(row.start_at),
        "override": row.override,
        "approvals": {"needed": row.approvals_needed, "given": approvals_given},
    }


# Writing one.


def where_of(target):
    """Return a target's name as people say it."""
    return f"{target.application.name}/{target.environment.name}"


def refuse_against_rollback(target, rollback_of):
    """Raise Conflict where a deploy and a rollback of one target would follow each other without anybody having meant that.

    Deploys queue. But a rollback is a judgement on what runs now: it does not wait for another deploy to change that, and
    what was asked for without knowing of it must not undo it. Call it while the target is held.
    """
    is_going_on = Deploy.state.not_in(states.DEPLOY_ENDED | states.DEPLOY_WAITING)
    going_on = Deploy.select().where(
        Deploy.application == target.application_id, Deploy.environment == target.environment_id, is_going_on
    )
    if rollback_of is None:
        going_on = going_on.where(Deploy.rollback_of.is_null(False))
    other = going_on.order_by(Deploy.id).first()
    if other is None:
        return
    what, code = ("rollback", "rollback-running") if rollback_of is None else ("deploy", "deploy-running")
    raise Conflict(
        f"{target.application.name} in {target.environment.name}: the {what} {other.id} has not ended yet. "
        "Wait for its end or cancel it, look at what runs then, and ask again.",
        code=code,
        deploy=other.id,
    )


def write(target, release, plan, **columns):
    """Write a deploy of a plan with its host runs, and what follows from it; returns it. Call it within a transaction.

    Raises Conflict "no-hosts" where all hosts are in maintenance.
    """
    snapshot = plan.snapshot
    hosts = plan_rows.hosts_in(snapshot)
    targets.require_in_service(target, hosts)
    deploy = Deploy.create(
        application=target.application,
        environment=target.environment,
        release=release,
        previous_release=previous_release(target, release),
        plan=plan,
        strategy=plan.strategy,
        snapshot=snapshot,
        created_at=now(),
        **columns,
    )
    has_lead = RELEASE_PROCESS in snapshots.commands(release, snapshot) and deploy.rollback_of_id is None
    write_host_runs(deploy, hosts, has_lead)
    note_asked(deploy, target, release)
    outbox.on_created(deploy)
    idempotency.note_made("deploy", deploy.id)
    return deploy


def in_time():
    """Return the expression by which deploys are in the order they began; a scheduled one may begin after younger ones."""
    return fn.COALESCE(Deploy.started_at, Deploy.created_at)


def previous_release(target, release):
    """Return what a rollback goes back to: the newest other release that was deployed successfully before, or None."""
    row = (
        Deploy.select()
        .where(
            Deploy.application == target.application,
            Deploy.environment == target.environment,
            Deploy.state == "succeeded",
        )
        .order_by(in_time().desc(), Deploy.id.desc())
        .first()
    )
    if row is None:
        return None
    return row.previous_release if row.release_id == release.id else row.release


def write_host_runs(deploy, hosts, lead_host):
    """Write one run a host, in waves; hosts in maintenance are skipped and say so."""
    in_service = [host for host in hosts if not host.maintenance_reason]
    by_wave = waves.batches(in_service, deploy.strategy, lead_host)
    found = [
        {"deploy": deploy, "host": host, "state": "pending", "wave": wave, "message": None}
        for wave, members in enumerate(by_wave)
        for host in members
    ]
    found += [
        {
            "deploy": deploy,
            "host": host,
            "state": "skipped",
            "wave": waves.wave_left_out(by_wave, lead_host),
            "message": host.why_left_out,
        }
        for host in hosts
        if host.maintenance_reason
    ]
    HostRun.insert_many(found).execute()


def note_asked(deploy, target, release):
    """Append the first events of a deploy's history."""
    item = {
        "kind": "deploy",
        "data": {
            "state": deploy.state,
            "deploy": deploy.id,
            "application": target.application.name,
            "environment": target.environment.name,
            "release": release.version,
        },
    }
    notes = [{"kind": "note", "text": text} for text in deploy.warnings]
    if deploy.override is not None:
        notes.append({"kind": "note", "text": f"freezes are overridden by {deploy.requested_by}: {deploy.override}"})
    events.append(f"deploy-{deploy.id}", [item, *notes])
    events.append("deploys", [item])


# Trying it again, and going back.


def refuse_superseded(deploy):
    """Raise Conflict "superseded" where a newer deploy has begun, which trying this one again would undo."""
    is_later = (in_time() > (deploy.started_at or deploy.created_at)) | (Deploy.id > deploy.id)
    newer = Deploy.select().where(
        Deploy.application == deploy.application,
        Deploy.environment == deploy.environment,
        Deploy.id != deploy.id,
        is_later,
        Deploy.state.not_in(states.DEPLOY_WAITING),
    )
    if newer.exists():
        raise Conflict(
            f"A newer deploy of {deploy.application.name} to {deploy.environment.name} exists; "
            f"retrying deploy {deploy.id} would undo it.",
            code="superseded",
        )


def begin_again(deploy, *conditions):
    """Make a deploy's host runs that ended badly, or were left out, pending again, as if they had never begun."""
    moved = transitions.move_host_runs(
        deploy,
        "pending",
        HostRun.state.in_(UNFINISHED),
        *conditions,
        goal="deploy",
        attempt=0,
        enqueued_at=None,
        due_at=None,
        ended_at=None,
        message=None,
        away=None,
        was_switched=False,
    )
    for model in (Step, HostWatch):
        model.delete().where(model.host_run.in_([run.id for run in moved])).execute()


def refuse_no_way_back(deploy):
    """Raise Conflict for a deploy that has not ended, has gone back itself, or came after nothing."""
    if deploy.state not in states.DEPLOY_ENDED:
        raise Conflict(
            f"Deploy {deploy.id} is {deploy.state}: cancel it, or wait for its end, before rolling back.",
            code="deploy-running",
        )
    if deploy.state == "rolled_back":
        raise Conflict(
            f"Deploy {deploy.id} has already gone back; roll back the deploy whose release runs now.",
            code="already-rolled-back",
        )
    if deploy.previous_release_id is None:
        raise Conflict(
            f"Nothing of {deploy.application.name} ran in {deploy.environment.name} before deploy {deploy.id}.",
            code="nothing-to-roll-back-to",
        )
