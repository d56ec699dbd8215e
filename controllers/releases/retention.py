"""Retention on hosts: which releases and virtualenvs stay there for a way back."""

from config import settings
from controllers.releases.dependencies import virtualenvs
from models import Deploy, HostRun, Release


def needed(deploy, host, specification):
    """Return {"releases", "environments"} that stay on a host: those of its last successful deploys, failed ones never.

    `specification` is what the deploy at hand brings there, which stays in any case.
    """
    rows = (
        Release.select(Release, HostRun.id)
        .join(Deploy, on=(Deploy.release == Release.id))
        .join(HostRun, on=(HostRun.deploy == Deploy.id))
        .where(
            HostRun.host == host,
            HostRun.state.in_(("succeeded", "unchanged")),
            Deploy.application == deploy.application_id,
            Deploy.state != "rolled_back",
        )
        .order_by(HostRun.id.desc())
        .limit(settings.deploy.retention * 20)
    )
    lock_digests = {deploy.release.digest: deploy.release.lock_digest}
    for row in rows:
        if len(lock_digests) >= settings.deploy.retention:
            break
        lock_digests.setdefault(row.digest, row.lock_digest)
    names = virtualenvs.names_for(set(lock_digests.values()))
    return {"releases": list(lock_digests), "environments": sorted({specification["environment"], *names})}
