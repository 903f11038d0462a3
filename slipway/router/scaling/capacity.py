"""What came of what the router asked a cluster for: more CPU for a pod, another pod. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from slipway.kube.folder import Object
from slipway.kube.read import condition, items, part, stopping
from slipway.router.scaling.targets import unschedulable

CONTAINER = "router"


def requested(pod: Object) -> int | None:
    """Give the thousandths of a core that the node keeps for a router's pod; None where it does not say."""
    return _cpu(items(pod, "status", "containerStatuses"))


def asked(pod: Object) -> int | None:
    """Give what its spec asks for, whether the node has given it or not."""
    return _cpu(items(pod, "spec", "containers"))


def refused(pod: Object, before: Object) -> str | None:
    """Say why a pod does not get the CPU that was asked for; None if it may still, or has it.

    `before` is the pod as it was then: what was said of an earlier request does not count. A node that could
    give it later (`Deferred`) refuses, too: only what is free now counts.
    """
    generation: int = part(before, "metadata").get("generation", 0)
    for name in ("PodResizePending", "PodResizeInProgress"):
        found = condition(pod, name)
        seen: int | None = found.get("observedGeneration")  # Kubernetes 1.34 and up
        old = found == condition(before, name) if seen is None else seen <= generation
        says = name == "PodResizePending" or found.get("reason") == "Error"
        if found.get("status") == "True" and says and not old:
            return f"{found.get('reason') or name}: {found.get('message') or 'the node does not say why'}"
    return None


def unplaced(pods: Iterable[Object], replicas: int) -> str | None:
    """Say why one of the router's pods finds no node; None while more of them go than there should be."""
    alive = [pod for pod in pods if not stopping(pod)]
    found = (said for pod in alive if (said := unschedulable(pod)) is not None)
    return next(found, None) if len(alive) <= replicas else None


def _cpu(containers: Iterable[Object]) -> int | None:
    for container in containers:
        if container.get("name") == CONTAINER:
            text = str(part(container, "resources", "requests").get("cpu") or "")
            return None if not text else int(text[:-1]) if text.endswith("m") else round(float(text) * 1000)
    return None
