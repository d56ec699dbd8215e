"""Which supervisor runs an application's processes on a host."""

from remote.agent.failures import Failure


def kind_of(settings):
    """Return the kind of supervisor that settings of one (or what a spec says of it) are for."""
    return settings.get("kind", "supervisord")


def supervisor_from(settings, app, control):
    """Return an application's supervisor on this host."""
    kind = kind_of(settings)
    if kind == "supervisord":
        from remote.agent.supervision.supervisord import Supervisord as Supervisor
    elif kind == "systemd":
        from remote.agent.supervision.systemd import Systemd as Supervisor
    else:
        raise Failure("bad-request", f"'{kind}' is no kind of supervisor that this agent knows.", "Update Windlass.")
    return Supervisor(settings, app, control)
