"""What the Deployment controller decides, as pure functions: which pods to make and to stop, and the status.

Pods are compared by the hash of what they were made from, so there are no ReplicaSets and no history.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from slipway.kube.folder import Object
from slipway.kube.read import items, part, replicas


@dataclass(frozen=True)
class PodView:
    """What matters of one pod; `age` orders them, oldest first."""

    name: str
    hash: str
    age: int
    ready: bool = False
    stopping: bool = False


@dataclass(frozen=True)
class Limits:
    """How far a rollout may go above and below the wanted number of pods."""

    surge: int
    unavailable: int
    wait_for_gone: bool = False
    """Make no pod while one that is stopping still counts: it holds what the new one needs."""


@dataclass(frozen=True)
class Step:
    """What to do now. The rest follows when something has changed."""

    create: int = 0
    stop: tuple[str, ...] = ()


def template_hash(template: Object, images: Mapping[str, object]) -> str:
    """Hash what a pod is made from: its template and what its images are on this machine."""
    containers = [*items(template, "spec", "initContainers"), *items(template, "spec", "containers")]
    parts = [template, [images.get(container["image"]) for container in containers]]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:10]


def limits(spec: Object, *, fixed_ports: bool) -> Limits:
    """Read `spec.strategy`.

    With fixed ports a pod's successor cannot start before it is gone, so pods are replaced one by one.
    """
    wanted = replicas(spec)
    if part(spec, "strategy").get("type") == "Recreate":
        return Limits(0, wanted, wait_for_gone=True)
    if fixed_ports:
        return Limits(0, 1, wait_for_gone=True)
    rolling = part(spec, "strategy", "rollingUpdate")
    surge = _share(rolling.get("maxSurge", "25%"), wanted, math.ceil)
    unavailable = _share(rolling.get("maxUnavailable", "25%"), wanted, math.floor)
    return Limits(surge, unavailable) if surge or unavailable else Limits(0, 1)


def plan(wanted: int, current: str, allowed: Limits, pods: Sequence[PodView]) -> Step:
    """Decide the next step towards `wanted` pods of hash `current`.

    wanted 1, surge 1, unavailable 0, one ready old pod: create one; once it is ready: stop the old one.
    """
    live = sorted((pod for pod in pods if not pod.stopping), key=lambda pod: pod.age)
    new = [pod for pod in live if pod.hash == current]
    old = [pod for pod in live if pod.hash != current]
    # Surplus: those that are not ready go first, then the youngest.
    surplus = sorted(new, key=lambda pod: (pod.ready, -pod.age))[: max(0, len(new) - wanted)]
    kept = [pod for pod in new if pod not in surplus]
    # Old pods that serve nobody go at once; ready ones as far as enough ready pods stay.
    ready = sum(pod.ready for pod in (*kept, *old))
    spare = max(0, ready - max(0, wanted - allowed.unavailable))
    stop = [*surplus, *(pod for pod in old if not pod.ready), *[pod for pod in old if pod.ready][:spare]]
    # Room counts what is there now: a pod that is told to stop makes room when it is gone from the list.
    there = len(pods) if allowed.wait_for_gone else len(live)
    room = wanted + allowed.surge - there
    return Step(max(0, min(wanted - len(kept), room)), tuple(pod.name for pod in stop))


def status(deployment: Object, current: str, allowed: Limits, pods: Sequence[PodView], now: str) -> Object:
    """Give the Deployment's status; `now` is the time for conditions that change."""
    wanted = replicas(deployment["spec"])
    live = [pod for pod in pods if not pod.stopping]
    ready = sum(pod.ready for pod in live)
    updated = sum(pod.hash == current for pod in live)
    updated_ready = sum(pod.ready for pod in live if pod.hash == current)
    available = ready >= wanted - allowed.unavailable
    complete = updated_ready == wanted == len(live)
    before: dict[str, Object] = {c["type"]: c for c in items(deployment, "status", "conditions")}
    conditions = [
        _condition(
            before,
            "Available",
            available,
            "MinimumReplicasAvailable" if available else "MinimumReplicasUnavailable",
            now,
        ),
        _condition(
            before, "Progressing", True, "NewReplicaSetAvailable" if complete else "ReplicaSetUpdated", now
        ),
    ]
    return {
        "observedGeneration": deployment["metadata"].get("generation", 1),
        "replicas": len(live),
        "updatedReplicas": updated,
        "readyReplicas": ready,
        "availableReplicas": ready,
        "unavailableReplicas": max(0, wanted - ready),
        "conditions": conditions,
    }


def _condition(before: Mapping[str, Object], kind: str, value: bool, reason: str, now: str) -> Object:
    condition: Object = {"type": kind, "status": str(value), "reason": reason}
    had = before.get(kind, {})
    same = {key: had.get(key) for key in condition} == condition
    return {**condition, "lastTransitionTime": had["lastTransitionTime"] if same else now}


def _share(value: int | str, wanted: int, rounded: Callable[[float], int]) -> int:
    """Read a number, or a percentage of the wanted pods: `25%` of 3 is 1 rounded up, 0 rounded down."""
    if isinstance(value, str) and value.endswith("%"):
        return rounded(wanted * int(value[:-1]) / 100)
    return int(value)
