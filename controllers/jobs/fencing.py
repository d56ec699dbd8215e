"""Epochs: each attempt on a host has a higher one than all before, and the host's agent refuses whoever comes with a lower."""

from models import Fence
from models.db import database


def following(application, host):
    """Return a new epoch for an application on a host, higher than any given out before."""
    where = (Fence.application == application, Fence.host == host)
    with database.atomic():
        if not Fence.update(epoch=Fence.epoch + 1).where(*where).execute():
            Fence.insert(application=application, host=host, epoch=0).on_conflict_ignore().execute()
            Fence.update(epoch=Fence.epoch + 1).where(*where).execute()
        return Fence.select(Fence.epoch).where(*where).scalar()


def go_on_from(application, host, seen):
    """Go on from an epoch that a host has seen, where it is higher than any given out here."""
    Fence.update(epoch=seen).where(Fence.application == application, Fence.host == host, Fence.epoch < seen).execute()
