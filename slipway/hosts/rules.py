"""A required host as a rule: what a firewall must let pass, and why."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from slipway.hosts.entry import Destination, Direction, Protocol, Stage
from slipway.hosts.models import by_name


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
    """the private DNS zone that answers for it"""
    in_fqdn_tag: bool = False
    """whether Azure Firewall's tag AzureKubernetesService holds it"""

    @property
    def kind(self) -> RuleKind:
        """Derive the rule's kind; a name on 80 or 443 whose traffic is HTTP or HTTPS needs no address."""
        if self.direction is Direction.INBOUND and self.destination is Destination.ADDRESS:
            return RuleKind.DNAT
        if self.direction is not Direction.OUTBOUND:
            return RuleKind.NONE
        named = self.destination in {Destination.FQDN, Destination.FQDN_TAG}
        return RuleKind.APPLICATION if named and by_name(self.protocol, self.port) else RuleKind.NETWORK

    @property
    def needs_dns_proxy(self) -> bool:
        """Tell whether the rule holds a name that the firewall itself must resolve.

        Source: limit-egress-traffic.md of MicrosoftDocs/azure-aks-docs (2023-12-05).
        """
        return self.kind is RuleKind.NETWORK and self.destination is Destination.FQDN

    @property
    def name(self) -> str:
        """Name the rule: letters, digits, dots, hyphens, underscores, unique among a stack's rules."""
        host = re.sub(r"[^a-zA-Z0-9.-]", "_", self.host.replace("*", "any"))
        return f"{self.protocol.lower()}-{self.port}-{host}"

    @property
    def stage(self) -> Stage:
        """Give the first stage that needs it."""
        return self.stages[0]

    @property
    def why(self) -> str:
        """Join the reasons, each with the feature that has it."""
        return "; ".join(f"{reason.feature}: {reason.purpose}" for reason in self.reasons)

    @property
    def source(self) -> str:
        """Join the documents."""
        return "; ".join(dict.fromkeys(reason.source for reason in self.reasons))

    @property
    def symptom(self) -> str:
        """Join what a person sees when it is missing."""
        return "; ".join(dict.fromkeys(reason.symptom for reason in self.reasons))

    @property
    def note(self) -> str:
        """Join what the documents disagree about."""
        return "; ".join(dict.fromkeys(reason.note for reason in self.reasons if reason.note))
