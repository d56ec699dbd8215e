"""Look closer at a deploy: its host runs with their steps, its events as they come, its log as text."""

from peewee import JOIN

from controllers import events, paging
from controllers.fleet import playbooks
from controllers.jobs import transitions
from controllers.rollout.deploys import find
from models import Host, HostRun, Step
from models.db import connection
from utils.datekit import rfc3339


def hosts(actor, deploy_id, limit=paging.LIMIT, after=None):
    """Return a page of a deploy's host runs, in the order in which they go, with the steps of their newest attempt."""
    row = find(deploy_id)
    query = HostRun.select(HostRun, Host).join(Host, JOIN.LEFT_OUTER).where(HostRun.deploy == row)
    page = paging.page(query, (HostRun.wave, HostRun.id), lambda run: run, limit, after)
    numbers = [run.id for run in page["items"]]
    newest = Step.select().join(HostRun).where(Step.host_run.in_(numbers), Step.attempt == HostRun.attempt)
    steps = {number: [] for number in numbers}
    for step in newest.order_by(Step.position):
        steps[step.host_run_id].append(step)
    return {**page, "items": [describe_run(run, steps[run.id]) for run in page["items"]]}


def describe_run(run, done):
    """Return a host run in the API's shape; steps that have not begun are listed as pending."""
    by_name = {step.name: step for step in done}
    return {
        "host": run.host.name if run.host_id else run.host_name,
        "state": run.state,
        "goal": run.goal,
        "wave": run.wave,
        "attempt": run.attempt,
        "message": run.message,
        "code": run.code,
        "bytes_sent": run.bytes_sent,
        "started_at": rfc3339(run.started_at),
        "ended_at": rfc3339(run.ended_at),
        "steps": [describe_step(name, by_name.get(name)) for name in playbooks.step_names(run.deploy.snapshot)],
    }


def describe_step(name, step):
    """Return one step in the API's shape."""
    if step is None:
        return {"name": name, "state": "pending", "started_at": None, "ended_at": None, "message": None}
    return {
        "name": name,
        "state": step.state,
        "started_at": rfc3339(step.started_at),
        "ended_at": rfc3339(step.ended_at),
        "message": step.message,
    }


def history(actor, deploy_id, after=0, limit=200):
    """Return a page of a deploy's events that come after number `after`."""
    find(deploy_id)
    return events.page(f"deploy-{deploy_id}", after, limit)


def log(actor, deploy_id):
    """Return an iterator over a deploy's history as lines of text."""
    find(deploy_id)
    return log_lines(deploy_id)


def log_lines(deploy_id):
    """Yield the lines; a database connection is held only while a page is read."""
    after = 0
    while True:
        with connection():
            page = events.read(f"deploy-{deploy_id}", after)
        if not page:
            return
        for event in page:
            yield from as_text(event)
        after = page[-1]["number"]


def as_text(event):
    """Yield an event as lines for people: time, host, step, what happened."""
    where = " ".join(part for part in (event.get("host"), event.get("step")) if part)
    state = (event.get("data") or {}).get("state")
    if event["kind"] == "progress":
        return
    text = event.get("text") or ""
    for line in text.splitlines() or [""]:
        parts = [event["at"], f"[{where}]" if where else "", f"{event['kind']} {state}:" if state else "", line]
        yield " ".join(part for part in parts if part).rstrip(": ") + "\n"


def follow(actor, deploy_id, after=0):
    """Return an iterator over a deploy's events as they come, with None as heartbeat, ending after its end."""
    row = find(deploy_id)
    return events.follow_work(
        f"deploy-{deploy_id}",
        after,
        row.state in transitions.DEPLOY_ENDED,
        lambda event: event["kind"] == "deploy" and is_last(deploy_id, event),
    )


def is_last(deploy_id, event):
    """Say whether an event is the end of a deploy: a state it has ended in, with nothing after it (a retry goes on)."""
    if event["data"]["state"] not in transitions.DEPLOY_ENDED:
        return False
    with connection():
        return event["number"] >= events.newest(f"deploy-{deploy_id}")


def follow_all(actor, after=None):
    """Return an iterator over the state changes of all deploys, with None as heartbeat; without end."""
    start_at = events.newest("deploys") if after is None else after
    return events.follow("deploys", start_at, lambda event: False)
