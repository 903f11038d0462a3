"""A router that scales itself, for unit tests: its pods, its node, and who may write of them."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from slipway.kube.folder import Object
from slipway.router.feed import Objects, WriteError
from slipway.router.options import Size
from slipway.router.scaling import itself, own, steps
from slipway.router.scaling.steps import Steps

POD = "slipway-router-a"
SIZE = Size(replicas=2, cpu=900, most_cpu=2000)
NO_NODE: dict[str, Any] = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/1 nodes",
}


def pod(
    name: str = POD,
    cpu: str | None = "900m",
    wants: str | None = None,
    generation: int = 0,
    **condition: object,
) -> Object:
    """Give a pod with so much CPU, that asks for it or for another amount."""

    def resources(amount: str | None) -> Object:
        return {"name": "router", "resources": {"requests": {"cpu": amount}} if amount is not None else None}

    return {
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "slipway", "generation": generation},
        "spec": {"containers": [resources(wants or cpu or "900m")]},
        "status": {
            "containerStatuses": [resources(cpu)],
            "conditions": [condition] if condition else [],
        },
    }


@dataclass
class Cluster:
    """A router, its pods and who may write of them; a node gives CPU as it is told."""

    node: str = "gives"
    """Or `defers`, `is silent`, `cannot resize`."""
    threads: int = 1
    replicas: int = 2
    pods: list[Object] = field(default_factory=lambda: [pod()])
    resized: list[int] = field(default_factory=list[int])
    told: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])
    ready: bool = True
    error: str | None = None

    @property
    def serving(self) -> Any:
        return SimpleNamespace(threads=self.threads)

    @property
    def objects(self) -> Objects:
        deployment = {
            "kind": "Deployment",
            "metadata": {"name": "slipway-router", "namespace": "slipway", "uid": "1"},
            "spec": {"replicas": self.replicas},
        }
        return Objects(own_deployments=[deployment], own_pods=self.pods)

    async def scale(self, namespace: str, deployment: str, replicas: int) -> None:
        assert (namespace, deployment) == ("slipway", "slipway-router")
        self.replicas = replicas

    async def resize(self, namespace: str, pod_: str, container: str, cpu: int) -> bool:
        assert (namespace, pod_, container) == ("slipway", POD, "router")
        if self.node == "cannot resize":
            return False
        if self.node == "forbids":
            raise WriteError("pods is forbidden")
        self.resized.append(cpu)
        if self.node == "defers" and cpu > SIZE.cpu:
            said: dict[str, Any] = {
                "type": "PodResizePending",
                "status": "True",
                "reason": "Deferred",
                "message": "no room",
            }
            self.pods = [pod(wants=f"{cpu}m", **said)]
        elif self.node == "is silent" and cpu > SIZE.cpu:
            self.pods = [pod(wants=f"{cpu}m")]
        else:
            self.pods = [pod(cpu=f"{cpu}m")]
        return True

    async def event(self, regarding: Object, type: str, reason: str, note: str) -> None:  # noqa: A002 - Kubernetes' name
        assert regarding["metadata"]["uid"] == "1"
        self.told.append((type, reason, note))

    def steps(self) -> Steps:
        return Steps(cast("Any", self), cast("Any", self), POD, SIZE)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a second be a hundredth."""
    monkeypatch.setattr(steps, "LOOK_SECONDS", 0.001)
    for module in (itself, own, steps):
        for name in ("GRANT", "TICK", "ASK", "AGAIN", "REFUSED", "WINDOW", "ENABLE", "OUT", "CALM"):
            with contextlib.suppress(AttributeError):
                seconds = getattr(module, f"{name}_SECONDS")
                monkeypatch.setattr(module, f"{name}_SECONDS", seconds / 100)


def take(cluster: Cluster, *names: itself.Step) -> list[str | None]:
    async def scenario() -> list[str | None]:
        taker = cluster.steps()
        found: list[str | None] = []
        for name in names:
            why = await taker.take(itself.Decision(name, "because"))
            found.append(None if why is None else str(why))
            await taker.settle()
        return found

    return asyncio.run(scenario())
