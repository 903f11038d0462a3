"""Objects of a rollout, shaped as an API server gives them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from slipway.kube.rollout import Rollout

Json = dict[str, Any]
NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
IMAGE = "registry.example.com/slipway/diabetes@sha256:0b05"


def ago(seconds: float) -> str:
    return (NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def deployment(wanted: int = 1, *, generation: int = 3, observed: int = 3, **conditions: str) -> Json:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "diabetes",
            "namespace": "slipway-services",
            "uid": "d",
            "generation": generation,
            "labels": {"slipway/webservice": "diabetes"},
        },
        "spec": {"replicas": wanted},
        "status": {
            "observedGeneration": observed,
            "conditions": [
                {"type": kind, "status": "False" if "Exceeded" in reason else "True", "reason": reason}
                for kind, reason in conditions.items()
            ],
        },
    }


def pod(
    name: str = "diabetes-new-a",
    *,
    hash_: str = "new",
    ready: float | None = None,
    scheduled: float | None = 60,
    unscheduled: float | None = None,
    message: str = "",
    address: str = "10.244.0.7",
    going: bool = False,
    main: Json | None = None,
    init: Json | None = None,
) -> Json:
    """A pod; numbers are the seconds since when it is ready, scheduled or cannot be scheduled."""
    conditions: list[Json] = []
    if unscheduled is not None:
        said = {"reason": "Unschedulable", "message": message}
        conditions.append(
            {"type": "PodScheduled", "status": "False", "lastTransitionTime": ago(unscheduled), **said}
        )
    elif scheduled is not None:
        conditions.append({"type": "PodScheduled", "status": "True", "lastTransitionTime": ago(scheduled)})
    is_ready = "False" if ready is None else "True"
    conditions.append({"type": "Ready", "status": is_ready, "lastTransitionTime": ago(ready or 0)})
    statuses = [{"name": "scoring", "image": IMAGE, "restartCount": 0, **main}] if main else []
    first = [{"name": "models", "image": IMAGE, "restartCount": 0, **init}] if init else []
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "slipway-services",
            "uid": f"uid-{name}",
            "labels": {"slipway/webservice": "diabetes", "pod-template-hash": hash_},
            **({"deletionTimestamp": ago(1)} if going else {}),
        },
        "spec": {
            "initContainers": [{"name": "models", "image": IMAGE}] if init else [],
            "containers": [
                {"name": "scoring", "image": IMAGE, "ports": [{"name": "http", "containerPort": 5001}]}
            ],
        },
        "status": {
            "phase": "Pending" if unscheduled is not None else "Running",
            "podIP": address,
            "conditions": conditions,
            "containerStatuses": statuses,
            "initContainerStatuses": first,
        },
    }


def waiting(reason: str, message: str = "", **more: Any) -> Json:
    return {"state": {"waiting": {"reason": reason, "message": message}}, **more}


def running(**more: Any) -> Json:
    return {"state": {"running": {"startedAt": ago(20)}}, **more}


def crashed(code: int, reason: str = "Error", message: str = "") -> Json:
    end = {"exitCode": code, "reason": reason, "message": message, "finishedAt": ago(5)}
    return {"lastState": {"terminated": end}}


def event(
    reason: str, message: str, *, at: float = 5, of: str = "diabetes-new-a", warning: bool = True
) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{of}.{reason}.{at}", "namespace": "slipway-services"},
        "type": "Warning" if warning else "Normal",
        "involvedObject": {"kind": "Pod", "namespace": "slipway-services", "name": of, "uid": f"uid-{of}"},
        "reason": reason,
        "message": message,
        "lastTimestamp": ago(at),
    }


def rollout(wanted: int = 1, *pods: Json, events: tuple[Json, ...] = (), **more: Any) -> Rollout:
    given = more.pop("deployment", None) or deployment(wanted)
    return Rollout(given, more.pop("current", "new"), pods, events, **more)
