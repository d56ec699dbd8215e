"""Have nginx answer in an application's stead while it is in maintenance, and lead to it again afterwards."""

from remote.agent.failures import Failure
from remote.agent.machine.nginx import STEADY_S
from remote.agent.observation import application
from remote.agent.releases.activation import Activation


def closed_or_open(spec, closed):
    """Return a slot's spec with the site that nginx serves instead of the application's; with None, the application's."""
    return dict(spec, nginx=dict(spec["nginx"], closed=closed)) if spec.get("nginx") else spec


class Maintenance(Activation):
    """Close an application to its users, or open it: of all that an activation does, only nginx's site.

    Its processes are left as they are, and it may be opened when they do not answer: whether it is fit is for people to say.
    """

    def __init__(self, host, closed):
        active = host.place.active()
        spec = host.slot(active).spec() if active else None
        if spec is None:
            raise Failure("nothing-to-close", f"Nothing of {host.place.app} runs on this host.", "Deploy it first.")
        if not spec.get("nginx") or host.nginx() is None:
            raise Failure(
                "not-behind-nginx",
                f"{host.place.app} is not served through nginx on this host.",
                "Only nginx can answer in an application's stead; give the host nginx and the application a web process.",
            )
        super().__init__(host, closed_or_open(spec, closed), only=active)
        self.message = None

    def choose(self, only):
        """The slot that answers, in whatever state: its supervisor is not even asked."""
        return self.host.slot(only), True

    def run(self):
        """Do it; return the answer of the verb."""
        if not self.site_differs():
            self.read_again()
        self.configure()
        self.switch()
        return {"closed": self.is_closed(), "said": self.message, "application": application(self.host, texts=True)}

    def read_again(self):
        """nginx reads the site that is in place already: who put it there may have been killed before telling it."""
        with self.host.control, self.nginx:
            self.nginx.reload()
            self.nginx.prove(self.site()[1], self.host_header(), steady_s=STEADY_S)

    def verify(self):
        """A closed application answers 503; what an open one answers is reported and changes nothing."""
        try:
            super().verify()
        except Failure as failure:
            if self.is_closed():
                raise
            self.message = failure.message
