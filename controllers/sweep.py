"""Ring again for whatever is due: the net under lost messages, dead workers and a broker that was away."""
from controllers import dispatch, releases
from models import Deploy


def sweep():
    """Ring for every deploy that has not ended and for every build that nobody works on."""
    for (deploy_id,) in Deploy.select(Deploy.id).where(Deploy.state.in_(("queued", "running", "paused", "rolling_back"))).order_by(Deploy.id).tuples():
        dispatch.ring("windlass.conduct", deploy_id)
    for release_id in releases.due_builds():
        dispatch.ring("windlass.build", release_id)
