"""A router's feed inside a cluster: watches of the kinds that it reads.

Everything but HorizontalPodAutoscalers is needed; a cluster may lack or refuse those.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from slipway.kube.client import Client
from slipway.kube.folder import Object
from slipway.kube.read import items
from slipway.kube.watch import Behind, Source, Watch, running
from slipway.router.feed import OWN, OWN_SERVICE, Objects
from slipway.spec import WEBSERVICE

GATHER_SECONDS = 0.02
"""How long changes that come together are waited for."""


def _deployment(obj: Object) -> Object:
    """Leave out the pods' template: large, and read by nobody."""
    return {**obj, "spec": {"replicas": obj["spec"].get("replicas", 1)}}


def _pod(obj: Object) -> Object:
    return {name: part for name, part in obj.items() if name != "spec"}


def _replica(obj: Object) -> Object:
    """Leave out all but what is read: there may be ten thousand, and most of each is about its containers."""
    metadata: Object = {
        name: value
        for name, value in obj["metadata"].items()
        if name not in {"annotations", "ownerReferences"}
    }
    containers = [
        {"restartCount": one.get("restartCount")} for one in items(obj, "status", "containerStatuses")
    ]
    status = {"conditions": items(obj, "status", "conditions"), "containerStatuses": containers}
    return {"kind": "Pod", "metadata": metadata, "status": status}


def sources(namespace: str) -> dict[str, Source]:
    """Give what a router in this namespace reads, by its name in `Objects`."""
    return {
        "deployments": Source("Deployment", labels=WEBSERVICE, keep=_deployment),
        "slices": Source("EndpointSlice", labels=WEBSERVICE),
        "secrets": Source("Secret", namespace),
        "pods": Source("Pod", labels=WEBSERVICE, keep=_replica),
        "routers": Source("EndpointSlice", namespace, labels="=".join(OWN_SERVICE)),
        "own_deployments": Source("Deployment", namespace, labels="=".join(OWN), keep=_deployment),
        "own_pods": Source("Pod", namespace, labels="=".join(OWN), keep=_pod),
        "autoscalers": Source("HorizontalPodAutoscaler", optional=True),
    }


class ClusterFeed:
    """Watches while it is entered."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._changed = asyncio.Event()
        self._watches = {
            name: Watch(client, source, self._changed) for name, source in sources(namespace).items()
        }
        self._ends = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._ends.enter_async_context(running(self._watches.values()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._ends.aclose()

    async def next(self) -> Objects:
        while True:
            await self._changed.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._changed.clear()
            if all(watch.complete for watch in self._watches.values()):
                return Objects(**{name: tuple(one.objects.values()) for name, one in self._watches.items()})

    @property
    def behind(self) -> Behind | None:
        """Since when, and why, any of it may be old: of several the longest."""
        found = [watch.behind for watch in self._watches.values() if watch.behind is not None]
        return min(found, key=lambda one: one.since, default=None)
