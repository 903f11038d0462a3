"""The Deployments that are scaled: their replicas, pods without a node, and who else scales them. Pure."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from slipway.kube.events import time
from slipway.kube.folder import Object
from slipway.kube.read import condition, is_ready, items, part, place, replicas, stopping
from slipway.router.feed import Objects
from slipway.router.state import Service
from slipway.spec import WEBSERVICE

KEDA = "scaledobject.keda.sh/name"
"""The label that KEDA puts on the HorizontalPodAutoscaler of a ScaledObject."""
LATEST_PODS = 5
"""Pods whose start says how long the next one takes."""


@dataclass(frozen=True)
class Target:
    """A Deployment as the autoscaler sees it."""

    deployment: Object
    replicas: int
    """What it asks for."""
    unschedulable: tuple[str, ...] = ()
    """For each pod without a node, what the scheduler says."""
    rival: str | None = None
    """Who else scales it."""
    startup_seconds: float | None = None
    """From a pod's creation to its readiness: the middle of the latest; None where no pod is ready."""


def targets(services: Iterable[Service], objects: Objects) -> dict[str, Target]:
    """Give each service's Deployment as far as it is there."""
    deployments = {place(one): one for one in objects.deployments}
    pods: dict[object, list[Object]] = defaultdict(list)
    for pod in objects.pods:
        if not stopping(pod):
            labels = part(pod, "metadata", "labels")
            pods[place(pod)[0], labels.get(WEBSERVICE)].append(pod)
    return {
        service.name: _target(found, pods[service.deployment[0], service.name], objects.autoscalers)
        for service in services
        if (found := deployments.get(service.deployment)) is not None
    }


def _target(deployment: Object, pods: Sequence[Object], autoscalers: Sequence[Object]) -> Target:
    return Target(
        deployment,
        replicas(part(deployment, "spec")),
        tuple(said for pod in pods if (said := unschedulable(pod)) is not None),
        next((_title(one) for one in autoscalers if _scales(one, deployment)), None),
        _startup(pods),
    )


def unschedulable(pod: Object) -> str | None:
    """Say why no node takes a pod; None if one does, or nobody has tried yet."""
    placed = condition(pod, "PodScheduled")
    if (placed.get("status"), placed.get("reason")) != ("False", "Unschedulable"):
        return None
    return str(placed.get("message") or "no node takes it")


def _startup(pods: Iterable[Object]) -> float | None:
    """Give the middle of the latest pods' times."""
    newest = sorted(pods, key=lambda pod: pod["metadata"].get("creationTimestamp", ""), reverse=True)
    starts = (start for pod in newest if (start := _start(pod)) is not None)
    latest = list(islice(starts, LATEST_PODS))
    return statistics.median(latest) if latest else None


def _start(pod: Object) -> float | None:
    """Give a pod's time; None if it is not ready, or was restarted, which tells of something else.

    A node that was not heard of for a while makes its pods Ready anew, but not their containers.
    """
    restarted = any(one.get("restartCount") for one in items(pod, "status", "containerStatuses"))
    since = (condition(pod, "ContainersReady") or condition(pod, "Ready")).get("lastTransitionTime")
    if not is_ready(pod) or restarted or not since:
        return None
    return max(0.0, (time(since) - time(pod["metadata"]["creationTimestamp"])).total_seconds())


def _scales(autoscaler: Object, deployment: Object) -> bool:
    reference = part(autoscaler, "spec", "scaleTargetRef")
    namespace, name = place(deployment)
    named = (reference.get("kind"), reference.get("name"))
    return place(autoscaler)[0] == namespace and named == ("Deployment", name)


def _title(autoscaler: Object) -> str:
    keda = part(autoscaler, "metadata", "labels").get(KEDA)
    of = f" of KEDA's ScaledObject {keda}" if keda else ""
    return f"HorizontalPodAutoscaler {'/'.join(place(autoscaler))}{of}"
