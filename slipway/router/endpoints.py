"""Which pods of a web service or of the router get requests, by their EndpointSlices and conditions. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address

from pydantic import BaseModel, Field, ValidationError

from slipway.kube.folder import Object
from slipway.router.state import Replica

PORT_NAME = "http"


def replicas(obj: Object, pods: Mapping[str, Object]) -> list[Replica]:
    """Give those of one slice, with the pods of its namespace by name. Raises ValueError."""
    return list(_Slice.model_validate(obj).replicas(pods))


@dataclass(frozen=True)
class Pod:
    """A pod behind a Service, and its port of each name."""

    name: str
    address: str
    ports: Mapping[str, int]
    ready: bool

    def entry(self, port: str) -> Replica:
        """Give where it listens. Raises ValueError."""
        return Replica(self.address, self.ports.get(port, 0))


def pods(obj: Object) -> list[Pod]:
    """Give one slice's pods but those that terminate. Raises ValueError."""
    found = _Slice.model_validate(obj)
    ports = {one.name or "": one.port for one in found.ports or () if one.port is not None}
    return [
        Pod(endpoint.target.name, str(ip_address(endpoint.addresses[0])), ports, endpoint.takes_requests({}))
        for endpoint in found.endpoints or ()
        if endpoint.target is not None and endpoint.target.name and endpoint.addresses
        if not (endpoint.conditions or _Conditions()).terminating
    ]


class _Conditions(BaseModel):
    ready: bool | None = None
    terminating: bool | None = None


class _Reference(BaseModel):
    kind: str | None = None
    name: str | None = None


class _Endpoint(BaseModel):
    addresses: list[str]
    conditions: _Conditions | None = None
    target: _Reference | None = Field(None, alias="targetRef")

    def takes_requests(self, pods: Mapping[str, Object]) -> bool:
        """Tell whether new requests go there.

        A condition that is not known counts as ready. One that terminates may be ready all the same, where a
        Service publishes those that are not (discovery/v1, EndpointConditions); whether it still serves is of
        no matter: requests that it has stay with it, others go elsewhere.
        """
        found = self.conditions or _Conditions()
        if found.terminating:
            return False
        return found.ready is not False or (
            self.target is not None
            and self.target.kind == "Pod"
            and _containers_ready(pods, self.target.name)
        )


class _Port(BaseModel):
    name: str | None = None
    port: int | None = None


class _Slice(BaseModel):
    endpoints: list[_Endpoint] | None = None
    ports: list[_Port] | None = None

    def replicas(self, pods: Mapping[str, Object]) -> Iterable[Replica]:
        port = next((port.port for port in self.ports or () if port.name == PORT_NAME), None)
        for endpoint in self.endpoints or ():
            if port is not None and endpoint.takes_requests(pods) and endpoint.addresses:
                # Several addresses of one endpoint are the same pod: the first counts.
                yield _replica(endpoint.addresses[0], port)


@lru_cache(maxsize=2**15)
def _replica(address: str, port: int) -> Replica:
    """Read an address once: of thousands, it takes most of a look's time."""
    return Replica(str(ip_address(address)), port)


class _Condition(BaseModel):
    type: str
    status: str


class _Status(BaseModel):
    conditions: list[_Condition] | None = None


class _Pod(BaseModel):
    status: _Status | None = None


def _containers_ready(pods: Mapping[str, Object], name: str | None) -> bool:
    """Tell whether a pod is ready by itself, which is not ready because its node was not heard of.

    So is every pod when an API server comes back after more than 40 s. HAProxy's own check, of what the pod's
    readiness probe asks, then says which really are not.
    """
    try:
        status = _Pod.model_validate(pods[name or ""]).status or _Status()
    except (KeyError, ValidationError):
        return False
    conditions = {one.type: one.status for one in status.conditions or ()}
    return conditions.get("ContainersReady") == "True"
