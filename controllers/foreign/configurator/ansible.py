"""Driver of Ansible: playbooks, played by ansible-runner on the worker that reaches the host."""

from pydantic import Field

from controllers.foreign import Proof, attempt
from controllers.foreign.configurator import runner
from controllers.foreign.configurator.base import ConfiguratorDriver, FolderSettings
from controllers.foreign.errors import ForeignError


class Ansible(ConfiguratorDriver):
    """Ansible playbooks in a folder of the workers, played on each host over its own SSH login and pinned key."""

    name = "ansible"
    opened = "ansible.playbooks"

    class Settings(FolderSettings):
        """Where the playbooks are, and how they are played."""

        verbosity: int = Field(default=0, ge=0, le=4, description="How many -v ansible-playbook is given.")

    def carry_out(self, job):
        """Play a playbook on a host; returns whether it changed anything."""
        about = self.Settings.model_validate(self.access.settings)
        playbook = self.place(job.run)
        try:
            outcome = runner.play(
                playbook,
                runner.reaching(job.host, groups=job.groups),
                variables=job.variables,
                on_event=job.on_event,
                time_limit_s=min(about.time_limit_s, job.limit_s),
                stop=job.stop,
                secrets=job.secrets,
                check=job.is_check,
                verbosity=about.verbosity,
            )
        except ForeignError as error:
            raise self.again(error) from None
        return outcome.changed

    def prove(self, **hints):
        """See that ansible-runner is there and the folder can be read."""
        found = {}

        def look():
            found.update(runner.installed())
            return found

        checks = [
            attempt(
                "ansible-runner",
                look,
                lambda them: f"ansible-core {them['ansible-core']}, ansible-runner {them['ansible-runner']}.",
            ),
            attempt("folder", self.opened_folder, str),
        ]
        return Proof(found.get("ansible-core"), checks)
