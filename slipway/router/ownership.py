"""Which router pod scales a service, when there are several: `owner(service, pods)`. Pure."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from slipway.kube.folder import Object
from slipway.router import endpoints

log = logging.getLogger(__name__)


def owner(service: str, pods: Iterable[str]) -> str:
    """Give the one of some pods that a service belongs to, the same for all who ask (rendezvous hashing).

    When a pod comes or goes, only the services move that it gets or had. There must be a pod.
    """
    return max(pods, key=lambda pod: (sha256(f"{pod}/{service}".encode()).digest(), pod))


@dataclass(frozen=True)
class Pods:
    """The pods of the router."""

    ready: Mapping[str, str] = field(default_factory=dict[str, str])
    """Address by name."""
    known: frozenset[str] = frozenset()
    """Those too that are not ready, but not those that are told to stop."""


def router_pods(slices: Iterable[Object]) -> Pods:
    """Read the EndpointSlices of the router's own Service; those that cannot be read are logged."""
    ready: dict[str, str] = {}
    known: set[str] = set()
    for obj in slices:
        try:
            for pod, address, is_ready in endpoints.pods(obj):
                known.add(pod)
                if is_ready:
                    ready[pod] = address
        except ValueError as error:
            log.warning("an EndpointSlice of the router is of no use: %s", error)
    return Pods(ready, frozenset(known))
