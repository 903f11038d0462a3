"""How a Deployment is doing, in the words that Azure ML v1 has for a web service. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from slipway.kube.folder import Object
from slipway.kube.pods import CONFIG, CRASHES, PULL, PULL_NEVER, end_text
from slipway.kube.read import is_ready, is_router, items, part, replicas

BROKEN = {*CRASHES, *CONFIG, *PULL, *PULL_NEVER}
"""Why a container waits that does not start by itself."""


@dataclass(frozen=True)
class Health:
    """A Deployment at a glance."""

    state: str  # Healthy | Transitioning | Unhealthy | Failed
    ready: int
    wanted: int
    restarts: int
    last_end: str = ""
    """how the latest process that was started again had ended"""


def health(deployment: Object, pods: Collection[Object]) -> Health:
    """Judge a Deployment by its status and its own pods.

    Failed: nothing is ready and a container keeps crashing or cannot be configured, or no router is wanted.
    Unhealthy: some of it crashes, or what is complete is not ready. Transitioning: on its way.
    """
    wanted = replicas(deployment["spec"])
    status = part(deployment, "status")
    live = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    ready = sum(is_ready(pod) for pod in live)
    kinds = ("initContainerStatuses", "containerStatuses")
    containers = [container for pod in live for kind in kinds for container in items(pod, "status", kind)]
    reasons = {part(container, "state", "waiting").get("reason") for container in containers}
    broken = bool(reasons & BROKEN)
    restarts = sum(container["restartCount"] for container in containers)
    ends = [end for c in containers if c["restartCount"] and (end := part(c, "lastState", "terminated"))]
    last = max(ends, key=lambda end: end["finishedAt"], default=None)
    current = status.get("updatedReplicas", 0) == wanted == len(live)
    if not wanted and is_router(deployment):  # nothing brings one back, as it does a web service's replica
        state = "Failed"
    elif current and ready == wanted:
        state = "Healthy"
    elif broken:
        state = "Unhealthy" if ready else "Failed"
    elif current and restarts:
        state = "Unhealthy"
    else:
        state = "Transitioning"
    return Health(state, ready, wanted, restarts, end_text(last) if last else "")
