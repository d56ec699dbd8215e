"""Open the agent on a host, whichever transport it has."""

from config import settings
from controllers import zonekeys
from remote.local import open_local
from remote.ssh import open_ssh


def open_host(host):
    """Return a Session with the agent on `host` (a models.Host); raises Unreachable with a remedy, AgentError."""
    python = host.settings["python"]
    if host.transport == "local":
        return open_local(python)
    return open_ssh(
        host.address,
        host.port,
        host.user,
        host.host_key,
        zonekeys.key_file(host.zone.name),
        python,
        connect_timeout_s=settings.ssh.connect_timeout_s,
        keepalive_s=settings.ssh.keepalive_s,
        silence_timeout_s=settings.ssh.silence_timeout_s,
    )
