"""The router's pods on a cluster, one by one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.router.ownership import ranking
from slipway.spec import ROUTER_NAMESPACE
from tests.cluster.kubernetes.cluster import Cluster
from tests.cluster.kubernetes.stack import Stack, new_stack

PORT = 8080
CTR = ("ctr", "--namespace=k8s.io")


@dataclass(frozen=True)
class RouterPod:
    """A pod that is ready."""

    name: str
    address: str
    container: str
    """containerd's id of it"""

    def uri(self, service: str, path: str = "score") -> str:
        """Give where it takes requests of a web service, past the load balancer."""
        return f"http://{self.address}:{PORT}/api/v1/service/{service}/{path}"


def router_pods(cluster: Cluster) -> dict[str, RouterPod]:
    """Give the pods that are ready, by name."""
    get = ["get", "pods", f"--namespace={ROUTER_NAMESPACE}", "-l=app.kubernetes.io/name=slipway-router"]
    found: dict[str, RouterPod] = {}
    for pod in json.loads(cluster.kubectl(*get, "--output=json"))["items"]:
        ready = any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"]["conditions"])
        if ready and "deletionTimestamp" not in pod["metadata"]:
            name, status = pod["metadata"]["name"], pod["status"]
            container = status["containerStatuses"][0]["containerID"].removeprefix("containerd://")
            found[name] = RouterPod(name, status["podIP"], container)
    return found


def by_ownership(cluster: Cluster, service: str) -> list[RouterPod]:
    """Give the pods by whose a web service is, the owner first."""
    pods = router_pods(cluster)
    return [pods[name] for name in ranking(service, pods)]


def kill(cluster: Cluster, pod: RouterPod) -> None:
    """End all processes of a pod as `kill -9` does; the kubelet finds them gone and starts them anew."""
    machine = cluster.component("kubelet").machine
    machine.run(*CTR, "tasks", "kill", "--signal=SIGKILL", pod.container)


def three_routers(cluster: Cluster, folder: Path, *webservices: Mapping[str, Any]) -> Stack:
    """Give a stack whose router has three pods, as small as a test's machine."""
    return new_stack(cluster, folder, webservices, replicas=3, cpu_cores=0.1, memory_gb=0.4)
