"""Why a pod is not ready, in a line: where it stands, or what went wrong and what to do. Pure.

Reasons and messages are those of kubelet (pkg/kubelet/images, pkg/kubelet/events in kubernetes/kubernetes),
scheduler (FailedScheduling) and cluster autoscaler (FAQ.md of kubernetes/autoscaler, "What events are
emitted by CA?"); Nominated is Karpenter's, as which AKS adds nodes of its own choice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from slipway.kube.events import about, text, time
from slipway.kube.folder import Object
from slipway.kube.read import condition, is_ready, items, part

UNSCHEDULED_SECONDS = 30
"""How long a pod may wait for the autoscaler's answer, which looks every 10 s (and AKS's as often)."""
PULL_SECONDS = 120
"""How long a registry may fail in ways that pass."""
CONFIG_SECONDS = 15
"""How long a Secret or ConfigMap may be missing."""
SCALES_UP = ("TriggeredScaleUp", "Nominated")
STAYS = "NotTriggerScaleUp"
PULL = ("ErrImagePull", "ImagePullBackOff")
PULL_NEVER = ("InvalidImageName", "ErrImageNeverPull")
CONFIG = ("CreateContainerConfigError", "CreateContainerError")
CRASHES = ("CrashLoopBackOff", "RunContainerError")
FORBIDDEN = ("unauthorized", "denied", "forbidden", "authentication required")
LASTS = (*FORBIDDEN, "not found", "manifest unknown", "no match for platform", "invalid reference")
"""What a registry says that it will say again."""


@dataclass(frozen=True)
class Finding:
    """Why one pod is not ready."""

    pod: str
    text: str
    failed: bool = False
    """Kubernetes may go on trying, but by itself it will not get better"""
    hint: str = ""
    busy: bool = False
    """the cluster works on it, and that takes as long as it takes"""
    unscheduled: bool = False


def finding(pod: Object, events: Iterable[Object], words: Mapping[str, str], now: datetime) -> Finding | None:
    """Say why a pod is not ready; None if it is. `words` has the ends of logs, by `pod/container`."""
    if is_ready(pod):
        return None
    own = about(pod, events)
    return (
        _evicted(pod)
        or _unscheduled(pod, own, now)
        or _container(pod, own, words, now)
        or _probe(pod, own)
        or _starting(pod, own)
    )


def last_change(condition: Object, now: datetime) -> datetime:
    """Say since when a condition is as it is; `now` if it does not tell."""
    since = condition.get("lastTransitionTime")
    return time(since) if since else now


def ended(status: Object) -> Object:
    """Give how a container's last process ended; empty if none did."""
    return part(status, "state", "terminated") or part(status, "lastState", "terminated")


def end_text(end: Object) -> str:
    """Say how a process ended: `exit 3`, or a reason that says more than the code."""
    reason, code = end.get("reason", ""), end.get("exitCode")
    if reason in ("", "Error", "Completed"):
        return f"exit {code}"
    return "unhealthy" if reason == "Unhealthy" else f"{reason}, exit {code}"


def _evicted(pod: Object) -> Finding | None:
    status = part(pod, "status")
    if status.get("phase") != "Failed":
        return None
    said = ": ".join(str(one) for one in (status.get("reason"), status.get("message")) if one)
    return _of(pod, f"the node ended it: {said or 'no reason given'}")


def _unscheduled(pod: Object, events: Sequence[Object], now: datetime) -> Finding | None:
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") != "False":
        return None
    reason = f"no node for it: {scheduled.get('message') or scheduled.get('reason')}"
    answers = [event for event in events if event.get("reason") in (*SCALES_UP, STAYS)]
    if answers and answers[-1]["reason"] in SCALES_UP:
        return _of(pod, f"nodes are being added: {text(answers[-1])}", busy=True, unscheduled=True)
    if answers:
        reason += f"; {text(answers[-1])}"
    waited = now - last_change(scheduled, now) >= timedelta(seconds=UNSCHEDULED_SECONDS)
    hint = "ask for less (cpu_cores, memory_gb, gpu_cores, replicas), or give its agent pool more nodes"
    return _of(pod, reason, failed=waited or bool(answers), hint=hint, unscheduled=True)


def _container(
    pod: Object, events: Sequence[Object], words: Mapping[str, str], now: datetime
) -> Finding | None:
    """Look at the containers in the order in which they start."""
    beside = {
        one["name"] for one in items(pod, "spec", "initContainers") if one.get("restartPolicy") == "Always"
    }
    for kind in ("initContainerStatuses", "containerStatuses"):
        for status in items(pod, "status", kind):
            if status.get("ready"):
                continue
            waiting = part(status, "state", "waiting")
            reason, message = waiting.get("reason", ""), " ".join(str(waiting.get("message") or "").split())
            if reason in (*PULL, *PULL_NEVER):
                return _pull(pod, status, events, now)
            if reason in CONFIG:
                failed = _since(pod, now) > timedelta(seconds=CONFIG_SECONDS)
                hint = "make what is missing, or correct its name; the pod starts then"
                return _of(pod, f"{status['name']} cannot start: {message}", failed=failed, hint=hint)
            end = ended(status)
            if reason in CRASHES or end.get("exitCode") or end.get("reason") == "Unhealthy":
                last = (
                    words.get(f"{pod['metadata']['name']}/{status['name']}") or end.get("message") or message
                )
                return _crash(pod, status, end, last, events, again=reason in CRASHES)
            first = kind == "initContainerStatuses" and status["name"] not in beside
            if first and part(status, "state", "running"):
                return _of(pod, f"{status['name']} is at work before the service starts", busy=True)
    return None


def _pull(pod: Object, status: Object, events: Sequence[Object], now: datetime) -> Finding:
    """Explain an image that cannot be pulled; the kubelet's event says why where the status does not."""
    waiting, image = part(status, "state", "waiting"), status["image"]
    message = " ".join(str(waiting.get("message") or waiting["reason"]).split())
    told = [text(event) for event in events if event.get("reason") == "Failed" and "pull" in text(event)]
    why = next(
        (one for one in (*reversed(told), message) if image in one and ":" in one.partition(image)[2]),
        message,
    )
    said = why.rpartition(f'"{image}": ')[2] or why
    low = why.lower()
    never = waiting["reason"] in PULL_NEVER or any(word in low for word in LASTS)
    if any(word in low for word in FORBIDDEN):
        hint = "let the nodes pull from the registry (on AKS: the role AcrPull for the kubelet's identity)"
    else:
        hint = "push the image (`pulumi up` does), or correct its name in the stack file"
    failed = never or _since(pod, now) > timedelta(seconds=PULL_SECONDS)
    return _of(pod, f"image {image} cannot be pulled: {said}", failed=failed, hint=hint)


def _crash(
    pod: Object, status: Object, end: Object, last: str, events: Sequence[Object], *, again: bool
) -> Finding:
    """Explain a container that ended: killed by its probe, out of memory, or by itself."""
    name = status["name"]
    service = part(pod, "metadata", "labels").get("slipway/webservice", "router")
    hint = f"slipway logs {service} --previous"
    killed = [
        one for one in events if one.get("reason") == "Killing" and f"Container {name} failed" in text(one)
    ]
    probes = [one for one in events if one.get("reason") == "Unhealthy" and "iveness probe" in text(one)]
    if end.get("reason") == "OOMKilled":
        what, hint = (
            f"{name} needs more memory than its limit (OOMKilled)",
            "raise memory_gb in the stack file",
        )
    elif killed:
        said = text(probes[-1]) if probes else text(killed[-1])
        what = f"{name} was restarted: {said[:1].lower()}{said[1:]}"
    elif end.get("reason") == "Unhealthy":
        what = f"{name} was restarted: its liveness probe failed"
    else:
        what = f"{name} ended with {end_text(end)}" if end else f"{name} cannot be started"
    count = status.get("restartCount", 0)
    times = f" ({count} restarts)" if count > 1 else ""
    return _of(pod, f"{what}{times}\n{last.rstrip()}".rstrip(), failed=again, hint=hint)


def _probe(pod: Object, events: Sequence[Object]) -> Finding | None:
    """Give the newest answer to a probe that failed."""
    failing = [event for event in events if event.get("reason") == "Unhealthy"]
    if not failing:
        return None
    said = text(failing[-1])
    service = part(pod, "metadata", "labels").get("slipway/webservice", "router")
    return _of(pod, f"{said[:1].lower()}{said[1:]}", hint=f"slipway logs {service}")


def _starting(pod: Object, events: Sequence[Object]) -> Finding:
    """Say what the kubelet does, by the newest event."""
    last = events[-1] if events else {}
    if last.get("reason") == "Pulling":
        return _of(pod, f"{text(last)[:1].lower()}{text(last)[1:]}", busy=True)
    if last.get("type") == "Warning":
        return _of(pod, text(last), hint="slipway status")
    return _of(pod, "starting")


def _since(pod: Object, now: datetime) -> timedelta:
    """Say for how long a pod has had a node."""
    since = condition(pod, "PodScheduled").get("lastTransitionTime") or part(pod, "status").get("startTime")
    return now - time(since) if since else timedelta(0)


def _of(
    pod: Object,
    said: str,
    *,
    failed: bool = False,
    hint: str = "",
    busy: bool = False,
    unscheduled: bool = False,
) -> Finding:
    return Finding(pod["metadata"]["name"], said, failed, hint, busy, unscheduled)
