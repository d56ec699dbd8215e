"""Taking an application off a host."""

import os

from remote.agent.failures import Failure
from remote.agent.machine.files import discard, point
from remote.agent.observation import application
from remote.agent.places import SLOTS


class Withdrawal:
    """Take the application off this host: site, processes, links. Releases, environments and shared files stay."""

    def __init__(self, host):
        self.host, self.place, self.nginx = host, host.place, host.nginx()

    def run(self):
        """Do it; return the answer of the verb."""
        with self.host.step("switch"), self.host.control:
            site = self.host.files().get("nginx")
            if self.nginx is not None and site and os.path.exists(self.nginx.path(site)):
                with self.nginx:
                    self.remove_site(site)
            point(self.place.switch, None)
            point(self.place.current, None)
        with self.host.step("drain"):
            for name in SLOTS:
                slot = self.host.slot(name)
                spec = slot.spec()
                slot.wait_until_idle((spec or {}).get("drain_s") or 0)
                slot.clear()
        discard(self.place.state + "/files.json")
        return {
            "active": None,
            "current": None,
            "switched": True,
            "warm": False,
            "application": application(self.host, texts=True),
        }

    def remove_site(self, site):
        """Remove the site and have nginx forget it."""
        undo = self.nginx.try_out(site, None, self.place.switch, None)
        try:
            self.nginx.test()
            self.nginx.will_reload(site, undo)
            self.nginx.reload()
        except (Failure, OSError):
            self.nginx.take_back(site, undo)
            raise
        point(self.place.switch, None)
        self.nginx.keep(site)
