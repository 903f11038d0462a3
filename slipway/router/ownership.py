"""Which router pod a service belongs to, when there are several: rendezvous hashing. Pure.

The owner has the service's queue and scales it; who comes next takes over when it goes.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from itertools import takewhile

from slipway.kube.folder import Object
from slipway.router import endpoints
from slipway.router.state import Replica, Routers

log = logging.getLogger(__name__)


def ranking(service: str, pods: Iterable[str]) -> list[str]:
    """Order pods by whose a service is, the same for all who ask.

    When a pod comes or goes, only the services move that it gets or had.
    """
    return sorted(pods, key=lambda pod: (_weight(pod, service), pod), reverse=True)


@lru_cache(maxsize=2**16)
def _weight(pod: str, service: str) -> bytes:
    return sha256(f"{pod}/{service}".encode()).digest()


def before(service: str, routers: Routers) -> list[Replica]:
    """Give the routers that a request goes to before this one takes it, the owner first; none: it is ours."""
    pods = takewhile(lambda pod: pod != routers.pod, ranking(service, routers.ready))
    return [routers.ready[pod] for pod in pods]


@dataclass(frozen=True)
class Pods:
    """The pods of the router."""

    ready: Mapping[str, endpoints.Pod] = field(default_factory=dict[str, endpoints.Pod])
    """By name."""
    known: frozenset[str] = frozenset()
    """Those too that are not ready, but not those that are told to stop."""


def router_pods(slices: Iterable[Object]) -> Pods:
    """Read the EndpointSlices of the routers' own Service; those that cannot be read are logged."""
    ready: dict[str, endpoints.Pod] = {}
    known: set[str] = set()
    for obj in slices:
        try:
            for pod in endpoints.pods(obj):
                known.add(pod.name)
                if pod.ready:
                    _ = pod.entry("admin"), pod.entry("peer")
                    ready[pod.name] = pod
        except ValueError as error:
            log.warning("an EndpointSlice of the router is of no use: %s", error)
    return Pods(ready, frozenset(known))
