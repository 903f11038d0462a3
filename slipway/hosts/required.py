"""The hosts that one stack needs: the catalogue's entries that its settings ask for, as rules."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from slipway.hosts.clouds import Cloud
from slipway.hosts.entry import Destination, Direction, Feature, Protocol, Stage


class RuleKind(StrEnum):
    """How a firewall lets a host pass."""

    APPLICATION = "application"
    """HTTP and HTTPS names on 80 and 443"""
    NETWORK = "network"
    """addresses, service tags, other protocols and ports; a name here needs the firewall's DNS proxy"""
    DNAT = "dnat"
    """from outside to the router's internal load balancer"""
    NONE = "none"
    """no rule: the name only has to resolve"""


@dataclass(frozen=True)
class ModelHost:
    """A host that the model of a web service calls: `webservices[].egress`, with its service's name."""

    service: str
    host: str
    reason: str
    port: int = 443
    protocol: Protocol = Protocol.HTTPS


@dataclass(frozen=True)
class Needs:
    """What of a stack asks for hosts. Names are without their cloud's suffix; `registry` is `myregistry`.

    `api_server` is the API server's whole name once it is known (`slipway-1a2b.hcp.westeurope.azmk8s.io`);
    before the cluster exists every name of the region stands for it. `api_server_ip` is asked for by
    PODS_CALL_API_SERVER only. `router_name` is the leaf domain label; None with a domain of one's own.
    `router_ip` is the router's internal address when DNAT leads to it.
    """

    cloud: Cloud
    region: str
    features: frozenset[Feature]
    registry: str | None = None
    storage: str | None = None
    vault: str | None = None
    workspace_region: str | None = None
    api_server: str | None = None
    api_server_ip: str | None = None
    router_name: str | None = None
    router_ip: str | None = None
    dns_servers: tuple[str, ...] = ()
    models: tuple[ModelHost, ...] = ()


@dataclass(frozen=True)
class Reason:
    """Why a host is needed, and who says so."""

    feature: str
    """a `Feature`, or `web service <name>`"""
    purpose: str
    source: str
    symptom: str
    note: str = ""


@dataclass(frozen=True)
class Required:
    """A host, protocol and port that must be reachable, with every reason."""

    host: str
    destination: Destination
    protocol: Protocol
    port: int
    direction: Direction
    stages: tuple[Stage, ...]
    reasons: tuple[Reason, ...]
    zone: str = ""

    @property
    def kind(self) -> RuleKind:
        """Derive the rule's kind."""
        raise NotImplementedError

    @property
    def needs_dns_proxy(self) -> bool:
        """Tell whether the rule holds a name that the firewall itself must resolve."""
        return self.kind is RuleKind.NETWORK and self.destination is Destination.FQDN


def required(needs: Needs, *, fqdn_tag: bool = False) -> tuple[Required, ...]:
    """Give the hosts that a stack needs, in order of stage; each once, with all of its reasons.

    With `fqdn_tag`, AKS's own tables are one entry, Azure Firewall's tag AzureKubernetesService.
    Raises `Problems`: a name that a feature needs and that is not given, a feature without hosts in this
    cloud, a model's host that no rule can express.
    """
    raise NotImplementedError
