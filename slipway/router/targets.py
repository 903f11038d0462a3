"""The Deployments that are scaled: their replicas, pods without a node, and who else scales them. Pure."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from slipway.kube.folder import Object
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
    deployments = {_place(one): one for one in objects.deployments}
    pods: dict[object, list[Object]] = defaultdict(list)
    for pod in objects.pods:
        if "deletionTimestamp" not in _part(pod, "metadata"):
            labels = _part(pod, "metadata", "labels")
            pods[_part(pod, "metadata").get("namespace"), labels.get(WEBSERVICE)].append(pod)
    return {
        service.name: _target(found, pods[service.deployment[0], service.name], objects.autoscalers)
        for service in services
        if (found := deployments.get(service.deployment)) is not None
    }


def _target(deployment: Object, pods: Sequence[Object], autoscalers: Sequence[Object]) -> Target:
    replicas: object = _part(deployment, "spec").get("replicas")
    return Target(
        deployment,
        replicas if isinstance(replicas, int) else 1,
        tuple(said for pod in pods if (said := _unschedulable(pod)) is not None),
        next((_title(one) for one in autoscalers if _scales(one, deployment)), None),
        _startup(pods),
    )


def _unschedulable(pod: Object) -> str | None:
    for condition in _conditions(pod, "PodScheduled"):
        if condition.get("status") == "False" and condition.get("reason") == "Unschedulable":
            return str(condition.get("message") or "no node takes it")
    return None


def _startup(pods: Iterable[Object]) -> float | None:
    """Give the middle of the latest pods' times; those that were restarted tell of something else."""
    starts: list[tuple[datetime, float]] = []
    for pod in pods:
        restarted = any(
            one.get("restartCount") for one in _part(pod, "status").get("containerStatuses") or ()
        )
        for condition in _conditions(pod, "Ready"):
            if condition.get("status") == "True" and not restarted:
                created = _time(_part(pod, "metadata").get("creationTimestamp"))
                ready = _time(condition.get("lastTransitionTime"))
                if created is not None and ready is not None:
                    starts.append((created, max(0.0, (ready - created).total_seconds())))
    latest = [seconds for _, seconds in sorted(starts)[-LATEST_PODS:]]
    return statistics.median(latest) if latest else None


def _scales(autoscaler: Object, deployment: Object) -> bool:
    reference = _part(autoscaler, "spec", "scaleTargetRef")
    namespace, name = _place(deployment)
    here = _part(autoscaler, "metadata").get("namespace") == namespace
    return here and (reference.get("kind"), reference.get("name")) == ("Deployment", name)


def _title(autoscaler: Object) -> str:
    metadata = _part(autoscaler, "metadata")
    keda = _part(metadata, "labels").get(KEDA)
    of = f" of KEDA's ScaledObject {keda}" if keda else ""
    return f"HorizontalPodAutoscaler {metadata.get('namespace')}/{metadata.get('name')}{of}"


def _place(obj: Object) -> tuple[object, object]:
    metadata = _part(obj, "metadata")
    return metadata.get("namespace"), metadata.get("name")


def _conditions(pod: Object, kind: str) -> Iterable[Mapping[str, Any]]:
    return (one for one in _part(pod, "status").get("conditions") or () if one.get("type") == kind)


def _part(obj: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """Follow names down; empty where the way ends."""
    for name in path:
        obj = obj.get(name) or {}
    return obj


def _time(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) else None
