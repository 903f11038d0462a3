"""Where objects come from and what the router writes: the ports that a folder and a cluster share.

A feed hands over whole snapshots: what changed is for `plan` to find out, so that a missed or doubled
event cannot make the router drift from what is true.
"""

import asyncio
import base64
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from slipway.kube.folder import Folder, Object
from slipway.kube.watch import Behind
from slipway.router.state import Reason
from slipway.spec import WEBSERVICE

OWN_SERVICE = ("kubernetes.io/service-name", "slipway-router-peers")
"""The label of the EndpointSlices of the Service that names the router's own ports."""
OWN = ("app.kubernetes.io/name", "slipway-router")
"""The label of the router's own Deployment and pods."""
EventType = Literal["Normal", "Warning"]


@dataclass(frozen=True)
class Objects:
    """All objects of the kinds that a router reads."""

    deployments: Sequence[Object] = ()
    slices: Sequence[Object] = ()
    secrets: Sequence[Object] = ()
    """Of the router's own namespace only."""
    pods: Sequence[Object] = ()
    """Of web services only."""
    autoscalers: Sequence[Object] = ()
    """HorizontalPodAutoscalers."""
    routers: Sequence[Object] = ()
    """EndpointSlices of the router's own pods."""
    own_deployments: Sequence[Object] = ()
    """The router's own, which is one."""
    own_pods: Sequence[Object] = ()
    """The router's own."""


class Feed(Protocol):
    """A source of snapshots."""

    async def next(self) -> Objects:
        """Return the objects: at once when first called, then as soon as any has changed."""
        ...

    @property
    def behind(self) -> Behind | None:
        """Since when, and why, they may be old; None if they are not."""
        ...


class WriteError(Exception):
    """What was to be written was not; the text says why."""


class Writer(Protocol):
    """What a router may change where its objects come from. All raise `WriteError`."""

    async def scale(self, namespace: str, deployment: str, replicas: int) -> None:
        """Let a Deployment have so many replicas, and change nothing else of it."""
        ...

    async def resize(self, namespace: str, pod: str, container: str, cpu: int) -> bool:
        """Ask for so many thousandths of a core for a pod that runs; False: that cannot be done here."""
        ...

    async def event(self, regarding: Object, type: EventType, reason: Reason, note: str) -> None:  # noqa: A002 - Kubernetes' name
        """Tell of an object; the same again within an hour counts up."""
        ...

    async def put_secret(self, secret: Object) -> bool:
        """Make a Secret if it has no `resourceVersion`, else replace the one that still has it.

        False: somebody else was first, and what there is will come by the feed.
        """
        ...


def secret(name: str, namespace: str, texts: Mapping[str, str], found: Object | None) -> Object:
    """Give a Secret of the routers' own that holds texts, in place of the one that was found.

    Its label is not that of a stack's objects, by which what left a stack is pruned.
    """
    labels = {"app.kubernetes.io/managed-by": "slipway-router"}
    new = {"name": name, "namespace": namespace, "labels": labels}
    metadata = new if found is None else found["metadata"]
    data = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data, "type": "Opaque"}


class FolderFeed:
    """Looks at a folder of objects ten times a second."""

    behind = None

    def __init__(self, folder: Folder, namespace: str, period: float = 0.1) -> None:
        self._folder = folder
        self._namespace = namespace
        self._period = period
        self._seen: Hashable = None

    async def next(self) -> Objects:
        while (now := self._folder.fingerprint()) == self._seen:  # noqa: ASYNC110 - files have no event that works everywhere
            await asyncio.sleep(self._period)
        slices = self._folder.list("EndpointSlice")
        deployments, pods = self._folder.list("Deployment"), self._folder.list("Pod")
        objects = Objects(
            deployments=deployments,
            slices=slices,
            secrets=self._folder.list("Secret", self._namespace),
            pods=[pod for pod in pods if WEBSERVICE in pod["metadata"].get("labels", {})],
            autoscalers=self._folder.list("HorizontalPodAutoscaler"),
            routers=self._own(slices, OWN_SERVICE),
            own_deployments=self._own(deployments, OWN),
            own_pods=self._own(pods, OWN),
        )
        # The fingerprint is the older of the two: a change in between is seen again, never missed.
        self._seen = now
        return objects

    def _own(self, objects: Sequence[Object], label: tuple[str, str]) -> list[Object]:
        """Give those of the router itself."""
        found = [one for one in objects if one["metadata"]["namespace"] == self._namespace]
        return [one for one in found if label in one["metadata"].get("labels", {}).items()]
