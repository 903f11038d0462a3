"""How a Deployment's rollout stands: on its way, done, or failed for one reason. Pure.

The objects are a cluster's, or those that the local engine makes of a laptop's processes. What Kubernetes
goes on trying is still a failure here once nothing that it does by itself will help; while it works (it
adds nodes, pulls an image, fetches a model) nothing is, however long that takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from slipway.kube.events import EPOCH
from slipway.kube.folder import Object
from slipway.kube.pods import Finding, ended, finding, last_change
from slipway.kube.read import (
    HASH_LABEL,
    condition,
    is_ready,
    is_router,
    items,
    part,
    port_of,
    replicas,
    stopping,
)

ERROR_SECONDS = 5
"""How long the router may say that it cannot serve what is ready: it may be about to."""
REFUSED_SECONDS = 10
"""How long the creation of pods may be refused; in a new namespace service accounts take a moment."""
ROUTABLE_SECONDS = 30
"""How long the router may take to reach replicas that are ready."""


@dataclass(frozen=True)
class Routed:
    """How the routers see a web service."""

    serving: frozenset[str]
    """The replicas, `address:port`, to which every router sends requests."""
    error: str | None = None
    """why it is not served, or not as it should be"""


@dataclass(frozen=True)
class Rollout:
    """A Deployment and what there is of it."""

    deployment: Object
    current: str | None
    """the hash of its template, which its new pods have as a label; None if it is not known yet"""
    pods: Sequence[Object] = ()
    """its pods of every revision"""
    events: Sequence[Object] = ()
    """of its namespace"""
    refusal: Object = field(default_factory=dict[str, object])
    """the condition ReplicaFailure of the new ReplicaSet"""
    words: Mapping[str, str] = field(default_factory=dict[str, str])
    """the ends of logs of containers that crashed, by `pod/container`"""
    routed: Routed | None = None
    """None where nobody routes to it, and where the router cannot be asked"""
    began: datetime = EPOCH
    """since when somebody waits for it"""

    @property
    def name(self) -> str:
        """Name it as people do."""
        return self.deployment["metadata"]["name"]

    @property
    def new(self) -> list[Object]:
        """Its pods of the newest revision that stay."""
        labelled = (
            pod for pod in self.pods if part(pod, "metadata", "labels").get(HASH_LABEL) == self.current
        )
        return [pod for pod in labelled if not stopping(pod)]

    @property
    def old(self) -> list[Object]:
        """Its pods of earlier revisions that have not been told to stop."""
        labelled = (
            pod for pod in self.pods if part(pod, "metadata", "labels").get(HASH_LABEL) != self.current
        )
        return [pod for pod in labelled if not stopping(pod)]


@dataclass(frozen=True)
class Waiting:
    """It is on its way; the lines say what it waits for."""

    lines: tuple[str, ...]


@dataclass(frozen=True)
class Done:
    """All replicas of the newest revision are ready, and requests go to them."""

    replicas: int


@dataclass(frozen=True)
class Failed:
    """It does not get there by itself; `reason` is the one reason, `hint` what to do next."""

    reason: str
    hint: str = ""


Verdict = Waiting | Done | Failed


def verdict(rollout: Rollout, now: datetime) -> Verdict:
    """Judge a rollout at the time `now`."""
    begun = _begun(rollout)
    if begun is not None:
        return begun
    name, wanted = rollout.name, replicas(rollout.deployment["spec"])
    new = sorted(rollout.new, key=lambda pod: pod["metadata"]["name"])
    found = [one for pod in new if (one := finding(pod, rollout.events, rollout.words, now))]
    leaving = any(map(stopping, rollout.pods))  # which makes room
    failed = next((one for one in found if one.failed and not (one.unscheduled and leaving)), None)
    ready = sum(map(is_ready, new))
    late = _overdue(rollout.deployment) and not any(one.busy for one in found)
    if (refused := _refused(rollout.refusal)) is not None:
        since = now - last_change(rollout.refusal, now)
        failed = refused if late or since >= timedelta(seconds=REFUSED_SECONDS) else failed
        found = [refused, *found]
    if failed is not None:
        return Failed(f"{name}: {failed.text}", failed.hint)
    if ready == wanted == len(new) and not rollout.old:
        return _reached(rollout, new, now)
    if late:
        return _too_long(name, found, ready, wanted)
    return Waiting((f"{name}: {ready} of {wanted} ready", *(f"{one.pod}: {one.text}" for one in found)))


def crashed(rollout: Rollout) -> list[tuple[Object, Object]]:
    """Give the new pods' containers that crashed and are not ready again: (pod, the container's status)."""
    return [
        (pod, status)
        for pod in rollout.new
        if not is_ready(pod)
        for kind in ("initContainerStatuses", "containerStatuses")
        for status in items(pod, "status", kind)
        if not status.get("ready") and ended(status).get("exitCode")
    ]


def _begun(rollout: Rollout) -> Verdict | None:
    """Judge whether anything is done about the latest change at all; None if it is."""
    deployment, name = rollout.deployment, rollout.name
    if deployment["spec"].get("paused"):
        how = f"kubectl rollout resume -n {deployment['metadata']['namespace']} deployment/{name}"
        return Failed(f"{name}: its rollout is paused", how)
    if not replicas(deployment["spec"]) and is_router(deployment):
        how = f"kubectl scale -n {deployment['metadata']['namespace']} deployment/{name} --replicas=1"
        return Failed(f"{name}: it is scaled to 0, and requests get no answer", how)
    seen = part(deployment, "status").get("observedGeneration", 0)
    if rollout.current is None or seen < deployment["metadata"].get("generation", 1):
        return Waiting((f"{name}: the cluster has not begun yet",))
    return None


def _refused(refusal: Object) -> Finding | None:
    """Explain that no pods are made, by the new ReplicaSet's condition."""
    if refusal.get("status") != "True":
        return None
    message = " ".join(str(refusal.get("message", "")).split())
    hint = "correct what the message names"
    if "exceeded quota" in message:
        hint = "raise the namespace's ResourceQuota, or ask for less: cpu_cores, memory_gb, replicas"
    return Finding("new pods", f"the API server refuses its pods: {message}", hint=hint)


def _overdue(deployment: Object) -> bool:
    return condition(deployment, "Progressing").get("reason") == "ProgressDeadlineExceeded"


def _too_long(name: str, found: Sequence[Finding], ready: int, wanted: int) -> Failed:
    """Give the first pod's state as the reason; without one, how far it came."""
    if found:
        return Failed(f"{name}: {found[0].text}", found[0].hint or f"slipway logs {name}")
    return Failed(
        f"{name}: {ready} of {wanted} ready when progressDeadlineSeconds had passed", "slipway status"
    )


def _reached(rollout: Rollout, new: Sequence[Object], now: datetime) -> Verdict:
    """Judge what the router makes of replicas that are all ready."""
    routed, name = rollout.routed, rollout.name
    addresses = {f"{part(pod, 'status').get('podIP')}:{port_of(pod, 'http')}" for pod in new}
    if routed is None or (routed.error is None and routed.serving == frozenset(addresses)):
        return Done(len(new))
    since = max([rollout.began, *(last_change(condition(pod, "Ready"), now) for pod in new)])
    said = f"the router does not serve it: {routed.error}" if routed.error else "the router does not reach it"
    if now - since < timedelta(seconds=ERROR_SECONDS if routed.error else ROUTABLE_SECONDS):
        return Waiting((f"{name}: waiting for the router to reach every replica",))
    return Failed(f"{name}: {said}", "slipway logs router")
