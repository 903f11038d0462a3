"""Ports on this machine: which are free, and which the pods of a stack will insist on."""

from __future__ import annotations

import random
import socket
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from slipway.kube.folder import Object
from slipway.kube.read import items, part, port_of
from slipway.local.container import ADDRESS
from slipway.local.objects import selected


@dataclass(frozen=True)
class Fixed:
    """A port that a Deployment's first pod listens on and no other, because a LoadBalancer leads to it."""

    namespace: str
    deployment: str
    port: int


def behind_load_balancer(deployment: Object, services: Collection[Object]) -> set[int]:
    """Give the container ports to which LoadBalancer Services lead."""
    template = deployment["spec"]["template"]
    metadata = {**part(template, "metadata"), "namespace": deployment["metadata"]["namespace"]}
    pod: Object = {"metadata": metadata, "spec": template["spec"]}
    return {
        port
        for service in services
        if service["spec"].get("type") == "LoadBalancer" and selected(service, pod)
        for target in items(service, "spec", "ports")
        if (port := port_of(pod, target.get("targetPort") or target["port"])) is not None
    }


def fixed(objects: Collection[Object]) -> list[Fixed]:
    """List the ports that the objects' pods insist on."""
    services = [obj for obj in objects if obj["kind"] == "Service"]
    return [
        Fixed(obj["metadata"]["namespace"], obj["metadata"]["name"], port)
        for obj in objects
        if obj["kind"] == "Deployment"
        for port in sorted(behind_load_balancer(obj, services))
    ]


def busy(port: int) -> bool:
    """Tell whether some process listens on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError:
            return True
    return False


def free(avoid: Collection[int]) -> Iterator[int]:
    """Give free ports, none of `avoid`.

    They are below those that systems give to outgoing connections (32768 up on Linux, 49152 elsewhere), of
    which a router under load makes many: such a one could take the port before its process listens on it.
    """
    candidates = [port for port in range(20000, 32768) if port not in avoid]
    random.shuffle(candidates)
    return (port for port in candidates if not busy(port))
