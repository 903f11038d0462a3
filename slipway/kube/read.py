"""Reading Kubernetes objects, where any level may be absent or null."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from slipway.kube.folder import Object

COMPONENT = "app.kubernetes.io/component"
HASH_LABEL = "pod-template-hash"
"""Label of a Deployment's pods: which revision of its template they were made from."""


def part(obj: Object, *path: str) -> Object:
    """Follow field names to an inner object; empty where one is missing."""
    for name in path:
        obj = cast("Object", obj.get(name) or {})
    return obj


def items(obj: Object, *path: str) -> list[Object]:
    """Follow field names to a list of objects; empty where one is missing."""
    return cast("list[Object]", part(obj, *path[:-1]).get(path[-1]) or [])


def place(obj: Object) -> tuple[str, str]:
    """Give namespace and name; of an object of the whole cluster the former is empty."""
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def named(objects: Iterable[Object], name: str) -> Object | None:
    """Find an object by its name, whatever the others look like."""
    for obj in objects:
        metadata: object = obj.get("metadata")
        if isinstance(metadata, dict) and cast("Object", metadata).get("name") == name:
            return obj
    return None


def replicas(spec: Object) -> int:
    """Give the wanted number of pods of a Deployment's spec; 1 where nobody said."""
    wanted: int | None = spec.get("replicas")
    return 1 if wanted is None else wanted


def is_router(obj: Object) -> bool:
    """Tell whether a Deployment or Pod is the router's."""
    return part(obj, "metadata", "labels").get(COMPONENT) == "router"


def condition(obj: Object, kind: str) -> Object:
    """Give the condition of a type; empty if there is none."""
    found = (one for one in items(obj, "status", "conditions") if one["type"] == kind)
    return next(found, cast("Object", {}))


def stopping(obj: Object) -> bool:
    """Tell whether an object is on its way out."""
    return "deletionTimestamp" in obj["metadata"]


def is_ready(pod: Object) -> bool:
    """Tell whether a Pod's condition Ready is true and it is not on its way out."""
    return condition(pod, "Ready").get("status") == "True" and not stopping(pod)


def port_of(pod: Object, port: str | int) -> int | None:
    """Give the port behind a container port's name or number: the local one where a pod is a process."""
    for container in items(pod["spec"], "containers"):
        for declared in items(container, "ports"):
            if port in (declared.get("name"), declared["containerPort"]):
                return declared.get("hostPort") or declared["containerPort"]
    return None
