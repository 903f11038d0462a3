"""A stack that runs in a cluster, by its API server; the router is asked through that, too."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus

from slipway.kube.client import Client, ClusterError, read_json
from slipway.kube.folder import Object
from slipway.kube.mirror import Mirror
from slipway.kube.read import HASH_LABEL, condition, is_ready, is_router, items, part, port_of
from slipway.kube.rollout import Rollout, crashed
from slipway.kube.watch import Source
from slipway.local.state import LocalError
from slipway.running.backend import Lines, LogOptions, Look, loads, routed, sorted_deployments
from slipway.running.pod_logs import Follower
from slipway.spec import ROUTER_NAMESPACE

SERVICE = "slipway-router"
OURS = "app.kubernetes.io/managed-by=slipway"
REVISION = "deployment.kubernetes.io/revision"
KINDS = {"Deployment": OURS, "ReplicaSet": "", "Pod": OURS, "Event": ""}
"""What is watched, by which labels: a ReplicaSet's and an Event's are not ours."""
SETTLE_SECONDS = 0.05
ROUTER_SECONDS = 1.0
"""How often the router is asked."""
ASK_SECONDS = 4.0
"""How long the routers have for an answer; where something keeps the API server from them, none comes."""
WORDS = 20
"""Lines of a crashed container's log."""


@dataclass(frozen=True)
class Place:
    """A cluster as a stack names it."""

    name: str
    """for people"""
    namespaces: Collection[str]
    """of the web services and of the router"""
    kubectl: str
    """how kubectl is called for it"""
    url: str | None = None
    """the router's address, where the stack file says it"""
    first: str = ""
    """the command that kubectl needs to be typed before"""


@dataclass
class _Router:
    """What the routers said last."""

    reports: Sequence[Object] | None = None
    unknown: str = ""


class Cluster:
    """A stack in a cluster."""

    def __init__(self, client: Client, place: Place) -> None:
        self._client = client
        self._place = place

    @property
    def place(self) -> str:
        return f"cluster {self._place.name}"

    async def looks(self) -> AsyncGenerator[Look]:
        sources = [
            Source(kind, namespace, labels)
            for namespace in sorted(self._place.namespaces)
            for kind, labels in KINDS.items()
        ]
        words: dict[tuple[str, ...], str] = {}
        async with Mirror(self._client, sources) as mirror:
            router = _Router()
            await self._ask(mirror, router)
            asking = asyncio.create_task(self._keep_asking(mirror, router))
            try:
                while True:
                    mirror.changed.clear()
                    yield await self._look(mirror, router, words)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(ROUTER_SECONDS):
                            await mirror.changed.wait()
                    await asyncio.sleep(SETTLE_SECONDS)
            finally:
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)

    async def deployments(self) -> list[Object]:
        found = await asyncio.gather(
            *(self._client.list("Deployment", namespace, labels=OURS) for namespace in self._place.namespaces)
        )
        return sorted_deployments(obj for listing in found for obj in listing.items)

    async def url(self) -> str | None:
        if self._place.url is not None:
            return self._place.url
        service = await self._client.get("Service", ROUTER_NAMESPACE, SERVICE)
        for one in items(service or {}, "status", "loadBalancer", "ingress"):
            if address := one.get("ip") or one.get("hostname"):
                return f"http://[{address}]" if ":" in address else f"http://{address}"
        return None

    def no_address(self, name: str) -> LocalError:
        forward = f"{self._place.kubectl} -n {ROUTER_NAMESPACE} port-forward service/{SERVICE} 8080:80"
        then = f"slipway score {name} --data FILE --url http://127.0.0.1:8080"
        steps = "\n".join(filter(None, (self._place.first, forward, then)))
        return LocalError("the router's Service has no address outside the cluster", steps)

    async def secret(self, name: str) -> Object | None:
        try:
            return await self._client.get("Secret", ROUTER_NAMESPACE, name)
        except ClusterError as error:
            if error.status == HTTPStatus.FORBIDDEN:
                hint = f"ask for it in namespace {ROUTER_NAMESPACE}; `score` takes --key-file, or SLIPWAY_KEY"
                raise LocalError(f"you have no right to read the keys: {error}", hint) from None
            raise

    async def write(self, secret: Object, values: Mapping[str, str]) -> Object:
        metadata = secret["metadata"]
        data = {name: base64.b64encode(value.encode()).decode() for name, value in values.items()}
        change = {"metadata": {"resourceVersion": metadata["resourceVersion"]}, "data": data}
        try:
            return await self._client.patch("Secret", metadata["namespace"], metadata["name"], change)
        except ClusterError as error:
            if error.status == HTTPStatus.CONFLICT:
                message = "somebody else has changed the keys in this moment; nothing was changed"
                raise LocalError(message, "look at them, then do it again") from None
            raise

    async def login(self, name: str) -> str:
        token = await self._client.bearer()
        if token is None:
            account = f"{self._place.kubectl} -n NAMESPACE create token SERVICE_ACCOUNT > FILE"
            steps = filter(None, (self._place.first, account, f"slipway token {name} --login-file FILE"))
            message = "the kubeconfig logs in without a token, so the router cannot ask who you are"
            raise LocalError(message, "\n".join(steps))
        return token

    async def journal(self) -> str | None:
        listing = await self._client.list("Pod", ROUTER_NAMESPACE, labels=OURS)
        pods = [pod for pod in listing.items if is_router(pod) and is_ready(pod)]
        pages = await asyncio.gather(*(self._page(pod, "journal") for pod in pods))
        return "".join(pages) if pages else None

    def logs(self, deployment: Object, options: LogOptions) -> AsyncGenerator[Lines]:
        metadata = deployment["metadata"]
        matched: dict[str, str] = part(deployment, "spec", "selector", "matchLabels")
        labels = ",".join(f"{name}={value}" for name, value in matched.items())
        source = Source("Pod", metadata["namespace"], labels)
        return Follower(self._client, source, options).lines()

    async def _look(self, mirror: Mirror, router: _Router, words: dict[tuple[str, ...], str]) -> Look:
        kinds = ("Deployment", "ReplicaSet", "Pod", "Event")
        found = rollouts(*(mirror.objects(kind) for kind in kinds))
        seen = None if router.reports is None else loads(router.reports)
        whole = [
            replace(
                one,
                words=await self._words(one, words),
                routed=None if seen is None or is_router(one.deployment) else routed(seen, one.name),
            )
            for one in found
        ]
        return Look(whole, seen or {}, mirror.away or router.unknown)

    async def _words(self, rollout: Rollout, words: dict[tuple[str, ...], str]) -> dict[str, str]:
        """Read the last words of containers that crashed, of each crash once."""
        found: dict[str, str] = {}
        for pod, status in crashed(rollout):
            metadata = pod["metadata"]
            place = f"{metadata['name']}/{status['name']}"
            crash = (metadata["uid"], status["name"], str(status["restartCount"]), *status["state"])
            if crash not in words:
                lines = self._client.logs(
                    metadata["namespace"],
                    metadata["name"],
                    status["name"],
                    previous="running" in status["state"],
                    tail=WORDS,
                )
                words[crash] = ""
                with contextlib.suppress(ClusterError):  # it says why all the same
                    words[crash] = "\n".join([line async for line in lines])
            found[place] = words[crash]
        return found

    async def _keep_asking(self, mirror: Mirror, router: _Router) -> None:
        while True:
            await asyncio.sleep(ROUTER_SECONDS)
            await self._ask(mirror, router)
            mirror.changed.set()

    async def _ask(self, mirror: Mirror, router: _Router) -> None:
        """Ask every router that is ready how it sees its services."""
        pods = [pod for pod in mirror.objects("Pod") if is_router(pod) and is_ready(pod)]
        there = any(map(is_router, mirror.objects("Deployment")))
        try:
            async with asyncio.timeout(ASK_SECONDS):
                reports = await asyncio.gather(*map(self._report, pods))
            router.reports, router.unknown = reports if there else None, ""
        except (ClusterError, TimeoutError) as error:
            why = str(error) or "the API server does not reach their admin port"
            router.reports, router.unknown = None, f"the router's pods cannot be asked: {why}"

    async def _report(self, pod: Object) -> Object:
        return read_json(await self._page(pod, "status"))

    async def _page(self, pod: Object, name: str) -> str:
        """Ask a router's admin port."""
        metadata, port = pod["metadata"], port_of(pod, "admin")
        return await self._client.proxy(metadata["namespace"], metadata["name"], port or 0, name)


def rollouts(
    deployments: Sequence[Object], sets: Sequence[Object], pods: Sequence[Object], events: Sequence[Object]
) -> list[Rollout]:
    """Put together what belongs to each Deployment. Pure."""
    found: list[Rollout] = []
    for obj in sorted_deployments(deployments):
        own = [one for one in sets if _owner(one) == obj["metadata"]["uid"]]
        uids = {one["metadata"]["uid"] for one in own}
        revision = part(obj, "metadata", "annotations").get(REVISION)
        newest = [one for one in own if part(one, "metadata", "annotations").get(REVISION) == revision]
        current = newest[0] if newest and revision is not None else {}
        found.append(
            Rollout(
                obj,
                part(current, "metadata", "labels").get(HASH_LABEL) if current else None,
                [pod for pod in pods if _owner(pod) in uids],
                events,
                condition(current, "ReplicaFailure"),
            )
        )
    return found


def _owner(obj: Object) -> str | None:
    """Give the uid of the object that controls another one."""
    owners = items(obj, "metadata", "ownerReferences")
    return next((one["uid"] for one in owners if one.get("controller")), None)
