"""Run a target's playbooks and manifests on a host, under the lease of its host run.

What they run describes a state, so an attempt that goes on where another was cut off runs them again.
"""

import threading

from config import settings
from controllers import foreign
from controllers.errors import NotFound, StepFailed
from controllers.fleet import inventory, playbooks
from controllers.foreign.configurator.base import Job
from controllers.foreign.errors import STOPPED
from controllers.rollout.planning import plan_rows


class PlaybookRun:
    """The playbooks and manifests of one attempt of a host run."""

    def __init__(self, run, record, variables, secrets):
        self.run, self.record = run, record
        self.deploy, self.host = run.deploy, run.host
        self.variables, self.secrets = variables, secrets
        self.over = threading.Event()
        self.has_changed = False

    def stop(self):
        """End what runs now, and let nothing more begin."""
        self.over.set()

    def at(self, place):
        """Run the entries that belong between two steps. Raises StepFailed when one fails."""
        due = [
            (name, entry) for name, entry in playbooks.named_entries(self.deploy.snapshot) if playbooks.place_of(entry) == place
        ]
        agreed = plan_rows.agreed_configure(self.run) if due else None
        for name, entry in due:
            if self.over.is_set():
                raise StepFailed("aborted", name, "stopped before it began", "")
            self.record.step(name, "running")
            if agreed is not None:
                self.hold_to_plan(name, entry, agreed)
            changed = self.carry_out(name, entry)
            self.has_changed |= changed and not entry.get("check")
            self.record.step(name, "done", "changed the host" if changed else "changed nothing")

    def hold_to_plan(self, name, entry, agreed):
        """Raise StepFailed where the folder is not what it was when the deploy's plan was made."""
        digest = playbooks.digest_of(entry["integration"], entry["run"], name)
        if digest not in [item["digest"] for item in agreed if item["integration"] == entry["integration"]]:
            detail = f"the folder of {entry['integration']} has changed"
            message = f"{detail} since plan {self.deploy.plan_id} was made"
            raise plan_rows.Stale(name, message, "It was not run", [{"what": "configure", "message": detail}])

    def carry_out(self, name, entry):
        """Run one entry; returns whether it changed anything. Raises StepFailed."""
        job = Job(
            host=self.host,
            run=entry["run"],
            variables={**self.standard_variables(), **(entry.get("variables") or {})},
            on_event=lambda event: self.take_event(name, event),
            stop=self.over,
            limit_s=settings.deploy.time_limit_s,
            key=f"configure-{self.deploy.id}-{self.deploy.retries}-{self.host.name}-{name}".replace("/", "_"),
            epoch=self.run.epoch,
            groups=inventory.groups_of(self.host, self.deploy.application.name, self.deploy.environment.name),
            secrets=tuple(self.secrets),
            is_check=bool(entry.get("check")),
        )
        try:
            return foreign.driver_named(entry["integration"], playbooks.ROLE).carry_out(job)
        except (foreign.ForeignError, NotFound) as error:
            code = "aborted" if getattr(error, "kind", None) == STOPPED else "configurator"
            raise StepFailed(code, name, error.detail, "") from None

    def standard_variables(self):
        """Return the variables that every run is given."""
        release = self.deploy.release
        return {
            "windlass_application": self.deploy.application.name,
            "windlass_environment": self.deploy.environment.name,
            "windlass_host": self.host.name,
            "windlass_root": self.host.root,
            "windlass_release": release.version,
            "windlass_commit": release.commit,
            "windlass_deploy": self.deploy.id,
            "windlass_variables": self.variables,
        }

    def take_event(self, name, event):
        """Take one event of a run into the deploy's history."""
        if event["kind"] == "output":
            self.record.output(name, event["text"])
        else:
            self.record.note({**event, "step": name, "text": self.record.masked(event["text"])})
