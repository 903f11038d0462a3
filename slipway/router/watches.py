"""A router's feed inside a cluster: watches of the kinds that it reads.

Everything but HorizontalPodAutoscalers is needed; a cluster may lack or refuse those.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from slipway.kube.client import Client
from slipway.kube.folder import Object
from slipway.kube.watch import Behind, Source, Watch
from slipway.router.feed import OWN, OWN_SERVICE, Objects
from slipway.spec import WEBSERVICE

GATHER_SECONDS = 0.02
"""How long changes that come together are waited for."""


def _deployment(obj: Object) -> Object:
    """Leave out the pods' template: large, and read by nobody."""
    return {**obj, "spec": {"replicas": obj["spec"].get("replicas", 1)}}


def _pod(obj: Object) -> Object:
    return {name: part for name, part in obj.items() if name != "spec"}


def sources(namespace: str) -> dict[str, Source]:
    """Give what a router in this namespace reads, by its name in `Objects`."""
    return {
        "deployments": Source("Deployment", labels=WEBSERVICE, keep=_deployment),
        "slices": Source("EndpointSlice", labels=WEBSERVICE),
        "secrets": Source("Secret", namespace),
        "pods": Source("Pod", labels=WEBSERVICE, keep=_pod),
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
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(watch.run()) for watch in self._watches.values()]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

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
