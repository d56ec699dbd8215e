"""Drivers of the programs that set hosts up around a deploy: Ansible and puppet."""
