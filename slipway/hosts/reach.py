"""What an allow list lets pass, against what is required: names, wildcards, ranges, tags and ports.

A wildcard means what it means to Azure Firewall: `*.contoso.com` is every name below contoso.com at any
depth and not contoso.com itself, `*contoso.com` is every name that ends so (firewall-faq.yml of
MicrosoftDocs/azure-docs, 2022-09-12). A firewall of another maker may let it stand for one label only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from slipway.hosts.entry import Destination, Direction, Protocol
from slipway.hosts.models import network
from slipway.hosts.required import FQDN_TAG
from slipway.hosts.rules import Required, RuleKind


@dataclass(frozen=True)
class Rule:
    """What a firewall lets pass: a name, address, range, service tag, FQDN tag, or `*`.

    `ports` is one port, a range such as `9000-9010`, or `*`, as Azure writes them; `protocol` None is any.
    A network rule's TCP lets HTTPS pass too; an application rule lets nothing else pass.
    """

    host: str
    ports: str = "443"
    protocol: Protocol | None = Protocol.HTTPS

    @property
    def span(self) -> tuple[int, int]:
        """Give the first and the last port; raises ValueError for a text of another form."""
        first, _, last = ("0-65535" if self.ports == "*" else self.ports).partition("-")
        return int(first), int(last or first)


def covers(allowed: str, wanted: str) -> bool:
    """Tell whether every name or address that `wanted` stands for is one that `allowed` stands for."""
    allowed, wanted = allowed.lower(), wanted.lower()
    ours, theirs = network(allowed), network(wanted)
    if ours is not None:
        return ours.prefixlen == 0 or (theirs is not None and theirs.subnet_of(ours))
    if allowed == "*" or theirs is not None:
        return allowed == "*"
    return wanted.endswith(allowed[1:]) if allowed.startswith("*") else wanted == allowed


def missing(rules: Iterable[Rule], hosts: Iterable[Required]) -> tuple[Required, ...]:
    """Give the required hosts that no rule lets pass, in order of stage.

    `hosts` is what `required` gives. What the name only has to resolve for, and what comes from outside, is
    not looked at.
    """
    allowed = tuple(rules)
    passing = {RuleKind.APPLICATION, RuleKind.NETWORK}
    return tuple(host for host in hosts if host.kind in passing and not any(_lets(r, host) for r in allowed))


def line(host: Required) -> str:
    """Say in a line what happens, and when, while a required host is missing from an allow list."""
    return (
        f"{host.stage}: {host.host} ({host.protocol} {host.port}) is not allowed, so {host.symptom}; "
        f"allow it for {host.why} [{host.source}]"
    )


def catalogued(rule: Rule, hosts: Iterable[Required]) -> bool:
    """Tell whether a rule lets pass only what is required: no other host, port or protocol."""
    first, last = rule.span
    return any(
        host.direction is not Direction.INBOUND
        and (first, last) == (host.port, host.port)
        and rule.protocol is not None
        and rule.protocol.transport is host.protocol.transport
        and (covers(host.host, rule.host) or (rule.host == FQDN_TAG and host.in_fqdn_tag))
        for host in hosts
    )


def _lets(rule: Rule, host: Required) -> bool:
    """Tell whether one rule lets all of a required host's traffic pass."""
    first, last = rule.span
    return (
        first <= host.port <= last
        and (rule.protocol is None or rule.protocol in {host.protocol, host.protocol.transport})
        and (_destination(rule, host) or (rule.host == FQDN_TAG and host.in_fqdn_tag))
    )


def _destination(rule: Rule, host: Required) -> bool:
    if host.destination is Destination.SERVICE_TAG:  # a tag without a region has every region
        everywhere = rule.host == "*" or covers(rule.host, "0.0.0.0/0")
        return everywhere or host.host == rule.host or host.host.startswith(f"{rule.host}.")
    return covers(rule.host, host.host)
