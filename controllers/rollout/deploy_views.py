"""Look closer at a deploy: its host runs with their steps, its events as they come, its log as text."""

import contextlib

from peewee import JOIN

from controllers import events, paging
from controllers.controller import Controller
from controllers.fleet import playbooks
from controllers.jobs import transitions
from controllers.rollout.deploys import DeployController
from models import Application, Host, HostRun, Step
from models.db import connection
from utils.datekit import rfc3339

ALL = "deploys"  # The history of the changes of state of all deploys.


class DeployViewController(Controller):
    """What there is to see of deploys beside their state, for whoever looks."""

    def find(self, deploy_id):
        """Return a deploy's row; raises NotFound."""
        return DeployController(self.actor).find(deploy_id)

    def hosts(self, deploy_id, limit=paging.LIMIT, after=None):
        """Return a page of a deploy's host runs, in the order in which they go, with the steps of their newest attempt."""
        runs = runs_of(self.find(deploy_id))
        page = paging.page(runs, (HostRun.wave, HostRun.id), lambda run: run, limit, after)
        steps = steps_of([run.id for run in page["items"]])
        return {**page, "items": [describe_run(run, steps[run.id]) for run in page["items"]]}

    def history(self, deploy_id, after=0, limit=200):
        """Return a page of a deploy's events that come after number `after`."""
        return events.page(topic_of(self.find(deploy_id)), after, limit)

    def log(self, deploy_id):
        """Return an iterator over a deploy's history as lines of text."""
        return log_lines(topic_of(self.find(deploy_id)))

    def follow(self, deploy_id, after=0):
        """Return an iterator over a deploy's events as they come, with None as heartbeat, ending after its end."""
        row = self.find(deploy_id)
        topic = topic_of(row)
        has_ended = row.state in transitions.DEPLOY_ENDED
        return events.follow_work(topic, after, has_ended, lambda event: is_last(topic, event))

    def follow_all(self, after=None):
        """Return an iterator over the state changes of all deploys, with None as heartbeat; without end."""
        start_at = events.newest(ALL) if after is None else after
        return self.scoped(events.follow(ALL, start_at, lambda event: False))

    def scoped(self, followed):
        """Yield those of the followed events that are of applications which the actor may see, and the heartbeats."""
        with contextlib.closing(followed):
            for event in followed:
                if event is None or self.sees(event["data"]["application"]):
                    yield event

    def sees(self, application):
        """Say whether the actor may see the application of this name."""
        with connection():
            return self.visible(Application, Application.id).where(Application.name == application).exists()


def topic_of(row):
    """Return the name of a deploy's history."""
    return f"deploy-{row.id}"


def runs_of(row):
    """Return the query for the host runs of a deploy, with their hosts where these are still there."""
    return HostRun.select(HostRun, Host).join(Host, JOIN.LEFT_OUTER).where(HostRun.deploy == row)


def steps_of(run_ids):
    """Return {host run id: its steps in their newest attempt, in their order}, in one query."""
    newest = Step.select().join(HostRun).where(Step.host_run.in_(run_ids), Step.attempt == HostRun.attempt)
    found = {run_id: [] for run_id in run_ids}
    for step in newest.order_by(Step.position):
        found[step.host_run_id].append(step)
    return found


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


def log_lines(topic):
    """Yield a deploy's history as lines; a database connection is held only while a page is read."""
    after = 0
    while True:
        with connection():
            page = events.read(topic, after)
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


def is_last(topic, event):
    """Say whether an event is the end of a deploy: a state it has ended in, with nothing after it (a retry goes on)."""
    if event["kind"] != "deploy" or event["data"]["state"] not in transitions.DEPLOY_ENDED:
        return False
    with connection():
        return event["number"] >= events.newest(topic)
