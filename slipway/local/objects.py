"""The objects that a cluster's controllers and kubelets would make: Pods, their status, EndpointSlices. Pure.

Every pod has the address 127.0.0.1 and ports of its own, so there is one slice a pod.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from slipway.kube.folder import Object
from slipway.kube.read import HASH_LABEL, items, part, port_of
from slipway.local.container import ADDRESS, NODE

MANAGER = "slipway-local"


@dataclass(frozen=True)
class Termination:
    """How a run of a container ended; a negative exit code is a signal, as in `subprocess`."""

    exit_code: int
    reason: str
    message: str
    started: str
    finished: str


@dataclass(frozen=True)
class ContainerView:
    """What is known of one container: at most one of `pid` and `waiting` is set."""

    name: str
    image: str
    pid: int | None = None
    started: str = ""
    ready: bool = False
    waiting: tuple[str, str] | None = ("ContainerCreating", "")  # reason, message
    last: Termination | None = None
    done: bool = False  # an init container that succeeded
    stays: bool = False  # an init container that runs beside the others
    restarts: int = 0


def pod(deployment: Object, name: str, current: str, ports: Mapping[int, int]) -> Object:
    """Make a Pod of a Deployment; `ports` gives the local port for each container port."""
    template: Object = json.loads(json.dumps(deployment["spec"]["template"]))
    metadata = part(template, "metadata")
    spec: Object = template["spec"]
    for container in items(spec, "containers"):
        for port in items(container, "ports"):
            port["hostPort"] = ports[port["containerPort"]]
    owner = deployment["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": owner["namespace"],
            "labels": {**(metadata.get("labels") or {}), HASH_LABEL: current},
            "annotations": metadata.get("annotations") or {},
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "Deployment",
                    "name": owner["name"],
                    "uid": owner.get("uid", ""),
                    "controller": True,
                }
            ],
        },
        "spec": {**spec, "nodeName": NODE},
    }


def container_ports(template: Object) -> list[int]:
    """List the ports that a pod's containers declare."""
    containers = items(template, "spec", "containers")
    return [port["containerPort"] for container in containers for port in items(container, "ports")]


def host_ports(pod: Object) -> list[int]:
    """List the local ports of a pod."""
    return [
        port["hostPort"]
        for container in items(pod, "spec", "containers")
        for port in items(container, "ports")
    ]


def owner(pod: Object) -> tuple[str, str]:
    """Give namespace and name of a pod's Deployment."""
    return pod["metadata"]["namespace"], pod["metadata"]["ownerReferences"][0]["name"]


def pod_status(
    init: Sequence[ContainerView],
    containers: Sequence[ContainerView],
    *,
    started: str,
    now: str,
    before: Object,
) -> Object:
    """Give a Pod's status; `now` is the time for a Ready condition that changes."""
    ready = all(container.ready for container in containers)
    running = all(container.done or container.stays for container in init) and any(
        c.pid or c.last for c in containers
    )
    had: Object = {c["type"]: c for c in items(before, "conditions")}.get("Ready", {})
    since = had["lastTransitionTime"] if had.get("status") == str(ready) else now
    return {
        "phase": "Running" if running else "Pending",
        "podIP": ADDRESS,
        "podIPs": [{"ip": ADDRESS}],
        "hostIP": ADDRESS,
        "startTime": started,
        "conditions": [{"type": "Ready", "status": str(ready), "lastTransitionTime": since}],
        "initContainerStatuses": [_container_status(container) for container in init],
        "containerStatuses": [_container_status(container) for container in containers],
    }


def selected(service: Object, pod: Object) -> bool:
    """Tell whether a Service selects a pod. One without a selector selects none."""
    selector: dict[str, str] = service["spec"].get("selector") or {}
    labels: dict[str, str] = pod["metadata"].get("labels") or {}
    same_namespace = service["metadata"]["namespace"] == pod["metadata"]["namespace"]
    return bool(selector) and same_namespace and selector.items() <= labels.items()


def endpoint_slice(service: Object, pod: Object, *, ready: bool, stopping: bool) -> Object:
    """Make the slice of one pod behind a Service, with the Service's labels, as Kubernetes copies them."""
    metadata: Object = service["metadata"]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{metadata['name']}-{pod['metadata']['name']}",
            "namespace": metadata["namespace"],
            "labels": {
                **(metadata.get("labels") or {}),
                "kubernetes.io/service-name": metadata["name"],
                "endpointslice.kubernetes.io/managed-by": MANAGER,
            },
        },
        "addressType": "IPv4",
        "ports": list(_ports(service, pod)),
        "endpoints": [
            {
                "addresses": [ADDRESS],
                "conditions": {"ready": ready and not stopping, "serving": ready, "terminating": stopping},
                "nodeName": NODE,
                "targetRef": {
                    "kind": "Pod",
                    "namespace": pod["metadata"]["namespace"],
                    "name": pod["metadata"]["name"],
                },
            }
        ],
    }


def _ports(service: Object, pod: Object) -> Iterator[Object]:
    for port in items(service, "spec", "ports"):
        local = port_of(pod, port.get("targetPort") or port["port"])
        if local is not None:
            yield {"name": port.get("name") or "", "port": local, "protocol": port.get("protocol") or "TCP"}


def _container_status(view: ContainerView) -> Object:
    state: Object
    if view.pid is not None:
        state = {"running": {"startedAt": view.started}}
    elif view.waiting is not None:
        reason, message = view.waiting
        state = {"waiting": {"reason": reason, "message": message}}
    else:
        state = _terminated(view.last)
    status: Object = {
        "name": view.name,
        "image": view.image,
        "ready": view.ready,
        "started": view.pid is not None,
        "restartCount": view.restarts,
        "state": state,
        "lastState": {} if view.done else _terminated(view.last),
    }
    if view.pid is not None:
        status["containerID"] = f"process://{view.pid}"
    return status


def _terminated(last: Termination | None) -> Object:
    if last is None:
        return {}
    return {
        "terminated": {
            "exitCode": last.exit_code if last.exit_code >= 0 else 128 - last.exit_code,
            "reason": last.reason,
            "message": last.message,
            "startedAt": last.started,
            "finishedAt": last.finished,
        }
    }
