"""One-off commands: ask for one, look at it, follow it, cancel it. command_run.py carries them out."""

import json
import uuid

from peewee import fn

import secretbox
from config import settings
from controllers import events, idempotency, paging, rows
from controllers.catalog import variables
from controllers.controller import Controller
from controllers.errors import Conflict, Invalid, NotFound
from controllers.fleet import targets
from controllers.jobs import leases, queue, states, transitions
from controllers.rollout import maintenance, snapshots
from masking import Masker
from models import Application, Command, CommandRun, Environment, Host, Placement, Target, Zone
from models.db import connection, database, now
from utils.datekit import rfc3339

DEFAULT_TIME_LIMIT_S = 60
GOING_ON = states.COMMAND_RUN_GOING_ON
WELL = ("succeeded", "skipped")


class CommandController(Controller):
    """One-off commands, for whoever asks."""

    def listing(self, limit=paging.LIMIT, after=None, application=None, environment=None, host=None, state=None):
        """Return a page of commands, newest first."""
        query = self.visible(Command)
        if application is not None:
            query = query.where(Command.application == application)
        if environment is not None:
            query = query.where(Command.environment == environment)
        if host is not None:
            on_host = self.visible(CommandRun, CommandRun.command).where(CommandRun.host_name == host)
            query = query.where(Command.id.in_(on_host))
        if state is not None:
            query = query.where(Command.state == state)
        page = paging.page(query, Command.id, lambda row: row, limit, after, newest_first=True)
        progress = progress_of([row.id for row in page["items"]])
        return {**page, "items": [describe(row, progress[row.id]) for row in page["items"]]}

    def find(self, command_id):
        """Return a command's row; raises NotFound."""
        row = self.visible(Command).where(Command.id == command_id).first()
        if row is None:
            raise NotFound(f"There is no command {command_id}.")
        return row

    def get(self, command_id):
        """Return one command with its hosts."""
        return describe_with_hosts(self.find(command_id))

    def create(self, fields):
        """Run a command on hosts, or where an application runs in an environment, in its release and with its variables.

        `fields`: "argv", "hosts" or "application" and "environment" (then "hosts" leaves out the target's other hosts), maybe
        "time_limit_s". Returns the command. Raises NotFound, Invalid, and Conflict "no-hosts". It waits for nobody's lock and
        takes none: what it does beside a rollout is for whoever runs it to judge.
        """
        time_limit_s = fields.get("time_limit_s", min(DEFAULT_TIME_LIMIT_S, settings.command.time_limit_s))
        refuse_unfit(fields, time_limit_s)
        with self.change("command.create", subject_of(fields), time_limit_s=time_limit_s) as change:
            found = self.hosts_for(fields)
            command = write(fields, found, time_limit_s, requested_by=self.actor.name)
            change.update(argv=command.argv, command=command.id, hosts=[host.name for host in found])
        enqueue_for(command)
        return self.get(command.id)

    def hosts_for(self, fields):
        """Return the rows of the hosts that a wish names, by name. Raises NotFound, Invalid, Conflict."""
        names = fields.get("hosts")
        if "application" not in fields:
            among = list(self.visible(Host).where(Host.name.in_(names)).order_by(Host.name))
            return chosen(among, names, "There is no host {}; register it first.")
        target = self.target(fields["application"], fields["environment"])
        among = targets.hosts_of(target)
        what = f"{target.application.name} in {target.environment.name}"
        found = among if names is None else chosen(among, names, f"{{}} is no host of {what}.")
        targets.require_in_service(target, found)
        return found

    def cancel(self, command_id):
        """Ask a command to end: where it runs, it is ended with all its processes.

        Raises NotFound, Conflict when it has ended.
        """
        self.find(command_id)
        with self.change("command.cancel", command_id):
            row = hold(command_id)
            if row.state != "running":
                raise Conflict(f"Command {command_id} has {row.state} and cannot be cancelled.", code="not-cancellable")
            if row.cancel_requested_by is None:
                Command.update(cancel_requested_by=self.actor.name).where(Command.id == command_id).execute()
            end_runs(row, self.actor.name)
            settle(command_id)
        return self.get(command_id)

    def history(self, command_id, after=0, limit=200):
        """Return a page of a command's events that come after number `after`."""
        return events.page(topic_of(self.find(command_id)), after, limit)

    def follow(self, command_id, after=0):
        """Return an iterator over a command's events as they come, with None as heartbeat, ending after its end."""
        row = self.find(command_id)
        return events.follow_work(topic_of(row), after, row.state != "running", is_last)


def progress_of(command_ids):
    """Return {command id: {"total", "done", "failed"}}, counted in hosts, in one query."""
    counts = {command_id: {"total": 0, "done": 0, "failed": 0} for command_id in command_ids}
    columns = (CommandRun.command, CommandRun.state)
    query = CommandRun.select(*columns, fn.COUNT(CommandRun.id)).where(CommandRun.command.in_(command_ids))
    for command_id, state, count in query.group_by(*columns).tuples():
        counts[command_id]["total"] += count
        counts[command_id]["done"] += count * (state not in GOING_ON)
        counts[command_id]["failed"] += count * (state not in GOING_ON and state not in WELL)
    return counts


def describe(row, progress):
    """Return a command in the API's shape, without its hosts."""
    return {
        "id": row.id,
        "argv": row.argv,
        "application": row.application,
        "environment": row.environment,
        "time_limit_s": row.time_limit_s,
        "state": row.state,
        "progress": progress,
        "requested_by": row.requested_by,
        "cancel_requested_by": row.cancel_requested_by,
        "created_at": rfc3339(row.created_at),
        "ended_at": rfc3339(row.ended_at),
    }


def describe_run(run):
    """Return how a command goes on one host."""
    return {
        "host": run.host_name,
        "state": run.state,
        "exit_code": run.exit_code,
        "message": run.message,
        "started_at": rfc3339(run.asked_at),
        "ended_at": rfc3339(run.ended_at),
    }


def describe_with_hosts(row):
    """Return a command in the API's shape, with its hosts."""
    runs = CommandRun.select().where(CommandRun.command == row).order_by(CommandRun.host_name)
    return {**describe(row, progress_of([row.id])[row.id]), "hosts": [describe_run(run) for run in runs]}


def topic_of(row):
    """Return the name of a command's history."""
    return f"command-{row.id}"


# Asking for one, and taking it back.


def refuse_unfit(fields, time_limit_s):
    """Raise Invalid for a wish that says too little, too much, or asks for too long."""
    errors = []
    if time_limit_s > settings.command.time_limit_s:
        errors.append(
            (
                "time_limit_s",
                f"must be at most {settings.command.time_limit_s}, as the setting command.time_limit_s has it",
            )
        )
    if ("application" in fields) != ("environment" in fields):
        missing = "environment" if "application" in fields else "application"
        errors.append((missing, "is needed as well: an application runs in an environment"))
    if "application" not in fields and "hosts" not in fields:
        errors.append(("hosts", "Name hosts, or an application and an environment."))
    if errors:
        raise Invalid(errors)


def subject_of(fields):
    """Return where a command runs, as people name it."""
    if "application" in fields:
        return f"{fields['application']}/{fields['environment']}"
    return rows.enumerated(fields["hosts"])


def chosen(among, names, otherwise):
    """Return those of some hosts that have one of the names; raises Invalid, saying `otherwise`, for names of no such host."""
    unknown = [name for name in names if name not in {host.name for host in among}]
    if unknown:
        raise Invalid([("hosts", otherwise.format(rows.enumerated(unknown)))])
    return [host for host in among if host.name in names]


def write(fields, hosts, time_limit_s, requested_by):
    """Write a command with a run for each host, secrets masked where people see it; returns it. Call it within a transaction."""
    where = {name: fields.get(name) for name in ("application", "environment")}
    masked = Masker(secrets_on(hosts, **where))
    argv = [masked(word) for word in fields["argv"]]
    command = Command.create(
        key=uuid.uuid4().hex,
        argv=argv,
        sealed_argv=secretbox.seal(json.dumps(fields["argv"])) if argv != fields["argv"] else None,
        time_limit_s=time_limit_s,
        state="running",
        requested_by=requested_by,
        created_at=now(),
        **where,
    )
    CommandRun.insert_many([new_run(command, host, is_of_target=bool(where["application"])) for host in hosts]).execute()
    events.append(topic_of(command), [{"kind": "command", "data": {"state": "running", "argv": argv, **where}}])
    idempotency.note_made("command", command.id)
    return command


def new_run(command, host, is_of_target):
    """Return the columns of a command's run on a host; a target's host in maintenance is left out, one that was named is not."""
    is_left_out = is_of_target and host.maintenance_reason
    return {
        "command": command,
        "host": host,
        "host_name": host.name,
        "state": "skipped" if is_left_out else "pending",
        "message": host.why_left_out if is_left_out else None,
    }


def secrets_on(hosts, application, environment):
    """Return the secret values that nobody is to see of a command: those of all applications on its hosts, old and new.

    application, environment: names of the target it runs in, None where it runs in none.
    """
    of_target = (Application.name == application) & (Environment.name == environment)
    placed = Placement.select(Placement.application).where(Placement.host.in_(hosts))
    found = set()
    for target in rows.target_query().where(of_target | Target.application.in_(placed)):
        found |= variables.secrets_of(target)
        last = maintenance.newest_deploy(target.application_id, target.environment_id)
        found |= set(snapshots.open_variables(last.snapshot)[1]) if last else set()
    return found


def words_of(command):
    """Return a command's words as they are; internal, never for an answer."""
    return json.loads(secretbox.open_sealed(command.sealed_argv)) if command.sealed_argv else command.argv


def enqueue_for(command):
    """Enqueue all hosts of a command."""
    runs = CommandRun.select(CommandRun.id, Zone.name).join(Host).join(Zone).where(CommandRun.command == command)
    for run_id, zone in list(runs.where(CommandRun.state == "pending").order_by(CommandRun.id).tuples()):
        queue.enqueue("windlass.run_command", run_id, zone=zone)


def end_runs(command, name):
    """End a command on the hosts where it has not begun, and have workers end it where it has; its row is held."""
    free = leases.is_free(CommandRun)
    for run in list(CommandRun.select().where(CommandRun.command == command, CommandRun.state == "pending", free)):
        transitions.move_command_run(run, "cancelled", guard=free, message=f"cancelled by {name} before it began")
    # Where it has begun, a worker must go there to end it, and whoever follows it looks every few seconds.
    CommandRun.update(due_at=None, enqueued_at=None).where(CommandRun.command == command, CommandRun.state == "running").execute()


def hold(command_id):
    """Return a command's row, held until the transaction ends. Take it before its runs and its history, as everybody does."""
    return rows.for_change(Command.select().where(Command.id == command_id), Command).get()


def end_run(run, state, guard, **changes):
    """End a command's run on one host, and the command with the last of them; returns False if somebody else did so first."""
    with database.atomic():
        hold(run.command_id)
        is_ended = transitions.move_command_run(run, state, guard=guard, **changes)
        if is_ended:
            settle(run.command_id)
    return is_ended


def settle(command_id):
    """End a command whose hosts all have ended; its row is held."""
    row = Command.get_by_id(command_id)
    found = {state for (state,) in CommandRun.select(CommandRun.state).where(CommandRun.command == row).tuples()}
    if row.state != "running" or found & GOING_ON:
        return
    if found <= set(WELL):
        transitions.move_command(row, "succeeded")
    else:
        transitions.move_command(row, "cancelled" if "cancelled" in found else "failed")
    Command.update(sealed_argv=None).where(Command.id == command_id).execute()


# Looking closer.


def is_last(event):
    """Say whether an event is the end of a command."""
    return event["kind"] == "command" and event["data"]["state"] != "running"


def is_cancelled(command_id):
    """Say whether somebody wants a command to end."""
    with connection():
        return Command.select().where(Command.id == command_id, Command.cancel_requested_by.is_null(False)).exists()
