"""What a firewall may let pass: what the stack's settings need, and nothing without a reason."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from policies.graph import Resource, Stack, at, many
from policies.rule import resource_rule
from slipway.hosts import Protocol, Required, Rule, RuleKind, catalogued, required
from slipway.problems import Problems, problem
from slipway.settings.needs import needs

FIREWALL = "azure-native:network:AzureFirewall"
GROUP = "azure-native:network:FirewallPolicyRuleCollectionGroup"
CLASSIC = ("applicationRuleCollections", "natRuleCollections", "networkRuleCollections")
DESTINATIONS = ("destinationAddresses", "destinationFqdns", "fqdnTags", "targetFqdns")
ELSEWHERE = ("destinationIpGroups", "targetUrls", "webCategories")


@resource_rule(
    "firewall-known-hosts",
    "The firewall lets pass only hosts that the settings need, or that a web service names with a reason.",
    GROUP,
    FIREWALL,
)
def firewall_known_hosts(resource: Resource, stack: Stack) -> Iterator[str]:
    if resource.type == FIREWALL:
        classic = [name for name in CLASSIC if many(resource.inputs, name)]
        yield from (
            f"{name}: is not judged here; write the rules into the firewall's policy" for name in classic
        )
        return
    if stack.settings is None or stack.azure is None:
        yield "no settings say which hosts are needed; make the firewall with the `Platform` component"
        return
    try:
        hosts = required(needs(stack.settings, stack.azure))
    except Problems as mistakes:
        yield from mistakes.lines
        return
    remedy = "remove it, or name the host in egress of the web service that calls it"
    for name, rule in _rules(resource):
        for field, given in _unknown(rule, hosts):
            yield problem(f"{name}.{field}", given, "is no host that the stack needs", remedy)


@resource_rule(
    "firewall-wildcard-reason",
    "A firewall rule with a wildcard says why in its description: nobody can review what is not explained.",
    GROUP,
)
def firewall_wildcard_reason(group: Resource, _: Stack) -> Iterator[str]:
    for name, rule in _rules(group):
        if str(at(rule, "description") or "").strip():
            continue
        nat = (
            at(rule, "ruleType") == "NatRule"
        )  # its destination is the firewall, whose address is not known yet
        fields = ("sourceAddresses",) if nat else ("sourceAddresses", "destinationPorts", *DESTINATIONS)
        for field in fields:
            for given in map(str, many(rule, field)):
                if "*" in given or given.endswith("/0"):
                    yield problem(
                        f"{name}.{field}", given, "is a wildcard", "say why in the rule's description"
                    )


def _rules(group: Resource) -> Iterator[tuple[str, Any]]:
    """Give the rules that let something pass, each with its collection's name and its own."""
    for collection in many(group.inputs, "ruleCollections"):
        if at(collection, "action", "type") != "Deny":
            for rule in many(collection, "rules"):
                yield f"{at(collection, 'name')}.{at(rule, 'name')}", rule


def _unknown(rule: Any, hosts: tuple[Required, ...]) -> Iterator[tuple[str, str]]:
    """Give the fields of a rule that let pass what is not needed, each with the value."""
    if at(rule, "ruleType") == "NatRule":
        router = {(host.host, str(host.port)) for host in hosts if host.kind is RuleKind.DNAT}
        to = str(at(rule, "translatedAddress")), str(at(rule, "translatedPort"))
        if to not in router:
            yield "translatedAddress", ":".join(to)
        return
    yield from ((field, str(given)) for field in ELSEWHERE for given in many(rule, field))
    ways = [
        *((str(at(way, "protocolType")), f"{at(way, 'port'):g}") for way in many(rule, "protocols")),
        *product(map(str, many(rule, "ipProtocols")), map(str, many(rule, "destinationPorts"))),
    ]
    for field in DESTINATIONS:
        for host, (protocol, ports) in product(map(str, many(rule, field)), ways):
            if not _known(host, protocol.upper(), ports, hosts):
                yield field, f"{host} ({protocol} {ports})"


def _known(host: str, protocol: str, ports: str, hosts: tuple[Required, ...]) -> bool:
    try:
        return protocol in Protocol.__members__ and catalogued(Rule(host, ports, Protocol(protocol)), hosts)
    except ValueError:  # ports of another form
        return False
