"""What binds a rollout to a plan: drawing up a host's changes, keeping them, and holding a host run to those agreed on."""

import hmac

import secretbox
from controllers.errors import Conflict, Invalid, StepFailed
from controllers.fleet import playbooks, targets
from controllers.jobs import queue, states
from controllers.releases import trees
from controllers.rollout import desired_state, snapshots
from controllers.rollout.planning import changes
from models import BuiltEnvironment, Host, Plan, PlanHost, Release
from models.db import now

ENQUEUE_AGAIN_MS = 30_000  # Whoever a message has reached has this time for a look.


class Stale(StepFailed):
    """What a deploy's plan was drawn up from has changed; `moved` lists how: [{"what", "message"}]."""

    def __init__(self, step, message, remedy, moved):
        super().__init__("plan-stale", step, f"plan-stale: {message}", f"{remedy}. Make a new plan, and deploy that")
        self.moved = [{name: item[name] for name in ("what", "message")} for item in moved]


# Drawing up.


def changes_on(host, release, environment, python, snapshot, variables, state):
    """Return the changes that a release makes on a host whose agent answered `state` (with texts)."""
    shown = changes.with_shown_ports(state)
    application = state["application"]
    specification = desired_state.specification(host, release, environment, python, snapshot, variables, shown, 0)
    after = {
        "version": release.version,
        "lock": release.lock or "",
        "files": manifest(release.digest),
        "environment": manifest(environment.digest),
        "known": files_on_host(release, environment, application),
        "configure": playbooks.planned(snapshot),
    }
    sizes = {**packed_sizes(environment.digest), **packed_sizes(release.digest)}
    before = release_before(release.application_id, application)
    return changes.of_host(host.name, specification, shown, before, after, sizes, seal)


def release_before(application_id, application):
    """Return the release a host runs now as {"version", "lock", "files"}; None stands for what is not known here."""
    current = application["current"]
    if current is None:
        return {"version": None, "lock": "", "files": []}
    row = (
        Release.select()
        .where(Release.application == application_id, Release.digest == current)
        .order_by(Release.number.desc())
        .first()
    )
    held = application["slots"].get(application["active"]) if application["active"] else None
    version = (held or {}).get("version") or (row.version if row else current[:12])
    return {"version": version, "lock": (row.lock or "") if row else None, "files": manifest(current)}


def files_on_host(release, environment, application):
    """Return {"release", "environment": {(SHA-256, mode)}} of the files a host can reuse, for those it does not have whole."""
    files = {"release": set(), "environment": set()}
    if release.digest not in application["releases"]:
        files["release"] = files_of(application["releases"])
    if environment.name not in application["environments"] and application["environments"]:
        rows = BuiltEnvironment.select(BuiltEnvironment.digest).where(BuiltEnvironment.name.in_(application["environments"]))
        files["environment"] = files_of(row.digest for row in rows)
    return files


def files_of(digests):
    """Return {(SHA-256, mode)} of the files in all of these trees that are known here."""
    return {(entry[3], entry[1]) for digest in digests for entry in manifest(digest) or () if entry[1] != "link"}


def manifest(digest):
    """Return a tree's entries, or None where it was not made here."""
    listed = trees.of(digest)
    return listed and listed.entries


def packed_sizes(digest):
    """Return {SHA-256: bytes on the way to a host} of a tree's files."""
    listed = trees.of(digest)
    return listed.packed if listed else {}


def seal(text):
    """Return a digest that only this Windlass can compute, so that no value can be guessed from it."""
    return hmac.digest(secretbox.derived_key("plans"), text.encode(), "sha256").hex()


# Rows.


def write(actor, target, release, strategy, snapshot, is_kept):
    """Write a plan with a row for each host in service, not yet looked at; returns it. Call it within a transaction.

    Raises Conflict "no-hosts" where all are in maintenance.
    """
    hosts = hosts_in(snapshot)
    targets.require_in_service(target, hosts)
    out_of_service = [host for host in hosts if host.maintenance_reason]
    plan = Plan.create(
        application=target.application,
        environment=target.environment,
        release=release,
        strategy=strategy,
        snapshot=snapshot,
        skipped=[{"host": host.name, "reason": host.why_left_out} for host in out_of_service],
        is_kept=is_kept,
        requested_by=actor.name,
        created_at=now(),
    )
    looked_at = [host for host in hosts if not host.maintenance_reason]
    PlanHost.insert_many([{"plan": plan, "host": host, "host_name": host.name} for host in looked_at]).execute()
    return plan


def hosts_in(snapshot):
    """Return the rows of the hosts that a snapshot of a target names, by name."""
    return list(Host.select().where(Host.name.in_(snapshot["hosts"])).order_by(Host.name))


def enqueue(plans):
    """Ask the workers of the hosts' zones to look at what is to be looked at of `plans`, one or a query of several.

    Call it after the rows are committed.
    """
    is_open = PlanHost.state == "observing"
    queue.enqueue_rows(
        "windlass.plan_host", PlanHost, is_open, PlanHost.plan.in_(plans), on_hosts=True, again_ms=ENQUEUE_AGAIN_MS
    )


def rows_of(plan):
    """Return the rows of a plan's hosts by name."""
    return list(PlanHost.select().where(PlanHost.plan == plan).order_by(PlanHost.host_name))


def skipped(plan, plan_hosts):
    """Return the hosts that a plan leaves out: [{"host", "reason"}]; a retry may have taken one in that was left out at first."""
    planned = {row.host_name for row in plan_hosts}
    return [item for item in plan.skipped if item["host"] not in planned]


def digest(plan, plan_hosts):
    """Return the digest over everything a plan says."""
    about = [plan.release.digest, plan.release.version, plan.strategy]
    left_out = [item["host"] for item in skipped(plan, plan_hosts)]
    return seal(changes.canonical([*about, [[row.host_name, row.digest] for row in plan_hosts], left_out]))


def write_changes(row, found, texts):
    """Write what was found on a host, once; whoever comes later changes nothing."""
    states.move_all(PlanHost, "ready", PlanHost.id == row.id, changes=found, digest=found["digest"], texts=texts)


def write_error(row, error):
    """Write why a host could not be planned for: {"code", "message", "remedy"}."""
    states.move_all(PlanHost, "failed", PlanHost.id == row.id, error=error)


def state_of(plan_hosts):
    """Return the state of a plan by its hosts' rows: "observing", "ready" or "failed"."""
    found = {row.state for row in plan_hosts}
    return "observing" if "observing" in found else "failed" if "failed" in found else "ready"


# A deploy of a plan.


def accept(plan, plan_id, target, release, strategy):
    """Return a plan, a deploy being asked for by its number; `strategy` is what is asked for besides, or None.

    Raises Invalid, also where there is none of that number; Conflict.
    """
    if plan is None or plan.is_kept:
        why = (
            f"There is no plan {plan_id}."
            if plan is None
            else f"Plan {plan_id} is what a deploy kept of itself; make one of your own."
        )
        raise Invalid([("plan", why)])
    asked = (target.application_id, target.environment_id, release.id)
    if asked != (plan.application_id, plan.environment_id, plan.release_id):
        meant = f"{plan.release.version} of {plan.application.name} to {plan.environment.name}"
        raise Invalid([("plan", f"Plan {plan_id} is for {meant}; deploy that, or make another plan.")])
    if strategy and {**plan.strategy, **strategy} != plan.strategy:
        raise Invalid([("strategy", f"Plan {plan_id} has another strategy; leave it out, or make another plan.")])
    require_ready(plan, rows_of(plan), "make a new one")
    require_same_target(plan, target)
    return plan


def require_ready(plan, plan_hosts, remedy):
    """Raise Conflict unless every host of a plan has been looked at; `remedy`: what to do where that was not possible."""
    state = state_of(plan_hosts)
    if state != "ready":
        why = (
            "is still looking at its hosts: wait a moment, and read it then"
            if state == "observing"
            else f"could not look at all its hosts: see why there, then {remedy}"
        )
        raise Conflict(f"Plan {plan.id} {why}.", code="plan-not-ready")


def require_same_target(plan, target):
    """Raise Conflict when the target was changed after the plan was made."""
    current = snapshots.take(target)
    if comparable(current) != comparable(plan.snapshot):
        raise Conflict(
            f"The target was changed after plan {plan.id} was made (hosts, processes, variables or settings); make a new plan.",
            code="plan-stale",
        )


def comparable(snapshot):
    """Return a snapshot so that equal ones are equal: its variables opened."""
    return {**snapshot, "variables": snapshots.open_variables(snapshot)}


def agreed_configure(run):
    """Return what the plan of a host run's deploy says of playbooks and manifests; None where nobody has agreed on a plan."""
    if run.deploy.plan is None or run.deploy.plan.is_kept:
        return None
    row = PlanHost.get_or_none(PlanHost.plan == run.deploy.plan, PlanHost.host == run.host)
    return (row.changes or {}).get("configure", []) if row else []


def hold(run, found, texts):
    """Hold a host run to its deploy's plan before it changes anything; returns what moved since, [] when all is as planned.

    A deploy that came without a plan keeps what is found as its own.
    """
    plan = run.deploy.plan
    row = PlanHost.get_or_none(PlanHost.plan == plan, PlanHost.host == run.host) if plan else None
    if plan is None:
        return []
    if plan.is_kept:
        row = row or PlanHost.get_or_create(plan=plan, host=run.host, defaults={"host_name": run.host.name})[0]
        write_changes(row, found, texts)
        return []
    if row is None:
        why = next((f", which was {item['reason']}" for item in plan.skipped if item["host"] == run.host.name), "")
        return [{"what": "host", "message": f"the plan does not know this host{why}"}]
    return [] if row.digest == found["digest"] else changes.moved(row.changes, found, row.texts, texts)
