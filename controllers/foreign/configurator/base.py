"""What a configurator can do."""

from controllers.foreign import Driver


class ConfiguratorDriver(Driver):
    """A system that brings hosts into a described state."""

    role = "configurator"
    needs_url = False

    def run(self, hosts, what, variables, heard, **limits):
        """Run `what` (a playbook, a manifest) against hosts with variables; heard(event) is given each event as it happens.

        Raises ForeignError when a host ends in another state than described.
        """
        raise NotImplementedError
