"""The routers of one cluster to each other: who scales a service, and what all of them together see of it.

Each counts for itself and tells on its admin port (`/loads`). The owner of a service asks the others, once a
look, and sums up. What each counts begins with its process; what is added is its difference to itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from uuid import uuid4

from pydantic import BaseModel, ValidationError

from slipway.kube.folder import Object
from slipway.router.endpoints import Pod
from slipway.router.ownership import Pods, ranking, router_pods
from slipway.router.scaling.itself import Told
from slipway.router.scaling.sampling import Counted

ASK_SECONDS = 0.5
KEEP_SECONDS = 3.0
"""For so long a router that does not answer counts as it did last."""
NOTHING = Counted(0, 0, 0, 0, 0, None)
Services = Mapping[str, Counted]


class Loads(BaseModel):
    """What a router saw; arrivals and refused since its process began."""

    pod: str
    run: str
    """Another with each process."""
    services: dict[str, Counted]
    own: Told | None = None
    """What it knows of itself, where it scales itself and is not about to."""


def total(before: Services, seen: Services) -> dict[str, Counted]:
    """Add what is new to what was counted before."""
    return {name: _plus(one, before.get(name, NOTHING), 1) for name, one in seen.items()}


def since(before: Services, now: Services) -> dict[str, Counted]:
    """Give what is new."""
    return {name: _plus(one, before.get(name, NOTHING), -1) for name, one in now.items()}


def _plus(one: Counted, other: Counted, sign: int) -> Counted:
    arrivals, refused = one.arrivals + sign * other.arrivals, one.refused + sign * other.refused
    # Not by `replace`, which takes several times as long.
    return Counted(max(0, arrivals), max(0, refused), one.busy, one.queued, one.ready, one.service_seconds)


async def ask(pod: Pod) -> Loads | None:
    """Ask a router; None if it gives no answer in time, or is another pod than it should be."""
    try:
        async with asyncio.timeout(ASK_SECONDS):
            reader, writer = await asyncio.open_connection(pod.address, pod.ports["admin"])
            try:
                writer.write(b"GET /loads HTTP/1.0\r\n\r\n")
                _, _, body = (await reader.read()).partition(b"\r\n\r\n")
            finally:
                writer.close()
        found = Loads.model_validate_json(body)
    except (OSError, TimeoutError, ValidationError):
        return None
    return found if found.pod == pod.name else None


@dataclass
class _Peer:
    """Another router, as it answered last."""

    heard: float
    answer: Loads | None = None
    """None: the next one tells nothing of what is new."""
    seen: Services = field(default_factory=dict[str, Counted])

    def take(self, answer: Loads | None, now: float) -> None:
        if answer is not None:
            same = self.answer is not None and self.answer.run == answer.run
            before = self.answer.services if self.answer is not None and same else answer.services
            self.heard, self.seen = now, since(before, answer.services)
        self.answer = answer


class Sum:
    """What all routers see, one look after the other. Pure but for its memory."""

    def __init__(self) -> None:
        self._peers: dict[str, _Peer] = {}
        self._seconds: dict[str, float] = {}

    def look(
        self, own: Services, answers: Mapping[str, Loads | None], now: float
    ) -> tuple[dict[str, Counted], bool]:
        """Add to our own what the others answered, None for silence; and say whether that is all there is.

        A router that is silent is taken to go on as before for `KEEP_SECONDS`, then it is left out. One that
        came, restarted or was silent tells with its first answer only what it has, not what came.
        """
        self._peers = {pod: self._peers.get(pod) or _Peer(now) for pod in answers}
        for pod, answer in answers.items():
            self._peers[pod].take(answer, now)
        heard = [peer.seen for peer in self._peers.values() if now - peer.heard <= KEEP_SECONDS]
        found = {
            name: self._add(name, one, [seen[name] for seen in heard if name in seen])
            for name, one in own.items()
        }
        self._seconds = {name: seconds for name, seconds in self._seconds.items() if name in own}
        return found, len(heard) == len(self._peers)

    def _add(self, name: str, own: Counted, others: list[Counted]) -> Counted:
        """Sum up the requests; their mean time is that of the routers that have some, else as it was."""
        parts = [own, *others]
        known = [(one.service_seconds, one.arrivals + one.busy) for one in parts if one.service_seconds]
        if weights := sum(weight for _, weight in known):
            self._seconds[name] = sum(seconds * weight for seconds, weight in known) / weights
        elif known and name not in self._seconds:
            self._seconds[name] = max(seconds for seconds, _ in known)
        return Counted(
            arrivals=sum(one.arrivals for one in parts),
            refused=sum(one.refused for one in parts),
            busy=sum(one.busy for one in parts),
            queued=sum(one.queued for one in parts),
            ready=own.ready,
            service_seconds=self._seconds.get(name),
        )


class Peers:
    """The routers as the one in `pod` knows them.

    A router that does not know its own name, or any other that is ready, takes all services for its own.
    """

    def __init__(self, pod: str) -> None:
        self.pod = pod
        self.run = uuid4().hex
        self.changes = 0
        """How often routers came or went, and with them the ownership of some services."""
        self._pods = Pods()
        self._sum = Sum()

    def find(self, slices: Iterable[Object]) -> None:
        """Take the EndpointSlices of the router's own Service."""
        before, self._pods = self._pods, router_pods(slices) if self.pod else Pods()
        self.changes += bool(before.ready) and before.ready.keys() != self._pods.ready.keys()

    def owner(self, service: str) -> str:
        """Name the router that scales a service: never one that is not ready while others are."""
        return ranking(service, self._pods.ready)[0] if self._pods.ready else self.pod

    async def ask(self) -> dict[str, Loads | None]:
        """Ask the others that are ready; None for one that gives no answer."""
        others = [pod for name, pod in self._pods.ready.items() if name != self.pod]
        answers = await asyncio.gather(*map(ask, others))
        return dict(zip([pod.name for pod in others], answers, strict=True))

    async def look(self, own: Services, now: float) -> tuple[dict[str, Counted], bool]:
        """Give what all see, and whether it is all: not while others are known and none is ready."""
        seen, complete = self._sum.look(own, await self.ask(), now)
        return seen, complete and (bool(self._pods.ready) or not self._pods.known - {self.pod})
