"""Driver that stands for no build system: Windlass builds alone, as it does for an application without a `build`."""

from pydantic import BaseModel, ConfigDict

from controllers.foreign import Check, Proof
from controllers.foreign.build.base import SUCCESS, BuildDriver, Look
from controllers.foreign.credentials import one_of


class Local(BuildDriver):
    """Windlass's own workers build, with nothing before; to take the place of another system without a further change."""

    name = "local"
    leaves_files = False
    needs_url = False
    Credentials = one_of()

    class Settings(BaseModel):
        """Nothing to set."""

        model_config = ConfigDict(extra="forbid")

    @classmethod
    def mistakes_together(cls, url, settings, credentials):
        """There is no other place."""
        return [("url", "Leave it out: Windlass builds itself.")] if url else []

    def find(self, job, key):
        """There is nothing to find."""
        return None

    def start(self, job, parameters, key):
        """There is nothing to wait for."""
        return {"key": key}

    def look(self, handle, position):
        """It is done, and has written nothing."""
        return Look(handle, "", position, SUCCESS)

    def artifacts(self, handle):
        """It leaves nothing: what a release consists of is made from the commit."""
        return []

    def abort(self, handle):
        """There is nothing to end."""

    def prove(self, **hints):
        """It is always there."""
        return Proof(None, [Check("build", True, "Windlass's own workers build.")])
